//! Counts what the witness does, for the page of metrics. Counting never waits for the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pair::witness::{Reply, Request};

use crate::wire::{Answer, Question, Refused};

/// A number that only grows, or one that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    /// Up or down; never below 0.
    pub(crate) fn move_by(&self, by: i64) {
        let moved = |value: u64| Some(value.saturating_add_signed(by));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// What was asked.
pub(crate) const KINDS: [&str; 3] = ["grant", "report", "status"];

/// What became of it.
pub(crate) const OUTCOMES: [&str; 9] = [
    "granted",
    "holds",
    "refused",
    "status",
    "damaged",
    "unknown_site",
    "other_room",
    "busy",
    "failed",
];

pub(crate) fn kind(question: &Question) -> usize {
    match question {
        Question::Ask(Request::Grant { .. }) => 0,
        Question::Ask(Request::Report(_)) => 1,
        Question::Status => 2,
    }
}

fn outcome(answer: &Answer) -> usize {
    match answer {
        Answer::Reply(Reply::Granted(_)) => 0,
        Answer::Reply(Reply::Holds(_)) => 1,
        Answer::Reply(Reply::Refused { .. }) => 2,
        Answer::Status(_) => 3,
        Answer::Refused(Refused::Damaged(_)) => 4,
        Answer::Refused(Refused::UnknownSite) => 5,
        Answer::Refused(Refused::OtherRoom { .. }) => 6,
        Answer::Refused(Refused::Busy { .. }) => 7,
        Answer::Refused(_) => 8,
    }
}

/// Seconds by how many there were of each length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// For each of [`Histogram::BOUNDS`], how many were not longer and longer than the bound before.
    pub(crate) buckets: [u64; 12],
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

impl Histogram {
    /// From a fast flash disk to one that hangs.
    pub(crate) const BOUNDS: [f64; 12] =
        [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.5, 2.0, 8.0];

    fn observe(&mut self, seconds: f64) {
        if let Some(at) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sites: Count,
    pub(crate) damaged: Count,
    pub(crate) disk_bytes: Count,
    /// By [`KINDS`] and [`OUTCOMES`].
    answers: [[Count; OUTCOMES.len()]; KINDS.len()],
    pub(crate) connections: Count,
    pub(crate) accepted: Count,
    pub(crate) replaced: Count,
    /// Handshakes that failed: a stranger, or one whose certificate is not accepted.
    pub(crate) strangers: Count,
    /// Groups of changes that were written, and how many changes were in them.
    pub(crate) groups: Count,
    pub(crate) records: Count,
    sync: Mutex<Histogram>,
}

impl Counters {
    pub(crate) fn answered(&self, kind: usize, answer: &Answer) {
        self.answers[kind][outcome(answer)].add(1);
    }

    pub(crate) fn answers(&self, kind: usize, outcome: usize) -> u64 {
        self.answers[kind][outcome].get()
    }

    pub(crate) fn synced(&self, took: Duration) {
        lock(&self.sync).observe(took.as_secs_f64());
    }

    pub(crate) fn sync(&self) -> Histogram {
        lock(&self.sync).clone()
    }
}

/// Locks what is whole at every moment, whatever a thread that panicked was at.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
