//! Two rooms find each other on the wire: `duetd discover` and `duetd store` as processes, in networks of their
//! own that a bridge joins. Start at [`lan::Lan`] and [`machine::Machine`].
//!
//! Each test runs in namespaces of its own (`tests::two_rooms::alone`). `DUET_DUETD` names another node program.

#![allow(clippy::unwrap_used)]

mod forged;
mod found;
mod lan;
mod machine;
mod packets;
mod sync;
