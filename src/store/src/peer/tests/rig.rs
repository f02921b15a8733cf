//! What the tests share: an authority, rooms that write down what they hear, and a peer that does what no
//! store does. Start at [`Site::pair`].

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pair::Room;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::hello::{Hello, Purpose};
use super::super::shared::{Local, wall};
use super::super::tls::{self, Files};
use super::super::{Bound, Config, Handler, LinkStatus, Peer, SnapshotSink};
use super::super::{dial, greet};

/// How long anything may take on a busy machine.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// An authority, and a folder for what it signs.
pub(super) struct Site {
    pub(super) name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(super) folder: TempDir,
}

impl Site {
    pub(super) fn new(name: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Site { name: name.to_owned(), issuer, folder }
    }

    /// Signs a certificate with this name into `FILE.pem` and `FILE.key`.
    pub(super) fn sign(&self, name: &str, file: &str) -> Files {
        self.sign_until(name, file, 2999)
    }

    /// The same, until the begin of this year.
    pub(super) fn sign_until(&self, name: &str, file: &str, year: i32) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ServerAuth, ClientAuth];
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let files = self.files(file);
        fs::write(&files.cert, signed.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn files(&self, file: &str) -> Files {
        let path = |name: String| -> PathBuf { self.folder.path().join(name) };
        Files {
            cert: path(format!("{file}.pem")),
            key: path(format!("{file}.key")),
            ca: path("ca.pem".to_owned()),
        }
    }

    /// The settings of a room with a certificate of its own.
    pub(super) fn config(&self, room: Room) -> Config {
        let files = self.sign(&tls::name(room, &self.name), &format!("room-{room}"));
        Config {
            site: self.name.clone(),
            room,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            peers: vec![],
            peers_file: None,
            cert_file: files.cert,
            key_file: files.key,
            ca_file: files.ca,
            release: format!("duet 0.1 in {room}"),
            terms: TERMS.to_owned(),
        }
    }

    /// Two rooms that are connected.
    pub(super) async fn pair(&self) -> (Heard, Heard) {
        let (a, b) = pair_of(self.config(Room::A), self.config(Room::B));
        connected(&a, &b).await;
        (a, b)
    }
}

/// Waits until all four connections are there.
pub(super) async fn connected(a: &Heard, b: &Heard) {
    for room in [a, b] {
        room.until(|status| status.outward.is_some() && status.calls && status.inward.is_some())
            .await;
    }
}

/// Two rooms with these settings, that know where the other one is.
pub(super) fn pair_of(a: Config, b: Config) -> (Heard, Heard) {
    pair_with(a, Local::default(), b, Local::default())
}

pub(super) fn pair_with(a: Config, local_a: Local, b: Config, local_b: Local) -> (Heard, Heard) {
    let mut a = Bound::bind(a, local_a).unwrap();
    let mut b = Bound::bind(b, local_b).unwrap();
    a.config.peers = b.addresses.iter().map(ToString::to_string).collect();
    b.config.peers = a.addresses.iter().map(ToString::to_string).collect();
    (Heard::start(a), Heard::start(b))
}

/// A room that writes down what it hears. A request is answered when the test does.
pub(super) struct Heard {
    pub(super) peer: Peer,
    pub(super) frames: mpsc::UnboundedReceiver<Bytes>,
    pub(super) calls: mpsc::UnboundedReceiver<(Bytes, oneshot::Sender<Bytes>)>,
    pub(super) snapshots: mpsc::UnboundedReceiver<Snapshot>,
    pub(super) ears: Arc<Ears>,
}

/// What came of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Snapshot {
    Began(Bytes),
    Finished(Vec<u8>),
    BrokeOff(usize),
}

/// The handler of a [`Heard`].
pub(super) struct Ears {
    frames: mpsc::UnboundedSender<Bytes>,
    calls: mpsc::UnboundedSender<(Bytes, oneshot::Sender<Bytes>)>,
    snapshots: mpsc::UnboundedSender<Snapshot>,
    /// Held by a test that wants the room to be slow.
    pub(super) slow_frames: Mutex<()>,
    pub(super) slow_sink: Arc<Mutex<()>>,
    pub(super) sink_fails: Arc<Mutex<bool>>,
}

