//! The stores of secrets that need nothing but this machine keep what every store promises.

#[path = "conformance/secrets.rs"]
mod conformance;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use orchestrator::{LocalFileSecrets, MemorySecrets, SecretName, Secrets, SecretsController, SecretsReader};
use stdx::{Redacted, Tasks};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn files_conform() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets");
    conformance::check(async || Secrets::of(LocalFileSecrets::open(Tasks::tokio(), path.clone()).unwrap())).await;
}

#[tokio::test]
async fn memory_conforms() {
    let memory = MemorySecrets::default();
    conformance::check(async || Secrets::of(memory.clone())).await;
}

#[test]
fn names_are_dns_labels() {
    for name in ["user-u12", "internal-ca", "a", &"x".repeat(63)] {
        assert_eq!(SecretName::new(name).unwrap().as_str(), name);
    }
    for name in ["", "-a", "a-", "A", "a.b", "a/b", "..", "a_b", ".unfinished", &"x".repeat(64)] {
        assert!(SecretName::new(name).is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn only_the_owner_can_enter_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets");
    // Made by somebody with a generous umask, and left in the middle of a write.
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(path.join(".unfinished"), "half").unwrap();
    let secrets = LocalFileSecrets::open(Tasks::tokio(), path.clone()).unwrap();
    assert_eq!(mode(&path), 0o700);
    assert!(!path.join(".unfinished").exists());
    let name = SecretName::new("user-u1").unwrap();
    for contents in ["one", "two"] {
        secrets.ensure(&name, Redacted::new(contents.into())).await.unwrap();
        assert_eq!(mode(&path.join("user-u1")), 0o600);
    }
    let files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["user-u1"]);
}

#[tokio::test]
async fn a_directory_elsewhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (directory.path().join("secrets"), directory.path().join("elsewhere"));
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let refused = LocalFileSecrets::open(Tasks::tokio(), path).err().unwrap().to_string();
    assert!(refused.starts_with("cannot use the directory of secrets "), "{refused}");
}

#[tokio::test]
async fn failures_do_not_tell_the_contents() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets");
    let secrets = LocalFileSecrets::open(Tasks::tokio(), path.clone()).unwrap();
    std::fs::remove_dir(&path).unwrap();
    let name = SecretName::new("user-u1").unwrap();
    let error = secrets.ensure(&name, Redacted::new(b"hunter2".to_vec())).await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("cannot store a secret in") && !told.contains("hunter2"), "{told}");
    assert!(secrets.read(&name).await.unwrap().is_none());
}
