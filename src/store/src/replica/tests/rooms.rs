//! Two replicas on two disks, joined by a perfect link and a witness: as much of a world as stories need.
//! Everything that is due happens at once; time moves only when it is told to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mvcc::{PutRequest, State};
use pair::witness::Witness;
use pair::{Answer, Ask, Authority, Command, Identity, Room, Time, Timing};

use super::super::*;
use crate::checkpoint::Stamp;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::engine::{Answer as Done, Retention};
use crate::log::Log;
use crate::recover::{self, Ids, Place};
use crate::refusal::Refusal;

pub(super) const ROOMS: [Room; 2] = [Room::A, Room::B];
const SEGMENT: u64 = 64 << 10;

pub(super) struct Machine {
    pub(super) disk: SimDisk,
    pub(super) process: Option<Process>,
    boot: u128,
}

pub(super) struct Process {
    pub(super) replica: Replica,
    log: Log,
    pub(super) published: State,
    pub(super) serves: bool,
    /// Whether [`Output::Write`] is carried out at once.
    todo: VecDeque<Input>,
}

pub(super) struct Rooms {
    pub(super) rooms: [Machine; 2],
    pub(super) now: Time,
    pub(super) up: [bool; 2],
    pub(super) witness: Option<Witness>,
    pub(super) told: Vec<String>,
    /// The room whose disk takes its time.
    pub(super) slow: Option<Room>,
    late: usize,
}

fn at(room: Room) -> usize {
    room as usize
}

impl Rooms {
    /// Two empty rooms that were just switched on.
    pub(super) fn new() -> Rooms {
        let machine = |seed| Machine { disk: SimDisk::new(seed), process: None, boot: 1 };
        let mut rooms = Rooms {
            rooms: [machine(1), machine(2)],
            now: Time::ZERO,
            up: [true, true],
            witness: Some(Witness::new(7)),
            told: Vec::new(),
            slow: None,
            late: 0,
        };
        ROOMS.into_iter().for_each(|room| rooms.start(room));
        rooms
    }

    /// Both in sync, room a leading, one key written.
    pub(super) fn paired() -> Rooms {
        let mut rooms = Rooms::new();
        rooms.run(5);
        rooms.write(Room::A, "first").expect("it is acknowledged");
        assert_eq!(rooms.leader(), Some(Room::A));
        rooms
    }

    pub(super) fn start(&mut self, room: Room) {
        let machine = &mut self.rooms[at(room)];
        machine.boot += 1;
        let disk: Arc<dyn Disk> = Arc::new(machine.disk.clone());
        let place = Place { site: "s".into(), room };
        let incarnation = 100 + machine.boot as u64;
        let files = recover::open_room(&*disk, &place, incarnation, false).unwrap();
        let ids = Ids { cluster_id: 1, member_id: 1 + at(room) as u64 };
        let (opened, recent) = recover::open_paired(disk, ids, SEGMENT, &|_| ()).unwrap();
        let (state, position, ring) = recent.into_parts();
        let settings = Settings {
            pair: pair::Settings {
                me: room,
                authority: Authority::Witness,
                timing: Timing::default().checked().unwrap(),
            },
            quota: u64::MAX,
            retention: Retention::Forever,
            stuck_after: Duration::from_secs(10),
            founder: Room::A,
            found: false,
            cluster: 77,
        };
        let (incarnation, start) = (files.incarnation, files.start);
        let identity = Identity { boot_id: machine.boot, start, incarnation };
        let opened_room = Opened { register: files.register, state, at: position, ring };
        let (published, now) = (opened_room.state.clone(), self.now);
        let replica = Replica::open(settings, identity, opened_room, now);
        let (log, todo) = (opened.log, VecDeque::new());
        machine.process = Some(Process { replica, log, published, serves: false, todo });
        self.settle();
    }

    /// The power goes; what was not synced is lost or not, as the disk's dice have it.
    pub(super) fn cut_power(&mut self, room: Room) {
        self.rooms[at(room)].process = None;
        self.rooms[at(room)].disk.crash();
    }

    pub(super) fn process(&mut self, room: Room) -> &mut Process {
        self.rooms[at(room)].process.as_mut().expect("it runs")
    }

    pub(super) fn leader(&self) -> Option<Room> {
        let leads = |room: &Room| {
            self.rooms[at(*room)].process.as_ref().is_some_and(|process| {
                process.serves && process.replica.pair().may_acknowledge(self.now)
            })
        };
        ROOMS.into_iter().find(leads)
    }

    pub(super) fn published(&mut self, room: Room) -> String {
        let published = &self.process(room).published;
        let all = mvcc::KeyRange { key: b"\0"[..].into(), end: b"\0"[..].into() };
        let request = mvcc::RangeRequest { keys: all, ..Default::default() };
        let found = published.range(&request).unwrap().kvs;
        let words: Vec<_> =
            found.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect();
        words.join(" ")
    }

