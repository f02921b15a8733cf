//! One process of the store: the driver between a [`Replica`] and the world. Start at [`World::input`].
//!
//! Outputs are carried out in their order, and what must be durable holds up those behind it and all that
//! comes in meanwhile; the log alone is written beside.

use std::collections::VecDeque;

use mvcc::State;
use pair::{Answer, Epoch, Message, Position, Register, Room, Time};
use store::log::Log;
use store::recover::Ids;
use store::replica::{Input, Output, Packet, Replica};

use super::clients::Call;
use super::disk::{Job, Wait};
use super::{Happens, Life, World};
use crate::moment::Moment;
use crate::mutant::Mutant;
use crate::timeline::{Place, What};

/// A process that ticks more often than this without time going by does not sleep.
const SPINS: u32 = 10_000;

/// A running store.
pub(crate) struct Process {
    pub(crate) life: Life,
    pub(crate) replica: Replica,
    pub(crate) log: Log,
    pub(crate) ids: Ids,
    /// The last entry that is in the log and synced.
    pub(super) written: u64,
    /// What readers see.
    pub(crate) published: (State, Position),
    /// Until when linearizable reads may be answered, and since which epoch.
    serve: Option<(Option<Time>, Epoch)>,
    pub(super) outputs: VecDeque<Output>,
    inputs: VecDeque<Input>,
    /// What the outputs wait for.
    pub(super) wait: Option<Wait>,
    /// What the log's disk does now, and what next.
    pub(super) jobs: VecDeque<Job>,
    /// Who waits for an answer.
    pub(super) calls: Vec<Call>,
    /// When it wants to look at its clock.
    tick: Option<Moment>,
    /// Ticks without time going by.
    spins: (Moment, u32),
}

impl Process {
    pub(crate) fn new(
        life: Life,
        replica: Replica,
        log: Log,
        ids: Ids,
        written: u64,
        published: (State, Position),
    ) -> Process {
        Process {
            life,
            replica,
            log,
            ids,
            written,
            published,
            serve: None,
            outputs: VecDeque::new(),
            inputs: VecDeque::new(),
            wait: None,
            jobs: VecDeque::new(),
            calls: Vec::new(),
            tick: None,
            spins: (Moment::ZERO, 0),
        }
    }

    /// Whether linearizable reads may be answered when the clock shows this.
    pub(crate) fn serves(&self, time: Time, mutant: Option<Mutant>) -> bool {
        let ignored = mutant == Some(Mutant::LeaseIgnored);
        self.serve.is_some_and(|(until, _)| ignored || until.is_none_or(|until| time < until))
    }
}

impl World {
    pub(super) fn tick(&mut self, room: Room, life: Life) {
        let now = self.now;
        let Some(process) = self.machine_mut(room).living(life) else { return };
        // A later one was due first. After a standstill it is late.
        if process.tick.is_none_or(|tick| tick > now) {
            return;
        }
        process.tick = None;
        if process.spins.0 != now {
            process.spins = (now, 0);
        }
        process.spins.1 += 1;
        if process.spins.1 > SPINS {
            return self.break_off(format!("room {room} wants to tick without a pause"));
        }
        if process.wait.is_none() && process.inputs.is_empty() {
            self.input(room, life, Input::Tick);
        }
    }

    pub(super) fn packet(&mut self, room: Room, life: Life, bytes: &[u8]) {
        match Packet::decode(bytes) {
            Ok(packet) => self.input(room, life, Input::Packet(packet)),
            Err(error) => self.break_off(format!("a packet cannot be read: {error}")),
        }
    }

    pub(super) fn snapshot(&mut self, room: Room, life: Life, (message, state): (Message, State)) {
        self.input(room, life, Input::Snapshot(message, state));
    }

    pub(super) fn snapshot_sent(&mut self, room: Room, life: Life) {
        self.input(room, life, Input::SnapshotSent);
    }

    pub(super) fn answered(&mut self, room: Room, life: Life, number: u64, answer: Answer) {
        self.input(room, life, Input::Answered(number, answer));
    }

    /// The process is told something, now or once it does not wait for its disk.
    pub(super) fn input(&mut self, room: Room, life: Life, input: Input) {
        let Some(process) = self.machine_mut(room).living(life) else { return };
        process.inputs.push_back(input);
        self.after(room);
    }

    /// A person wants something; what the room says to that is told as it tells all else. False if the
    /// process does not listen now: nobody waits for it.
    pub(super) fn command(&mut self, room: Room, command: pair::Command) -> bool {
        let now = self.now;
        let machine = self.machine_mut(room);
        let time = machine.time(now);
        let listens = machine.paused(now).is_none();
        let process = machine.process.as_mut().filter(|process| process.wait.is_none());
        let Some(process) = process.filter(|_| listens) else { return false };
        // The refusal is in the outputs, too.
        let _ = process.replica.command(time, command);
        self.after(room);
        true
    }

