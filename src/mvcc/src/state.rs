//! The whole store at one revision. Start at [`State`].
//!
//! This file holds what it is made of and the small questions; `range.rs` reads, `write.rs` and
//! `txn.rs` decide, `apply.rs` replays, `compact.rs` forgets, `items.rs` takes it apart and puts it
//! together again, `hash.rs` sums it up.

use crate::history::{Events, History};
use crate::lease::{LEASE_COST, Lease, Leases, MAX_LEASE_TTL};
use crate::record::Record;
use crate::tree::Tree;
use crate::{ApplyError, Effect, Error, Event, Items, KeyRange};

/// The revision of an empty store, as etcd has it.
const FIRST_REVISION: i64 = 1;
/// No compaction yet, as etcd has it.
const NOT_COMPACTED: i64 = -1;

/// All of the store at one revision.
///
/// A clone is O(1) and a snapshot: it shares what both hold, and neither sees what the other does
/// afterwards.
#[derive(Clone)]
pub struct State {
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// Every key that has a version held, deleted keys too.
    pub(crate) keys: Tree<Record>,
    /// From the compaction revision on, and below it what is not swept yet.
    pub(crate) history: History,
    pub(crate) leases: Leases,
    pub(crate) size: u64,
    /// How many events of the oldest chunk of the history are swept.
    pub(crate) swept: usize,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("revision", &self.revision)
            .field("compacted", &self.compacted)
            .field("keys", &self.keys())
            .field("leases", &self.leases.len())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl State {
    /// An empty store.
    #[must_use]
    pub fn new() -> State {
        State::at(FIRST_REVISION, NOT_COMPACTED, FIRST_REVISION + 1)
    }

    /// One without a key, whose history begins with `first`.
    pub(crate) fn at(revision: i64, compacted: i64, first: i64) -> State {
        State {
            revision,
            compacted,
            keys: Tree::default(),
            history: History::new(first),
            leases: Leases::default(),
            size: 0,
            swept: 0,
        }
    }

    /// The newest main revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The compaction revision: reads below it are refused. -1 if there was none.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// How many keys there are now.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys.live()
    }

    /// About how many bytes all of it takes, with the history and the leases. It falls as
    /// [`State::sweep`] goes on.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A lease.
    #[must_use]
    pub fn lease(&self, id: i64) -> Option<&Lease> {
        self.leases.get(id)
    }

    /// All leases, by rising number.
    pub fn leases(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter()
    }

    /// What happened to the keys of a range in the main revisions `[from, to)`, in order. A revision's
    /// events come together; an event's `prev_kv` is what etcd answers: the version at the revision
    /// before, unless the event creates the key or that revision is compacted.
    ///
    /// # Errors
    /// [`Error::Compacted`] if `from` lies below the compaction revision.
    pub fn events(&self, from: i64, to: i64, keys: &KeyRange) -> Result<Events<'_>, Error> {
        if from < self.compacted {
            return Err(Error::Compacted);
        }
        Ok(Events::new(&self.history, from, to, keys))
    }

    /// All events of one main revision; none if it is compacted or has not happened yet.
    #[must_use]
    pub fn events_at(&self, revision: i64) -> &[Event] {
        if revision < self.compacted { &[] } else { self.history.at(revision) }
    }

    /// Begins a lease. Number and time are the caller's to choose; etcd allows negative numbers.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`] for the number 0, [`Error::LeaseTtlTooLarge`], [`Error::LeaseExists`];
    /// the state is unchanged then.
    pub fn grant(&mut self, id: i64, ttl: i64) -> Result<Effect, Error> {
        if id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if ttl > MAX_LEASE_TTL {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.leases.contains(id) {
            return Err(Error::LeaseExists);
        }
        self.grant_lease(id, ttl);
        Ok(Effect::Grant { id, ttl })
    }

    pub(crate) fn grant_lease(&mut self, id: i64, ttl: i64) {
        self.leases.insert(id, ttl);
        self.size += LEASE_COST;
    }

    /// Ends a lease, by request or by time: the keys that hang on it are deleted, in their order, at
    /// one revision.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`]; the state is unchanged then.
    pub fn revoke(&mut self, id: i64) -> Result<Effect, Error> {
        if !self.leases.contains(id) {
            return Err(Error::LeaseNotFound);
        }
        self.revoke_lease(id);
        Ok(Effect::Revoke { id, revision: self.revision })
    }

    pub(crate) fn revoke_lease(&mut self, id: i64) {
        let Some(lease) = self.leases.remove(id) else { return };
        self.size -= LEASE_COST;
        let revision = self.revision + 1;
        let mut sub = 0;
        for key in &lease.keys {
            sub += u32::from(self.delete_version(revision, sub, key));
        }
        if sub > 0 {
            self.close(revision);
        }
    }

    /// All of it, taken apart for a checkpoint; see [`Items`].
    #[must_use]
    pub fn items(&self) -> Items {
        self.clone().into_items()
    }

    /// The same, without borrowing the state.
    #[must_use]
    pub fn into_items(self) -> Items {
        Items::new(&self)
    }

    /// Whether both hold the same: revisions, leases and versions. What is swept or not, and so the
    /// size, makes no difference.
    #[must_use]
    pub fn content_eq(&self, other: &State) -> bool {
        self.items().eq(other.items())
    }

    /// Replays an effect that was decided before, here or by another replica.
    ///
    /// # Errors
    /// [`ApplyError`] if the effect does not follow this state, which then is unchanged.
    pub fn apply(&mut self, effect: &Effect) -> Result<(), ApplyError> {
        self.replay(effect)
    }
}
