//! When a service gets new certificates, and what is in the Secret.

use std::time::Duration;

use parking_lot::RwLock;
use serde_json::Value;

use super::*;
use crate::authority::{OVERLAP, RENEWAL, ROOT_PERIOD};

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

const START: Duration = Duration::from_secs(1_700_000_000);

fn contract() -> Contract {
    Contract::new(LABEL_DOMAIN, "e1", "compute").unwrap()
}

#[tokio::test]
async fn certificates_are_renewed_in_time_and_when_roots_change() {
    let clock = Arc::new(Hand(RwLock::new(START)));
    let issuer = issuer(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let objects = objects_of(&config(), "cluster-1", &service(1), Some(&issuer)).unwrap();
    let issue = || issuer.secret(&contract(), &objects).unwrap();
    let is_good = |secret: &Value| issuer.is_good(&contract(), secret);
    let first = issue();
    assert!(is_good(&first));
    *clock.0.write() = START - Duration::from_secs(1);
    assert!(!is_good(&first), "it is of the future");
    *clock.0.write() = START + RENEWAL - Duration::from_secs(1);
    assert!(is_good(&first));
    *clock.0.write() = START + RENEWAL;
    assert!(!is_good(&first));
    assert!(is_good(&issue()));

    *clock.0.write() = START + ROOT_PERIOD;
    let before = issue();
    issuer.authority.turn().await.unwrap();
    assert!(!is_good(&before), "a root has come");
    *clock.0.write() = START + ROOT_PERIOD + OVERLAP + OVERLAP;
    let before = issue();
    issuer.authority.turn().await.unwrap();
    assert!(!is_good(&before), "a root has gone");
    assert!(!is_good(&serde_json::json!({ "metadata": {} })));
}

#[tokio::test]
async fn a_secret_is_labelled_and_owned_as_its_service_and_tells_nothing_outside_its_data() {
    let issuer = issuer(Arc::new(stdx::SystemClock)).await;
    let objects = objects_of(&config(), "cluster-1", &service(1), Some(&issuer)).unwrap();
    let mut secret = issuer.secret(&contract(), &objects).unwrap();
    for field in ["name", "namespace", "labels", "ownerReferences"] {
        assert!(!secret["metadata"][field].is_null());
        assert_eq!(secret["metadata"][field], objects.service["metadata"][field]);
    }
    let typed: k8s_openapi::api::core::v1::Secret = serde_json::from_value(secret.clone()).unwrap();
    let data = typed.data.unwrap();
    let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
    assert_eq!(text("ca.crt"), issuer.authority.authorities());
    assert!(text("tls.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(text("tls.key").starts_with("-----BEGIN PRIVATE KEY-----"));
    secret.as_object_mut().unwrap().shift_remove("data");
    assert!(!secret.to_string().contains("BEGIN"));
    // What is mounted is what is there.
    let mounted = &objects.stateful_set["spec"]["template"]["spec"]["volumes"][1]["secret"];
    assert_eq!(mounted["secretName"], secret["metadata"]["name"]);
    // A new certificate is no reason to replace pods.
    let again = objects_of(&config(), "cluster-1", &service(1), Some(&issuer)).unwrap();
    assert_eq!(again, objects);
}
