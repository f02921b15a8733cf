//! Every no, with its reason. Start at [`Refusal`].

use crate::register::{Epoch, InSync, Room};
use crate::witness;

/// Why this room does not do what it was asked for or would like to; what it needs instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It lacks acknowledged writes.
    #[error("epoch {epoch} has {in_sync} in sync, and this room is not: it needs the peer")]
    NotInSync {
        /// The newest that is known.
        epoch: Epoch,
        /// Who is.
        in_sync: InSync,
    },
    /// Power or preference without having met the peer.
    #[error(
        "the peer was not met since this machine started, and may have gone on alone meanwhile: \
         it needs the peer or an operator"
    )]
    NotMetSinceBoot,
    /// The other room is the preferred one.
    #[error("room {0} is the preferred one: it needs that room or an operator")]
    NotPreferred(Room),
    /// Nobody but a person decides here.
    #[error("this site has no automatic authority: it needs the peer or an operator")]
    OperatorNeeded,
    /// The witness says no.
    #[error("the witness refuses: {0}")]
    Witness(witness::Refusal),
    /// The authority does not answer.
    #[error("the authority does not answer: it needs that, the peer, or an operator")]
    NoAnswer,
    /// The peer could not be switched off.
    #[error("the peer's power is still on: it needs the power switch, the peer, or an operator")]
    StillOn,
    /// The peer lives, so nobody goes on alone.
    #[error("the peer lives and leads; nothing needs to go on alone")]
    PeerAlive,
    /// It goes on alone already.
    #[error("this room goes on alone already")]
    AlreadyAlone,
    /// A person has to accept the loss.
    #[error("this room may lack acknowledged writes; they would be lost, which has to be accepted")]
    MayLose,
    /// Only the leader can.
    #[error("this room does not lead")]
    NotLeading,
    /// Only a follower can.
    #[error("this room does not follow; a leader hands over first")]
    NotFollowing,
    /// The leader is about to end.
    #[error("the leadership is being handed over")]
    HandingOver,
    /// The peer cannot take over.
    #[error("the peer is not in sync, so it cannot take over")]
    PeerNotInSync,
    /// The peer did not get all entries in time.
    #[error("the peer did not get the last entries in time; this room leads on")]
    HandOverLate,
    /// Too many entries wait.
    #[error("{0} entries wait for their acknowledgement; no more are taken")]
    TooManyWaiting(u64),
    /// There is nothing on the disk.
    #[error("this room's disk is empty: it needs the peer, or to be founded")]
    Empty,
    /// There is something on the disk.
    #[error("this room belongs to a site already")]
    NotEmpty,
    /// Its disk sticks.
    #[error("the disk of this room is stuck")]
    DiskStuck,
    /// The log has too many leaderships.
    #[error("the log holds too many leaderships: it needs a checkpoint")]
    HistoryFull,
    /// A peer of another site.
    #[error("the peer belongs to another cluster")]
    OtherCluster,
    /// Both rooms have one name.
    #[error("the peer says that it is room {0} too: one of the seeds is wrong")]
    SameRoom(Room),
    /// An old decision.
    #[error("the peer speaks of epoch {theirs}; {ours} is newer")]
    OldEpoch {
        /// The peer's.
        theirs: Epoch,
        /// This room's.
        ours: Epoch,
    },
    /// Two decisions with one number.
    #[error("the peer has another decision with number {0}: one of the disks was rolled back")]
    Conflict(Epoch),
}
