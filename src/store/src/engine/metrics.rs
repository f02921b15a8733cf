//! Counts what the engine does, for [`super::Engine::metrics`]. Counting never waits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::types::Histogram;

/// A number that only grows, or one that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, less: usize) {
        self.0.fetch_sub(less as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Seconds, observed by one thread and read by others.
#[derive(Debug, Default)]
pub(crate) struct Seconds(Mutex<Histogram>);

impl Seconds {
    pub(crate) fn observe(&self, took: Duration) {
        super::lock(&self.0).observe(took.as_secs_f64());
    }

    pub(crate) fn read(&self) -> Histogram {
        super::lock(&self.0).clone()
    }
}

/// Everything that is counted; see [`super::Metrics`] for the words.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub puts: Count,
    pub deletes: Count,
    pub txns: Count,
    pub ranges: Count,
    pub commits: Count,
    pub entries: Count,
    pub failed: Count,
    /// What did not fit into the quota the last time that something was to be put; 0 if it did.
    pub refused_bytes: Count,
    pub fsync: Seconds,
    pub checkpoint: Seconds,
    pub leases_granted: Count,
    pub leases_revoked: Count,
    pub leases_expired: Count,
    pub leases_renewed: Count,
    /// Bytes of the log, and of the newest checkpoint.
    pub log_bytes: Count,
    pub checkpoint_bytes: Count,
}
