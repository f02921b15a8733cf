//! `duetd store` as one of two: both rooms on the loopback, without privileges, with certificates of a
//! site's authority.
//!
//! Start at [`LocalRooms::start`]. Faults are those of processes ([`LocalRooms::kill`], [`LocalRooms::stop`],
//! [`LocalRooms::hand_over`], and [`LocalRooms::return_room`] to end them) and of wires
//! ([`LocalRooms::wire`]). Everything ends when the value is dropped.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use pair::Room;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bad_wire::Wire;
use crate::certificates::Authority;
use crate::server::{Make, Plan, Server};
use crate::witnessing::Witness;

/// The site's name.
pub const SITE: &str = "demo";

/// From the start to both in sync; also how long anything else may take, on a busy computer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a page may take: a hand-over waits for a lease.
const PAGE: Duration = Duration::from_secs(15);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// What is started.
#[derive(Clone, Debug)]
pub struct Setup {
    folder: PathBuf,
    /// As `--authority` has it.
    grants: String,
    wired: bool,
    words: Vec<OsString>,
}

impl Setup {
    /// Two rooms with folders of their own below `folder`; room `a` is the preferred one.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Setup {
        let grants = "preferred:a".to_owned();
        Setup { folder: folder.into(), grants, wired: false, words: Vec::new() }
    }

    /// The same, with another one who grants, as `--authority` has it. A `witness` is begun, too.
    #[must_use]
    pub fn granted_by(self, grants: &str) -> Setup {
        Setup { grants: grants.to_owned(), ..self }
    }

    /// The same, with wires between the rooms that can be cut.
    #[must_use]
    pub fn wired(self) -> Setup {
        Setup { wired: true, ..self }
    }

    /// The same, with a further word on both rooms' command lines.
    #[must_use]
    pub fn word(mut self, word: impl Into<OsString>) -> Setup {
        self.words.push(word.into());
        self
    }
}

/// Two rooms, of which each runs or does not.
#[derive(Debug)]
pub struct LocalRooms {
    rooms: [Server; 2],
    /// On which each room dials the other, if there are wires.
    wires: Option<[Wire; 2]>,
    sockets: TempDir,
    _witness: Option<Witness>,
}

