//! A room's machine: its disk, its clock, its power, and the store's process on it. Start at [`Machine`].

use std::sync::Arc;

use pair::{Room, Time};
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::recover::{self, Ids, Place as Folder};
use store::replica::{Opened, Replica, Settings};

use super::process::Process;
use super::{Happens, World};
use crate::moment::{Clock, Moment};
use crate::plan::{Plan, Writing};
use crate::timeline::Place;

/// Small, so that runs turn to new segments and make checkpoints.
pub(crate) const SEGMENT: u64 = 64 << 10;

/// A machine. What is wrong with it lasts until a moment; what is past is over.
pub(crate) struct Machine {
    pub(crate) room: Room,
    pub(crate) disk: SimDisk,
    /// Which disk it is, should it be empty.
    pub(crate) incarnation: u64,
    ppm: i64,
    pub(crate) clock: Clock,
    /// The time of day less the true one, in seconds. Nothing depends on it.
    pub(crate) wall_s: i64,
    pub(crate) boots: u64,
    pub(crate) on: bool,
    /// No power until then.
    pub(crate) off_until: Moment,
    /// An operator keeps it off.
    pub(crate) kept_off: bool,
    pub(crate) paused_until: Moment,
    pub(crate) slow: (Moment, u64),
    pub(crate) stuck_until: Moment,
    pub(crate) full_until: Moment,
    pub(crate) copy: Option<SimDisk>,
    /// What is to happen when something is written.
    pub(crate) strike: Option<Strike>,
    pub(crate) process: Option<Process>,
    /// Starts in a row that failed.
    failed: u32,
}

/// A planned [`crate::plan::Fault::Struck`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    pub(crate) writing: Writing,
    pub(crate) for_ms: u64,
    pub(crate) power: bool,
    pub(crate) link_too: bool,
}

/// A disk that fails once lets the next start pass; one that fails each time is damaged.
const FAILED_STARTS: u32 = 8;

impl Machine {
    pub(crate) fn new(room: Room, plan: &Plan, seed: u64) -> Machine {
        let ppm = plan.clocks_ppm[room as usize];
        Machine {
            room,
            disk: SimDisk::new(seed),
            incarnation: 1,
            ppm,
            clock: Clock::new(Moment::ZERO, ppm),
            wall_s: 0,
            boots: 0,
            on: false,
            off_until: Moment::ZERO,
            kept_off: false,
            paused_until: Moment::ZERO,
            slow: (Moment::ZERO, 0),
            stuck_until: Moment::ZERO,
            full_until: Moment::ZERO,
            copy: None,
            strike: None,
            process: None,
            failed: 0,
        }
    }

    /// What its clock shows.
    pub(crate) fn time(&self, now: Moment) -> Time {
        self.clock.read(now)
    }

    /// Until when it stands still, if it does.
    pub(crate) fn paused(&self, now: Moment) -> Option<Moment> {
        (self.on && now < self.paused_until).then_some(self.paused_until)
    }

    /// The process, if it is the one that lives.
    pub(crate) fn living(&mut self, life: super::Life) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.life == life)
    }
}

impl World {
    /// The machine gets power, unless something still keeps it off.
    pub(super) fn boot(&mut self, room: Room) {
        let now = self.now;
        let machine = self.machine_mut(room);
        if machine.on || machine.kept_off || now < machine.off_until {
            return;
        }
        machine.on = true;
        machine.boots += 1;
        machine.clock = Clock::new(now, machine.ppm);
        let boot = machine.boots;
        let start = self.soon(100_000, 2_000_000);
        self.queue.put(start, Happens::Start(room, boot));
    }

    /// The process starts, as a service manager starts it.
    pub(super) fn start(&mut self, room: Room, boot: u64) {
        self.lives += 1;
        let (now, life) = (self.now, self.lives);
        let settings = self.settings(room);
        let machine = self.machine_mut(room);
        if !machine.on || machine.boots != boot || machine.process.is_some() {
            return;
        }
        let (process, text) = match machine.open(settings, life, now) {
            Ok(opened) => opened,
            Err(error) => {
                // Tried again, as a service manager does.
                machine.disk.kill();
                machine.failed += u32::from(machine.full_until <= now);
                let failed = machine.failed;
                let error = miette_text(&error);
                self.note(Place::Room(room), format!("the store cannot start: {error}"));
                if failed == FAILED_STARTS {
                    return self
                        .break_off(format!("the store of room {room} cannot start: {error}"));
                }
                return self.queue.put(now.after_millis(1000), Happens::Start(room, boot));
            }
        };
        machine.process = Some(process);
        machine.failed = 0;
        self.note(Place::Room(room), text);
        self.queue.put(now.after_millis(700), Happens::Keep(room, life));
        self.see_start(room);
        self.after(room);
    }

    fn settings(&self, room: Room) -> Settings {
        let timing = pair::Timing::default();
        let authority = self.plan.authority.of_pair();
        Settings {
            pair: pair::Settings { me: room, authority, timing },
            quota: 64 << 20,
            retention: store::engine::Retention::Forever,
            stuck_after: std::time::Duration::from_secs(4),
            founder: Room::A,
            found: false,
            cluster: 7,
        }
    }
}

impl Machine {
    fn open(
        &mut self,
        settings: Settings,
        life: super::Life,
        now: Moment,
    ) -> Result<(Process, String), recover::OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let folder = Folder { site: "simulated".to_owned(), room: self.room };
        let files = recover::open_room(&*disk, &folder, self.incarnation, false)?;
        self.incarnation = files.incarnation;
        let ids = Ids { cluster_id: 7, member_id: 1 + self.room as u64 };
        let (opened, recent) = recover::open_paired(disk, ids.clone(), SEGMENT, &|_| ())?;
        let (state, at, ring) = recent.into_parts();
        let identity = pair::Identity {
            boot_id: u128::from(self.boots),
            start: files.start,
            incarnation: files.incarnation,
        };
        let text = format!(
            "the store starts: disk {}, start {}, boot {}, {} entries, revision {}{}",
            files.incarnation,
            files.start,
            self.boots,
            opened.stamp.index,
            state.revision(),
            files.voided.map_or(String::new(), |why| format!(", its old data void: {why}")),
        );
        let disk = Opened { register: files.register, state: state.clone(), at, ring };
        let replica = Replica::open(settings, identity, disk, self.time(now));
        Ok((Process::new(life, replica, opened.log, ids, opened.stamp.index, (state, at)), text))
    }
}

/// An error with its causes.
pub(crate) fn miette_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
