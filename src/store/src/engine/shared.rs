//! What all threads and clients see: the published state, and whether the store is well. Start at
//! [`Shared::publish`], the one place where a write becomes visible.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;

use arc_swap::ArcSwap;
use mvcc::State;
use tokio::sync::watch;

use super::metrics::{Count, Counters};
use super::paired::Seat;
use super::types::{Failure, Identity};
use super::watch::hub::Hub;
use super::{Options, lock};
use crate::checkpoint::Stamp;
use crate::refusal::Refusal;

/// Requests that may wait, and their bytes: more would wait longer than any client does (etcd's
/// `maxGapBetweenApplyAndCommitIndex` is 5000).
const MOST_WAITING: usize = 20_000;
const MOST_WAITING_BYTES: usize = 256 << 20;

/// What is durable, as readers see it.
#[derive(Debug)]
pub(crate) struct Published {
    pub state: State,
    /// The entry that led to it.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
}

/// Shared by the handle, the threads and the streams.
#[derive(Debug)]
pub(crate) struct Shared {
    pub identity: Identity,
    /// The term in which is answered: of this run, or of the pair's newest decision.
    term: AtomicU64,
    /// Where this store is one of two.
    pub seat: Option<Seat>,
    /// The newest entry that a checkpoint holds. Who writes a checkpoint holds the lock, and writes none
    /// that holds less.
    pub covered: Mutex<u64>,
    pub published: ArcSwap<Published>,
    pub hub: Hub,
    pub counters: Arc<Counters>,
    pub streams: Count,
    pub watchers: Count,
    /// The disk took no write; set by the committer, taken back by the keeper.
    pub full: AtomicBool,
    pub stopped: watch::Sender<bool>,
    /// Requests that wait, and their bytes.
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    pub failure: watch::Sender<Option<Failure>>,
    teller: OnceLock<Thread>,
}

impl Shared {
    pub(crate) fn new(stamp: &Stamp, state: State, options: &Options) -> Shared {
        Shared {
            identity: Identity {
                cluster_id: stamp.cluster_id,
                member_id: stamp.member_id,
                name: options.name.clone(),
            },
            term: AtomicU64::new(stamp.term),
            seat: None,
            covered: Mutex::new(0),
            hub: Hub::new(state.revision()),
            published: ArcSwap::from_pointee(Published {
                state,
                index: stamp.index,
                term: stamp.term,
            }),
            counters: Arc::default(),
            streams: Count::default(),
            watchers: Count::default(),
            full: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            failure: watch::Sender::new(None),
            teller: OnceLock::new(),
        }
    }

    /// As one of two.
    pub(crate) fn seated(self, seat: Seat) -> Shared {
        Shared { seat: Some(seat), ..self }
    }

    /// The newest checkpoint holds everything up to this entry, and has so many bytes.
    pub(crate) fn covers(&self, (index, bytes): (u64, u64)) {
        self.counters.checkpoint_bytes.set(bytes);
        *lock(&self.covered) = index;
    }

    /// The newest revision that readers see.
    pub(crate) fn revision(&self) -> i64 {
        self.published.load().state.revision()
    }

    /// Lets readers see a state that is durable.
    ///
    /// History that it forgets is told to the watches first: a watch that keeps up never loses an event
    /// to a compaction.
    pub(crate) fn publish(&self, state: State, (index, term): (u64, u64)) {
        let before = self.published.load();
        if state.compacted() > before.state.compacted() {
            self.hub.advance(&before.state);
        }
        drop(before);
        self.published.store(Arc::new(Published { state, index, term }));
        self.wake();
        if let Some(seat) = &self.seat {
            seat.applied(index);
        }
    }

    /// The term in which is answered (etcd's `raft_term`).
    pub(crate) fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// Another term begins.
    pub(crate) fn set_term(&self, term: u64) {
        self.term.store(term, Ordering::Release);
    }

    /// Where and when the published state stands.
    pub(crate) fn stamp(&self, published: &Published) -> Stamp {
        let Identity { cluster_id, member_id, .. } = self.identity;
        Stamp { index: published.index, term: published.term, cluster_id, member_id }
    }

    /// The thread that is woken when something is published.
    pub(crate) fn wake_on_publish(&self, teller: Thread) {
        let _ = self.teller.set(teller);
    }

    pub(crate) fn wake(&self) {
        if let Some(teller) = self.teller.get() {
            teller.unpark();
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Ends the streams and the telling thread; nothing new is taken.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
        self.wake();
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Notes that the store cannot go on; the first reason stays.
    pub(crate) fn fail(&self, failure: Failure) {
        self.failure.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(failure);
            }
            first
        });
    }
}

/// The room that one waiting request takes. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Slot {
    /// Takes room for a request of so many bytes.
    pub(crate) fn take(shared: &Arc<Shared>, bytes: usize) -> Result<Slot, Refusal> {
        let waiting = shared.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting_bytes = shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let slot = Slot { shared: shared.clone(), bytes };
        if waiting >= MOST_WAITING || waiting_bytes >= MOST_WAITING_BYTES {
            return Err(Refusal::TooManyRequests);
        }
        Ok(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
