//! Both rooms, their disks, the link, the authority and the clocks, as one value. Start at
//! [`World::act`]. Stories drive it by hand, the model check walks through all that it can do.

use std::time::Duration;

use pair::witness::Witness;
use pair::{
    Answer, Ask, Authority, Body, Command, Effect, Event, History, Identity, Message, Pair,
    Position, PowerAnswer, Recovered, Register, RoleView, Room, Run, Settings, Time, Timing,
};

use crate::flaw::Flaw;

pub(crate) const ROOMS: [Room; 2] = [Room::A, Room::B];

/// Messages on their way to one room; one more is lost.
const IN_FLIGHT: usize = 2;

/// What one instance of the model is about; it does not change while the model runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) authority: Authority,
    pub(crate) flaw: Option<Flaw>,
    /// The room whose clock may be one tick ahead.
    pub(crate) fast: Room,
}

/// One entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) epoch: u64,
    pub(crate) value: u8,
}

/// A message with what the driver attaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Packet {
    pub(crate) message: Message,
    entries: Vec<Entry>,
}

/// What survives a power cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) register: Option<Register>,
    pub(crate) log: Vec<Entry>,
    pub(crate) starts: u64,
    pub(crate) incarnation: u64,
}

/// What does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pair: Pair,
    pub(crate) log: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Machine {
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    pub(crate) boot: u128,
    pub(crate) clock: u64,
}

/// How often each thing may still go wrong, or be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) ticks: u64,
    pub(crate) writes: u8,
    pub(crate) crashes: u8,
    pub(crate) kills: u8,
    pub(crate) cuts: u8,
    pub(crate) repeats: u8,
    pub(crate) restores: u8,
    pub(crate) hand_overs: u8,
    pub(crate) leaves: u8,
    pub(crate) disks: u8,
    pub(crate) lies: u8,
    pub(crate) operators: u8,
    /// Ticks of both clocks that may go by while something waits to be delivered or synced.
    pub(crate) delays: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) rooms: [Machine; 2],
    /// By receiver.
    pub(crate) net: [Vec<Packet>; 2],
    pub(crate) up: [bool; 2],
    /// A copy that comes late.
    pub(crate) late: Option<(Room, Packet)>,
    pub(crate) witness: Witness,
    /// What a backup of the witness holds.
    pub(crate) backup: Option<Register>,
    pub(crate) asks: [Option<(u64, Ask)>; 2],
    pub(crate) answers: [Option<(u64, Answer)>; 2],
    pub(crate) budget: Budget,
    pub(crate) acknowledged: Vec<Entry>,
    pub(crate) value: u8,
    /// What people were told; only stories keep it.
    pub(crate) told: Vec<String>,
    pub(crate) silent: bool,
    pub(crate) leaps: u8,
    /// The first promise that an effect broke.
    pub(crate) broken: Option<&'static str>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Tick(Room),
    Deliver(Room),
    DeliverLate,
    Repeat(Room),
    Sync(Room),
    Write(Room),
    Decide(Room),
    Lie(Room),
    Answer(Room),
    /// The power goes; what was not synced may have reached the disk.
    Crash(Room, bool),
    /// The process ends; the machine does not.
    Kill(Room),
    Restart(Room),
    Cut(Room),
    Mend(Room),
    RestoreWitness,
    ReplaceDisk(Room),
    Command(Room, Command),
}

pub(crate) fn at(room: Room) -> usize {
    room as usize
}

/// One tick is one second, and a lease is four of them, of which the leader uses three.
pub(crate) fn timing() -> Timing {
    let seconds = Duration::from_secs;
    let timing = Timing {
        heartbeat: seconds(1),
        silent: seconds(2),
        lease: seconds(4),
        drift_percent: 25,
        power_delay: seconds(1),
        retry: seconds(2),
    };
    timing.checked().expect("they hold")
}

impl World {
    /// Two empty rooms that were just switched on.
    pub(crate) fn new(rules: &Rules) -> World {
        let machine = || Machine {
            disk: Disk { incarnation: 1, ..Disk::default() },
            process: None,
            boot: 1,
            clock: 0,
        };
        let mut world = World {
            rooms: [machine(), machine()],
            net: [Vec::new(), Vec::new()],
            up: [true, true],
            late: None,
            witness: Witness::new(1),
            backup: None,
            asks: [None, None],
            answers: [None, None],
            budget: Budget::default(),
            acknowledged: Vec::new(),
            value: 0,
            told: Vec::new(),
            silent: false,
            leaps: 0,
            broken: None,
        };
        for room in ROOMS {
            world.act(rules, Action::Restart(room));
        }
        world
    }

