//! Two rooms, their link, the authority and the clients, and one thing after the other. Start at
//! [`World::run`].
//!
//! ```text
//!  plan ──► faults ──► machine (disk, clock, power) ── process (Replica, driver) ──► link ──► the other
//!  clients ──────────────────────────────────────────────┘     └──► authority          room
//!                                after each event: judge
//! ```
//!
//! Everything follows from the plan. `judge` looks at both rooms after each event, which no room can.

mod authority;
mod clients;
mod disk;
mod faults;
mod judge;
mod machine;
mod process;

use std::time::Duration;

use pair::{Answer, Ask, Message, Room};
use store::disk::sim::Dice;

use crate::history::{History, Truth, Value};
use crate::link::Link;
use crate::moment::Moment;
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::queue::Queue;
use crate::report::Report;
use crate::timeline::{Place, Timeline, What};

use authority::Authority;
use clients::Clients;
use judge::Judge;
use machine::{Machine, Strike};

pub(crate) const ROOMS: [Room; 2] = [Room::A, Room::B];

/// After all is mended, both rooms must be in sync and take writes within so long.
const WELL_WITHIN: Duration = Duration::from_secs(120);
/// Where it takes a person, that one looks so often.
const HELP: Duration = Duration::from_secs(30);
/// How long the cluster is looked at once it is well, and how long the last answers may take.
const CALM: Duration = Duration::from_secs(3);

/// Which life of a room's process: what was meant for one does not reach the next.
pub(crate) type Life = u64;

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Happens {
    /// The replica wants to look at its clock.
    Tick(Room, Life),
    /// A packet arrives, as bytes.
    Packet(Room, Life, bytes::Bytes),
    /// All of a snapshot arrives.
    Snapshot(Room, Life, Box<(Message, mvcc::State)>),
    /// The snapshot that the room sent is under way or lost.
    SnapshotSent(Room, Life),
    /// The log's disk has done what was under way.
    Logged(Room, Life),
    /// The mutant says that a write is done.
    Early(Room, Life),
    /// The register, or whatever the outputs wait for, is on the disk.
    Durable(Room, Life),
    /// The keeper looks whether a checkpoint is due.
    Keep(Room, Life),
    /// A question reaches the authority.
    Asked(Room, Life, u64, Ask),
    /// Its answer reaches the room.
    Answered(Room, Life, u64, Answer),
    /// A machine gets power.
    Boot(Room),
    /// The store's process starts, in this boot.
    Start(Room, u64),
    /// A client thinks of something.
    Thinks(u32),
    /// Its question reaches the room.
    Calls(u32, Value),
    /// The room's answer reaches the client.
    Hears(u32, Value, crate::history::Outcome),
    /// A client waits no longer.
    GivesUp(u32, Value),
    /// A watching client looks.
    Watches(usize),
    /// Somebody has the history compacted.
    Compacts,
    /// The planned fault begins.
    Fault(usize),
    /// It writes what it was to be struck at.
    Struck(Room, Life, Strike),
    /// A follower that was asked to leave may return.
    Return(Room),
    /// An operator's word that kept a room off no longer does.
    Release(Room),
    /// The room's disk is not full any more.
    Roomy(Room),
    /// No more faults.
    Mend,
    /// Look whether all is well.
    Look,
}

/// All of it.
pub(crate) struct World {
    plan: Plan,
    mutant: Option<Mutant>,
    now: Moment,
    queue: Queue<Happens>,
    dice: Dice,
    /// Of the clients, so that what they do depends little on the rest.
    client_dice: Dice,
    machines: [Machine; 2],
    lives: Life,
    link: Link,
    authority: Authority,
    clients: Clients,
    history: History,
    truth: Truth,
    judge: Judge,
    timeline: Timeline,
    ending: Ending,
    events: u64,
}

/// How far the end of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Clients and faults go on.
    Not,
    /// All is mended since then; a person helps when it is time.
    Mended { since: Moment, help: Moment },
    /// And well since then.
    Well { since: Moment, mended: Moment },
    /// No client asks any more since then.
    Quiet(Moment),
    /// That was it.
    Over,
}