    pub(super) fn ask(&mut self, room: Room, key: &str) -> Pending<mvcc::PutResponse> {
        let key = bytes::Bytes::copy_from_slice(key.as_bytes());
        let (request, pending) = Request::put(PutRequest { key, ..PutRequest::default() });
        self.give(room, Input::Request(request));
        pending
    }

    /// Asks the room to write a key, and gives the answer if there is one at once.
    pub(super) fn write(&mut self, room: Room, key: &str) -> Result<Done<()>, Option<Refusal>> {
        let mut pending = self.ask(room, key);
        match pending.try_recv() {
            Ok(answer) => answer.map(|done| done.map(drop)).map_err(Some),
            Err(_) => Err(None),
        }
    }

    pub(super) fn command(&mut self, room: Room, command: Command) -> Result<(), pair::Refusal> {
        let now = self.now;
        let done = self.process(room).replica.command(now, command);
        self.settle();
        done
    }

    pub(super) fn give(&mut self, room: Room, input: Input) {
        let now = self.now;
        self.process(room).replica.handle(now, input);
        self.settle();
    }

    /// Lets so many seconds go by.
    pub(super) fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.now = self.now + Duration::from_millis(50);
            for room in ROOMS {
                if self.rooms[at(room)].process.is_some() {
                    self.give(room, Input::Tick);
                }
            }
        }
    }

    /// The slow disk has caught up.
    pub(super) fn hasten(&mut self) {
        let Some(room) = self.slow.take() else { return };
        for _ in 0..std::mem::take(&mut self.late) {
            self.give(room, Input::Written);
        }
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut idle = true;
            for room in ROOMS {
                let Some(process) = &mut self.rooms[at(room)].process else { continue };
                if let Some(input) = process.todo.pop_front() {
                    process.replica.handle(self.now, input);
                    idle = false;
                }
                let outputs = process.replica.take();
                idle &= outputs.is_empty();
                for output in outputs {
                    self.carry_out(room, output);
                }
            }
            if idle {
                return;
            }
        }
        panic!("the rooms talk without end");
    }

    fn carry_out(&mut self, room: Room, output: Output) {
        let disk: Arc<dyn Disk> = Arc::new(self.rooms[at(room)].disk.clone());
        let Some(process) = &mut self.rooms[at(room)].process else { return };
        match output {
            Output::Write { groups, settled } => {
                let records = groups.iter().flat_map(|group| group.iter());
                process.log.append_behind(records, settled).unwrap();
                if self.slow == Some(room) {
                    self.late += 1;
                } else {
                    process.todo.push_back(Input::Written);
                }
            }
            Output::Persist(register) => recover::persist(&*disk, &register).unwrap(),
            Output::Install { state, at: place, told } => {
                let stamp = Stamp {
                    index: place.index,
                    term: place.epoch,
                    cluster_id: 1,
                    member_id: 1 + at(room) as u64,
                };
                recover::install(&*disk, &mut process.log, state, &stamp).unwrap();
                if told {
                    process.todo.push_back(Input::Installed);
                }
            }
            Output::Void(why) => {
                recover::void(&*disk, why).unwrap();
                self.told.push(format!("room {room}: {why}"));
                self.rooms[at(room)].process = None;
                self.start(room);
            }
            Output::Broken(why) => panic!("room {room}: {why}"),
            Output::Send(packet) => {
                let bytes = packet.encode();
                let packet = Packet::decode(&bytes).unwrap();
                self.deliver(room, Input::Packet(packet));
            }
            Output::Snapshot(message, state) => {
                process.todo.push_back(Input::SnapshotSent);
                self.deliver(room, Input::Snapshot(message, state));
            }
            Output::Ask(number, Ask::Witness(request)) => {
                let answer = match &mut self.witness {
                    Some(witness) => Answer::Witness(witness.step(&request)),
                    None => Answer::Unreachable,
                };
                process.todo.push_back(Input::Answered(number, answer));
            }
            Output::Ask(..) => unreachable!("the authority is a witness"),
            Output::Publish { state, acks, .. } => {
                process.published = state;
                acks.answer();
            }
            Output::Serve { .. } => process.serves = true,
            Output::StopServing => process.serves = false,
            Output::Fence { .. } => {}
            Output::Tell(happening) => self.told.push(happening.to_string()),
        }
    }

    fn deliver(&mut self, from: Room, input: Input) {
        let to = at(from.other());
        if self.up[to] {
            if let Some(process) = &mut self.rooms[to].process {
                process.todo.push_back(input);
            }
        }
    }
}
