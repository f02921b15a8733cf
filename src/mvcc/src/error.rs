//! Every no of the store, with etcd's own texts, which clients match on (etcd v3.5
//! `api/v3rpc/rpctypes/error.go`); and what makes an effect or a checkpoint unfit.

/// Why a request is refused. Its text is etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The revision that is asked for lies below the compaction revision.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision that is asked for has not happened yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// There is no such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// There is such a lease already.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// The lease's time is above [`crate::MAX_LEASE_TTL`].
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// A request names no key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// What a put is to keep is not there.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A put is to keep the value, and gives one.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A put is to keep the lease, and gives one.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction has too many steps.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction writes one key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A range is to be sorted in a way that there is not.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
}

/// Why an effect does not follow a state, or an item does not continue a checkpoint: what was read
/// is damaged, or belongs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The revision is not the next one.
    #[error("revision {found} does not follow revision {current}")]
    Revision {
        /// What came.
        found: i64,
        /// What it was to follow.
        current: i64,
    },
    /// A write without a change.
    #[error("revision {0} changes nothing")]
    NoChange(i64),
    /// A change without a key.
    #[error("a change at revision {0} names no key")]
    EmptyKey(i64),
    /// A deletion of what is not there.
    #[error("revision {revision} deletes `{key}`, which is not there")]
    NotThere {
        /// Where.
        revision: i64,
        /// The key, made printable.
        key: String,
    },
    /// A lease that there is not.
    #[error("lease {0} is not known")]
    NoLease(i64),
    /// A lease that there is already, or that cannot be.
    #[error("lease {0} cannot be granted")]
    Grant(i64),
    /// A compaction that cannot be.
    #[error("compaction at {found} does not fit revision {current} compacted at {compacted}")]
    Compact {
        /// What came.
        found: i64,
        /// The newest revision.
        current: i64,
        /// The compaction revision.
        compacted: i64,
    },
    /// The items of a checkpoint are out of their order.
    #[error("{0} is out of its order")]
    Order(&'static str),
    /// A version that does not fit the one before it.
    #[error("the version of `{key}` at revision {revision} does not fit the one before")]
    Version {
        /// Where.
        revision: i64,
        /// The key, made printable.
        key: String,
    },
    /// Fewer or more items than the head promised.
    #[error("{found} {what} instead of the {promised} that the head promised")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many came.
        found: u64,
        /// How many were promised.
        promised: u64,
    },
}
