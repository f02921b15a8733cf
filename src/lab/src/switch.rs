//! A wire with more than two ends: a switch in each room, and a cable between the two that can be cut.
//! Start at [`Switching::bind`], which one process per wire runs (`duet lab switch`), and at [`come_up`].
//!
//! ```text
//!  a1 ──┐                         ┌── b1
//!  a2 ──┤ switch a ── cable ── switch b
//!  x1 ──┘                         └── b2
//! ```
//!
//! It learns nothing: a frame goes to everyone else, as with a hub. A machine that does not take its frames
//! loses them, and holds up nobody. Frames are carried as QEMU's `stream` network backend has them: their
//! length as four bytes, the largest first, then the frame (net/stream.c of QEMU).

use std::fs::DirBuilder;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use site::Room;

use crate::daemon::{Daemon, Ready};
use crate::lab::{Leave, remove_empty_dir};
use crate::{LabError, LabPlan, Places, notes};

/// The longest frame that QEMU sends (`NET_BUFSIZE`, include/net/net.h).
const LONGEST_FRAME: usize = 4096 + (64 << 10);
/// What stands before the packet in a frame: two addresses and a type (IEEE 802.3, clause 3.1).
const HEADER: usize = 14;
/// Frames that wait for one machine: with usual frames some 400 KB, more than its own card holds.
const WAITING: usize = 256;
/// Machines at one wire: more than a lab has.
const MOST_ENDS: usize = 32;
/// How long the program may take to answer that the cable is cut.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the program says when machines can be plugged in.
pub(crate) const READY: &str = "ready";

/// The switches cannot begin.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot listen at {}", path.display())]
#[diagnostic(code(lab::switch), help("is its folder there, and is the path short enough?"))]
pub struct SwitchError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The two switches of a wire, ready for machines.
#[derive(Debug)]
pub struct Switching {
    sides: [UnixListener; 2],
    control: UnixListener,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    /// The longest frame that the cable carries; 0 where there is no such bound.
    longest: AtomicUsize,
    next: AtomicU64,
    ports: Mutex<Vec<Port>>,
}

/// Where one machine is plugged in.
#[derive(Debug)]
struct Port {
    id: u64,
    room: Room,
    frames: SyncSender<Arc<[u8]>>,
}

impl Switching {
    /// Listens for the machines of both rooms, and for who cuts the cable between them. Sockets that
    /// were left there are taken over.
    ///
    /// # Errors
    /// If a socket cannot be made.
    pub fn bind(sides: &[PathBuf; 2], control: &Path) -> Result<Switching, SwitchError> {
        let listen = |path: &Path| {
            let _ = std::fs::remove_file(path);
            UnixListener::bind(path).map_err(|source| SwitchError { path: path.to_owned(), source })
        };
        let [a, b] = sides;
        let sides = [listen(a)?, listen(b)?];
        Ok(Switching { sides, control: listen(control)?, shared: Arc::default() })
    }

    /// Carries frames for as long as the process runs.
    pub fn run(self) {
        let Switching { sides: [a, b], control, shared } = self;
        for (room, listener) in [(Room::A, a), (Room::B, b)] {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    shared.plug(room, stream);
                }
            });
        }
        for stream in control.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = shared.obey(&stream);
        }
    }
}

impl Shared {
    /// A machine is plugged in, until it closes the stream.
    fn plug(self: &Arc<Self>, room: Room, stream: UnixStream) {
        let Ok(back) = stream.try_clone() else { return };
        let (frames, waiting) = sync_channel(WAITING);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        {
            let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
            if ports.len() == MOST_ENDS {
                return;
            }
            ports.push(Port { id, room, frames });
        }
        thread::spawn(move || deliver(&waiting, back));
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let mut reader = BufReader::new(&stream);
            while let Ok(frame) = read_frame(&mut reader) {
                shared.flood(id, room, &frame);
            }
            // Its writer ends with the last sender of its frames.
            let mut ports = shared.ports.lock().unwrap_or_else(PoisonError::into_inner);
            ports.retain(|port| port.id != id);
            drop(ports);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }

