//! The package side as a whole: repositories served and signed here, misbehaving servers, locks.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod components;
mod debian;
mod fetching;
mod locking;
mod repositories;
mod server;
mod unpacking;
