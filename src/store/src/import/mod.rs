//! Moves what another store holds into a new data folder. Start at [`Harvest::into_state`]; [`etcd`] and
//! [`kine`] fill a [`Harvest`].
//!
//! Keys, values and their revisions stay as they were, so that no client's resource version goes
//! backward. The source's history is not taken along: everything below its newest revision counts as
//! compacted. Nothing here writes to the source.

pub mod etcd;
pub mod kine;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mvcc::{ApplyError, EventKind, Item, KeyValue, State};
use serde::Serialize;

pub use etcd::EtcdError;
pub use kine::KineError;

/// Seconds that are left to a key whose lease the source no longer knows: it was about to go.
const LAST_SECONDS: i64 = 1;

/// The most keys on one lease that an import makes, as many as kube-apiserver hangs on one of its own:
/// when a lease ends, all of its keys are deleted at one revision.
const KEYS_ON_A_LEASE: usize = 1000;

/// Where the numbers of leases begin that an import makes: "kine" in ASCII, so that a person who
/// lists leases sees where they are from.
const FIRST_LEASE: i64 = 0x6b69_6e65_0000_0001;

/// All that a store holds at one moment, without its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Harvest {
    /// The newest revision.
    pub revision: i64,
    /// The leases and the seconds that each has left.
    pub leases: BTreeMap<i64, i64>,
    /// The newest version of each key, in any order.
    pub kvs: Vec<KeyValue>,
}

/// What a harvest holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The newest revision.
    pub revision: i64,
    /// How many keys.
    pub keys: u64,
    /// Their bytes, with the values'.
    pub bytes: u64,
    /// How many leases.
    pub leases: u64,
}

impl Harvest {
    /// In numbers, for a person.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            revision: self.revision,
            keys: self.kvs.len() as u64,
            bytes: self.kvs.iter().map(|kv| (kv.key.len() + kv.value.len()) as u64).sum(),
            leases: self.leases.len() as u64,
        }
    }

    /// Keeps only the keys that begin with `prefix`, and the leases that something still hangs on.
    pub fn keep(&mut self, prefix: &[u8]) {
        if prefix.is_empty() {
            return;
        }
        self.kvs.retain(|kv| kv.key.starts_with(prefix));
        let used: std::collections::BTreeSet<i64> = self.kvs.iter().map(|kv| kv.lease).collect();
        self.leases.retain(|id, _| used.contains(id));
    }

    /// A store that holds this and nothing older.
    ///
    /// # Errors
    /// When the source's numbers contradict each other, such as a key that is newer than the newest
    /// revision.
    pub fn into_state(mut self) -> Result<State, ApplyError> {
        for kv in &self.kvs {
            if kv.lease != 0 {
                self.leases.entry(kv.lease).or_insert(LAST_SECONDS);
            }
        }
        self.kvs.sort_unstable_by(|a, b| (a.mod_revision, &a.key).cmp(&(b.mod_revision, &b.key)));
        // An empty store answers revision 1, and there is nothing before it to be compacted.
        let revision = self.revision.max(1);
        let compacted = if revision > 1 { revision } else { -1 };
        let mut builder = State::builder();
        builder.push(Item::Head {
            revision,
            compacted,
            leases: self.leases.len() as u64,
            versions: self.kvs.len() as u64,
        })?;
        for (id, ttl) in self.leases {
            builder.push(Item::Lease { id, ttl: ttl.max(LAST_SECONDS) })?;
        }
        let (mut main, mut sub) = (0, 0);
        for kv in self.kvs {
            // Keys that one transaction wrote share its revision; their order in it is not known.
            sub = if kv.mod_revision == main { sub + 1 } else { 0 };
            main = kv.mod_revision;
            builder.push(Item::Version { sub, kind: EventKind::Put, kv: Arc::new(kv) })?;
        }
        builder.finish()
    }
}

/// Gives leases to keys that only know how long they live: at most [`KEYS_ON_A_LEASE`] that live equally
/// long share one.
#[derive(Debug, Default)]
pub(crate) struct LeaseMaker {
    /// By time to live: the lease that is not full yet, and how many keys hang on it.
    open: BTreeMap<i64, (i64, usize)>,
    made: BTreeMap<i64, i64>,
}

impl LeaseMaker {
    /// A lease for one more key that lives `ttl` seconds; 0 for one that lives on.
    pub(crate) fn lease(&mut self, ttl: i64) -> i64 {
        if ttl <= 0 {
            return 0;
        }
        let next = FIRST_LEASE + self.made.len() as i64;
        let (id, keys) = self.open.entry(ttl).or_insert((next, 0));
        if *keys == KEYS_ON_A_LEASE {
            (*id, *keys) = (next, 0);
        }
        *keys += 1;
        self.made.insert(*id, ttl);
        *id
    }

    /// All leases that were made.
    pub(crate) fn finish(self) -> BTreeMap<i64, i64> {
        self.made
    }
}

/// The end of the range of all keys that begin with `prefix`, in etcd's encoding.
pub(crate) fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return end.into();
        }
        end.pop();
    }
    Bytes::from_static(&[0])
}
