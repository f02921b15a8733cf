//! Two ends of a link on the loopback, and others who want in.

#![allow(clippy::unwrap_used)]

mod calls;
mod frames;
mod rig;
mod say;
mod snapshots;
mod strangers;
mod turned_away;
