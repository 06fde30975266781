//! Two ends that look at each other.

use orchestrator::authority::{LIFETIME, Names, Roots};
use stdx::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

const ENVIRONMENT: &str = "e1";

fn now() -> Duration {
    SystemClock.wall()
}

fn pem(roots: &Roots, identity: &Identity, at: Duration) -> Pem {
    let names = Names { dns: HOST.to_owned(), uri: identity.to_string() };
    let issued = roots.issue(&names, at).unwrap();
    Pem { certificates: issued.certificate, key: issued.key, authorities: issued.authorities }
}

fn tls(roots: &Roots, identity: &Identity) -> Tls {
    Tls::new(Tasks::tokio(), pem(roots, identity, now())).unwrap()
}

fn environmentd() -> Identity {
    Identity::environmentd(ENVIRONMENT)
}

fn service(name: &str) -> Identity {
    Identity::clusterd(ENVIRONMENT, name)
}

type Met = io::Result<TlsStream<DuplexStream>>;

/// Both ends' opinions of each other.
async fn meet((server, clients): (&Tls, Peers), (client, servers): (&Tls, Peers)) -> (Met, Met) {
    let (left, right) = tokio::io::duplex(1 << 16);
    let connect = async {
        let mut stream = client.connect(right, &servers).await?;
        // Whether the server believes us shows at the first read.
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    };
    let accept = async {
        let mut stream = server.accept(left, &clients).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        Ok(stream)
    };
    futures::future::join(accept, connect).await
}

/// A server of service `s` and its controller: whether they talk.
async fn talk(server: &Tls, client: &Tls) -> bool {
    let (accepted, connected) = meet((server, Peers::Environmentd), (client, Peers::Service("s".to_owned()))).await;
    assert_eq!(accepted.is_ok(), connected.is_ok(), "{accepted:?} {connected:?}");
    accepted.is_ok()
}

#[tokio::test]
async fn ends_of_one_environment_and_the_right_roles_talk() {
    let roots = Roots::new(now()).unwrap();
    let (server, client) = (tls(&roots, &service("s")), tls(&roots, &environmentd()));
    let (accepted, connected) = meet((&server, Peers::Environmentd), (&client, Peers::Service("s".to_owned()))).await;
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    connected.write_all(b"hello").await.unwrap();
    connected.shutdown().await.unwrap();
    let mut text = String::new();
    accepted.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
}

#[tokio::test]
async fn wrong_roles_environments_and_authorities_are_refused() {
    let roots = Roots::new(now()).unwrap();
    let (server, client) = (tls(&roots, &service("s")), tls(&roots, &environmentd()));
    assert!(talk(&server, &client).await);
    assert!(!talk(&server, &tls(&roots, &service("s"))).await, "a service poses as environmentd");
    assert!(!talk(&tls(&roots, &service("t")), &client).await, "a service poses as another");
    assert!(!talk(&tls(&roots, &environmentd()), &client).await, "environmentd is no service");
    assert!(!talk(&server, &tls(&roots, &Identity::environmentd("e2"))).await, "another environment, one authority");
    let others = Roots::new(now()).unwrap();
    assert!(!talk(&server, &tls(&others, &environmentd())).await);
    assert!(!talk(&tls(&others, &service("s")), &client).await);
}

#[tokio::test]
async fn certificates_are_good_for_their_lifetime() {
    let roots = Roots::new(now()).unwrap();
    let of_age = |identity: &Identity, age| Tls::new(Tasks::tokio(), pem(&roots, identity, now() - age)).unwrap();
    let minute = Duration::from_secs(60);
    let (fresh, old) = (Duration::ZERO, LIFETIME + minute);
    for (server, client, expected) in
        [(fresh, fresh, true), (fresh, old, false), (old, fresh, false), (LIFETIME - minute, LIFETIME - minute, true)]
    {
        let talks = talk(&of_age(&service("s"), server), &of_age(&environmentd(), client)).await;
        assert_eq!(talks, expected, "{server:?} {client:?}");
    }
    // A clock that is a little behind does no harm; one that is far behind cannot be believed.
    let ahead = |by| Tls::new(Tasks::tokio(), pem(&roots, &environmentd(), now() + by)).unwrap();
    let server = tls(&roots, &service("s"));
    assert!(talk(&server, &ahead(minute)).await);
    assert!(!talk(&server, &ahead(LIFETIME)).await);
}

#[tokio::test]
async fn replaced_certificates_are_shown_to_new_connections_and_connections_stay() {
    let roots = Roots::new(now()).unwrap();
    let (server, client) = (tls(&roots, &service("s")), tls(&roots, &environmentd()));
    let (accepted, connected) = meet((&server, Peers::Environmentd), (&client, Peers::Service("s".to_owned()))).await;
    // The root changes at the client first, then at the server.
    let others = Roots::new(now()).unwrap();
    let both = |pem: Pem| Pem { authorities: roots.authorities() + &others.authorities(), ..pem };
    assert!(client.replace(both(pem(&others, &environmentd(), now()))).unwrap());
    assert!(!talk(&server, &client).await, "the server has not heard of the new root");
    let overlapping = both(pem(&roots, &service("s"), now()));
    assert!(server.replace(overlapping.clone()).unwrap());
    assert!(!server.replace(overlapping).unwrap(), "nothing new");
    assert!(talk(&server, &client).await);

    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    accepted.write_all(b"y").await.unwrap();
    accepted.flush().await.unwrap();
    connected.read_exact(&mut [0]).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_changes_nothing() {
    let roots = Roots::new(now()).unwrap();
    let good = pem(&roots, &environmentd(), now());
    let server = tls(&roots, &service("s"));
    let client = Tls::new(Tasks::tokio(), good.clone()).unwrap();
    let other = pem(&roots, &environmentd(), now());
    let broken = [
        Pem { key: other.key, ..good.clone() },
        Pem { key: Redacted::new("secret".to_owned()), ..good.clone() },
        Pem { certificates: String::new(), ..good.clone() },
        Pem { authorities: "nothing".to_owned(), ..good.clone() },
        // It says of nobody who it is.
        Pem { certificates: roots.authorities(), ..good.clone() },
        pem(&roots, &service("s"), now()),
    ];
    for pem in broken {
        let error = client.replace(pem).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(talk(&server, &client).await);
    assert!(!format!("{client:?} {good:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn what_is_no_tls_is_refused() {
    let server = tls(&Roots::new(now()).unwrap(), &service("s"));
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0; 64], &[0xff; 20_000]] {
        let (left, mut right) = tokio::io::duplex(1 << 16);
        right.write_all(garbage).await.unwrap();
        assert!(server.accept(left, &Peers::Environmentd).await.is_err());
    }
    let (left, right) = tokio::io::duplex(1 << 16);
    drop(right);
    assert!(server.accept(left, &Peers::Environmentd).await.is_err());
}

#[tokio::test]
async fn who_stays_silent_is_refused_in_time() {
    let server = tls(&Roots::new(now()).unwrap(), &service("s"));
    let (left, right) = tokio::io::duplex(1 << 16);
    let error = server.accept(left, &Peers::Environmentd).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(right);
}
