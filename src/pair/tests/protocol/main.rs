//! The protocol, told as stories, walked through exhaustively, and broken on purpose. Start at
//! [`world::World`].

#![allow(clippy::print_stdout)] // how many states were seen, and the way to a broken promise

mod flaw;
mod model;
mod mutants;
mod stories;
mod walks;
mod world;
