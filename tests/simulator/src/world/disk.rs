//! What takes time because it must be on a disk, and what becomes of it when the process or the power
//! ends meanwhile. Start at [`World::work`] and [`World::wait`].
//!
//! The simulated disk does things at once. So a thing is done when its time is over; and if the end comes
//! first, it was not begun, or was done, or is interrupted somewhere in the middle.

use std::io::ErrorKind;
use std::sync::Arc;

use mvcc::State;
use pair::{Position, Register, Room};
use store::checkpoint::{self, Stamp};
use store::disk::sim::{Dice, Operation, SimDisk};
use store::log::LogError;
use store::record::Record;
use store::recover;
use store::replica::Input;

use super::machine::{Machine, miette_text};
use super::process::Process;
use super::{Happens, Life, World};
use crate::moment::Moment;
use crate::mutant::Mutant;
use crate::plan::Writing;
use crate::timeline::Place;

/// A checkpoint is due when the log is this long, in bytes.
const CHECKPOINT: u64 = 48 << 10;

/// What is done to the log, one after the other.
pub(crate) enum Job {
    Write { groups: Vec<Arc<[Record]>>, settled: u64 },
    Install { state: State, at: Position, told: bool },
}

/// What the outputs wait for.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    Register(Register),
    Void(&'static str),
    /// An install that is among the jobs.
    Log,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, or killed; the machine's cache stays.
    Process,
    /// With the machine's power.
    Power,
}

/// Why something could not be done.
enum Failure {
    /// There is no room now.
    Full,
    /// The process must end.
    Fatal(String),
}

impl Job {
    fn run(&self, disk: &SimDisk, process: &mut Process) -> Result<(), Failure> {
        match self {
            Job::Write { groups, settled } => {
                let records = groups.iter().flat_map(|group| group.iter());
                process.log.append_behind(records.clone(), *settled).map_err(
                    |error| match error {
                        LogError::NoSpace(_) => Failure::Full,
                        LogError::Fatal(error) => Failure::Fatal(miette_text(&error)),
                    },
                )?;
                process.written = records.last().map_or(process.written, |last| last.index);
                Ok(())
            }
            Job::Install { state, at, .. } => {
                let stamp = stamp(process, *at);
                let done = recover::install(disk, &mut process.log, state.clone(), &stamp);
                process.written = at.index;
                done.map_err(|error| Failure::Fatal(miette_text(&error)))
            }
        }
    }
}

impl Wait {
    fn run(self, disk: &SimDisk) -> Result<(), Failure> {
        let done = match self {
            Wait::Register(register) => recover::persist(disk, &register),
            Wait::Void(why) => recover::void(disk, why),
            Wait::Log => Ok(()),
        };
        done.map_err(|error| Failure::Fatal(miette_text(&error)))
    }
}

fn stamp(process: &Process, at: Position) -> Stamp {
    let recover::Ids { cluster_id, member_id } = process.ids;
    Stamp { index: at.index, term: at.epoch, cluster_id, member_id }
}

impl Process {
    /// Whether a checkpoint may be written: none while a whole state is installed, which uses the same
    /// names.
    fn may_keep(&self) -> bool {
        !self.jobs.iter().any(|job| matches!(job, Job::Install { .. }))
    }

    fn keep(&mut self, disk: &SimDisk) -> std::io::Result<()> {
        let (state, at) = self.published.clone();
        let stamp = stamp(self, at);
        checkpoint::write(disk, state, &stamp, &mut |_| ())?;
        self.log.release(at.index)
    }
}

impl Machine {
    /// How long the next sync takes, in microseconds.
    fn sync_us(&self, now: Moment, dice: &mut Dice) -> u64 {
        let usual = match dice.below(64) {
            0 => 5_000 + dice.below(60_000),
            _ => 150 + dice.below(1_500),
        };
        let slow = if now < self.slow.0 { dice.below(self.slow.1 as usize * 1000 + 1) } else { 0 };
        (usual + slow) as u64
    }
}

impl World {
    /// Something is to be done to the log.
    pub(super) fn work(&mut self, room: Room, job: Job) {
        let early = self.mutant == Some(Mutant::WrittenTooEarly);
        let Some(process) = &mut self.machine_mut(room).process else { return };
        let (life, idle) = (process.life, process.jobs.is_empty());
        let early = early && matches!(job, Job::Write { .. });
        process.jobs.push_back(job);
        if idle {
            self.begin_job(room, life);
        }
        if early {
            self.queue.put(self.now, Happens::Early(room, life));
        }
    }

    fn begin_job(&mut self, room: Room, life: Life) {
        let at = self.disk_done(room);
        let job = self.machine_mut(room).living(life).and_then(|process| process.jobs.front());
        match job {
            Some(Job::Write { .. }) => self.strike(room, life, Writing::Entries, at),
            Some(Job::Install { .. }) => self.strike(room, life, Writing::State, at),
            None => {}
        }
        self.queue.put(at, Happens::Logged(room, life));
    }

    fn disk_done(&mut self, room: Room) -> Moment {
        let us = self.machines[room as usize].sync_us(self.now, &mut self.dice);
        Moment(self.now.0 + us)
    }

