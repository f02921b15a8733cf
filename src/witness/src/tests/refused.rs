//! Who is not let in, and what they and the witness are told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::certificates::{Authority, But, config};
use super::served::{Running, asks};
use crate::client::{AskError, Client};
use crate::registers::tests::both;
use crate::serve::Clock;
use crate::tls::Identity;
use crate::wire::{self, Hello, Refused};

const ROOM: &str = "room-a.x.duet.internal";

/// Asks with a certificate; what the room is told.
async fn told(running: &Running, files: (PathBuf, PathBuf)) -> String {
    let client = Client::new(config(running.path(), &running.address.to_string(), files));
    let error = client.site().await.unwrap_err();
    assert!(matches!(error, AskError::Rejected { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn certificates_that_are_not_accepted() {
    let running = Running::start(&["x", "y"], |_| {}).await;
    let check = async |authority: &Authority, names: &[&str], but, expected: &str| {
        let said = told(&running, authority.sign(running.path(), names, but)).await;
        assert!(said.contains("does not let this room in") && said.contains(expected), "{said}");
    };
    let (x, y) = (running.authority("x"), running.authority("y"));
    // The other site's authority says that this is a room of x.
    check(y, &[ROOM], But::Nothing, "not signed by the authority that was added").await;
    // A stranger's that has the same name.
    check(&Authority::new("x"), &[ROOM], But::Nothing, "not signed by the authority").await;
    check(x, &["room-a.z.duet.internal"], But::Nothing, "it does not know the site").await;
    check(x, &[ROOM], But::Expired, "has expired or is not valid yet").await;
    check(x, &["duet-a.example"], But::Nothing, "has no name such as room-a.SITE").await;
    let both = [ROOM, "room-b.x.duet.internal"];
    check(x, &both, But::Nothing, "has no name such as room-a.SITE").await;
    check(x, &[ROOM], But::ForServers, "is not for clients").await;
    assert_eq!(running.keeper.counters.accepted.get(), 0);
    assert_eq!(running.keeper.counters.strangers.get(), 7);
    running.client("x", "a").site().await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_room_asks_for_itself_alone() {
    let running = Running::start(&["x"], |_| {}).await;
    let client = running.client("x", "a");
    let error = client.ask(asks("b", both(4, 3))).await.unwrap_err();
    assert!(matches!(error, AskError::Refused(Refused::OtherRoom { .. })));
    assert!(error.to_string().contains("room a asked for room b"), "{error}");
    // The connection is still good.
    client.site().await.unwrap();
    assert_eq!(running.keeper.counters.accepted.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_clock_that_cannot_be_right_judges_nobody() {
    let running = Running::start(&["x"], |settings| {
        settings.clock = Clock::new(|| UNIX_EPOCH + Duration::from_secs(86_400));
    })
    .await;
    let error = running.client("x", "a").site().await.unwrap_err().to_string();
    assert!(error.contains("its clock is wrong, or its file of the site is damaged"), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn a_certificate_that_expires_ends_on_an_open_connection() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let clock = Arc::new(AtomicU64::new(now));
    let running = Running::start(&["x"], |settings| {
        let clock = clock.clone();
        settings.clock =
            Clock::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)));
    })
    .await;
    let client = running.client("x", "a");
    client.site().await.unwrap();
    // rcgen's certificates end with the year 4095.
    clock.store(now + 3000 * 365 * 86_400, Ordering::Relaxed);
    let error = client.site().await.unwrap_err().to_string();
    assert!(error.contains("no longer accepts the room's certificate: "), "{error}");
    assert!(error.contains("room-a.x.duet.internal: invalid peer certificate"), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn who_is_not_the_witness_is_not_asked() {
    let running = Running::start(&["x"], |_| {}).await;
    let told = async |config| Client::new(config).site().await.unwrap_err();
    let good = running.config("x", "a");

    let mut other = good.clone();
    other.server_name = "elsewhere.duet.internal".into();
    let error = told(other).await;
    assert!(matches!(error, AskError::Stranger { .. }));
    assert!(error.to_string().contains("is not for elsewhere.duet.internal"), "{error}");

    let mut other = good.clone();
    other.ca_file = running.path().join("other-ca.crt");
    std::fs::write(&other.ca_file, Authority::new("witness").pem).unwrap();
    let error = told(other).await.to_string();
    assert!(error.contains("not signed by the authority that this room was given"), "{error}");

    let mut other = good.clone();
    other.key_file = other.cert_file.clone();
    let error = told(other).await.to_string();
    assert!(error.contains("room-a.x.duet.internal.crt holds no private key"), "{error}");

    let mut other = good.clone();
    other.cert_file = running.path().join("missing.crt");
    assert!(matches!(told(other).await, AskError::Tls(_)));
    let mut other = good.clone();
    other.addresses.clear();
    assert!(matches!(told(other).await, AskError::NoAddress));
    let mut other = good.clone();
    other.server_name = "no name".into();
    assert!(matches!(told(other).await, AskError::Name(_)));

    // Something else listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut other = good;
    other.addresses = vec![listener.local_addr().unwrap().to_string()];
    let (error, _) = tokio::join!(told(other), async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        socket
    });
    assert!(matches!(error, AskError::Stranger { .. }), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn another_version_is_told_from_a_stranger() {
    let running = Running::start(&["x"], |_| {}).await;
    let mut config = running.config("x", "a");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.addresses = vec![listener.local_addr().unwrap().to_string()];
    let files =
        ["crt", "key"].map(|end| running.path().join(format!("witness.duet.internal.{end}")));
    let Identity { chain, key } = Identity::load(&files[0], &files[1]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let later = Hello { oldest: 8, newest: 9, release: "9.9".into() }.encode();
    let other = async {
        for hello in [later, b"SSH-2.0-OpenSSH".to_vec()] {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = acceptor.accept(socket).await.unwrap();
            wire::send(&mut socket, &hello).await.unwrap();
            // It closes when it has read this.
            let _ = wire::receive(&mut socket).await;
        }
    };
    let asked = async {
        let client = Client::new(config);
        let error = client.site().await.unwrap_err();
        assert!(matches!(error, AskError::Version { .. }), "{error}");
        assert!(error.to_string().contains("it speaks versions 8 to 9 (release 9.9)"), "{error}");
        let error = client.site().await.unwrap_err().to_string();
        assert!(
            error.contains("is not this site's witness: the other side is no program"),
            "{error}"
        );
    };
    tokio::join!(other, asked);
    running.stop().await;
}
