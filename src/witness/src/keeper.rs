//! One thread that owns the registers and their disk. Start at [`Keeper::start`] and [`Keeper::ask`].
//!
//! Questions that arrive while the disk is busy make up the next group: one sync for many sites. Every
//! answer waits until what it says is durable; after a disk that lost something, there are no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use site::Label;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::count::{Counters, kind};
use crate::disk::{Disk, Folder, PlaceError, place};
use crate::load::{self, LoadError};
use crate::record::Record;
use crate::registers::{Asked, Registers};
use crate::wire::{Answer, Question, Refused};

/// Questions that may wait: all rooms of a large witness at once. Those beyond are told to come again.
const WAITING: usize = 32_768;

/// Changes in one group: with more, the first would wait too long for the last.
const GROUP: usize = 512;

/// How exactly it is noted when a site last asked.
const NOTED_EVERY_MS: u64 = 60_000;

/// A folder that changed less than this ago may change again without another time: file systems count in
/// steps of some milliseconds.
const GRAIN: Duration = Duration::from_secs(2);

/// Why the keeper ended by itself.
#[derive(Clone, Debug, thiserror::Error, miette::Diagnostic)]
#[error("the disk did not keep what the witness wrote: {0}")]
#[diagnostic(
    code(durability::witness),
    help(
        "`journalctl -k` tells what the disk says. What was answered is on it as far as it keeps what it \
         has; the next start reads what is there"
    )
)]
pub struct Failure(String);

enum Command {
    Ask(Asked, oneshot::Sender<Answer>),
    Refresh,
}

/// The way to the registers; clones are the same way. The thread ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Keeper {
    commands: mpsc::Sender<Command>,
    failed: watch::Receiver<Option<Failure>>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) counters: Arc<Counters>,
}

impl std::fmt::Debug for dyn Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Keeper {
    /// Reads the whole data folder, and keeps it from now on. Blocks while it reads.
    ///
    /// # Errors
    /// If the folder cannot be read. Damaged files of a site are no error: the site is refused, the others
    /// are not.
    ///
    /// # Panics
    /// If the system gives no thread.
    pub fn start(disk: Arc<dyn Disk>) -> Result<Keeper, LoadError> {
        let counters = Arc::new(Counters::default());
        let mut inside = Inside {
            registers: Registers::default(),
            disk: disk.clone(),
            seen: UNIX_EPOCH,
            counters: counters.clone(),
        };
        inside.refresh()?;
        let (commands, received) = mpsc::channel(WAITING);
        let (fails, failed) = watch::channel(None);
        thread::Builder::new()
            .name("witness-keeper".into())
            .spawn(move || {
                if let Err(failure) = inside.run(received) {
                    error!(%failure, "the witness ends");
                    fails.send_replace(Some(failure));
                }
            })
            .expect("the system gives a thread");
        Ok(Keeper { commands, failed, disk, counters })
    }

    /// Decides on a question of a room of `site`, which asked `at`. The answer is on the disk.
    pub async fn ask(&self, site: &Label, question: Question, at: SystemTime) -> Answer {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { site: site.clone(), question, at_ms: millis(at) };
        if self.commands.try_send(Command::Ask(asked, answer)).is_err() {
            return Answer::Refused(Refused::Away);
        }
        answered.await.unwrap_or(Answer::Refused(Refused::Away))
    }

    /// Looks whether sites were added, renewed or removed. Returns at once.
    pub fn refresh(&self) {
        // If there is no room for it now, it is asked for again in a second.
        let _ = self.commands.try_send(Command::Refresh);
    }

    /// Waits until the keeper cannot go on.
    pub async fn failed(&self) -> Failure {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().expect("it was waited for"),
            Err(_) => Failure("its thread broke off".into()),
        }
    }

    /// How many sites there are, and how many of them are damaged.
    #[must_use]
    pub fn sites(&self) -> (u64, u64) {
        (self.counters.sites.get(), self.counters.damaged.get())
    }
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// What the thread has.
struct Inside {
    registers: Registers,
    disk: Arc<dyn Disk>,
    /// When the folder of sites had changed as it was last read.
    seen: SystemTime,
    counters: Arc<Counters>,
}