    /// To everyone else; to the other room only over a whole cable.
    fn flood(&self, from: u64, room: Room, frame: &Arc<[u8]>) {
        let longest = self.longest.load(Ordering::SeqCst);
        let cut = self.cut.load(Ordering::SeqCst) || (longest > 0 && frame.len() > longest);
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        for port in ports.iter().filter(|port| port.id != from && (port.room == room || !cut)) {
            // A machine that is slow loses frames, as on a real switch.
            let _ = port.frames.try_send(Arc::clone(frame));
        }
    }

    /// One word, one answer.
    fn obey(&self, mut stream: &UnixStream) -> io::Result<()> {
        let mut word = String::new();
        BufReader::new(stream.take(32)).read_line(&mut word)?;
        match word.trim().split_once(' ').unwrap_or((word.trim(), "")) {
            ("cut", "") => self.cut.store(true, Ordering::SeqCst),
            ("mend", "") => {
                self.cut.store(false, Ordering::SeqCst);
                self.longest.store(0, Ordering::SeqCst);
            }
            ("narrow", mtu) => match mtu.parse::<u16>() {
                Ok(mtu) => self.longest.store(HEADER + usize::from(mtu), Ordering::SeqCst),
                Err(_) => return stream.write_all(b"no\n"),
            },
            _ => return stream.write_all(b"no\n"),
        }
        stream.write_all(b"ok\n")
    }
}

fn deliver(waiting: &Receiver<Arc<[u8]>>, mut stream: UnixStream) {
    while let Ok(frame) = waiting.recv() {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
        // In one piece: two writes would be two wake-ups of QEMU.
        if stream.write_all(&[&length[..], &frame].concat()).is_err() {
            return;
        }
    }
}

fn read_frame(reader: &mut impl Read) -> io::Result<Arc<[u8]>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame)?;
    Ok(frame.into())
}

/// Starts the switches of the wires that need some.
pub(crate) fn come_up(plan: &LabPlan, places: &Places) -> Result<(), LabError> {
    for wire in plan.wires.iter().filter(|wire| wire.is_switched()) {
        let sockets = places.sockets();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(sockets);
        made.map_err(LabError::system("make the sockets' directory", sockets))?;
        daemon(plan, places, wire.name.as_str()).start()?;
    }
    Ok(())
}

/// Ends them.
pub(crate) fn end(plan: &LabPlan, places: &Places, leave: Leave) -> Result<(), LabError> {
    for wire in plan.wires.iter().filter(|wire| wire.is_switched()) {
        let daemon = daemon(plan, places, wire.name.as_str());
        daemon.kill()?;
        let own = places.switch(wire.name.as_str());
        own.sides.iter().chain([&own.control]).try_for_each(|path| notes::remove(path))?;
        if leave == Leave::Nothing {
            notes::remove(&daemon.places.log)?;
        }
        remove_empty_dir(&daemon.places.dir);
    }
    Ok(())
}

/// Cuts or mends the cable between the switches. It is done when this returns.
pub(crate) fn set_trunk(places: &Places, wire: &str, whole: bool) -> Result<(), LabError> {
    tell(places, wire, if whole { "mend" } else { "cut" })
}

/// Has the cable lose whatever is longer than a packet of `mtu` bytes, until it is mended.
pub(crate) fn narrow_trunk(places: &Places, wire: &str, mtu: u16) -> Result<(), LabError> {
    tell(places, wire, &format!("narrow {mtu}"))
}

fn tell(places: &Places, wire: &str, word: &str) -> Result<(), LabError> {
    let ask = || -> io::Result<()> {
        let mut stream = UnixStream::connect(places.switch(wire).control)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{word}\n").as_bytes())?;
        let mut answer = String::new();
        stream.take(16).read_to_string(&mut answer)?;
        if answer.trim() == "ok" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    };
    ask().map_err(|source| LabError::Switch { wire: wire.to_owned(), source })
}

