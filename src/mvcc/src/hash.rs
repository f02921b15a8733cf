//! The checksum by which replicas compare what they hold, equal to etcd's (etcd v3.5.16
//! `mvcc/hash.go`, `mvcc/kvstore.go` `hashByRev`, `mvcc/key_index.go` `keep`).
//!
//! It is what an etcd that was just started computes. One that runs on also remembers the hashes of its
//! last ten compactions and answers those when asked for just those revisions; this does not.

use std::sync::Arc;

use crate::record::is_tombstone;
use crate::{Error, HashKv, KeyValue, State};

impl State {
    /// The checksum of all versions up to a revision; 0 for the newest. O(n).
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::FutureRevision`].
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        if revision > 0 && revision < self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        let revision = if revision == 0 { self.revision } else { revision };
        let mut hash = crc32c::crc32c(b"key");
        for (sub, kv) in self.kept_until(revision) {
            hash = add(hash, sub, &kv);
        }
        let after = self.compacted.max(0) + 1;
        for main in after..=revision {
            for (sub, event) in (0..).zip(self.history.at(main)) {
                hash = add(hash, sub, &event.kv);
            }
        }
        Ok(HashKv { hash, compact_revision: self.compacted, revision })
    }

    /// The versions up to the compaction revision that count, by place: those that are still their
    /// keys' newest at `revision`. If at that revision there is no key at all, etcd counts every
    /// version that the compaction kept; but a deletion never.
    fn kept_until(&self, revision: i64) -> Vec<(u32, Arc<KeyValue>)> {
        let any = self.keys.iter().any(|record| record.at(revision).is_some());
        let kept = self.keys.iter().filter_map(|record| {
            let (kv, sub) = record.kept(self.compacted)?;
            let counts = kv.mod_revision <= revision && !is_tombstone(kv);
            let newest = || record.at(revision).is_some_and(|newest| Arc::ptr_eq(newest, kv));
            (counts && (!any || newest())).then(|| (sub, Arc::clone(kv)))
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort_unstable_by_key(|(sub, kv)| (kv.mod_revision, *sub));
        kept
    }
}

/// One entry of etcd's `key` bucket: the revision, then the version as protocol buffer.
fn add(hash: u32, sub: u32, kv: &KeyValue) -> u32 {
    let mut head = Vec::with_capacity(96 + kv.key.len());
    head.extend_from_slice(&kv.mod_revision.to_be_bytes());
    head.push(b'_');
    head.extend_from_slice(&i64::from(sub).to_be_bytes());
    let tombstone = is_tombstone(kv);
    if tombstone {
        head.push(b't');
    }
    bytes(&mut head, 1, &kv.key);
    if tombstone {
        return crc32c::crc32c_append(hash, &head);
    }
    number(&mut head, 2, kv.create_revision);
    number(&mut head, 3, kv.mod_revision);
    number(&mut head, 4, kv.version);
    let mut tail = Vec::new();
    if !kv.value.is_empty() {
        tag(&mut head, 5, 2);
        varint(&mut head, kv.value.len() as u64);
    }
    number(&mut tail, 6, kv.lease);
    let hash = crc32c::crc32c_append(hash, &head);
    let hash = crc32c::crc32c_append(hash, &kv.value);
    crc32c::crc32c_append(hash, &tail)
}

fn bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    tag(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, field: u8, number: i64) {
    if number != 0 {
        tag(out, field, 0);
        // As protocol buffers have it: the two's complement.
        varint(out, u64::from_le_bytes(number.to_le_bytes()));
    }
}

fn tag(out: &mut Vec<u8>, field: u8, kind: u8) {
    out.push(field << 3 | kind);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
