//! One room's store as a state machine: the protocol ([`pair`]), the deciding core and the newest entries
//! of the log, without a clock, a disk, a socket or a thread. Start at [`Replica::handle`] and
//! [`Replica::take`].
//!
//! ```text
//!  requests ──► core (decides) ──┐                         ┌──► Write, Persist, Install   (disk)
//!  packets of the peer ──────────┼──► pair ──► effects ──► ┼──► Send, Snapshot            (peer)
//!  disk done, answers, time ─────┘             + ring      ├──► Publish: readers, answers
//!                                                          └──► Serve, Ask, Fence, Tell
//! ```
//!
//! The threads of [`crate::engine`] drive it in a process, and a simulator drives two of them through all
//! that can happen. What is published is acknowledged, in the one history of the site.

mod attach;
mod input;
mod lead;
mod packet;
mod request;
mod ring;
mod step;
#[cfg(test)]
mod tests;

pub use input::{Acks, Input, Opened, Output, Settings};
pub use packet::{Packet, PacketError};
pub use request::{Pending, Request};
pub use ring::{Ring, position};
pub use step::Replica;
