//! The engine: one order for all writes, each durable before it is answered or seen. Start at
//! [`Engine::open`].
//!
//! ```text
//!  put, txn, lease ──► Core (decides on the head) ──► committer (log, fsync) ──► publish ──► answer
//!                         ▲  one thread                  │  one thread              │
//!                         └────── done, or no room ◄─────┘                          ├──► ranges
//!                                                                                   └──► hub ──► watches
//! ```
//!
//! Readers see what is published and nothing else, so no answer rests on a write that a crash could
//! take back. Nothing here reads or writes a file except through [`crate::disk::Disk`].

mod autocompact;
pub(crate) mod command;
mod committer;
pub(crate) mod core;
mod handle;
mod inbox;
mod keeper;
mod lease;
pub(crate) mod metrics;
mod open;
pub(crate) mod paired;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod types;
mod watch;

pub use autocompact::Retention;
pub use handle::Engine;
pub use open::Options;
pub use paired::{Asking, Authority, Event, Link, PairOptions, Reach, Standing, View};
pub use snapshot::SnapshotStream;
pub use types::*;
pub use watch::stream::{WatchControl, WatchFeed};

use std::sync::{Mutex, MutexGuard};

use shared::Shared;

/// The shortest lease in seconds: etcd's with its default election timeout (`minLeaseTTL`).
pub const MIN_LEASE_TTL: i64 = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a thread that panics ends the process")
}
