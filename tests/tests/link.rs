//! The link between two stores, over wires that are cut and slowed down.

#![allow(clippy::unwrap_used)]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pair::Room;
use store::peer::{CallError, Config, Handler, LinkStatus, Peer, SnapshotSink};
use tempfile::TempDir;
use tests::bad_wire::{Way, Wire};
use tests::certificates::Authority;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(60);

/// Two rooms, and the wires on which they dial each other.
struct Rooms {
    a: Heard,
    b: Heard,
    /// On which a dials b, and sends.
    from_a: Wire,
    /// On which b dials a.
    from_b: Wire,
    _folder: TempDir,
}

struct Heard {
    peer: Peer,
    frames: mpsc::UnboundedReceiver<Bytes>,
    sinks: Arc<Mutex<Vec<bool>>>,
}

/// Notes frames, echoes requests, and notes of each snapshot whether it was finished.
struct Ears {
    frames: mpsc::UnboundedSender<Bytes>,
    sinks: Arc<Mutex<Vec<bool>>>,
}

struct Sink {
    finished: bool,
    sinks: Arc<Mutex<Vec<bool>>>,
}

impl Handler for Ears {
    fn frame(&self, frame: Bytes) {
        let _ = self.frames.send(frame);
    }

    fn snapshot(&self, _: Bytes) -> Box<dyn SnapshotSink> {
        Box::new(Sink { finished: false, sinks: self.sinks.clone() })
    }

    fn call(&self, request: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> {
        Box::pin(std::future::ready(request))
    }
}

impl SnapshotSink for Sink {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.sinks.lock().unwrap().push(self.finished);
    }
}

impl Heard {
    async fn start(config: Config) -> Heard {
        let (sender, frames) = mpsc::unbounded_channel();
        let sinks = Arc::default();
        let ears = Ears { frames: sender, sinks: Arc::clone(&sinks) };
        let peer = Peer::start(config, Arc::new(ears)).await.unwrap();
        Heard { peer, frames, sinks }
    }

