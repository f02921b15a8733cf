//! The thread that owns a room's log: writes entries, puts whole states in its place. Start at [`run`]. It
//! decides nothing; the deciding thread hears when something is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use mvcc::State;
use pair::Position;

use super::super::inbox::Inbox;
use super::super::shared::Shared;
use super::super::types::Failure;
use super::super::{command::Command, lock};
use super::Word;
use crate::checkpoint::Stamp;
use crate::disk::Disk;
use crate::log::{Log, LogError};
use crate::record::Record;
use crate::recover;

/// How often a full disk is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// What is to be done.
pub(super) enum Work {
    /// Write and sync.
    Write(Vec<Arc<[Record]>>, u64),
    /// This state takes the place of all; who waits for it is told there, else the deciding thread.
    Install(State, Position, Option<Sender<()>>),
    /// A checkpoint holds everything up to this entry.
    Release(u64),
}

/// What the thread works on.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) log: Log,
    pub(super) deciding: Arc<Inbox>,
    pub(super) shared: Arc<Shared>,
}

/// Works until nobody wants anything, or the disk fails.
pub(super) fn run(mut writer: Writer, work: &Receiver<Work>) {
    writer.count();
    while let Ok(next) = work.recv() {
        if let Err(failure) = writer.work(next, work) {
            tracing::error!("{failure}");
            writer.shared.fail(failure);
            writer.say(Word::DiskFailed);
            return;
        }
        writer.count();
    }
}

impl Writer {
    fn work(&mut self, next: Work, later: &Receiver<Work>) -> Result<(), Failure> {
        match next {
            Work::Write(groups, settled) => {
                self.write(&groups, settled, later)?;
                self.say(Word::Written);
            }
            Work::Install(state, at, waits) => {
                self.install(state, at)?;
                match waits {
                    Some(waits) => drop(waits.send(())),
                    None => self.say(Word::Installed),
                }
            }
            Work::Release(index) => {
                if let Err(error) = self.log.release(index) {
                    // They are removed with the next checkpoint.
                    tracing::warn!(%error, "cannot remove old segments of the log");
                }
            }
        }
        Ok(())
    }

    /// The other room may have the entries already, so a full disk is no reason to refuse them: it is
    /// tried until there is room, or until they are cut off.
    fn write(
        &mut self,
        groups: &[Arc<[Record]>],
        settled: u64,
        later: &Receiver<Work>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let records = groups.iter().flat_map(|group| group.iter());
            match self.log.append_behind(records, settled) {
                Ok(()) => break,
                Err(LogError::NoSpace(error)) => {
                    if !self.shared.full.swap(true, Ordering::AcqRel) {
                        tracing::error!(%error, "the disk is full: writes wait until there is room");
                    }
                }
                Err(LogError::Fatal(error)) => return Err(failed("writing the log", &error)),
            }
            match later.recv_timeout(AGAIN) {
                Ok(install @ Work::Install(..)) => return self.work(install, later),
                Ok(release @ Work::Release(_)) => self.work(release, later)?,
                Ok(Work::Write(..)) => unreachable!("one write is under way at a time"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        let counters = &self.shared.counters;
        counters.fsync.observe(start.elapsed());
        counters.commits.add(1);
        counters.entries.add(groups.iter().map(|group| group.len()).sum());
        Ok(())
    }

    fn install(&mut self, state: State, at: Position) -> Result<(), Failure> {
        // No checkpoint of less may take its place.
        let mut covered = lock(&self.shared.covered);
        let own = &self.shared.identity;
        let (cluster_id, member_id) = (own.cluster_id, own.member_id);
        let stamp = Stamp { index: at.index, term: at.epoch, cluster_id, member_id };
        recover::install(&*self.disk, &mut self.log, state, &stamp)
            .map_err(|error| failed("installing the other room's history", &error))?;
        *covered = at.index;
        Ok(())
    }

    fn count(&self) {
        self.shared.counters.log_bytes.set(self.log.bytes());
    }

    fn say(&self, word: Word) {
        // Where nobody decides any more, nobody needs to know.
        let _ = self.deciding.send(Command::Pair(word));
    }
}

pub(super) fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure { reason: format!("{what} failed: {error}{cause}").into(), void: false }
}