fn daemon(plan: &LabPlan, places: &Places, wire: &str) -> Daemon {
    let own = places.switch(wire);
    let mut arguments = vec!["lab".into(), "switch".into()];
    arguments.extend(own.sides.into_iter().chain([own.control]).map(PathBuf::into_os_string));
    Daemon {
        name: format!("switch of wire {wire}"),
        program: plan.duet.clone(),
        arguments,
        ready: Ready::Says(READY),
        places: own.daemon,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct End(UnixStream);

    impl End {
        fn plug(path: &Path) -> End {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            End(stream)
        }

        fn say(&mut self, frame: &[u8]) {
            self.0.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
            self.0.write_all(frame).unwrap();
        }

        fn hear(&mut self) -> String {
            String::from_utf8(read_frame(&mut self.0).unwrap().to_vec()).unwrap()
        }

        /// Says words until this end hears one: then both are plugged in.
        fn meets(&mut self, other: &mut End) {
            other.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            for _ in 0..200 {
                self.say(b"hello");
                let mut length = [0; 4];
                if other.0.read_exact(&mut length).is_ok() {
                    other.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    let mut word = [0; 5];
                    other.0.read_exact(&mut word).unwrap();
                    return;
                }
            }
            panic!("they never hear each other");
        }

        /// What was said while others were waited for does not count: everything up to this word.
        fn skip_to(&mut self, word: &str) {
            while self.hear() != word {}
        }
    }

    fn wire() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path(), dir.path());
        std::fs::create_dir_all(places.sockets()).unwrap();
        let own = places.switch("rooms");
        let switching = Switching::bind(&own.sides, &own.control).unwrap();
        thread::spawn(move || switching.run());
        (dir, places)
    }

    #[test]
    fn everyone_hears_everyone_until_the_cable_is_cut() {
        let (_dir, places) = wire();
        let own = places.switch("rooms");
        let (mut a1, mut a2) = (End::plug(&own.sides[0]), End::plug(&own.sides[0]));
        let mut b1 = End::plug(&own.sides[1]);
        a1.meets(&mut a2);
        a1.meets(&mut b1);
        a1.say(b"one");
        a2.skip_to("one");
        b1.skip_to("one");

        set_trunk(&places, "rooms", false).unwrap();
        a1.say(b"two");
        a2.skip_to("two");
        set_trunk(&places, "rooms", true).unwrap();
        a1.say(b"three");
        assert_eq!(b1.hear(), "three", "what was said over a cut cable is lost");
        a2.skip_to("three");
        b1.say(b"four");
        assert_eq!([a1.hear(), a2.hear()], ["four", "four"], "and nobody hears itself");

        narrow_trunk(&places, "rooms", 1400).unwrap();
        let whole = "x".repeat(HEADER + 1400);
        a1.say(format!("{whole}x").as_bytes());
        a1.say(whole.as_bytes());
        assert!(b1.hear() == whole, "the cable carries no more than that");
        assert!(a2.hear() != whole, "within a room it makes no difference");
        set_trunk(&places, "rooms", true).unwrap();
        a1.say(format!("{whole}y").as_bytes());
        assert!(b1.hear().ends_with('y'), "a cable that is mended carries everything");
    }

    #[test]
    fn who_is_slow_or_gone_holds_up_nobody() {
        let (_dir, places) = wire();
        let own = places.switch("rooms");
        let mut a1 = End::plug(&own.sides[0]);
        let mut b1 = End::plug(&own.sides[1]);
        let _deaf = End::plug(&own.sides[1]);
        let gone = End::plug(&own.sides[1]);
        a1.meets(&mut b1);
        drop(gone);
        let large = vec![b'x'; 60_000];
        // Far more than a socket and a queue hold.
        for _ in 0..WAITING * 2 {
            a1.say(&large);
            b1.skip_to(std::str::from_utf8(&large).unwrap());
        }
    }

    #[test]
    fn nonsense_unplugs_and_is_refused() {
        let (_dir, places) = wire();
        let own = places.switch("rooms");
        let mut a1 = End::plug(&own.sides[0]);
        a1.0.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert_eq!(a1.0.read(&mut [0; 4]).unwrap(), 0);
        let mut control = UnixStream::connect(&own.control).unwrap();
        control.write_all(b"explode\n").unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "no\n");
        let nobody = Places::new(Path::new("/nowhere"), Path::new("/nowhere"));
        assert!(matches!(set_trunk(&nobody, "rooms", true), Err(LabError::Switch { .. })));
    }
}
