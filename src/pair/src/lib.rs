//! Decides which of two rooms may write: the one protocol that keeps two replicas of a log one history.
//! Start at [`Pair::step`]; the rules, the authorities and what is assumed are in `docs/protocol.md`.
//!
//! Nothing here reads a clock, a disk or a socket, waits, or draws a random number. The time and the
//! events come in, effects go out, and the driver carries them out in their order: what is to be
//! persisted is on the disk before what follows it is said. The log's contents never come here; only
//! positions in it do.

mod effect;
mod event;
mod happening;
mod history;
mod message;
mod pair;
mod refusal;
mod register;
mod time;
mod timing;
pub mod wire;
pub mod witness;

pub use effect::{Ask, Effect};
pub use event::{Answer, Command, Event, PowerAnswer};
pub use happening::{Happening, What};
pub use history::{History, HistoryError, MAX_RUNS, Position, Run};
pub use message::{Body, Message};
pub use pair::{FollowerView, Identity, MAX_WAITING, Pair, Recovered, RoleView, Settings, View};
pub use refusal::Refusal;
pub use register::{Authority, Epoch, GrantedBy, InSync, Incarnations, Index, Register, Room};
pub use time::Time;
pub use timing::{Timing, TimingError};
