//! The words of the store: keys, versions, requests and their answers, as etcd's API means them
//! (etcd v3.5 `api/etcdserverpb/rpc.proto`, `api/mvccpb/kv.proto`). Plain data; nothing here decides.

use std::sync::Arc;

use bytes::Bytes;

/// One version of a key (etcd's `mvccpb.KeyValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; never empty.
    pub key: Bytes,
    /// The value; empty for a deletion.
    pub value: Bytes,
    /// The revision in which this life of the key began; 0 for a deletion.
    pub create_revision: i64,
    /// The revision that made this version.
    pub mod_revision: i64,
    /// How many versions this life of the key has had, this one included; 0 for a deletion.
    pub version: i64,
    /// The lease that the key hangs on; 0 for none.
    pub lease: i64,
}

/// What happened to a key (etcd's `mvccpb.Event`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Put or deleted.
    pub kind: EventKind,
    /// The new version; for a deletion only `key` and `mod_revision` are set.
    pub kv: Arc<KeyValue>,
    /// The version before, if the key had one and it is not compacted away.
    pub prev_kv: Option<Arc<KeyValue>>,
}

/// The two things that can happen to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key has a new value.
    Put,
    /// The key is gone.
    Delete,
}

/// The keys that a request is about, in etcd's encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key.
    pub key: Bytes,
    /// Empty: only `key`. One zero byte: every key from `key` on. Else: the keys in `[key, end)`.
    pub end: Bytes,
}

/// In which order a range answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// As it comes: by key.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// What a range is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The revision of creation.
    Create,
    /// The revision of the last change.
    Mod,
    /// The value.
    Value,
}

/// Reads keys (etcd's `RangeRequest`, without `serializable`, which is the engine's matter).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub keys: KeyRange,
    /// At most so many; 0 for all.
    pub limit: i64,
    /// At which revision; 0 or less for the newest.
    pub revision: i64,
    /// In which order.
    pub sort_order: SortOrder,
    /// Ordered by what; of equals, the smaller key comes first. As in etcd, a target other than the key
    /// without an order sorts ascending, but only what the limit let through.
    pub sort_target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Bounds on the revisions of what is answered; 0 for none.
    pub min_mod_revision: i64,
    /// See `min_mod_revision`.
    pub max_mod_revision: i64,
    /// See `min_mod_revision`.
    pub min_create_revision: i64,
    /// See `min_mod_revision`.
    pub max_create_revision: i64,
}

/// Answers a [`RangeRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The keys found; none if only counted. With `keys_only`, the values are to be left out by who
    /// writes the answer: the versions here are shared with the store.
    pub kvs: Vec<Arc<KeyValue>>,
    /// Whether the values are to be left out.
    pub keys_only: bool,
    /// Whether there were more than the limit allowed.
    pub more: bool,
    /// How many keys lie in the range, whatever the limit.
    pub count: i64,
}

/// Writes a key (etcd's `PutRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// The new value.
    pub value: Bytes,
    /// The lease to hang it on; 0 for none.
    pub lease: i64,
    /// Answer with the version before.
    pub prev_kv: bool,
    /// Keep the value that is there; the key must exist.
    pub ignore_value: bool,
    /// Keep the lease that is there; the key must exist.
    pub ignore_lease: bool,
}

/// Answers a [`PutRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResponse {
    /// The version before, if it was asked for and there was one.
    pub prev_kv: Option<Arc<KeyValue>>,
}

/// Deletes keys (etcd's `DeleteRangeRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRangeRequest {
    /// Which keys.
    pub keys: KeyRange,
    /// Answer with what was deleted.
    pub prev_kv: bool,
}

/// Answers a [`DeleteRangeRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRangeResponse {
    /// How many keys were deleted.
    pub deleted: i64,
    /// What they held, if that was asked for.
    pub prev_kvs: Vec<Arc<KeyValue>>,
}

/// How a [`Compare`] compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompareResult {
    /// Is equal.
    #[default]
    Equal,
    /// Is greater.
    Greater,
    /// Is less.
    Less,
    /// Differs.
    NotEqual,
}