    /// Both rooms in sync, room a leading, nothing on its way.
    pub(crate) fn paired(rules: &Rules) -> World {
        let mut world = World::new(rules);
        world.act(rules, Action::Command(Room::A, Command::Found { cluster: 7 }));
        world.write(rules, Room::A);
        world.run(rules, 6);
        assert_eq!(world.acknowledged.len(), 1);
        let registers = ROOMS.map(|room| world.register(room));
        assert!(registers[0].decides_as(&registers[1]), "{registers:?}");
        assert_eq!(registers[0].in_sync, pair::InSync::Both);
        world.backup = world.witness.held;
        world
    }

    pub(crate) fn now(&self, room: Room) -> Time {
        Time(Duration::from_secs(self.rooms[at(room)].clock))
    }

    pub(crate) fn register(&self, room: Room) -> Register {
        self.rooms[at(room)].disk.register.expect("it has one")
    }

    pub(crate) fn pair(&self, room: Room) -> Option<&Pair> {
        self.rooms[at(room)].process.as_ref().map(|process| &process.pair)
    }

    pub(crate) fn leads(&self, room: Room) -> bool {
        self.pair(room).is_some_and(|pair| pair.role() == RoleView::Leading)
    }

    /// The leader takes a write, whatever the budget says.
    pub(crate) fn write(&mut self, rules: &Rules, room: Room) {
        self.budget.writes += 1;
        self.act(rules, Action::Write(room));
    }

    /// Nothing goes wrong for so many ticks, and everything that is due happens.
    pub(crate) fn run(&mut self, rules: &Rules, ticks: u64) {
        for _ in 0..ticks {
            for room in [rules.fast, rules.fast.other()] {
                self.act(rules, Action::Tick(room));
            }
            self.settle(rules);
        }
    }

    /// Delivers, syncs and answers until nothing is left to do at this time.
    pub(crate) fn settle(&mut self, rules: &Rules) {
        for _ in 0..200 {
            let due = ROOMS.into_iter().flat_map(|room| {
                [Action::Sync(room), Action::Decide(room), Action::Answer(room)]
                    .into_iter()
                    .chain([Action::Deliver(room)])
            });
            let Some(action) = due.into_iter().find(|action| self.is_due(*action)) else { return };
            self.act(rules, action);
        }
        panic!("the rooms talk without end: {self:#?}");
    }

    pub(crate) fn is_due(&self, action: Action) -> bool {
        match action {
            Action::Deliver(room) => !self.net[at(room)].is_empty(),
            Action::Sync(room) => {
                let machine = &self.rooms[at(room)];
                machine.process.as_ref().is_some_and(|p| p.log.len() > machine.disk.log.len())
            }
            Action::Decide(room) => self.asks[at(room)].is_some(),
            Action::Answer(room) => self.answers[at(room)].is_some(),
            _ => true,
        }
    }

    /// Whether something is under way that takes less than a tick when nothing is wrong.
    pub(crate) fn waits(&self) -> bool {
        let due = |room| self.is_due(Action::Deliver(room)) || self.is_due(Action::Sync(room));
        ROOMS.into_iter().any(due)
    }

