//! All versions of one key: the newest, and the older ones that are still held. Start at [`Record`].
//! A key with one version, the common case, has no allocation for the others.

use std::sync::Arc;

use crate::KeyValue;
use crate::tree::{Slot, Tree};

/// The order of versions: main revision, then sub-revision, so that bytes compare as numbers do.
type Place = [u8; 12];

fn place(main: i64, sub: u32) -> Place {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&main.to_be_bytes());
    place[8..].copy_from_slice(&sub.to_be_bytes());
    place
}

/// A deletion is a version that has no version number.
pub(crate) fn is_tombstone(kv: &KeyValue) -> bool {
    kv.version == 0
}

/// The bytes that a version is counted with, beside key and value: what its parts take in memory,
/// and so about what they take in a file too.
const VERSION_COST: u64 = 200;

/// What a version adds to [`crate::State::size`].
pub(crate) fn cost(kv: &KeyValue) -> u64 {
    VERSION_COST + kv.key.len() as u64 + kv.value.len() as u64
}

/// An older version.
#[derive(Clone, Debug)]
struct Version {
    kv: Arc<KeyValue>,
    place: Place,
}

impl Version {
    fn new(kv: Arc<KeyValue>, sub: u32) -> Version {
        Version { place: place(kv.mod_revision, sub), kv }
    }

    fn sub(&self) -> u32 {
        let mut sub = [0; 4];
        sub.copy_from_slice(&self.place[8..]);
        u32::from_be_bytes(sub)
    }
}

impl Slot for Version {
    fn key(&self) -> &[u8] {
        &self.place
    }
}

/// A few bits of a key, by which it is found among its neighbours without a look at their keys, which
/// lie elsewhere and are mostly not in the processor's cache. Equal tags are only a hint.
fn tag(key: &[u8]) -> u16 {
    let mut sum = key.len() as u64;
    for part in key.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        sum ^= sum >> 32;
    }
    (sum >> 24) as u16
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    newest: Arc<KeyValue>,
    older: Tree<Version>,
    /// The newest version's sub-revision.
    sub: u32,
    /// See [`tag`].
    tag: u16,
    /// The newest version is no deletion.
    live: bool,
}

impl Slot for Record {
    fn key(&self) -> &[u8] {
        &self.newest.key
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn stamp(&self) -> i64 {
        self.newest.mod_revision
    }

    fn find(slots: &[Record], key: &[u8]) -> Result<usize, usize> {
        let tag = tag(key);
        match slots.iter().position(|slot| slot.tag == tag && slot.newest.key == key) {
            Some(at) => Ok(at),
            None => slots.binary_search_by(|slot| slot.key().cmp(key)),
        }
    }
}

impl Record {
    /// A key's first version.
    pub(crate) fn new(kv: Arc<KeyValue>, sub: u32) -> Record {
        Record {
            live: !is_tombstone(&kv),
            tag: tag(&kv.key),
            newest: kv,
            older: Tree::default(),
            sub,
        }
    }

    /// A newer version.
    pub(crate) fn push(&mut self, kv: Arc<KeyValue>, sub: u32) {
        self.live = !is_tombstone(&kv);
        let old = std::mem::replace(&mut self.newest, kv);
        let old_sub = std::mem::replace(&mut self.sub, sub);
        self.older.insert(Version::new(old, old_sub));
    }

    /// The newest version; it may be a deletion.
    pub(crate) fn newest(&self) -> &Arc<KeyValue> {
        &self.newest
    }

    /// What the key holds now.
    pub(crate) fn now(&self) -> Option<&Arc<KeyValue>> {
        self.live.then_some(&self.newest)
    }

    /// What the key held at a revision.
    pub(crate) fn at(&self, revision: i64) -> Option<&Arc<KeyValue>> {
        self.version_at(revision).map(|(kv, _)| kv).filter(|kv| !is_tombstone(kv))
    }

    /// The newest version at a revision, a deletion too, and its sub-revision.
    pub(crate) fn version_at(&self, revision: i64) -> Option<(&Arc<KeyValue>, u32)> {
        if self.newest.mod_revision <= revision {
            return Some((&self.newest, self.sub));
        }
        // Below 0 the places would not be in order; and there is nothing.
        let version = self.older.floor(&place(revision.max(0), u32::MAX))?;
        Some((&version.kv, version.sub()))
    }

    /// The version that a compaction keeps of those up to its revision: the newest; but a deletion
    /// only if it happened at that very revision, so that a watch from there on sees it
    /// (etcd v3.5.16 `mvcc/key_index.go`, `compact`).
    pub(crate) fn kept(&self, compacted: i64) -> Option<(&Arc<KeyValue>, u32)> {
        let (kv, sub) = self.version_at(compacted)?;
        (!is_tombstone(kv) || kv.mod_revision == compacted).then_some((kv, sub))
    }

    /// Drops at most `most` versions that a compaction does not keep, the oldest first. Gives the
    /// cost that is freed, and whether the whole record is to go.
    pub(crate) fn prune(&mut self, compacted: i64, most: usize) -> (u64, bool) {
        // What is below this place goes.
        let bound = match self.version_at(compacted) {
            None => return (0, false),
            Some((kv, sub)) if is_tombstone(kv) && kv.mod_revision < compacted => {
                place(kv.mod_revision, sub.saturating_add(1))
            }
            Some((kv, sub)) => place(kv.mod_revision, sub),
        };
        let mut freed = 0;
        for _ in 0..most {
            let Some(oldest) = self.older.first().filter(|oldest| oldest.place < bound) else {
                break;
            };
            let place = oldest.place;
            freed += self.older.remove(&place).map_or(0, |version| cost(&version.kv));
        }
        let gone = self.older.is_empty() && place(self.newest.mod_revision, self.sub) < bound;
        (freed + if gone { cost(&self.newest) } else { 0 }, gone)
    }

    /// Whether [`Record::prune`] would change anything.
    pub(crate) fn can_prune(&self, compacted: i64) -> bool {
        let oldest = self.older.first().map_or(&self.newest, |oldest| &oldest.kv);
        match self.version_at(compacted) {
            None => false,
            Some((kv, _)) if is_tombstone(kv) && kv.mod_revision < compacted => true,
            Some((kv, _)) => !Arc::ptr_eq(kv, oldest),
        }
    }
}
