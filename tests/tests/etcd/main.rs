//! Duet's store against the real etcd: Debian's etcd-server 3.5 and etcdctl, unpacked from packages
//! that `profiles/peers.lock` pins.
//!
//! [`differential`] is the heart: what both answer to random programs is compared field by field. The
//! others look at what random programs do not reach. Nothing is known about either server but its
//! address.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod client;
mod crash;
mod differential;
mod etcdctl;
mod faults;
mod leases;
mod moving;
mod pair;
mod program;
mod scenario;
mod side;
mod stream;
mod watches;

use tempfile::TempDir;
use tests::programs::kept;

/// A number that the environment may set.
fn number(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

/// A folder for the data of servers, beside what is built: temporary folders may lie in memory. It
/// goes when it is dropped.
fn scratch(name: &str) -> TempDir {
    tempfile::Builder::new().prefix(name).tempdir_in(kept("stores")).unwrap()
}
