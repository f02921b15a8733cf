//! Keeps the data folder small and ready, beside the writes: checkpoints, the next segment, and the
//! look whether a full disk has room again. Start at [`run`]. It decides nothing that a client sees.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Shared, lock};
use crate::checkpoint::{self, Stamp};
use crate::disk::Disk;
use crate::log::Preparer;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Bytes of a checkpoint that are written between two pauses, and a pause: a checkpoint shares the disk
/// with the log, whose clients wait.
const STRIDE: usize = 4 << 20;
const PAUSE: Duration = Duration::from_millis(5);

/// After a checkpoint failed, how long until the next try.
const AGAIN: Duration = Duration::from_secs(10);

/// What the keeper works with.
pub(crate) struct Keeper {
    pub disk: Arc<dyn Disk>,
    pub preparer: Preparer,
    /// A checkpoint is due when the log is this long, or as long as the last checkpoint if that is more.
    pub checkpoint_bytes: u64,
    /// Tells that all up to this entry is in a checkpoint.
    pub release: Box<dyn Fn(u64) + Send>,
    pub shared: Arc<Shared>,
}

/// Looks and keeps until the store stops; a word ends it early.
pub(crate) fn run(mut keeper: Keeper, stop: &Receiver<()>) {
    let mut not_before = Instant::now();
    while stop.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        keeper.prepare();
        if Instant::now() >= not_before && !keeper.checkpoint_if_due() {
            not_before = Instant::now() + AGAIN;
        }
    }
}

impl Keeper {
    /// Makes the next segment ready; on a full disk, finds out whether there is room again.
    fn prepare(&mut self) {
        match self.preparer.prepare() {
            Ok(_) => {
                if self.shared.full.swap(false, Ordering::AcqRel) {
                    tracing::info!("the disk has room again: writes are taken");
                }
            }
            Err(error) => tracing::debug!(%error, "cannot prepare the next segment of the log"),
        }
    }

    /// False if a checkpoint was due and could not be written.
    fn checkpoint_if_due(&mut self) -> bool {
        let counters = &self.shared.counters;
        let due = counters.checkpoint_bytes.get().max(self.checkpoint_bytes);
        if counters.log_bytes.get() < due {
            return true;
        }
        let mut covered = lock(&self.shared.covered);
        let published = self.shared.published.load_full();
        if published.index <= *covered {
            return true;
        }
        let start = Instant::now();
        let stamp = self.shared.stamp(&published);
        match write(&*self.disk, &stamp, published.state.clone()) {
            Ok(bytes) => {
                counters.checkpoint.observe(start.elapsed());
                counters.checkpoint_bytes.set(bytes);
                *covered = stamp.index;
                (self.release)(stamp.index);
                tracing::info!(index = stamp.index, bytes, "checkpoint written");
                true
            }
            Err(error) => {
                // The log still holds everything; it only grows.
                tracing::error!(%error, "cannot write a checkpoint; the log is kept");
                false
            }
        }
    }
}

fn write(disk: &dyn Disk, stamp: &Stamp, state: mvcc::State) -> std::io::Result<u64> {
    let mut since = 0;
    let mut pace = |bytes: usize| {
        since += bytes;
        if since >= STRIDE {
            since = 0;
            std::thread::sleep(PAUSE);
        }
    };
    checkpoint::write(disk, state, stamp, &mut pace)
}
