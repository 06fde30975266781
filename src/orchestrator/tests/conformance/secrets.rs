//! What every store of secrets promises, whatever it is made of.

use std::collections::BTreeSet;

use orchestrator::{SecretName, Secrets};
use stdx::Redacted;

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

async fn store(secrets: &Secrets, of: &str, contents: &[u8]) {
    secrets.controller.ensure(&name(of), Redacted::new(contents.to_vec())).await.unwrap();
}

async fn read(secrets: &Secrets, of: &str) -> Option<Vec<u8>> {
    secrets.reader.read(&name(of)).await.unwrap().map(|contents| contents.expose().clone())
}

async fn list(secrets: &Secrets) -> BTreeSet<String> {
    secrets.controller.list().await.unwrap().iter().map(ToString::to_string).collect()
}

/// Runs the suite on a store that is empty. `reopen` gives the same store as it is after a restart.
pub(crate) async fn check(reopen: impl AsyncFn() -> Secrets) {
    let secrets = reopen().await;
    assert_eq!(list(&secrets).await, BTreeSet::new());
    assert_eq!(read(&secrets, "user-u1").await, None);

    // Whatever the bytes are.
    let all_bytes: Vec<u8> = (0..=255).collect();
    let long = vec![b'x'; 64 << 10];
    store(&secrets, "user-u1", b"one").await;
    store(&secrets, "user-u2", b"").await;
    store(&secrets, "user-u3", &all_bytes).await;
    store(&secrets, "internal-ca", &long).await;
    assert_eq!(read(&secrets, "user-u1").await.as_deref(), Some(&b"one"[..]));
    assert_eq!(read(&secrets, "user-u2").await.as_deref(), Some(&b""[..]));
    assert_eq!(read(&secrets, "user-u3").await, Some(all_bytes));
    assert_eq!(read(&secrets, "internal-ca").await, Some(long.clone()));
    assert_eq!(list(&secrets).await, ["internal-ca", "user-u1", "user-u2", "user-u3"].map(str::to_owned).into());

    // A reader sees the old contents or the new ones, whole.
    let replace = async {
        for _ in 0..5 {
            store(&secrets, "user-u1", &long).await;
            store(&secrets, "user-u1", b"two").await;
        }
    };
    let look = async {
        for _ in 0..20 {
            let seen = read(&secrets, "user-u1").await.unwrap();
            assert!(seen == b"one" || seen == b"two" || seen == long, "{} bytes", seen.len());
        }
    };
    futures::future::join(replace, look).await;

    // However often, and what was never there.
    for _ in 0..2 {
        secrets.controller.delete(&name("user-u2")).await.unwrap();
    }
    secrets.controller.delete(&name("user-u9")).await.unwrap();
    assert_eq!(read(&secrets, "user-u2").await, None);

    let secrets = reopen().await;
    assert_eq!(list(&secrets).await, ["internal-ca", "user-u1", "user-u3"].map(str::to_owned).into());
    assert_eq!(read(&secrets, "user-u1").await.as_deref(), Some(&b"two"[..]));
    store(&secrets, "user-u2", b"again").await;
    assert_eq!(read(&secrets, "user-u2").await.as_deref(), Some(&b"again"[..]));
    for name in secrets.controller.list().await.unwrap() {
        secrets.controller.delete(&name).await.unwrap();
    }
    assert_eq!(list(&secrets).await, BTreeSet::new());
}
