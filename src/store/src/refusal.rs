//! Every no of the store: what it means, and the gRPC code and text that clients match on (etcd v3.5
//! `api/v3rpc/rpctypes/error.go`). Nothing here decides; [`Refusal::code`] and `Display` are the wire.

use mvcc::Error;
use thiserror::Error;

/// Why a request was not done. Nothing has changed, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request does not fit the data or is not sound.
    #[error("{0}")]
    Data(#[from] Error),
    /// The disk or the quota is full; reading and deleting go on.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The request is larger than allowed.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// Too many requests are waiting; try again.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// A limit of this store (streams, watches), named.
    #[error("duet: {0}")]
    Limit(&'static str),
    /// The store is ending; whether a write was done is unknown.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// The other room leads, or nobody does; nothing was done, and the leader may be asked.
    #[error("etcdserver: not leader")]
    NotLeading,
    /// Nobody leads, and none came in time; nothing was done.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// The leader was lost while the request was under way; whether a write was done is unknown.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    LeaderLost,
    /// The request makes no sense to this server; etcd's own text.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// A gRPC status code, by its number (gRPC core `StatusCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the specification's names")]
pub enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Unimplemented = 12,
    Unavailable = 14,
}

impl Refusal {
    /// The code that goes with the text.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Refusal::Data(error) => match error {
                Error::Compacted | Error::FutureRevision | Error::LeaseTtlTooLarge => {
                    Code::OutOfRange
                }
                Error::LeaseNotFound => Code::NotFound,
                Error::LeaseExists => Code::FailedPrecondition,
                Error::EmptyKey
                | Error::KeyNotFound
                | Error::ValueProvided
                | Error::LeaseProvided
                | Error::TooManyOps
                | Error::DuplicateKey
                | Error::InvalidSortOption => Code::InvalidArgument,
            },
            Refusal::NoSpace | Refusal::TooManyRequests | Refusal::Limit(_) => {
                Code::ResourceExhausted
            }
            Refusal::TooLarge => Code::InvalidArgument,
            Refusal::Stopped | Refusal::NotLeading | Refusal::NoLeader | Refusal::LeaderLost => {
                Code::Unavailable
            }
            Refusal::Unsupported(_) => Code::Unimplemented,
        }
    }
}
