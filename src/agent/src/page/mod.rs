//! How both rooms are, for people: a page, and the same as JSON, over HTTPS. Start at [`Server::bind`] and
//! [`look::run`].
//!
//! ```text
//!  this node ────────┐
//!  its store ────────┼─► look ─► Board ─┬─► /  /status.json  /events     anybody
//!  the other room ───┘   (each second   └─► /bundle                      the site's operators
//!                         or two)
//! ```
//!
//! It only reads. Whoever reaches a node may read the page, since it holds no secret and is needed most by
//! somebody who has lost his keys or stands at a strange computer; the bundle holds logs, and wants the
//! operator's certificate. Nothing a client sends is longer than a request's head.

mod board;
pub mod bundle;
mod crowd;
mod html;
pub mod look;
mod patience;
mod routes;
mod serve;

pub use board::Board;
pub use serve::{Limits, PageError, Server};
