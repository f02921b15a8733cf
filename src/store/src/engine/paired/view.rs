//! How a pair is, as one of its rooms knows it. Start at [`View`].

use std::time::{Duration, SystemTime};

use pair::{GrantedBy, Refusal, Room};

/// A room's knowledge at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Which room.
    pub room: Room,
    /// Of which site.
    pub site: String,
    /// The protocol's side.
    pub pair: pair::View,
    /// Who grants.
    pub authority: pair::Authority,
    /// The newest entry that readers see, and its revision.
    pub index: u64,
    /// See `index`.
    pub revision: i64,
    /// For how long this room has not heard the follower; none if it has none.
    pub silent_for: Option<Duration>,
    /// When the authority answered last, by the wall clock.
    pub authority_answered: Option<SystemTime>,
    /// The last question to it was not answered.
    pub authority_silent: bool,
    /// What would let this room go on if the other one were lost now, or why it would not.
    pub without_peer: Result<GrantedBy, Refusal>,
    /// A snapshot is being sent.
    pub sending_snapshot: bool,
}
