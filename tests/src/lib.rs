//! What the whole-program tests share: the programs, a demo site with both rooms' images, the judges,
//! a lab to boot in, stores that run, two rooms of them, and wires that break.
//!
//! Start at [`demo::demo`], [`server::Server`], [`local_rooms::LocalRooms`] or [`two_rooms::Site`]. Nothing here
//! mocks anything: programs are run as a person runs them, and what they left is read by other people's
//! programs. What a test starts, it stops.

pub mod bad_wire;
pub mod bytes;
pub mod certificates;
pub mod chance;
pub mod demo;
pub mod faults;
pub mod judge;
pub mod local_rooms;
pub mod machine;
pub mod mirror;
pub mod programs;
pub mod rooms;
pub mod run;
pub mod scenarios;
pub mod server;
pub mod tools;
pub mod two_rooms;
pub mod wire;
pub mod witnessing;
