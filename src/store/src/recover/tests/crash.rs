//! A store's disk work under a disk that crashes, fills up and fails, by seeds. Start at [`run`].
//!
//! After every crash and every killed process the recovered state is exactly what was acknowledged, or
//! that and the one group that was on its way, as a whole. `DUET_SEEDS=10000` runs more of them
//! (from `DUET_FIRST_SEED` on), `DUET_SEED=7` runs one and tells what happens.

use std::fmt::Write;
use std::io::{ErrorKind, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::history::group;
use super::*;
use crate::disk::sim::Dice;
use crate::log::{LogError, Preparer};

/// Seeds that once found something; they always run.
const KEPT: &[u64] = &[];

const SEEDS: u64 = 300;

#[test]
fn nothing_acknowledged_is_lost() {
    if let Some(seed) = number("DUET_SEED") {
        let (world, result) = attempt(seed);
        let waited = world.disk.clock();
        writeln!(std::io::stderr(), "{}all syncs took {waited:?}", world.trace).unwrap();
        return result.unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
    let mut totals = Totals::default();
    let first = number("DUET_FIRST_SEED").unwrap_or(0);
    let seeds = first..first + number("DUET_SEEDS").unwrap_or(SEEDS);
    let count = seeds.end - seeds.start;
    for seed in KEPT.iter().copied().chain(seeds) {
        let (world, result) = attempt(seed);
        if let Err(what) = result {
            panic!("seed {seed}: {what}\n{}\nsee it alone with DUET_SEED={seed}", world.trace);
        }
        totals.add(&world.totals);
    }
    // The misfortunes do happen.
    let Totals { opened, crashes, in_flight, torn, full, broken, turns, checkpoints, recovering } =
        totals;
    let seen = [opened, crashes, in_flight, torn, full, broken, turns, checkpoints, recovering];
    let often = |times: &u64| *times * 10 >= count || count < SEEDS;
    assert!(seen.iter().all(often), "{seen:?} in {count} seeds");
}

pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn attempt(seed: u64) -> (World, Result<(), String>) {
    let mut world = World::new(seed);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let result = result.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".into(), |s| (*s).into()),
    });
    (world, result)
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
struct Totals {
    opened: u64,
    crashes: u64,
    /// The group on its way was there after a crash.
    in_flight: u64,
    torn: u64,
    full: u64,
    /// The log broke by an error, not by a crash.
    broken: u64,
    turns: u64,
    checkpoints: u64,
    /// A crash during recovery.
    recovering: u64,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        let Totals {
            opened,
            crashes,
            in_flight,
            torn,
            full,
            broken,
            turns,
            checkpoints,
            recovering,
        } = other;
        self.opened += opened;
        self.crashes += crashes;
        self.in_flight += in_flight;
        self.torn += torn;
        self.full += full;
        self.broken += broken;
        self.turns += turns;
        self.checkpoints += checkpoints;
        self.recovering += recovering;
    }
}

struct World {
    disk: SimDisk,
    dice: Dice,
    /// What clients were told is durable.
    acknowledged: State,
    index: u64,
    term: u64,
    /// After the group that was on its way when the log broke.
    in_flight: Option<(State, u64)>,
    /// The log is broken: the process must end.
    broken: bool,
    trace: String,
    totals: Totals,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let disk = SimDisk::new(dice.roll());
        disk.set_sync_time(Duration::from_micros(100));
        World {
            disk,
            dice,
            acknowledged: State::new(),
            index: 0,
            term: 0,
            in_flight: None,
            broken: false,
            trace: String::new(),
            totals: Totals::default(),
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        writeln!(self.trace, "{what}").expect("a String takes all");
    }

    /// Some lives of a process, one after the other, on one disk.
    fn run(&mut self) {
        for life in 0..5 {
            self.note(format_args!("life {life}"));
            self.misfortune();
            let mut log = self.recover();
            self.live(&mut log);
            drop(log);
            self.end();
        }
        self.disk.mend();
        self.disk.set_capacity(u64::MAX);
        self.recover();
    }

    /// What will go wrong in this life.
    fn misfortune(&mut self) {
        if self.dice.one_in(2) {
            let most = [8, 120][self.dice.below(2)];
            let operations = self.dice.below(most) as u64;
            self.note(format_args!("  the power will go in {operations} operations"));
            self.disk.cut_power_in(operations);
        }
        if self.dice.one_in(3) {
            let after = self.dice.below(25) as u64;
            let operation = [
                Operation::Write,
                Operation::Sync,
                Operation::Sync,
                Operation::SyncFolder,
                Operation::Create,
                Operation::Rename,
                Operation::Remove,
            ][self.dice.below(7)];
            let kind = [ErrorKind::Other, ErrorKind::StorageFull][self.dice.below(2)];
            self.note(format_args!("  {operation:?} will fail after {after}: {kind:?}"));
            self.disk.fail(operation, after, kind);
        }
        if self.dice.one_in(3) {
            let room = self.dice.below(60 << 10) as u64;
            self.note(format_args!("  the disk has room for {room} bytes more"));
            self.disk.set_capacity(self.disk.used() + room);
        }
    }

