//! The state store of a site: etcd's v3 API on a log of our own. Start at [`engine::Engine`], which
//! orders and keeps the writes, and [`serve`], which answers clients.
//!
//! ```text
//!  clients ──► serve (gRPC) ──► engine ──► mvcc::State (decides) ──► log (fsync) ──► answers, watches
//!                                  │                                   │
//!                                  └── checkpoints ◄── keeper          └──► recover (at start)
//! ```
//!
//! A write is answered after it is on the disk, and is seen by no reader before. Who leads among two
//! stores is not decided here.

pub mod backup;
pub mod checkpoint;
pub mod client;
pub mod config;
pub mod disk;
pub mod engine;
pub mod import;
pub mod log;
pub mod peer;
pub mod record;
pub mod recover;
pub mod refusal;
pub mod replica;
pub mod serve;
pub mod wire;

pub use refusal::Refusal;
