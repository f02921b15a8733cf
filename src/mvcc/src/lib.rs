//! What an etcd store holds, as pure data: revisions, ranges, transactions, leases, compaction and the
//! history that watches read. Start at [`State`].
//!
//! Nothing here reads a clock, a disk or a socket, waits, or draws a random number; the same requests
//! in the same order give the same state everywhere. What a request changed is an [`Effect`], and
//! effects alone make the state again.

mod apply;
mod check;
mod compact;
mod error;
mod hash;
mod history;
mod items;
mod leap;
mod lease;
mod range;
mod record;
mod state;
mod tree;
mod txn;
mod types;
mod write;

#[cfg(test)]
mod tests;

pub use check::DEFAULT_MAX_TXN_OPS;
pub use error::{ApplyError, Error};
pub use history::Events;
pub use items::{Builder, Items};
pub use lease::{KeySet, Keys, Lease, MAX_LEASE_TTL};
pub use state::State;
pub use types::*;