    async fn until(&self, what: &str, is: impl Fn(&LinkStatus) -> bool) -> LinkStatus {
        for _ in 0..LONG.as_millis() / 10 {
            let status = self.peer.status();
            if is(&status) {
                return status;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("not {what}: {:#?}", self.peer.status());
    }

    async fn connected(&self) {
        let whole = |status: &LinkStatus| {
            status.outward.is_some() && status.inward.is_some() && status.calls
        };
        self.until("connected", whole).await;
    }

    async fn frame(&mut self) -> Bytes {
        timeout(LONG, self.frames.recv()).await.expect("a frame comes").unwrap()
    }
}

impl Rooms {
    async fn start() -> Rooms {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "site");
        let ports = lab::free_ports(2).unwrap();
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (from_a, from_b) = (Wire::new(at(0), at(ports[1])), Wire::new(at(0), at(ports[0])));
        let config = |room: Room, port, wire: &Wire| {
            let name = format!("room-{room}");
            let (cert_file, key_file) =
                authority.sign(&name, &format!("{name}.north.duet.internal"));
            Config {
                site: "north".to_owned(),
                room,
                listen: vec![at(port)],
                peers: vec![wire.address().to_string()],
                peers_file: None,
                cert_file,
                key_file,
                ca_file: authority.file.clone(),
                release: "a test".to_owned(),
                terms: "operator".to_owned(),
            }
        };
        let a = Heard::start(config(Room::A, ports[0], &from_a)).await;
        let b = Heard::start(config(Room::B, ports[1], &from_b)).await;
        let rooms = Rooms { a, b, from_a, from_b, _folder: folder };
        rooms.connected().await;
        rooms
    }

    async fn connected(&self) {
        self.a.connected().await;
        self.b.connected().await;
    }

    fn mend(&self) {
        self.from_a.mend();
        self.from_b.mend();
    }
}

/// What a room says when the kernel, and not the lack of pongs, found its peer gone.
fn gone(status: &LinkStatus) -> bool {
    status.outward.is_none() && status.why_not.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_noticed_in_both_rooms_and_mended_by_itself() {
    let mut rooms = Rooms::start().await;
    let endless = std::iter::repeat_with(|| vec![0; 100_000]);
    rooms.a.peer.send_snapshot(Bytes::new(), Box::new(endless));
    rooms.b.until("sending", |status| status.counters.bytes_received > 1 << 20).await;
    rooms.from_a.cut();
    rooms.from_b.cut();
    for room in [&rooms.a, &rooms.b] {
        room.until("cut off", |status| gone(status) && status.inward.is_none()).await;
    }
    rooms.a.until("without calls", |status| !status.calls).await;
    let asked = rooms.a.peer.call(Bytes::from_static(b"?"), LONG).await;
    assert_eq!(asked, Err(CallError::NoConnection));
    rooms.mend();
    rooms.connected().await;
    rooms.a.peer.send(Bytes::from_static(b"from a").into(), false);
    rooms.b.peer.send(Bytes::from_static(b"from b").into(), true);
    assert_eq!(rooms.b.frame().await, "from a");
    assert_eq!(rooms.a.frame().await, "from b");
    assert_eq!(rooms.a.peer.call(Bytes::from_static(b"?"), LONG).await.unwrap(), "?");
    // The snapshot is not kept for later. What of it was on the wire is no end.
    rooms.a.peer.send_snapshot(Bytes::new(), Box::new(std::iter::empty()));
    rooms.a.until("taken", |status| status.counters.snapshots_sent == 1).await;
    assert_eq!(*rooms.b.sinks.lock().unwrap(), [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_heard_and_does_not_hear() {
    let mut rooms = Rooms::start().await;
    // What a says is lost, on both wires.
    rooms.from_a.cut_one_way(Way::Forth);
    rooms.from_b.cut_one_way(Way::Back);
    rooms.b.peer.send(Bytes::from_static(b"b is heard").into(), false);
    assert_eq!(rooms.a.frame().await, "b is heard");
    rooms.a.until("cut off", gone).await;
    // b hears no pong, nor can a connection be made.
    rooms.b.until("cut off", gone).await;
    rooms.mend();
    rooms.connected().await;
    rooms.a.peer.send(Bytes::from_static(b"a is heard").into(), false);
    assert_eq!(rooms.b.frame().await, "a is heard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_round_trip_is_that_of_the_wire() {
    let rooms = Rooms::start().await;
    rooms.from_a.delay(Duration::from_millis(50));
    let slow = |status: &LinkStatus| {
        status.round_trip.is_some_and(|round| round >= Duration::from_millis(100))
    };
    rooms.a.until("slow", slow).await;
    assert!(!slow(&rooms.b.peer.status()), "{:?}", rooms.b.peer.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_wire_that_breaks_again_and_again_frames_stay_in_order() {
    const ROUNDS: u64 = 4;
    let mut rooms = Rooms::start().await;
    let mut number = 0_u64;
    let mut heard = Vec::new();
    for round in 0..ROUNDS {
        let wire = if round % 2 == 0 { &rooms.from_a } else { &rooms.from_b };
        for cut in [false, true] {
            if cut {
                wire.cut();
            }
            for _ in 0..2000 {
                number += 1;
                rooms.a.peer.send(number.to_le_bytes().to_vec().into(), false);
            }
        }
        let cut_off = if round % 2 == 0 { &rooms.a } else { &rooms.b };
        cut_off.until("cut off", gone).await;
        rooms.mend();
        rooms.connected().await;
    }
    rooms.a.peer.send(u64::MAX.to_le_bytes().to_vec().into(), false);
    while heard.last() != Some(&u64::MAX) {
        let frame = rooms.b.frame().await;
        heard.push(u64::from_le_bytes(frame[..].try_into().unwrap()));
    }
    assert!(heard.is_sorted_by(|one, next| one < next), "none twice, none before another");
    // What was sent over a whole wire is there.
    assert!(heard.len() > 2000 * ROUNDS as usize, "{} of {number} arrived", heard.len());
    let all = |status: &LinkStatus| {
        status.counters.frames_sent + status.counters.frames_dropped == number + 1
    };
    rooms.a.until("fully counted", all).await;
}
