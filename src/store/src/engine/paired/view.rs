//! How a pair is, as one of its rooms knows it. Start at [`View`].

use std::time::Duration;

use pair::{GrantedBy, Pair, Room};

use super::Reach;

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
    /// A leader may acknowledge and read now: it is alone, or its lease has not run out. Always so of a room
    /// that does not lead.
    pub in_force: bool,
    /// The newest entry that readers see, and its revision.
    pub index: u64,
    /// See `index`.
    pub revision: i64,
    /// For how long this room has not heard the follower; none if it has none.
    pub silent_for: Option<Duration>,
    /// How the way to the authority is.
    pub reach: Reach,
    /// What would let this room go on if the other one were lost now, or why it would not.
    pub without_peer: Result<GrantedBy, String>,
    /// A snapshot is being sent.
    pub sending_snapshot: bool,
}

/// What would let this room go on if the other one were lost now: by the protocol, and by what is known of
/// the way to the authority.
///
/// # Errors
/// Why it would not go on by itself, as a sentence.
pub(super) fn without_peer(pair: &Pair, reach: &Reach) -> Result<GrantedBy, String> {
    let by = pair.without_peer().map_err(|refusal| refusal.to_string())?;
    if by != GrantedBy::Witness {
        return Ok(by);
    }
    let epoch = pair.register().map(|register| register.epoch);
    match (&reach.trouble, reach.holds) {
        (Some(trouble), _) => Err(format!("the witness does not answer: {trouble}")),
        (None, Some(holds)) if Some(holds) != epoch => {
            Err(format!("the witness knows decision {holds}, and not the newest one yet"))
        }
        (None, _) => Ok(by),
    }
}
