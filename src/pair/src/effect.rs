//! What goes out. Start at [`Effect`].

use crate::happening::Happening;
use crate::history::Position;
use crate::message::Message;
use crate::register::{Epoch, Index, Register, Room};
use crate::time::Time;
use crate::witness::Request;

/// Something to do. A step's effects are done in their order; one that says *durable* is on the disk
/// before the next one is begun, and a disk that fails ends the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Durable: this is the register now.
    Persist(Register),
    /// To the peer, with the contents that its positions stand for. May be lost.
    Send(Message),
    /// To the authority; the answer comes back as [`crate::Event::Answered`] with the number, or never.
    Ask(u64, Ask),
    /// The waiting clients' entries are `after.index + 1 ..= last` of `epoch`: write and sync them, then
    /// say [`crate::Event::Synced`]. Syncing need not be over before the next effect.
    Append {
        /// What they follow.
        after: Position,
        /// Of the leadership.
        epoch: Epoch,
        /// The last of them.
        last: Index,
    },
    /// The same for entries that came with the message at hand.
    Store {
        /// What they follow.
        after: Position,
        /// Of the leadership that wrote them.
        epoch: Epoch,
        /// The last of them.
        last: Index,
    },
    /// Durable: cut off what lies behind. No `Synced` of what was cut off may come any more.
    Truncate(Position),
    /// Put the snapshot that came with the message at hand in the place of the log, then say
    /// [`crate::Event::Installed`].
    Install(Position),
    /// Clients whose entries are not behind this one may be told yes.
    Acknowledge(Index),
    /// Linearizable reads of what is acknowledged may be answered while this room's clock is before
    /// `until`; without it until further notice.
    Serve {
        /// The end of the lease; the driver compares it with its clock at each read.
        until: Option<Time>,
    },
    /// No reads any more, and waiting clients are to be told that nobody knows.
    StopServing,
    /// Make `peer` harmless under this decision: its disks, its machines. Sooner is better, but nothing
    /// waits for it.
    Fence {
        /// Whom.
        peer: Room,
        /// The decision that allows it.
        epoch: Epoch,
    },
    /// Entries may be lost: the revisions that clients see must jump far, so that none comes twice with
    /// different contents.
    LeapRevisions,
    /// For people.
    Tell(Happening),
}

/// What an authority is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The witness: do this with the site's register.
    Witness(Request),
    /// Switch the peer off, and confirm that it is.
    PowerOff(Room),
}
