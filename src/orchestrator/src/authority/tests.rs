//! Roots over the years.

use proptest::prelude::*;

use super::*;
use crate::secrets::MemorySecrets;

const START: Duration = Duration::from_secs(1_700_000_000);

fn names() -> Names {
    Names { dns: "process.example".to_owned(), uri: "example://one".to_owned() }
}

/// Which root has signed, by the order in which the roots were made.
fn signer(roots: &Roots, now: Duration) -> Duration {
    roots.signing(now).created
}

#[test]
fn a_root_is_trusted_before_it_signs_and_after() {
    let first = Roots::new(START).unwrap();
    assert!(first.turned(START + ROOT_PERIOD - DAY).unwrap().is_none());
    assert_eq!(signer(&first, START), START);

    let made = START + ROOT_PERIOD;
    let both = first.turned(made).unwrap().expect("a second root");
    assert!(both.authorities().starts_with(&first.authorities()));
    assert_eq!(both.authorities().matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(signer(&both, made + OVERLAP - HOUR), START);
    assert_eq!(signer(&both, made + OVERLAP), made);
    assert!(both.turned(made + OVERLAP + DAY).unwrap().is_none());

    let second = both.turned(made + OVERLAP + OVERLAP).unwrap().expect("one root again");
    assert_eq!(second.authorities().matches("BEGIN CERTIFICATE").count(), 1);
    assert!(both.authorities().ends_with(&second.authorities()));
}

#[test]
fn after_a_pause_of_years_the_new_root_signs_at_once() {
    let late = START + ROOT_LIFETIME * 3;
    let roots = Roots::new(START).unwrap().turned(late).unwrap().expect("a second root");
    assert_eq!(signer(&roots, late), late);
}

#[test]
fn roots_are_stored_and_show_no_key() {
    let roots = Roots::new(START).unwrap();
    let bytes = roots.to_bytes();
    assert_eq!(Roots::of_bytes(&bytes).unwrap().to_bytes(), bytes);
    assert!(!format!("{bytes:?}").contains("PRIVATE"));
    for broken in ["", "{}", r#"{"roots":[]}"#, "PRIVATE KEY"] {
        let error = Roots::of_bytes(&Redacted::new(broken.as_bytes().to_vec())).err().expect("no roots").to_string();
        assert!(!error.contains("PRIVATE"), "{error}");
    }
    let issued = roots.issue(&names(), START).unwrap();
    assert!(issued.key.expose().contains("PRIVATE KEY"));
    assert!(!format!("{issued:?}").contains("PRIVATE"));
}

#[test]
fn names_that_fit_no_certificate_are_refused() {
    let roots = Roots::new(START).unwrap();
    let names = Names { uri: "example://ä".to_owned(), ..names() };
    assert!(roots.issue(&names, START).is_err());
}

/// A clock that is moved by hand.
struct Hand(RwLock<Duration>);

impl Clock for Hand {
    fn wall(&self) -> Duration {
        *self.0.read()
    }

    fn boot(&self) -> Duration {
        self.wall()
    }
}

#[tokio::test]
async fn an_authority_outlives_the_process_that_began_it() {
    let secrets = Secrets::of(MemorySecrets::default());
    let clock = Arc::new(Hand(RwLock::new(START)));
    let open = async || Authority::open(Arc::clone(&clock) as Arc<dyn Clock>, secrets.clone()).await.unwrap();
    let first = open().await;
    let began = first.authorities();
    assert!(!first.turn().await.unwrap());
    assert_eq!(open().await.authorities(), began);

    *clock.0.write() = START + ROOT_PERIOD;
    assert!(first.turn().await.unwrap());
    assert!(!first.turn().await.unwrap());
    let both = first.authorities();
    assert_ne!(both, began);
    assert_eq!(first.issue(&names()).unwrap().authorities, both);
    assert_eq!(open().await.authorities(), both);

    // What cannot be read is not replaced: others still trust it.
    secrets.controller.ensure(&secret_name(), Redacted::new(b"PRIVATE".to_vec())).await.unwrap();
    let refused = Authority::open(clock, secrets.clone()).await.err().expect("a refusal").to_string();
    assert!(!refused.contains("PRIVATE"), "{refused}");
    assert_eq!(secrets.reader.read(&secret_name()).await.unwrap().unwrap().expose(), b"PRIVATE");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the looks at the clock fall, as long as there is one every few hours: whoever holds a certificate that is valid
    /// is trusted by whoever has roots that are not older than a renewal.
    #[test]
    fn valid_certificates_are_trusted_by_everybody(steps in proptest::collection::vec(1_u64..8, 1..1_500)) {
        let mut roots = Roots::new(START).unwrap();
        let mut now = START;
        // When each look was, who signed at it and who was trusted since.
        let mut history: Vec<(Duration, Duration, Vec<Duration>)> = Vec::new();
        for hours in steps {
            now += HOUR * u32::try_from(hours).unwrap();
            if let Some(turned) = roots.turned(now).unwrap() {
                roots = turned;
            }
            history.push((now, signer(&roots, now), roots.roots.iter().map(|root| root.created).collect()));
            let fresh: Vec<_> = history.iter().filter(|(at, ..)| *at + RENEWAL >= now).collect();
            for (_, signer, _) in history.iter().filter(|(at, ..)| *at + LIFETIME >= now) {
                for (_, _, trusted) in &fresh {
                    prop_assert!(trusted.contains(signer));
                }
            }
            history.retain(|(at, ..)| *at + LIFETIME >= now);
        }
    }
}