    pub(super) fn logged(&mut self, room: Room, life: Life) {
        let now = self.now;
        let early = self.mutant == Some(Mutant::WrittenTooEarly);
        let machine = self.machine_mut(room);
        if now < machine.stuck_until {
            let at = machine.stuck_until;
            return self.queue.put(at, Happens::Logged(room, life));
        }
        let disk = machine.disk.clone();
        let Some(process) = machine.living(life) else { return };
        let Some(job) = process.jobs.pop_front() else { return };
        match job.run(&disk, process) {
            Ok(()) => {}
            // What is to be cut off next need not be written.
            Err(Failure::Full) if !process.jobs.is_empty() => {}
            Err(Failure::Full) => {
                process.jobs.push_front(job);
                return self.queue.put(now.after_millis(100), Happens::Logged(room, life));
            }
            Err(Failure::Fatal(error)) => return self.fail(room, &error),
        }
        if !process.jobs.is_empty() {
            self.begin_job(room, life);
        }
        match job {
            Job::Write { .. } if early => {}
            Job::Write { .. } => self.input(room, life, Input::Written),
            Job::Install { told: true, .. } => self.input(room, life, Input::Installed),
            Job::Install { told: false, .. } => {
                if let Some(process) = self.machine_mut(room).living(life) {
                    process.wait = None;
                }
                self.after(room);
            }
        }
    }

    /// The outputs wait until this is on the disk.
    pub(super) fn wait(&mut self, room: Room, wait: Wait) {
        let Some(process) = &mut self.machine_mut(room).process else { return };
        process.wait = Some(wait);
        let life = process.life;
        let at = self.disk_done(room);
        self.strike(room, life, Writing::Register, at);
        self.queue.put(at, Happens::Durable(room, life));
    }

    /// A planned strike takes place before this is done at `at`.
    fn strike(&mut self, room: Room, life: Life, writing: Writing, at: Moment) {
        let planned = &mut self.machines[room as usize].strike;
        if let Some(strike) = planned.take_if(|strike| strike.writing == writing) {
            let when = self.soon(0, at.0 - self.now.0);
            self.queue.put(when, Happens::Struck(room, life, strike));
        }
    }

    pub(super) fn durable(&mut self, room: Room, life: Life) {
        let now = self.now;
        let machine = self.machine_mut(room);
        if now < machine.stuck_until {
            let at = machine.stuck_until;
            return self.queue.put(at, Happens::Durable(room, life));
        }
        let disk = machine.disk.clone();
        let Some(process) = machine.living(life) else { return };
        let Some(wait) = process.wait.take() else { return };
        match wait.run(&disk) {
            Ok(()) => {}
            Err(Failure::Full) => return self.fail(room, "the disk is full"),
            Err(Failure::Fatal(error)) => return self.fail(room, &error),
        }
        if let Wait::Void(why) = wait {
            return self.fail(room, why);
        }
        self.after(room);
    }

    /// The process ends by itself, and is started again.
    fn fail(&mut self, room: Room, why: &str) {
        self.note(Place::Room(room), format!("the store ends: {why}"));
        self.end(room, End::Process);
        let boot = self.machine(room).boots;
        let at = self.soon(500_000, 1_500_000);
        self.queue.put(at, Happens::Start(room, boot));
    }

    /// The keeper's turn: the next segment, and a checkpoint when it is due.
    pub(super) fn keep(&mut self, room: Room, life: Life) {
        let now = self.now;
        let machine = self.machine_mut(room);
        let disk = machine.disk.clone();
        let sound = now >= machine.stuck_until && now >= machine.full_until;
        let Some(process) = machine.living(life) else { return };
        let mut failed = None;
        if sound {
            // Not in time is no harm.
            let _ = process.log.preparer().prepare();
            if process.log.bytes() > CHECKPOINT && process.may_keep() {
                failed = process.keep(&disk).err();
            }
        }
        if let Some(error) = failed {
            if error.kind() != ErrorKind::StorageFull {
                self.note(Place::Room(room), format!("no checkpoint: {error}"));
            }
        }
        let next = self.soon(500_000, 1_500_000);
        self.queue.put(next, Happens::Keep(room, life));
    }

    /// The process is gone, with what it was doing half done.
    pub(super) fn end(&mut self, room: Room, how: End) {
        let machine = &mut self.machines[room as usize];
        let dice = &mut self.dice;
        let disk = machine.disk.clone();
        if let Some(mut process) = machine.process.take() {
            let jobs = std::mem::take(&mut process.jobs);
            if let Some(job) = jobs.front().filter(|_| interrupt(&disk, how, dice)) {
                let _ = job.run(&disk, &mut process);
            }
            process.jobs = jobs;
            if let Some(wait) = process.wait.take().filter(|_| interrupt(&disk, how, dice)) {
                let _ = wait.run(&disk);
            } else if process.may_keep() && dice.one_in(2) && interrupt(&disk, how, dice) {
                let _ = process.keep(&disk);
            }
            self.drop_calls(process.calls, how);
        }
        let disk = &self.machine(room).disk;
        match how {
            End::Process => disk.kill(),
            End::Power => disk.crash(),
        }
    }
}

/// Whether something that was under way was begun; the disk is set to fail in its middle, or not.
fn interrupt(disk: &SimDisk, how: End, dice: &mut Dice) -> bool {
    if disk.is_down() {
        return false;
    }
    disk.mend();
    match (dice.below(4), how) {
        (0, _) => false,
        (1, _) => true,
        (_, End::Power) => {
            disk.cut_power_in(dice.below(12) as u64);
            true
        }
        (_, End::Process) => {
            let steps = [
                Operation::Write,
                Operation::Sync,
                Operation::SyncFolder,
                Operation::Create,
                Operation::Rename,
            ];
            disk.fail(steps[dice.below(5)], dice.below(3) as u64, ErrorKind::Other);
            true
        }
    }
}
