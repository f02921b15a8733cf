//! What people are told. Start at [`Happening`]: each decision is one, and its text is a sentence.

use std::fmt;

use crate::history::Position;
use crate::refusal::Refusal;
use crate::register::{Authority, Epoch, GrantedBy, InSync, Index, Room};

/// Who, when, what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// The room that it happened in.
    pub room: Room,
    /// The newest decision that the room knew; 0 when none.
    pub epoch: Epoch,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The two rooms hear each other, for the first time since this one started.
    Met,
    /// The peer had a newer decision, which is this room's now.
    Adopts(InSync),
    /// This room leads.
    Leads(InSync, GrantedBy),
    /// This room follows the peer.
    Follows,
    /// This room no longer leads.
    StepsDown,
    /// The peer has not been heard for too long.
    PeerSilent,
    /// The peer is heard again before the authority answered.
    PeerBack,
    /// The authority is asked.
    Asks(Authority),
    /// It will not be, or it was to no avail; said once until the reason changes.
    Refuses(Refusal),
    /// The peer is no longer in sync.
    Shrinks(GrantedBy),
    /// The peer is caught up, and is taken into the set.
    Grows,
    /// The witness holds this decision: it can decide when a room is lost.
    Witnessed,
    /// The peer leads from now on.
    HandsOver,
    /// This follower leaves the set.
    Leaves,
    /// The peer asked to be left out.
    PeerLeft,
    /// Entries that were never acknowledged were cut off.
    Truncates(Position, Index),
    /// The peer is sent a snapshot, since the log no longer reaches back to where the logs part.
    SendsSnapshot(Position),
    /// A snapshot took the place of the log.
    Installs(Position),
    /// The disk sticks, so the peer is asked to go on.
    Resigns,
}

impl What {
    /// One word for each kind, as the reasons of Kubernetes' events are.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            What::Met => "PeerMet",
            What::Adopts(_) => "DecisionAdopted",
            What::Leads(..) => "LeadershipBegan",
            What::Follows => "Following",
            What::StepsDown => "LeadershipEnded",
            What::PeerSilent => "PeerSilent",
            What::PeerBack => "PeerBack",
            What::Asks(_) => "AuthorityAsked",
            What::Refuses(_) => "Refused",
            What::Shrinks(_) => "PeerLeftOut",
            What::Grows => "PeerTakenIn",
            What::Witnessed => "Witnessed",
            What::HandsOver => "HandedOver",
            What::Leaves => "SetLeft",
            What::PeerLeft => "PeerLeft",
            What::Truncates(..) => "LogCut",
            What::SendsSnapshot(_) => "SnapshotSent",
            What::Installs(_) => "SnapshotInstalled",
            What::Resigns => "DiskStuck",
        }
    }

    /// `Warning` where a person may have to do something, else `Normal`: the types of Kubernetes' events.
    #[must_use]
    pub fn severity(&self) -> &'static str {
        let warns = [What::PeerSilent, What::Resigns].contains(self)
            || matches!(self, What::Refuses(_) | What::Shrinks(_));
        if warns { "Warning" } else { "Normal" }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Happening { room, epoch, what } = self;
        write!(f, "room {room}, epoch {epoch}: {what}")
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Met => f.write_str("met its peer"),
            What::Adopts(in_sync) => write!(f, "took over its peer's decision; in sync {in_sync}"),
            What::Leads(in_sync, by) => write!(f, "leads, by {by}; in sync {in_sync}"),
            What::Follows => f.write_str("follows"),
            What::StepsDown => f.write_str("leads no longer"),
            What::PeerSilent => f.write_str("its peer is silent"),
            What::PeerBack => {
                f.write_str("its peer is back; the question to the authority is void")
            }
            What::Asks(Authority::Witness) => f.write_str("asks the witness"),
            What::Asks(Authority::Power) => f.write_str("has its peer switched off"),
            What::Asks(Authority::Preferred(_)) => f.write_str("asks whether it is preferred"),
            What::Asks(Authority::Operator) => f.write_str("waits for an operator"),
            What::Refuses(refusal) => write!(f, "no: {refusal}"),
            What::Shrinks(by) => write!(f, "goes on alone, by {by}"),
            What::Grows => f.write_str("takes its peer into the set in sync"),
            What::Witnessed => f.write_str("the witness knows this decision"),
            What::HandsOver => f.write_str("hands over to its peer"),
            What::Leaves => f.write_str("leaves the set in sync"),
            What::PeerLeft => f.write_str("its peer asked to be left out"),
            What::Truncates(to, last) => {
                let Position { epoch, index } = to;
                write!(f, "cut its log from {last} back to {index}, the last of epoch {epoch}")
            }
            What::SendsSnapshot(at) => write!(f, "sends a snapshot of entry {}", at.index),
            What::Installs(at) => write!(f, "installed a snapshot of entry {}", at.index),
            What::Resigns => f.write_str("its disk is stuck, so its peer is asked to go on"),
        }
    }
}
