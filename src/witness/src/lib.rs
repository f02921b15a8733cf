//! The witness: a small third party that holds one register for each of many sites, and grants at most one
//! room of each to go on alone. Start at [`Keeper`] and [`serve`] on its side, at [`Client`] on a room's.
//!
//! ```text
//!  room ─► client ─► serve ────────► keeper ─────────► registers ─► place ─► answer
//!                    (mutual TLS,    (one thread: a    (pure: the   (new file, sync,
//!                     limits, who     group of asks)    rule of      rename, sync)
//!                     asks)                             `pair`)
//! ```
//!
//! The rule itself is [`pair::witness::Witness::step`]; here it gets a disk, a wire and many sites. No
//! answer is sent before what it says is on the disk. What is damaged is refused by name, and never
//! begun anew: only a person does that, and gives the site a new generation with it.

pub mod client;
mod count;
pub mod definition;
pub mod disk;
pub mod edit;
mod keeper;
mod limit;
mod load;
mod name;
mod process;
mod record;
mod registers;
pub mod serve;
mod tls;
pub mod wire;

pub use client::{AskError, Client, Config};
pub use keeper::{Failure, Keeper};
pub use load::LoadError;
pub use name::{Caller, DEFAULT_SERVER_NAME, NameError};

#[cfg(test)]
mod tests;