    /// Carries out what is to be done, takes what has come in, until it waits or nothing is left.
    pub(super) fn after(&mut self, room: Room) {
        loop {
            self.outputs(room);
            let now = self.now;
            let machine = self.machine_mut(room);
            let time = machine.time(now);
            let Some(process) = &mut machine.process else { return };
            if process.wait.is_some() {
                break;
            }
            let Some(input) = process.inputs.pop_front() else { break };
            process.replica.handle(time, input);
        }
        self.answer_calls(room);
        self.wind(room);
    }

    /// Sees to it that the replica is woken when it wants to be.
    fn wind(&mut self, room: Room) {
        let now = self.now;
        let machine = self.machine_mut(room);
        let time = machine.time(now);
        let clock = machine.clock;
        let Some(process) = &mut machine.process else { return };
        let deadline = process.replica.deadline(time);
        let at = clock.when(deadline).max(now);
        if process.wait.is_some() || process.tick.is_some_and(|tick| tick <= at) {
            return;
        }
        process.tick = Some(at);
        let life = process.life;
        self.queue.put(at, Happens::Tick(room, life));
    }

    fn outputs(&mut self, room: Room) {
        loop {
            let Some(process) = &mut self.machine_mut(room).process else { return };
            let new = process.replica.take();
            process.outputs.extend(new);
            if process.wait.is_some() {
                if self.mutant == Some(Mutant::SpeaksTooEarly) {
                    self.speak(room);
                }
                return;
            }
            let Some(output) = process.outputs.pop_front() else { return };
            self.carry_out(room, output);
        }
    }

    /// The mutant says what is to be said later.
    fn speak(&mut self, room: Room) {
        let Some(process) = &mut self.machine_mut(room).process else { return };
        let (said, rest): (VecDeque<_>, VecDeque<_>) =
            process.outputs.drain(..).partition(|output| matches!(output, Output::Send(_)));
        process.outputs = rest;
        said.into_iter().for_each(|output| self.carry_out(room, output));
    }

    fn carry_out(&mut self, room: Room, output: Output) {
        let mutant = self.mutant;
        let Some(process) = &mut self.machine_mut(room).process else { return };
        let life = process.life;
        match output {
            Output::Write { groups, settled } => {
                let job = Job::Write { groups, settled };
                self.work(room, job);
            }
            Output::Install { told: false, .. } if mutant == Some(Mutant::TailKept) => {}
            Output::Install { state, at, told } => {
                if !told {
                    process.wait = Some(Wait::Log);
                }
                self.work(room, Job::Install { state, at, told });
            }
            Output::Persist(register) => self.persist(room, register),
            Output::Void(why) => self.wait(room, Wait::Void(why)),
            Output::Broken(why) => self.break_off(format!("room {room}: {why}")),
            Output::Send(packet) => self.send(room, &packet),
            Output::Snapshot(message, state) => self.send_snapshot(room, life, message, state),
            Output::Ask(number, ask) => self.ask(room, life, number, ask),
            Output::Publish { state, at, acks } => {
                self.see(room, &state, at);
                if let Some(process) = &mut self.machine_mut(room).process {
                    process.published = (state, at);
                    acks.answer();
                }
            }
            Output::Serve { until, term } => process.serve = Some((until, term)),
            Output::StopServing => process.serve = None,
            // Sooner is better, but nothing waits for it.
            Output::Fence { .. } => {}
            Output::Tell(happening) => {
                self.timeline.add(self.now, Place::Room(room), What::Told(happening));
            }
        }
    }

    fn persist(&mut self, room: Room, register: Register) {
        if self.mutant == Some(Mutant::RegisterForgotten) && self.now > Moment::from_millis(4_000) {
            return;
        }
        self.wait(room, Wait::Register(register));
    }

    fn send(&mut self, from: Room, packet: &Packet) {
        let to = from.other();
        let arrivals = self.link.send(to, self.now, &mut self.dice);
        let Some(life) = self.machine(to).process.as_ref().map(|process| process.life) else {
            return;
        };
        let bytes = packet.encode();
        for at in arrivals.into_iter().flatten() {
            self.queue.put(at, Happens::Packet(to, life, bytes.clone()));
        }
    }

    fn send_snapshot(&mut self, from: Room, life: Life, message: Message, state: State) {
        let to = from.other();
        let arrivals = self.link.send(to, self.now, &mut self.dice);
        let done = self.soon(5_000, 300_000);
        let receiver = self.machine(to).process.as_ref().map(|process| process.life);
        let lost = self.dice.one_in(4);
        if let (Some(receiver), Some(_), false) = (receiver, arrivals[0], lost) {
            let snapshot = Box::new((message, state));
            self.queue.put(done, Happens::Snapshot(to, receiver, snapshot));
        }
        self.queue.put(done, Happens::SnapshotSent(from, life));
    }
}