impl Heard {
    pub(super) fn start(bound: Bound) -> Heard {
        let (frames_in, frames) = mpsc::unbounded_channel();
        let (calls_in, calls) = mpsc::unbounded_channel();
        let (snapshots_in, snapshots) = mpsc::unbounded_channel();
        let ears = Arc::new(Ears {
            frames: frames_in,
            calls: calls_in,
            snapshots: snapshots_in,
            slow_frames: Mutex::default(),
            slow_sink: Arc::default(),
            sink_fails: Arc::default(),
        });
        let peer = bound.start(ears.clone()).unwrap();
        Heard { peer, frames, calls, snapshots, ears }
    }

    pub(super) async fn frame(&mut self) -> Bytes {
        timeout(LONG, self.frames.recv()).await.expect("a frame comes").unwrap()
    }

    pub(super) async fn snapshot(&mut self) -> Snapshot {
        timeout(LONG, self.snapshots.recv()).await.expect("a snapshot comes").unwrap()
    }

    pub(super) async fn asked(&mut self) -> (Bytes, oneshot::Sender<Bytes>) {
        timeout(LONG, self.calls.recv()).await.expect("a request comes").unwrap()
    }

    /// Waits until the status is so.
    #[track_caller]
    pub(super) fn until(
        &self,
        is: impl Fn(&LinkStatus) -> bool,
    ) -> impl Future<Output = LinkStatus> {
        let place = std::panic::Location::caller();
        async move {
            for _ in 0..LONG.as_millis() / 5 {
                let status = self.peer.status();
                if is(&status) {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
            panic!("{place}: it stays {:#?}", self.peer.status());
        }
    }
}

impl Handler for Ears {
    fn frame(&self, frame: Bytes) {
        drop(self.slow_frames.lock().unwrap());
        let _ = self.frames.send(frame);
    }

    fn snapshot(&self, head: Bytes) -> Box<dyn SnapshotSink> {
        let _ = self.snapshots.send(Snapshot::Began(head));
        Box::new(Sink {
            bytes: Vec::new(),
            told: Some(self.snapshots.clone()),
            slow: self.slow_sink.clone(),
            fails: self.sink_fails.clone(),
        })
    }

    fn call(&self, request: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> {
        let (answer, given) = oneshot::channel();
        let _ = self.calls.send((request, answer));
        Box::pin(async move {
            match given.await {
                Ok(answer) => answer,
                // The test gives none.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

struct Sink {
    bytes: Vec<u8>,
    told: Option<mpsc::UnboundedSender<Snapshot>>,
    slow: Arc<Mutex<()>>,
    fails: Arc<Mutex<bool>>,
}

impl SnapshotSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        drop(self.slow.lock().unwrap());
        if *self.fails.lock().unwrap() {
            return Err(io::Error::other("the disk is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let told = self.told.take().unwrap();
        let _ = told.send(Snapshot::Finished(std::mem::take(&mut self.bytes)));
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            let _ = told.send(Snapshot::BrokeOff(self.bytes.len()));
        }
    }
}

/// What the rooms of a test have set alike.
const TERMS: &str = "witness, lease 2 s";

/// What a room says first, when a test speaks for it.
pub(super) fn hello(site: &str, room: Room, purpose: Option<Purpose>) -> Hello {
    Hello {
        versions: Local::default().versions,
        site: site.to_owned(),
        room,
        purpose,
        release: "a test".to_owned(),
        clock: wall(),
        terms: TERMS.to_owned(),
    }
}

/// Dials `address` with certificates, and says nothing yet.
pub(super) async fn tls_to(
    address: SocketAddr,
    files: Files,
    expected: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(tls::load(files).unwrap().current().client);
    let stream = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from(expected.to_owned()).unwrap(), stream).await
}

/// Dials a room a as its room b would, and is greeted.
pub(super) async fn as_room_b(site: &Site, a: &Peer, purpose: Purpose) -> TlsStream<TcpStream> {
    let files = site.sign(&tls::name(Room::B, &site.name), "as-b");
    let expected = tls::name(Room::A, &site.name);
    let mut stream = tls_to(a.addresses()[0], files, &expected).await.unwrap();
    let own = hello(&site.name, Room::B, Some(purpose));
    let greeted = timeout(dial::HANDSHAKE, greet::greet(&mut stream, &own, None)).await.unwrap();
    assert_eq!(greeted.unwrap().peer.room, Room::A);
    stream
}

/// Bytes that differ from place to place.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes());
    words.take(length).collect()
}
