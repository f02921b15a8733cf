//! What clients asked and were told, and when. Start at [`Book`].

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::two_rooms::Side;
use tonic::{Code, Status};

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged, at this revision.
    Done(i64),
    /// Its condition did not hold, at this revision: it is a read.
    Differs(i64),
    /// Nothing was done, the store says.
    Undone(String),
    /// It may be done or not.
    Unknown(String),
}

/// A write of a value that no other one has.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// The room whose store was asked.
    pub(crate) side: Side,
    /// Where the value goes.
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// A key that is deleted with it.
    pub(crate) deletes: Option<Bytes>,
    /// The revision that the condition names: of the key that is deleted if there is one, else of `key`.
    pub(crate) if_at: Option<i64>,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    pub(crate) outcome: Outcome,
}

/// A read of one key that was answered.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "which room it was is shown with a finding")]
pub(crate) struct Read {
    pub(crate) side: Side,
    pub(crate) key: Bytes,
    /// Or from what the room happens to have.
    pub(crate) linearizable: bool,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    /// The store's.
    pub(crate) revision: i64,
    /// The key's revision and value.
    pub(crate) found: Option<(i64, Bytes)>,
}

/// All keys of the objects at one revision, read page by page.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "which room it was is shown with a finding")]
pub(crate) struct List {
    pub(crate) side: Side,
    pub(crate) begun: Duration,
    /// When the first page was there, which chose the revision.
    pub(crate) chosen: Duration,
    pub(crate) revision: i64,
    pub(crate) found: Vec<(Bytes, i64)>,
}

/// A lease with its key, and each time that it was renewed.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) key: Bytes,
    pub(crate) ttl: Duration,
    /// From when on it lasts at least `ttl`: the begin of each renewal that was acknowledged.
    pub(crate) renewed: Vec<Duration>,
    /// The store said that there is no such lease.
    pub(crate) lost: Option<Duration>,
}

/// All that is written down, by many clients at once.
#[derive(Debug)]
pub(crate) struct Book {
    start: Instant,
    pub(crate) writes: Mutex<Vec<Write>>,
    pub(crate) reads: Mutex<Vec<Read>>,
    pub(crate) lists: Mutex<Vec<List>>,
    pub(crate) leases: Mutex<Vec<Lease>>,
}

impl Book {
    pub(crate) fn new() -> Book {
        Book {
            start: Instant::now(),
            writes: Mutex::default(),
            reads: Mutex::default(),
            lists: Mutex::default(),
            leases: Mutex::default(),
        }
    }

    /// Since the book was begun.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The longest time without an acknowledged write to the store of `side`, between two times.
    pub(crate) fn pause(&self, side: Side, from: Duration, to: Duration) -> Duration {
        let writes = self.writes.lock().unwrap();
        let done = |write: &&Write| write.side == side && matches!(write.outcome, Outcome::Done(_));
        let mut times: Vec<_> = writes.iter().filter(done).map(|write| write.ended).collect();
        times.retain(|time| (from..to).contains(time));
        times.extend([from, to]);
        times.sort_unstable();
        times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }

    /// How many writes the store of `side` acknowledged between two times.
    pub(crate) fn acknowledged(&self, side: Side, from: Duration, to: Duration) -> usize {
        let writes = self.writes.lock().unwrap();
        let counts = |write: &&Write| {
            write.side == side
                && (from..to).contains(&write.ended)
                && matches!(write.outcome, Outcome::Done(_))
        };
        writes.iter().filter(counts).count()
    }

    /// The writes that the store of `side` did not do, or may not have done.
    pub(crate) fn failures(&self, side: Side) -> Vec<Write> {
        let writes = self.writes.lock().unwrap();
        let failed = |write: &&Write| {
            write.side == side && matches!(write.outcome, Outcome::Undone(_) | Outcome::Unknown(_))
        };
        writes.iter().filter(failed).cloned().collect()
    }
}

impl Outcome {
    /// What a refusal says of the write.
    pub(crate) fn of(status: &Status) -> Outcome {
        let text = status.message().to_owned();
        // Those that etcd's clients, too, take for "nothing was done" (client/v3 `isSafeRetry…`), and a full
        // store.
        let undone = matches!(
            (status.code(), &*text),
            (Code::Unavailable, "etcdserver: no leader" | "etcdserver: not leader")
                | (Code::ResourceExhausted, _)
        );
        if undone { Outcome::Undone(text) } else { Outcome::Unknown(text) }
    }
}
