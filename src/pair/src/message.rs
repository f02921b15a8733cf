//! What one room says to the other. Start at [`Message`].
//!
//! Plain data: the driver encodes it, and attaches the contents that positions stand for. Messages may
//! be lost, repeated, late and out of order.

use serde::{Deserialize, Serialize};

use crate::history::{History, Position};
use crate::register::{Epoch, Index, Register, Room};
use crate::time::Time;

/// A message with what every one carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub from: Room,
    /// The disk of the speaker.
    pub incarnation: u64,
    /// Which start of the speaker's process this is; a later one has a larger number.
    pub start: u64,
    /// The newest start of the other room that the speaker heard: who reads its own number here knows
    /// that it is heard.
    pub heard: Option<u64>,
    /// What the speaker has persisted; none when its disk is empty.
    pub register: Option<Register>,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Body {
    /// I do not lead. Here is the shape of my log; a leader answers where we part.
    Hello {
        /// The speaker's log.
        history: History,
    },
    /// I lead.
    Heartbeat {
        /// The epoch in which this leadership began.
        term: Epoch,
        /// The speaker's clock when it sent this; it comes back in [`Body::Alive`].
        sent: Time,
        /// Up to where writes are acknowledged.
        acknowledged: Index,
    },
    /// To a leader: I follow, and promise not to seek a grant for one lease from when I heard you.
    Alive {
        /// The leadership that the speaker's log was aligned with.
        term: Epoch,
        /// [`Body::Heartbeat::sent`] of the heartbeat that this answers; none when it answers none.
        answered: Option<Time>,
        /// The speaker's last entry.
        last: Index,
        /// Up to where its log is synced.
        synced: Index,
        /// The speaker's disk sticks: do not count on it.
        stuck: bool,
        /// The speaker wants to stay out of the set.
        away: bool,
    },
    /// To a follower: cut your log there, then take entries.
    Rejoin {
        /// The epoch in which this leadership began.
        term: Epoch,
        /// The end of the follower's log that this answers.
        of: Position,
        /// The last common point.
        to: Position,
    },
    /// To a follower: take this snapshot instead of your log.
    Snapshot {
        /// The epoch in which this leadership began.
        term: Epoch,
        /// The end of the follower's log that this answers.
        of: Position,
        /// What the snapshot holds.
        at: Position,
    },
    /// Entries `after.index + 1 ..= last`, all of one leadership. The driver attaches them.
    Entries {
        /// The epoch in which the sender's leadership began.
        term: Epoch,
        /// What they follow.
        after: Position,
        /// The epoch of their leadership.
        epoch: Epoch,
        /// The last of them.
        last: Index,
    },
    /// To a follower: everything up to here is acknowledged. Heartbeats say it too, only later.
    Committed {
        /// The epoch in which the sender's leadership began.
        term: Epoch,
        /// Up to where writes are acknowledged.
        acknowledged: Index,
    },
    /// To a follower: I stopped, reads included, and cannot persist that. Do not wait for my lease.
    Resign {
        /// The epoch in which the leadership began that ends.
        term: Epoch,
    },
}