    pub(crate) fn act(&mut self, rules: &Rules, action: Action) {
        let waits = self.waits();
        match action {
            Action::Tick(room) => {
                let delays = &mut self.budget.delays;
                *delays = delays.saturating_sub(u8::from(waits));
                self.rooms[at(room)].clock += 1;
                self.step(rules, room, Event::Tick, &[]);
            }
            Action::Deliver(room) => {
                let packet = self.net[at(room)].remove(0);
                self.receive(rules, room, packet);
            }
            Action::DeliverLate => {
                if let Some((room, packet)) = self.late.take() {
                    self.receive(rules, room, packet);
                }
            }
            Action::Repeat(room) => {
                self.budget.repeats -= 1;
                self.late = Some((room, self.net[at(room)][0].clone()));
            }
            Action::Sync(room) => self.sync(rules, room),
            Action::Write(room) => {
                self.budget.writes -= 1;
                self.step(rules, room, Event::Append(1), &[]);
            }
            Action::Decide(room) => self.decide(rules, room, false),
            Action::Lie(room) => {
                self.budget.lies -= 1;
                self.decide(rules, room, true);
            }
            Action::Answer(room) => {
                if let Some((number, answer)) = self.answers[at(room)].take() {
                    self.step(rules, room, Event::Answered(number, answer), &[]);
                }
            }
            Action::Command(room, command) => {
                let budget = &mut self.budget;
                let spent = match command {
                    Command::HandOver => Some(&mut budget.hand_overs),
                    Command::Leave => Some(&mut budget.leaves),
                    Command::GoOnAlone { .. } => Some(&mut budget.operators),
                    Command::Found { .. } | Command::Return => None,
                };
                if let Some(left) = spent {
                    *left = left.saturating_sub(1);
                }
                self.step(rules, room, Event::Command(command), &[]);
            }
            Action::Restart(room) => self.restart(rules, room),
            _ => self.fault(action),
        }
    }

    /// What goes wrong outside of the rooms' processes.
    fn fault(&mut self, action: Action) {
        match action {
            Action::Crash(room, kept) => {
                self.budget.crashes = self.budget.crashes.saturating_sub(1);
                self.power_off(room, kept);
            }
            Action::Kill(room) => {
                self.budget.kills -= 1;
                self.end(room, true);
            }
            Action::Cut(room) => {
                self.budget.cuts = self.budget.cuts.saturating_sub(1);
                self.up[at(room)] = false;
            }
            Action::Mend(room) => self.up[at(room)] = true,
            Action::RestoreWitness => {
                self.budget.restores = self.budget.restores.saturating_sub(1);
                self.witness =
                    Witness { generation: self.witness.generation + 1, held: self.backup };
            }
            Action::ReplaceDisk(room) => {
                self.budget.disks = self.budget.disks.saturating_sub(1);
                let disk = &mut self.rooms[at(room)].disk;
                *disk = Disk { incarnation: disk.incarnation + 1, ..Disk::default() };
            }
            _ => unreachable!("{action:?} is no fault"),
        }
    }

    pub(crate) fn power_off(&mut self, room: Room, kept: bool) {
        self.end(room, kept);
        self.rooms[at(room)].boot += 1;
    }

    fn end(&mut self, room: Room, kept: bool) {
        let machine = &mut self.rooms[at(room)];
        if let (Some(process), true) = (machine.process.take(), kept) {
            machine.disk.log = process.log;
        }
        self.answers[at(room)] = None;
        self.net[at(room)].clear();
    }

    fn restart(&mut self, rules: &Rules, room: Room) {
        let now = self.now(room);
        let machine = &mut self.rooms[at(room)];
        machine.disk.starts += 1;
        let mut register = machine.disk.register;
        if let (Some(flaw), Some(register)) = (rules.flaw, &mut register) {
            flaw.recovers(register, room, machine.boot);
        }
        let history = shape(&machine.disk.log);
        let disk = Recovered { register, history, acknowledged: 0 };
        let identity = Identity {
            boot_id: machine.boot,
            start: machine.disk.starts,
            incarnation: machine.disk.incarnation,
        };
        let starts = machine.disk.starts;
        let timing = rules.flaw.map_or(timing(), |flaw| flaw.timing(room, starts, timing()));
        let settings = Settings { me: room, authority: rules.authority, timing };
        let (pair, effects) = Pair::start(settings, identity, disk, now);
        machine.process = Some(Process { pair, log: machine.disk.log.clone() });
        self.carry_out(rules, room, effects, &[]);
    }

    fn sync(&mut self, rules: &Rules, room: Room) {
        let machine = &mut self.rooms[at(room)];
        if let Some(process) = &machine.process {
            machine.disk.log.clone_from(&process.log);
            let at = process.pair.history().last();
            self.step(rules, room, Event::Synced(at), &[]);
        }
    }

    fn receive(&mut self, rules: &Rules, room: Room, mut packet: Packet) {
        if let Some(flaw) = rules.flaw {
            flaw.hears(&mut packet.message, self, room);
        }
        self.step(rules, room, Event::Received(packet.message), &packet.entries);
    }

    pub(crate) fn step(&mut self, rules: &Rules, room: Room, event: Event, with: &[Entry]) {
        let now = self.now(room);
        if let Some(process) = &mut self.rooms[at(room)].process {
            let effects = process.pair.step(now, event);
            self.carry_out(rules, room, effects, with);
        }
    }