/// What a [`Compare`] looks at, and the value that it is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareTarget {
    /// The version; 0 for a key that is not there.
    Version(i64),
    /// The revision of creation; 0 for a key that is not there.
    Create(i64),
    /// The revision of the last change; 0 for a key that is not there.
    Mod(i64),
    /// The value; a key that is not there holds none, and the comparison fails.
    Value(Bytes),
    /// The lease; 0 for a key that is not there or hangs on none.
    Lease(i64),
}

/// One condition of a transaction; with a range, every key in it must meet it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Which keys.
    pub keys: KeyRange,
    /// How.
    pub result: CompareResult,
    /// Against what.
    pub target: CompareTarget,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOp {
    /// Read.
    Range(RangeRequest),
    /// Write.
    Put(PutRequest),
    /// Delete.
    DeleteRange(DeleteRangeRequest),
    /// Another transaction. As in etcd its conditions are judged before anything is written, by this
    /// transaction or the one around it; its reads do see what was written before them.
    Txn(TxnRequest),
}

/// Several steps at one revision (etcd's `TxnRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnRequest {
    /// The conditions; all must be met.
    pub compare: Vec<Compare>,
    /// What is done if they are.
    pub success: Vec<RequestOp>,
    /// What is done if they are not.
    pub failure: Vec<RequestOp>,
}

/// Answers one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseOp {
    /// To a read; with the header's revision at that step: one more than before, once the transaction
    /// has written something.
    Range(i64, RangeResponse),
    /// To a write; likewise.
    Put(i64, PutResponse),
    /// To a deletion; likewise.
    DeleteRange(i64, DeleteRangeResponse),
    /// To a nested transaction; etcd leaves the revision of its header at 0.
    Txn(i64, TxnResponse),
}

/// Answers a [`TxnRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnResponse {
    /// Whether the conditions were met.
    pub succeeded: bool,
    /// One answer for each step that was done.
    pub responses: Vec<ResponseOp>,
}

/// What a decision changed: what is logged, replicated and replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// One revision's changes, in order: their places are the sub-revisions.
    Write {
        /// The main revision, one above the one before.
        revision: i64,
        /// At least one.
        changes: Vec<Change>,
    },
    /// A lease begins.
    Grant {
        /// Its number; not 0.
        id: i64,
        /// Its time in seconds.
        ttl: i64,
    },
    /// A lease ends, by request or by time; the keys that hung on it are deleted at `revision`.
    Revoke {
        /// Its number.
        id: i64,
        /// The main revision; the one before, if no key hung on it.
        revision: i64,
    },
    /// History below this revision may be forgotten.
    Compact {
        /// The revision.
        revision: i64,
    },
    /// Revisions go on from here, since some that clients know may be lost.
    Leap {
        /// The newest revision from now on; all before it are compacted.
        revision: i64,
    },
}

/// One key's change within a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new version. `apply` shares the bytes, so they must be the change's own: a slice of some
    /// large buffer would keep all of that buffer.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// The lease; 0 for none.
        lease: i64,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: Bytes,
    },
}

/// One piece of a whole [`crate::State`], as checkpoints and backups carry it. The order is: the head,
/// the leases, the versions by revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Always first.
    Head {
        /// The newest revision.
        revision: i64,
        /// The compaction revision; -1 for none yet.
        compacted: i64,
        /// How many leases follow.
        leases: u64,
        /// How many versions follow.
        versions: u64,
    },
    /// A lease, by rising number.
    Lease {
        /// Its number.
        id: i64,
        /// Its time in seconds.
        ttl: i64,
    },
    /// A version that is still held, by rising (main, sub) revision; a deletion too.
    Version {
        /// Its place within its main revision.
        sub: i64,
        /// What happened.
        kind: EventKind,
        /// The version.
        kv: Arc<KeyValue>,
    },
}

/// The checksum of all keys up to a revision (etcd's `HashKV`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// CRC-32C, as etcd computes it.
    pub hash: u32,
    /// The compaction revision that it was taken at; -1 for none yet.
    pub compact_revision: i64,
    /// The revision that it was taken at.
    pub revision: i64,
}
