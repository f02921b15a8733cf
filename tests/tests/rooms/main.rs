//! Two rooms as processes: what was acknowledged is there, once and in order, whatever is killed, frozen, cut
//! off or filled up. Start at [`load::Load`], which asks and writes down, and at [`check::check`], which judges.
//!
//! Each test runs in networks of its own (`tests::two_rooms`). `DUET_DUETD` names another node program.

#![allow(clippy::unwrap_used)]

mod bad_input;
mod book;
mod check;
mod clients;
mod cold;
mod crash;
mod disk;
mod frozen;
mod grants;
mod history;
mod link;
mod load;
mod planned;
mod slow;
mod storm;
mod watcher;