    fn carry_out(&mut self, rules: &Rules, room: Room, effects: Vec<Effect>, with: &[Entry]) {
        for effect in effects {
            let machine = &mut self.rooms[at(room)];
            let Some(process) = &mut machine.process else { return };
            match effect {
                Effect::Persist(register) => {
                    if rules.flaw.is_none_or(|flaw| flaw.persists(&register, room)) {
                        machine.disk.register = Some(register);
                    }
                }
                Effect::Send(message) => self.send(message, room),
                Effect::Ask(number, ask) => {
                    let free =
                        rules.flaw.and_then(|flaw| flaw.grants(&machine.disk.register, room, &ask));
                    match free {
                        Some(answer) => self.answers[at(room)] = Some((number, answer)),
                        None => self.asks[at(room)] = Some((number, ask)),
                    }
                }
                Effect::Append { epoch, .. } => {
                    self.value += 1;
                    process.log.push(Entry { epoch, value: self.value });
                }
                Effect::Store { .. } => process.log.extend_from_slice(with),
                Effect::Truncate(to) => {
                    if rules.flaw != Some(Flaw::RejoinWithoutTruncation) {
                        process.log.truncate(to.index as usize);
                        machine.disk.log.truncate(to.index as usize);
                    }
                }
                Effect::Acknowledge(last) => self.acknowledge(room, last as usize),
                Effect::Install(at) => {
                    process.log = with.to_vec();
                    machine.disk.log = with.to_vec();
                    self.step(rules, room, Event::Installed(at), &[]);
                }
                Effect::Serve { .. } | Effect::StopServing | Effect::Fence { .. } => {}
                Effect::LeapRevisions => self.leaps += 1,
                Effect::Tell(happening) => {
                    if !self.silent {
                        self.told.push(happening.to_string());
                    }
                }
            }
        }
    }

    fn send(&mut self, message: Message, from: Room) {
        let to = at(from.other());
        if !self.up[to] || self.rooms[to].process.is_none() {
            return;
        }
        let log = &self.rooms[at(from)].process.as_ref().expect("it speaks").log;
        let entries = match message.body {
            Body::Entries { after, last, .. } => log[after.index as usize..last as usize].to_vec(),
            Body::Snapshot { at, .. } => log[..at.index as usize].to_vec(),
            _ => Vec::new(),
        };
        let queue = &mut self.net[to];
        if queue.len() < IN_FLIGHT {
            queue.push(Packet { message, entries });
        }
    }

    fn acknowledge(&mut self, room: Room, last: usize) {
        let Some(process) = &self.rooms[at(room)].process else { return };
        let acknowledged = process.log[..last].iter().copied();
        for (index, entry) in acknowledged.enumerate() {
            match self.acknowledged.get(index) {
                None => self.acknowledged.push(entry),
                Some(known) if *known == entry => {}
                Some(_) => self.broken = Some("an index was acknowledged with two contents"),
            }
        }
    }

    fn decide(&mut self, rules: &Rules, room: Room, lie: bool) {
        let Some((number, ask)) = self.asks[at(room)].take() else { return };
        let answer = match ask {
            Ask::Witness(mut request) => {
                if let Some(flaw) = rules.flaw {
                    flaw.asks_witness(&mut request, self.witness.generation);
                }
                let mut reply = self.witness.step(&request);
                if let Some(flaw) = rules.flaw {
                    flaw.answers(&mut reply);
                }
                Answer::Witness(reply)
            }
            Ask::PowerOff(peer) => {
                if !lie {
                    self.power_off(peer, false);
                }
                Answer::Power(PowerAnswer::Off)
            }
        };
        if self.rooms[at(room)].process.is_some() {
            self.answers[at(room)] = Some((number, answer));
        }
    }
}

/// A log's shape, as the driver recovers it.
pub(crate) fn shape(log: &[Entry]) -> History {
    let mut runs: Vec<Run> = Vec::new();
    for (index, entry) in log.iter().enumerate() {
        let last = index as u64 + 1;
        match runs.last_mut() {
            Some(run) if run.epoch == entry.epoch => run.last = last,
            _ => runs.push(Run { epoch: entry.epoch, last }),
        }
    }
    History::new(Position::default(), runs).expect("a log in order")
}
