//! How a room is, for people and for programs that watch over it. Start at [`Pair::view`]. Nothing here
//! decides.

use super::{Pair, Role, RoleView};
use crate::refusal::Refusal;
use crate::register::{Authority, Epoch, GrantedBy, Index, Register};
use crate::time::Time;

/// A room at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What it is doing.
    pub role: RoleView,
    /// What it has persisted.
    pub register: Option<Register>,
    /// That decision counts on this very disk: it holds what was acknowledged.
    pub counted: bool,
    /// Its newest entry.
    pub last: Index,
    /// Up to where its log is synced.
    pub synced: Index,
    /// Up to where it knows that entries are acknowledged.
    pub acknowledged: Index,
    /// Both rooms heard each other since this process began.
    pub met: bool,
    /// Both rooms heard each other, and agreed, since this machine started.
    pub met_since_boot: bool,
    /// Of a leader: its follower.
    pub follower: Option<FollowerView>,
    /// Of a leader whose set is both rooms: until when it may acknowledge and read.
    pub lease: Option<Time>,
    /// Of a follower: until when it has promised not to seek a grant.
    pub promised: Option<Time>,
    /// Of a leader whose authority is a witness: the newest decision that the witness is known to hold.
    pub witnessed: Option<Epoch>,
    /// The authority is being asked whether this room may go on alone.
    pub asking: bool,
    /// Its disk sticks.
    pub stuck: bool,
    /// It asked to be left out of the set.
    pub away: bool,
    /// The last no that was told, and that no decision has followed since.
    pub refusal: Option<Refusal>,
}

/// What a leader knows of its follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerView {
    /// It has entries up to here.
    pub last: Index,
    /// And on its disk up to here.
    pub synced: Index,
    /// When it was heard last.
    pub heard: Time,
}

impl Pair {
    /// How this room is.
    #[must_use]
    pub fn view(&self) -> View {
        let mut view = View {
            role: self.role(),
            register: self.register,
            counted: self.is_in_sync(),
            last: self.history.last().index,
            synced: self.synced,
            acknowledged: self.acknowledged,
            met: self.is_met(),
            met_since_boot: self.met_since_boot(),
            follower: None,
            lease: None,
            promised: None,
            witnessed: None,
            asking: self.asks_for_grant(),
            stuck: self.stuck,
            away: self.away,
            refusal: self.told,
        };
        match &self.role {
            Role::Apart(apart) => view.promised = Some(apart.seek),
            Role::Following(following) => view.promised = Some(following.promised),
            Role::Leading(leading) => {
                let heard = leading.heard;
                view.follower = leading.follower.as_ref().map(|follower| {
                    let (last, synced) = follower.reached();
                    FollowerView { last, synced, heard }
                });
                view.lease = (!self.is_alone()).then_some(leading.lease);
                let witness = self.settings.authority == Authority::Witness;
                view.witnessed = witness.then_some(leading.witnessed);
            }
        }
        view
    }

    /// What would let this room go on if the other one were lost now. A witness that can be reached now is
    /// taken to be reachable then; what it holds is the leader's to know.
    ///
    /// # Errors
    /// Why it would not go on by itself.
    pub fn without_peer(&self) -> Result<GrantedBy, Refusal> {
        let register = self.register.ok_or(Refusal::Empty)?;
        if self.is_alone() {
            return Ok(GrantedBy::Alone);
        }
        if self.stuck || self.installing.is_some() {
            return Err(Refusal::DiskStuck);
        }
        if !self.is_in_sync() {
            let (epoch, in_sync) = (register.epoch, register.in_sync);
            return Err(Refusal::NotInSync { epoch, in_sync });
        }
        let met = if self.met_since_boot() { Ok(()) } else { Err(Refusal::NotMetSinceBoot) };
        match self.settings.authority {
            Authority::Witness => match &self.role {
                Role::Leading(leading) if leading.witnessed != register.epoch => {
                    Err(Refusal::NoAnswer)
                }
                _ => Ok(GrantedBy::Witness),
            },
            Authority::Power => met.map(|()| GrantedBy::Power),
            Authority::Preferred(room) if room != self.me() => Err(Refusal::NotPreferred(room)),
            Authority::Preferred(_) => met.map(|()| GrantedBy::Preferred),
            Authority::Operator => Err(Refusal::OperatorNeeded),
        }
    }

    fn met_since_boot(&self) -> bool {
        self.register.is_some_and(|register| register.boot_id == self.identity.boot_id)
    }
}
