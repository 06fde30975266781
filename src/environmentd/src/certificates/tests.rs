//! Certificates over restarts of environmentd.

use orchestrator::MemorySecrets;
use protocol::tls::Peers;

use super::*;

const SERVICE: &str = "cluster-1";

/// What a process of the service is given.
fn given(certificates: &Certificates) -> Tls {
    let ServiceIssuer { authority, names } = certificates.issuer();
    let Credentials { certificate, key, authorities } = authority.issue(&names(SERVICE)).unwrap();
    Tls::new(Tasks::tokio(), Pem { certificates: certificate, key, authorities }).unwrap()
}

async fn talk(environmentd: &Tls, service: &Tls) -> bool {
    let (left, right) = tokio::io::duplex(1 << 16);
    let (to_service, to_environmentd) = (Peers::Service(SERVICE.to_owned()), Peers::Environmentd);
    let (accepted, connected) =
        futures::future::join(service.accept(left, &to_environmentd), environmentd.connect(right, &to_service)).await;
    accepted.is_ok() && connected.is_ok()
}

#[tokio::test]
async fn environmentd_and_services_know_each_other_over_restarts() {
    let (tasks, secrets) = (Tasks::tokio(), Secrets::of(MemorySecrets::default()));
    let open = async |id: &str| Certificates::open(&tasks, &secrets, id).await.unwrap();
    let first = open("e1").await;
    let service = given(&first);
    assert!(talk(first.tls(), &service).await);
    let second = open("e1").await;
    assert!(talk(second.tls(), &service).await);
    assert!(talk(first.tls(), &given(&second)).await);
    assert!(!talk(open("e2").await.tls(), &service).await, "another environment");
    let others = Certificates::open(&tasks, &Secrets::of(MemorySecrets::default()), "e1").await.unwrap();
    assert!(!talk(others.tls(), &service).await, "another authority");
}

#[tokio::test]
async fn a_certificate_is_replaced_when_it_is_due_and_works() {
    let (tasks, secrets) = (Tasks::tokio(), Secrets::of(MemorySecrets::default()));
    let certificates = Certificates::open(&tasks, &secrets, "e1").await.unwrap();
    let (authority, identity) = (&certificates.authority, Identity::environmentd("e1"));
    assert!(!renew(authority, &identity, certificates.tls(), false).await.unwrap());
    assert!(renew(authority, &identity, certificates.tls(), true).await.unwrap());
    assert!(talk(certificates.tls(), &given(&certificates)).await);
}