impl Inside {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), Failure> {
        while let Some(first) = commands.blocking_recv() {
            let mut group = Vec::new();
            let mut look = false;
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Ask(asked, answer) => group.push((asked, answer)),
                    Command::Refresh => look = true,
                }
                next = if group.len() < GROUP { commands.try_recv().ok() } else { None };
            }
            if look {
                self.look();
            }
            if !group.is_empty() {
                self.answer(group)?;
            }
        }
        Ok(())
    }

    /// Decides on a group, writes, answers.
    fn answer(&mut self, group: Vec<(Asked, oneshot::Sender<Answer>)>) -> Result<(), Failure> {
        let (asked, waiting): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let decision = self.registers.decide(&asked);
        let mut answers = decision.answers;
        if let Err(refusal) = self.write(decision.records)? {
            // Nothing of this group happened, so nothing is said that rests on it.
            answers.fill(Answer::Refused(refusal));
        }
        for ((asked, waiting), answer) in asked.iter().zip(waiting).zip(answers) {
            self.counters.answered(kind(&asked.question), &answer);
            // Who no longer waits has asked again.
            let _ = waiting.send(answer);
        }
        self.note(&asked);
        Ok(())
    }

    /// Makes records durable and takes them over; or says why the disk took none of them.
    fn write(&mut self, records: BTreeMap<Label, Record>) -> Result<Result<(), Refused>, Failure> {
        if records.is_empty() {
            return Ok(Ok(()));
        }
        let encoded = records.iter().map(|(site, record)| (site.to_string(), record.encode()));
        let files: Vec<_> = encoded.collect();
        let began = Instant::now();
        match place(&*self.disk, Folder::Registers, &files) {
            Ok(()) => {}
            Err(PlaceError::Refused(error)) => {
                warn!(%error, "the disk takes nothing; questions that would change something are refused");
                return Ok(Err(Refused::Disk(error.to_string())));
            }
            Err(PlaceError::Unknown(error)) => return Err(Failure(error.to_string())),
        }
        self.counters.synced(began.elapsed());
        self.counters.groups.add(1);
        self.counters.records.add(records.len() as u64);
        for (record, (site, bytes)) in records.into_values().zip(&files) {
            let held = record.witness.held.map(|held| held.to_string()).unwrap_or_default();
            info!(%site, "{held}");
            let more = self.registers.commit(record, bytes.len() as u64);
            self.counters.disk_bytes.move_by(more);
        }
        Ok(Ok(()))
    }

    /// Notes on the disk, now and then, when sites asked.
    fn note(&mut self, asked: &[Asked]) {
        for Asked { site: name, at_ms, .. } in asked {
            let Some(site) = self.registers.sites.get_mut(name) else { continue };
            // Also when the clock went back.
            if at_ms.abs_diff(site.noted_ms) >= NOTED_EVERY_MS && site.state.is_ok() {
                site.noted_ms = *at_ms;
                let at = UNIX_EPOCH + Duration::from_millis(*at_ms);
                // Only for people: a note that fails is left out.
                let _ = self.disk.touch(Folder::Registers, name.as_str(), at);
            }
        }
    }

    fn look(&mut self) {
        let looked = self.disk.changed(Folder::Sites);
        let still = looked.as_ref().is_ok_and(|at| {
            let settled = at.elapsed().is_ok_and(|age| age > GRAIN);
            *at == self.seen && settled && self.counters.damaged.get() == 0
        });
        if still {
            return;
        }
        match self.refresh() {
            Ok((0, 0)) => {}
            Ok((new, gone)) => {
                info!(new, gone, sites = self.registers.sites.len(), "sites changed")
            }
            Err(error) => warn!(%error, "cannot read the sites; those that are known stay"),
        }
    }

    fn refresh(&mut self) -> Result<(usize, usize), LoadError> {
        // Before the names are read: what changes meanwhile is read the next time.
        let seen = self.disk.changed(Folder::Sites)?;
        let changes = load::refresh(&mut self.registers, &*self.disk)?;
        self.seen = seen;
        let (sites, damaged, bytes) = self.registers.count();
        self.counters.sites.set(sites as u64);
        self.counters.damaged.set(damaged as u64);
        self.counters.disk_bytes.set(bytes);
        Ok(changes)
    }
}
