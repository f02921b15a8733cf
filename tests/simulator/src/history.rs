//! What clients asked and were told, and what the store says happened. Start at [`History`] and
//! [`Truth`]. Plain data; `linear` judges it.
//!
//! Each write writes a value of its own, the number of its operation: so whoever reads a value knows who
//! wrote it, also when the writer was never told whether it was done.

use std::collections::BTreeMap;

use pair::Room;

use crate::moment::Moment;

/// One of a few keys.
pub type Key = u8;

/// What is written: the number of the operation that writes it.
pub type Value = u64;

/// A main revision of the store.
pub type Revision = i64;

/// A version of a key that a client has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// What it holds.
    pub value: Value,
    /// Which revision wrote it.
    pub revision: Revision,
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Write the key.
    Put,
    /// Delete the key.
    Delete,
    /// Write the key if its last revision is still this one (none: if it is not there); else read it.
    Swap(Option<Found>),
    /// Read the key: linearizable.
    Read,
    /// Read the key from what this room has (etcd's `serializable`): maybe old, never wrong.
    Local,
}

/// What it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing, or that nobody knows.
    Unknown,
    /// No, and that nothing was done.
    Refused,
    /// Yes.
    Done {
        /// The answer's revision: of the write, if it changed something; else that of the state that it was
        /// answered from.
        revision: Revision,
        /// Whether something was written or deleted.
        changed: bool,
        /// The key as it was read, by reads and by swaps that failed.
        found: Option<Found>,
    },
}

/// One question of a client and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked; it asks one thing at a time.
    pub client: u32,
    /// Which room.
    pub room: Room,
    /// Which start of the room's store answered a local read: the next one may know of fewer
    /// acknowledgements, and a replaced disk begins with nothing.
    pub life: u64,
    /// What.
    pub request: Request,
    /// About which key.
    pub key: Key,
    /// When it was asked.
    pub invoked: Moment,
    /// When the answer came; none if it did not, or the client gave up.
    pub returned: Option<Moment>,
    /// The answer.
    pub outcome: Outcome,
}

/// All operations of a run; an operation's number is its place.
#[derive(Clone, Debug, Default)]
pub struct History(pub Vec<Operation>);

impl History {
    /// A client asks; returns the operation's number.
    pub fn invoke(
        &mut self,
        (client, room): (u32, Room),
        (request, key): (Request, Key),
        now: Moment,
    ) -> Value {
        let outcome = Outcome::Unknown;
        self.0.push(Operation {
            client,
            room,
            life: 0,
            request,
            key,
            invoked: now,
            returned: None,
            outcome,
        });
        self.0.len() as u64 - 1
    }

    /// The answer comes.
    pub fn answer(&mut self, number: Value, outcome: Outcome, now: Moment) {
        let operation = &mut self.0[number as usize];
        operation.outcome = outcome;
        operation.returned = Some(now);
    }
}

/// One revision's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// Of which key.
    pub key: Key,
    /// What it holds now; none if it was deleted.
    pub value: Option<Value>,
}

/// Every change that a reader of the store could see, by revision: what one would know who watched from
/// the beginning.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    changes: BTreeMap<Revision, Change>,
    /// By key: when it changed to what.
    keys: BTreeMap<Key, BTreeMap<Revision, Option<Value>>>,
}

impl Truth {
    /// One more change is seen; false if the revision is known to have changed something else.
    #[must_use]
    pub fn see(&mut self, revision: Revision, change: Change) -> bool {
        let known = *self.changes.entry(revision).or_insert(change);
        self.keys.entry(change.key).or_default().entry(revision).or_insert(change.value);
        known == change
    }

    /// What a revision changed.
    #[must_use]
    pub fn at(&self, revision: Revision) -> Option<Change> {
        self.changes.get(&revision).copied()
    }

    /// The newest revision that changed something; 1 if none did.
    #[must_use]
    pub fn last(&self) -> Revision {
        self.changes.keys().next_back().copied().unwrap_or(1)
    }

    /// A key as it was once `revision` was done.
    #[must_use]
    pub fn read(&self, key: Key, revision: Revision) -> Option<Found> {
        let (at, value) = self.keys.get(&key)?.range(..=revision).next_back()?;
        value.map(|value| Found { value, revision: *at })
    }

    /// All changes, by rising revision.
    pub fn changes(&self) -> impl Iterator<Item = (Revision, Change)> {
        self.changes.iter().map(|(revision, change)| (*revision, *change))
    }

    /// The changes of `[from, to)`.
    pub fn between(
        &self,
        from: Revision,
        to: Revision,
    ) -> impl Iterator<Item = (Revision, Change)> {
        self.changes.range(from..to.max(from)).map(|(revision, change)| (*revision, *change))
    }
}
