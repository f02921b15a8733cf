//! Those who are not of this site, and want a room's time.

use std::sync::Arc;

use pair::Room;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::Bound;
use super::super::hello::Purpose;
use super::super::shared::Local;
use super::super::tls::ALPN;
use super::rig::{Heard, LONG, Site, as_room_b, hello, tls_to};
use crate::serve::tls::authorities;

/// A room a that nobody has dialed yet.
fn room(site: &Site) -> Heard {
    Heard::start(Bound::bind(site.config(Room::A), Local::default()).unwrap())
}

async fn turned_away(room: &Heard, words: &str) {
    room.until(|status| status.turned_away.as_ref().is_some_and(|(_, text)| text.contains(words)))
        .await;
    assert!(room.peer.status().inward.is_none());
}

/// What comes until the other end closes.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("it is closed");
    rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_hears_so() {
    let site = Site::new("north");
    let a = room(&site);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots: RootCertStore = authorities(&site.folder.path().join("ca.pem")).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let stream = TcpStream::connect(a.peer.addresses()[0]).await.unwrap();
    let name = ServerName::try_from("room-a.north.duet.internal").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(&[0; 100]).await.unwrap();
    let mut byte = [0];
    let error = timeout(LONG, stream.read(&mut byte)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    turned_away(&a, "the certificate of room b cannot be used: it has none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_something_else_is_not_enough() {
    let site = Site::new("north");
    let a = room(&site);
    let files = site.sign("etcd.north.duet.internal", "etcd");
    let stream = tls_to(a.peer.addresses()[0], files, "room-a.north.duet.internal").await;
    let mut stream = stream.unwrap();
    let own = hello("north", Room::B, Some(Purpose::Frames));
    let heard = super::super::greet::greet(&mut stream, &own, None).await.unwrap_err();
    let super::super::greet::Failed::There(sentence) = heard else { panic!("{heard:?}") };
    let expected =
        "the certificate should name room-b.north.duet.internal and names etcd.north.duet.internal";
    assert_eq!(sentence, expected);
    turned_away(&a, expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_instead_of_tls_is_closed() {
    let site = Site::new("north");
    let a = room(&site);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16; 4096], &[0; 9]] {
        let mut stream = TcpStream::connect(a.peer.addresses()[0]).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        assert!(rest(&mut stream).await.len() < 100, "an alert at most");
    }
    turned_away(&a, "the handshake failed").await;
    assert_eq!(a.until(|status| status.counters.turned_away == 3).await.counters.connections, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_instead_of_a_hello_is_closed() {
    let site = Site::new("north");
    let a = room(&site);
    for (garbage, words) in [
        (&[4, 0, 0xff, 0xff, 0xff, 0xff][..], "what came is no room's hello"),
        (&[0xff, 0xff, 1, 2, 3], "a hello of 65535 bytes; 4096 is the most"),
    ] {
        let files = site.sign("room-b.north.duet.internal", "b");
        let stream = tls_to(a.peer.addresses()[0], files, "room-a.north.duet.internal").await;
        let mut stream = stream.unwrap();
        stream.write_all(garbage).await.unwrap();
        // A verdict of its own; there is nothing to say to a hello that does not end.
        stream.write_all(&[1, 0, 0]).await.unwrap();
        rest(&mut stream).await;
        turned_away(&a, words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slow_do_not_keep_the_other_room_out() {
    let site = Site::new("north");
    let mut a = room(&site);
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(a.peer.addresses()[0]).await.unwrap();
        // The begin of a handshake that never ends.
        stream.write_all(&[0x16, 3, 1, 2]).await.unwrap();
        held.push(stream);
    }
    // The oldest have gone for the later ones.
    a.until(|status| status.counters.turned_away >= 24).await;
    assert!(rest(&mut held[0]).await.is_empty());
    let mut b = as_room_b(&site, &a.peer, Purpose::Frames).await;
    b.write_all(&[2, 1, 0, 0, 7]).await.unwrap();
    assert_eq!(a.frame().await, vec![7]);
    // And the last go when their time is over.
    turned_away_in_time(&a).await;
    assert!(rest(held.last_mut().unwrap()).await.is_empty());
}

async fn turned_away_in_time(room: &Heard) {
    room.until(|status| {
        status.turned_away.as_ref().is_some_and(|(_, text)| text.ends_with("no handshake in 5 s"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_is_refused_in_tls_already() {
    let site = Site::new("north");
    let a = room(&site);
    let files = site.sign("room-b.north.duet.internal", "b");
    let mut client = (*super::super::tls::load(files).unwrap().current().client).clone();
    for (protocols, word) in
        [(vec![b"h2".to_vec()], "the handshake failed"), (vec![], "it is no store")]
    {
        client.alpn_protocols = protocols;
        let stream = TcpStream::connect(a.peer.addresses()[0]).await.unwrap();
        let name = ServerName::try_from("room-a.north.duet.internal").unwrap();
        let connected = TlsConnector::from(Arc::new(client.clone())).connect(name, stream).await;
        if let Ok(mut stream) = connected {
            rest(&mut stream).await;
        }
        turned_away(&a, word).await;
    }
}

/// Whoever announces addresses can have a room dial them: they cost a moment, not five seconds each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_dialed_and_keep_still_do_not_hold_up_the_true_one() {
    let site = Site::new("north");
    let b = Heard::start(Bound::bind(site.config(Room::B), Local::default()).unwrap());
    let mut silent = Vec::new();
    for _ in 0..4 {
        // The kernel takes connections for them; nobody answers.
        silent.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let mut config = site.config(Room::A);
    let file = site.folder.path().join("peers");
    let mut text = String::from("# nobody, and then room b\n");
    for listener in &silent {
        text += &format!("https://{}\n", listener.local_addr().unwrap());
    }
    std::fs::write(&file, text + &format!("https://{}\n", b.peer.addresses()[0])).unwrap();
    config.peers_file = Some(file);
    let began = std::time::Instant::now();
    let a = Heard::start(Bound::bind(config, Local::default()).unwrap());
    let status = a.until(|status| status.outward.is_some()).await;
    assert_eq!(status.outward.unwrap().address, b.peer.addresses()[0]);
    let took = began.elapsed();
    assert!(took < super::super::dial::HANDSHAKE, "one of them was waited for: {took:?}");
}