impl LocalRooms {
    /// Starts both, and waits until both are in sync.
    ///
    /// # Panics
    /// If they do not come so far.
    #[track_caller]
    #[must_use]
    pub fn start(setup: Setup) -> LocalRooms {
        let Setup { folder, grants, wired, words } = setup;
        let authority = Authority::new(&folder, "site");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let witness =
            (grants == "witness").then(|| Witness::start(&folder, SITE, &authority.pem, any));
        let granting = witness.as_ref().map_or_else(
            || vec![format!("--authority={grants}")],
            |witness| witness.words(&["127.0.0.1"]),
        );
        // A socket's path has at most 107 bytes, and the folder of the tests may be a deep one.
        let sockets = tempfile::Builder::new().prefix("duet-rooms-").tempdir();
        let sockets = sockets.expect("temporary folders can be made");
        let certificates = [Room::A, Room::B].map(|room| {
            let name = format!("room-{room}");
            authority.sign(&name, &format!("{name}.{SITE}.duet.internal"))
        });
        let mut wires = None;
        let rooms = Server::start_together(|| {
            let ports = lab::free_ports(2).expect("the loopback has free ports");
            let at = |room: Room| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[room as usize]));
            let wire = |room: Room| Wire::new(any, at(room.other()));
            wires = wired.then(|| [Room::A, Room::B].map(wire));
            let plan = |room: Room| {
                let wires = wires.as_ref();
                let there = wires.map_or(at(room.other()), |wires| wires[room as usize].address());
                let (cert, key) = &certificates[room as usize];
                let own = [
                    format!("--site={SITE}"),
                    format!("--room={room}"),
                    format!("--listen-peer-urls=https://{}", at(room)),
                    format!("--peer-urls=https://{there}"),
                    format!("--peer-cert-file={}", cert.display()),
                    format!("--peer-key-file={}", key.display()),
                    format!("--peer-trusted-ca-file={}", authority.file.display()),
                ];
                let plan = Plan::new(Make::Duet, folder.join(format!("room-{room}")));
                let plan = plan.socket(sockets.path().join(room.to_string()));
                let own = own.into_iter().chain(granting.clone()).map(OsString::from);
                own.chain(words.clone()).fold(plan, Plan::word)
            };
            vec![plan(Room::A), plan(Room::B)]
        });
        let rooms = rooms.try_into().expect("two were planned");
        let two = LocalRooms { rooms, wires, sockets, _witness: witness };
        let _ = two.until_in_sync();
        two
    }

    /// A room's store.
    #[must_use]
    pub fn room(&self, room: Room) -> &Server {
        &self.rooms[room as usize]
    }

    /// The wire on which a room dials the other one.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn wire(&self, room: Room) -> &Wire {
        &self.wires.as_ref().expect("the rooms were set up with wires")[room as usize]
    }

    /// A room's socket.
    #[must_use]
    pub fn socket(&self, room: Room) -> PathBuf {
        self.sockets.path().join(room.to_string())
    }

    /// Whether a room's program was started and not ended from here.
    #[must_use]
    pub fn runs(&self, room: Room) -> bool {
        self.room(room).runs()
    }

    /// Ends a room's program as a power cut would (SIGKILL).
    pub fn kill(&mut self, room: Room) {
        self.rooms[room as usize].kill();
    }

    /// Asks a room's program to end (SIGTERM), and waits until it has.
    ///
    /// # Panics
    /// If it takes too long.
    #[track_caller]
    pub fn stop(&mut self, room: Room) {
        self.rooms[room as usize].stop();
    }

    /// Starts a room's program again, and waits until it answers and both rooms are in sync.
    ///
    /// # Panics
    /// If it runs, or does not come so far.
    #[track_caller]
    pub fn return_room(&mut self, room: Room) {
        self.rooms[room as usize].launch();
        self.must_come_up(&[room]);
    }

    /// Starts both, likewise.
    ///
    /// # Panics
    /// If one runs, or they do not come so far.
    #[track_caller]
    pub fn return_both(&mut self) {
        self.rooms.iter_mut().for_each(Server::launch);
        self.must_come_up(&[Room::A, Room::B]);
    }

    #[track_caller]
    fn must_come_up(&mut self, rooms: &[Room]) {
        for room in rooms {
            self.rooms[*room as usize].must_come_up();
        }
        let _ = self.until_in_sync();
    }

    /// The room that leads; none if no room that runs says so.
    #[must_use]
    pub fn leader(&self) -> Option<Room> {
        let leads = |room: &Room| self.status(*room).is_some_and(|said| said["role"] == "leads");
        [Room::A, Room::B].into_iter().find(leads)
    }

    /// Waits until some room leads.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    #[must_use]
    pub fn until_led(&self) -> Room {
        self.until("led", LocalRooms::leader)
    }

    /// Waits until one room leads, the other follows, and both know each other to be in sync. Returns
    /// who leads.
    ///
    /// # Panics
    /// If it does not come to that.
    #[track_caller]
    #[must_use]
    pub fn until_in_sync(&self) -> Room {
        self.until("in sync", |two| {
            let said = [two.status(Room::A)?, two.status(Room::B)?];
            let both = |said: &Value| said["in_sync"] == json!(["a", "b"]);
            let roles = said.each_ref().map(|said| said["role"].as_str().unwrap_or_default());
            match roles {
                ["leads", "follows"] if said.iter().all(both) => Some(Room::A),
                ["follows", "leads"] if said.iter().all(both) => Some(Room::B),
                _ => None,
            }
        })
    }

    /// Waits until a room would go on if the other one were lost now.
    ///
    /// # Panics
    /// If it never would.
    #[track_caller]
    pub fn until_it_would_survive(&self, room: Room) {
        self.until("ready to lose one", |two| {
            (two.status(room)?["survival"]["goes_on"] == true).then_some(())
        });
    }

    /// Asks until there is an answer.
    ///
    /// # Panics
    /// If there is none; with what both rooms said last.
    #[track_caller]
    pub fn until<T>(&self, what: &str, ask: impl Fn(&LocalRooms) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(answer) = ask(self) {
                return answer;
            }
            thread::sleep(LOOK);
        }
        panic!("the rooms are not {what} after {PATIENCE:?}:\n{}", self.said());
    }

    /// How a room says that the pair is (`/duet/pair`); none if it does not answer.
    #[must_use]
    pub fn status(&self, room: Room) -> Option<Value> {
        match self.ask(room, "GET", "/duet/pair") {
            Some((200, said)) => Some(said),
            _ => None,
        }
    }

    /// Has the leader hand over, and waits until the other room leads. Returns that one.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn hand_over(&self) -> Room {
        let leader = self.until_in_sync();
        let answer = self.ask(leader, "POST", "/duet/pair/hand-over");
        assert!(matches!(answer, Some((200, _))), "room {leader}: {answer:?}\n{}", self.said());
        let next = self.until_in_sync();
        assert!(next == leader.other(), "room {next} leads\n{}", self.said());
        next
    }

    /// The code and the JSON of a page, asked for on a room's socket; none if nobody answers.
    #[must_use]
    pub fn ask(&self, room: Room, method: &str, path: &str) -> Option<(u16, Value)> {
        let mut stream = UnixStream::connect(self.socket(room)).ok()?;
        stream.set_read_timeout(Some(PAGE)).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        let (head, page) = said.split_once("\r\n\r\n")?;
        let code = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((code, serde_json::from_str(page).ok()?))
    }

    /// How both rooms say that the pair is, and the ends of their logs: for a failure's message.
    #[must_use]
    pub fn said(&self) -> String {
        let room = |room: Room| {
            let status =
                self.status(room).map_or_else(|| "no answer".to_owned(), |s| s.to_string());
            format!("--- room {room}: {status}\n{}\n", self.room(room).said())
        };
        [Room::A, Room::B].map(room).concat()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rooms_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut two = LocalRooms::start(Setup::new(folder.path()));
        assert_eq!(two.until_in_sync(), Room::A, "the preferred room begins");
        assert_eq!(two.hand_over(), Room::B);
        // Room b is lost, and a may go on without it.
        two.kill(Room::B);
        assert!(!two.runs(Room::B));
        assert_eq!(two.until("alone", alone), Room::A);
        two.return_room(Room::B);
        // Room a leaves in good order, so b needs nobody.
        two.stop(Room::A);
        assert_eq!(two.until("alone", alone), Room::B);
        two.return_room(Room::A);
        assert_eq!(two.until_in_sync(), Room::B);
    }

    #[test]
    fn a_witness_lets_either_room_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut two = LocalRooms::start(Setup::new(folder.path()).granted_by("witness"));
        for _ in 0..2 {
            let leader = two.until_in_sync();
            two.until_it_would_survive(leader.other());
            two.kill(leader);
            assert_eq!(two.until("alone", alone), leader.other());
            two.return_room(leader);
        }
    }

    fn alone(two: &LocalRooms) -> Option<Room> {
        let leader = two.leader()?;
        (two.status(leader)?["in_sync"] == json!([leader.to_string()])).then_some(leader)
    }
}
