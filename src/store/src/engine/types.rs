//! What the engine answers with: plain data between the engine and who speaks to clients.

use std::sync::Arc;

use bytes::Bytes;
use mvcc::{Event, KeyRange};

/// Who this store is, as every answer's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; made when the data folder was, never 0.
    pub cluster_id: u64,
    /// This member of it; never 0.
    pub member_id: u64,
    /// The member's name, for people.
    pub name: String,
}

/// An answer, and what its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The store's revision when it answered.
    pub revision: i64,
    /// The term in which it answered (etcd's `raft_term`).
    pub term: u64,
    /// The answer.
    pub body: T,
}

impl<T> Answer<T> {
    /// The same header with another body.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { revision: self.revision, term: self.term, body: change(self.body) }
    }
}

/// A lease that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its number.
    pub id: i64,
    /// Its time in seconds; at least [`super::MIN_LEASE_TTL`].
    pub ttl: i64,
}

/// What is left of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeToLive {
    /// Its number.
    pub id: i64,
    /// Seconds left; -1 if there is no such lease.
    pub ttl: i64,
    /// The seconds it was granted for; 0 if there is no such lease.
    pub granted_ttl: i64,
    /// What hangs on it, if that was asked for.
    pub keys: Vec<Bytes>,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Bytes on the disk: log and checkpoint.
    pub db_size: u64,
    /// Bytes of keys, values and history that are in use; held against the quota.
    pub db_size_in_use: u64,
    /// The quota in bytes.
    pub quota: u64,
    /// The newest durable log entry.
    pub index: u64,
    /// What is wrong, in etcd's words (`memberID:… alarm:NOSPACE`).
    pub errors: Vec<String>,
}

/// Something is wrong until it heals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The quota or the disk is full: writes are refused, deletes are not unless the disk is full.
    NoSpace,
}

/// A wish to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchCreate {
    /// The number that the client chose; 0 to have one chosen.
    pub id: i64,
    /// Which keys.
    pub keys: KeyRange,
    /// From which revision on; 0 for what comes next.
    pub start_revision: i64,
    /// Tell the version before, too.
    pub prev_kv: bool,
    /// Tell the revision now and then when nothing happens.
    pub progress_notify: bool,
    /// Large answers may be split.
    pub fragment: bool,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
}

/// One message to a watching client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchMessage {
    /// The header's revision. Everything that this watch, or with id -1 every watch of the stream, has
    /// to tell up to this revision has been told before or is in this message.
    pub revision: i64,
    /// Which watch; -1 for all of the stream.
    pub watch_id: i64,
    /// The watch has begun (or, with `canceled`, could not).
    pub created: bool,
    /// The watch has ended.
    pub canceled: bool,
    /// The compaction that ended it; 0 for none.
    pub compact_revision: i64,
    /// Why it ended, in etcd's words.
    pub cancel_reason: &'static str,
    /// The client allows that this message is split.
    pub fragment: bool,
    /// What happened, by rising revision, filtered as the client asked.
    pub events: Vec<Event>,
}

/// Why the store cannot go on. The process must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot go on: {reason}")]
pub struct Failure {
    /// What went wrong.
    pub reason: Arc<str>,
    /// It is not the disk: the data was given up, and the next start begins with an empty folder.
    pub void: bool,
}

/// Counters since the start, and gauges.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Puts decided, in transactions too.
    pub puts: u64,
    /// Deletions decided, in transactions too.
    pub deletes: u64,
    /// Transactions decided.
    pub txns: u64,
    /// Ranges answered.
    pub ranges: u64,
    /// Groups written to the log.
    pub commits: u64,
    /// Log entries written.
    pub entries: u64,
    /// Writes that wait for the disk.
    pub pending: u64,
    /// Writes that were refused for want of room or of an end.
    pub failed: u64,
    /// Seconds that one group took to the disk.
    pub fsync: Histogram,
    /// Seconds that one checkpoint took.
    pub checkpoint: Histogram,
    /// Live keys.
    pub keys: u64,
    /// The newest revision.
    pub revision: i64,
    /// The compaction revision.
    pub compacted: i64,
    /// Leases granted, revoked on request, run out, renewed.
    pub leases_granted: u64,
    /// See `leases_granted`.
    pub leases_revoked: u64,
    /// See `leases_granted`.
    pub leases_expired: u64,
    /// See `leases_granted`.
    pub leases_renewed: u64,
    /// Watch streams that are open.
    pub streams: u64,
    /// Watches that are open.
    pub watchers: u64,
    /// Watches that catch up.
    pub slow_watchers: u64,
    /// Events told.
    pub events: u64,
}

/// Observations in buckets whose bounds double (Prometheus: a histogram).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many observations were at most [`Histogram::BOUNDS`] at the same place; not cumulative.
    pub buckets: [u64; 14],
    /// How many there were.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

impl Histogram {
    /// The buckets' upper bounds in seconds, those of etcd's `wal_fsync_duration_seconds`.
    pub const BOUNDS: [f64; 14] = [
        0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
        8.192,
    ];

    /// Adds one observation.
    pub fn observe(&mut self, seconds: f64) {
        if let Some(bucket) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}