impl World {
    /// The world at its beginning.
    pub(crate) fn new(plan: &Plan, mutant: Option<Mutant>) -> World {
        let plan = plan.clone();
        let mut dice = Dice::new(plan.seed);
        let machines = ROOMS.map(|room| Machine::new(room, &plan, dice.roll()));
        let mut world = World {
            mutant,
            now: Moment::ZERO,
            queue: Queue::default(),
            client_dice: Dice::new(dice.roll()),
            dice,
            machines,
            lives: 0,
            link: Link::default(),
            authority: Authority::default(),
            clients: Clients::new(plan.clients),
            history: History::default(),
            truth: Truth::default(),
            judge: Judge::default(),
            timeline: Timeline::default(),
            ending: Ending::Not,
            events: 0,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for room in ROOMS {
            self.queue.put(Moment::ZERO, Happens::Boot(room));
        }
        for client in 0..self.plan.clients {
            self.queue.put(Moment::from_millis(10 * u64::from(client)), Happens::Thinks(client));
        }
        for watcher in 0..clients::WATCHERS {
            self.queue.put(Moment::from_millis(500), Happens::Watches(watcher));
        }
        self.queue.put(Moment::from_millis(5_000), Happens::Compacts);
        for (number, planned) in self.plan.faults.iter().enumerate() {
            self.queue.put(Moment::from_millis(planned.at_ms), Happens::Fault(number));
        }
        self.queue.put(Moment::from_millis(self.plan.seconds * 1000), Happens::Mend);
    }

    /// Lets it happen to the end, or to the first promise that is broken.
    pub(crate) fn run(mut self) -> Report {
        while self.ending != Ending::Over && self.judge.broken.is_none() {
            let Some((at, what)) = self.queue.take() else { break };
            self.now = at;
            self.events += 1;
            self.happen(what);
            self.judge_rooms();
        }
        if self.judge.broken.is_none() {
            self.judge_all();
        }
        self.report()
    }

    fn happen(&mut self, what: Happens) {
        // A machine that stands still finds everything when it goes on, and takes it in any order.
        if let Some(until) = what.room().and_then(|room| self.machine(room).paused(self.now)) {
            let at = Moment(until.0 + self.dice.below(3_000) as u64);
            return self.queue.put(at, what);
        }
        match what {
            Happens::Tick(room, life) => self.tick(room, life),
            Happens::Packet(room, life, bytes) => self.packet(room, life, &bytes),
            Happens::Snapshot(room, life, snapshot) => self.snapshot(room, life, *snapshot),
            Happens::SnapshotSent(room, life) => self.snapshot_sent(room, life),
            Happens::Logged(room, life) => self.logged(room, life),
            Happens::Early(room, life) => self.input(room, life, store::replica::Input::Written),
            Happens::Durable(room, life) => self.durable(room, life),
            Happens::Keep(room, life) => self.keep(room, life),
            Happens::Asked(room, life, number, ask) => self.asked(room, life, number, ask),
            Happens::Answered(room, life, number, answer) => {
                self.answered(room, life, number, answer);
            }
            Happens::Boot(room) => self.boot(room),
            Happens::Start(room, boot) => self.start(room, boot),
            Happens::Thinks(client) => self.thinks(client),
            Happens::Calls(client, number) => self.calls(client, number),
            Happens::Hears(client, number, outcome) => self.hears(client, number, outcome),
            Happens::GivesUp(client, number) => self.gives_up(client, number),
            Happens::Watches(watcher) => self.watches(watcher),
            Happens::Compacts => self.compacts(),
            Happens::Fault(number) => self.fault(number),
            Happens::Struck(room, life, strike) => self.struck(room, life, strike),
            Happens::Return(room) => self.returns(room),
            Happens::Release(room) => self.release(room),
            Happens::Roomy(room) => self.roomy(room),
            Happens::Mend => self.mend(),
            Happens::Look => self.look(),
        }
    }

    fn machine(&self, room: Room) -> &Machine {
        &self.machines[room as usize]
    }

    fn machine_mut(&mut self, room: Room) -> &mut Machine {
        &mut self.machines[room as usize]
    }

    fn note(&mut self, place: Place, text: impl Into<String>) {
        self.timeline.add(self.now, place, What::Note(text.into()));
    }

    /// Between so many and so many microseconds from now.
    fn soon(&mut self, least: u64, most: u64) -> Moment {
        Moment(self.now.0 + least + self.dice.below((most - least + 1) as usize) as u64)
    }

    /// Both rooms must find each other now, and take writes.
    fn look(&mut self) {
        match self.ending {
            Ending::Not | Ending::Over => return,
            Ending::Mended { since, help } => {
                let waited = self.now.since(since);
                if self.is_well() {
                    self.note(Place::Run, "both rooms are in sync, and take writes");
                    self.ending = Ending::Well { since: self.now, mended: since };
                } else if waited > WELL_WITHIN {
                    let how = self.describe();
                    self.break_off(format!(
                        "nothing has been wrong for {} s, and the rooms are not in sync: {how}",
                        waited.as_secs()
                    ));
                } else if self.now > help {
                    self.help();
                    self.ending = Ending::Mended { since, help: self.now + HELP };
                }
            }
            // The answer to an old question may still turn a room off.
            Ending::Well { mended, .. } if !self.is_well() => {
                self.ending = Ending::Mended { since: mended, help: self.now + HELP };
            }
            Ending::Well { since, .. } => {
                if self.now.since(since) > CALM {
                    self.ending = Ending::Quiet(self.now);
                }
            }
            Ending::Quiet(since) => {
                if self.now.since(since) > CALM {
                    self.ending = Ending::Over;
                    return;
                }
            }
        }
        self.queue.put(self.now.after_millis(50), Happens::Look);
    }

    fn break_off(&mut self, text: String) {
        if self.judge.broken.is_none() {
            self.timeline.add(self.now, Place::Run, What::Broken(text.clone()));
            self.judge.broken = Some(text);
        }
    }
}

impl Happens {
    /// The room whose machine must run for it.
    fn room(&self) -> Option<Room> {
        match self {
            Happens::Tick(room, _)
            | Happens::Packet(room, ..)
            | Happens::Snapshot(room, ..)
            | Happens::SnapshotSent(room, _)
            | Happens::Logged(room, _)
            | Happens::Early(room, _)
            | Happens::Durable(room, _)
            | Happens::Keep(room, _)
            | Happens::Answered(room, ..)
            | Happens::Start(room, _) => Some(*room),
            _ => None,
        }
    }
}
