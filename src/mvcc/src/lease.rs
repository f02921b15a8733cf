//! Leases and the keys that hang on them, as persistent structures. Start at [`Leases`]. How much of a
//! lease's time is left is not known here: that is a clock's matter.

use bytes::Bytes;

use crate::tree::{Iter, Slot, Tree};

/// The longest time of a lease, in seconds (etcd v3.5 `lease/lessor.go`, `MaxLeaseTTL`).
pub const MAX_LEASE_TTL: i64 = 9_000_000_000;

/// What a lease adds to [`crate::State::size`]: leases without keys must meet the quota too.
pub(crate) const LEASE_COST: u64 = 128;

/// A lease and what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The time it was granted for, in seconds.
    pub ttl: i64,
    /// The keys that hang on it.
    pub keys: KeySet,
}

impl Slot for Bytes {
    fn key(&self) -> &[u8] {
        self
    }
}

/// A sorted set of keys; a clone is O(1).
#[derive(Clone, Default)]
pub struct KeySet(Tree<Bytes>);

impl KeySet {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.0.live()).unwrap_or(usize::MAX)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is one of them.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.0.get(key).is_some()
    }

    /// They, in order.
    #[must_use]
    pub fn iter(&self) -> Keys<'_> {
        Keys(self.0.iter())
    }
}

/// The keys of a [`KeySet`] in order.
#[derive(Debug)]
pub struct Keys<'a>(Iter<'a, Bytes>);

impl<'a> Iterator for Keys<'a> {
    type Item = &'a Bytes;

    fn next(&mut self) -> Option<&'a Bytes> {
        self.0.next()
    }
}

impl<'a> IntoIterator for &'a KeySet {
    type Item = &'a Bytes;
    type IntoIter = Keys<'a>;

    fn into_iter(self) -> Keys<'a> {
        self.iter()
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &KeySet) -> bool {
        self.iter().eq(other)
    }
}

impl Eq for KeySet {}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

/// A lease with its number, also as bytes that compare as numbers do.
#[derive(Clone, Debug)]
struct Numbered {
    id: i64,
    key: [u8; 8],
    lease: Lease,
}

fn key(id: i64) -> [u8; 8] {
    (id ^ i64::MIN).to_be_bytes()
}

impl Slot for Numbered {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// All leases, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Tree<Numbered>);

impl Leases {
    pub(crate) fn len(&self) -> u64 {
        self.0.live()
    }

    pub(crate) fn get(&self, id: i64) -> Option<&Lease> {
        self.0.get(&key(id)).map(|numbered| &numbered.lease)
    }

    pub(crate) fn contains(&self, id: i64) -> bool {
        self.get(id).is_some()
    }

    /// By rising number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.0.iter().map(|numbered| (numbered.id, &numbered.lease))
    }

    pub(crate) fn insert(&mut self, id: i64, ttl: i64) {
        let lease = Lease { ttl, keys: KeySet::default() };
        self.0.insert(Numbered { id, key: key(id), lease });
    }

    pub(crate) fn remove(&mut self, id: i64) -> Option<Lease> {
        self.0.remove(&key(id)).map(|numbered| numbered.lease)
    }

    /// A key that hangs on the lease already is exchanged: the new bytes are those of the newest
    /// version, so that the set does not keep an older version's bytes.
    pub(crate) fn attach(&mut self, id: i64, name: &Bytes) {
        self.0.edit(&key(id), |numbered| numbered.lease.keys.0.insert(name.clone()));
    }

    pub(crate) fn detach(&mut self, id: i64, name: &[u8]) {
        self.0.edit(&key(id), |numbered| numbered.lease.keys.0.remove(name));
    }
}