    /// Starts a store, however often it takes, and compares.
    fn recover(&mut self) -> Log {
        let opened = loop {
            match open_sim(&self.disk) {
                Ok(opened) => break opened,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    self.note(format_args!("  not opened: {error}: {cause:?}"));
                    let injected = matches!(error, OpenError::Io { .. });
                    assert!(injected, "refused: {error}");
                    self.totals.recovering += u64::from(self.disk.is_down());
                    self.end();
                    self.disk.set_capacity(u64::MAX);
                    if self.dice.one_in(2) {
                        self.disk.cut_power_in(self.dice.below(8) as u64);
                    }
                }
            }
        };
        self.totals.opened += 1;
        self.totals.torn += u64::from(opened.report.torn.is_some());
        let Stamp { index, term, .. } = opened.stamp;
        self.note(format_args!("  opened with record {index}, term {term}"));
        if let Some((state, after)) = self.in_flight.take().filter(|(_, after)| *after == index) {
            self.totals.in_flight += 1;
            (self.acknowledged, self.index) = (state, after);
        }
        assert_eq!(index, self.index, "the last record");
        assert!(opened.state.content_eq(&self.acknowledged), "the state has changed");
        assert!(opened.report.is_sound() && opened.report.warnings.is_empty());
        self.term = term + 1;
        self.broken = false;
        opened.log
    }

    /// Appends, checkpoints and prepares, until enough is done or the process must end.
    fn live(&mut self, log: &mut Log) {
        let preparer = log.preparer();
        for _ in 0..self.dice.below(40) {
            match self.dice.below(12) {
                0..=7 => self.append(log),
                8 | 9 => self.prepare(&preparer),
                10 => self.checkpoint(log),
                _ => {
                    self.note(format_args!("  there is room again"));
                    self.disk.set_capacity(u64::MAX);
                }
            }
            if self.broken || self.disk.is_down() {
                return;
            }
        }
    }

    fn append(&mut self, log: &mut Log) {
        let (records, state) = group(&self.acknowledged, self.index, self.term, &mut self.dice);
        let last = self.index + records.len() as u64;
        // In the middle of its write or its sync.
        match self.dice.below(120) {
            0..=2 => self.disk.cut_power_in(self.dice.below(2) as u64),
            3 | 4 => self.disk.fail(Operation::Write, 0, ErrorKind::StorageFull),
            5 => self.disk.fail(Operation::Sync, 0, ErrorKind::Other),
            _ => {}
        }
        let result = log.append(&records);
        self.note(format_args!("  append up to {last}: {result:?}"));
        match result {
            Ok(()) => (self.acknowledged, self.index) = (state, last),
            Err(LogError::NoSpace(_)) => self.totals.full += 1,
            Err(LogError::Fatal(_)) => {
                self.totals.broken += u64::from(!self.disk.is_down());
                self.in_flight = Some((state, last));
                self.broken = true;
            }
        }
    }

    fn prepare(&mut self, preparer: &Preparer) {
        let made = preparer.prepare();
        self.totals.turns += u64::from(matches!(made, Ok(true)));
        self.note(format_args!("  prepare: {made:?}"));
    }

    /// Writes a checkpoint, while groups are appended.
    fn checkpoint(&mut self, log: &mut Log) {
        let stamp = Stamp {
            index: self.index,
            term: self.term,
            cluster_id: IDS.cluster_id,
            member_id: IDS.member_id,
        };
        let (disk, state) = (self.disk.clone(), self.acknowledged.clone());
        let written = checkpoint::write(&disk, state, &stamp, &mut |_| {
            if self.dice.one_in(3) && !self.broken && !self.disk.is_down() {
                self.append(log);
            }
        });
        self.note(format_args!("  checkpoint at {}: {written:?}", stamp.index));
        if written.is_ok() && !self.broken {
            self.totals.checkpoints += 1;
            let released = log.release(stamp.index);
            self.note(format_args!("  release up to {}: {released:?}", stamp.index));
        }
    }

    /// The process is killed, or the machine crashes.
    fn end(&mut self) {
        let killed = self.dice.one_in(3) && !self.disk.is_down();
        self.note(format_args!("  {}", if killed { "killed" } else { "crashed" }));
        if killed {
            self.disk.kill();
        } else {
            self.totals.crashes += 1;
            self.disk.crash();
        }
    }
}
