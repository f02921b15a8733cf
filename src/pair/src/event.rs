//! What comes in. Start at [`Event`].

use crate::history::Position;
use crate::message::Message;
use crate::register::Index;
use crate::witness::Reply;

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time went by; due no later than [`crate::Pair::deadline`].
    Tick,
    /// The peer said something. The driver has checked with the link's keys that it is the peer.
    Received(Message),
    /// Clients want so many entries at the end of the log.
    Append(u64),
    /// The log is on the disk up to here.
    Synced(Position),
    /// The snapshot that holds everything up to here is on the disk, and the old log is gone.
    Installed(Position),
    /// A checkpoint holds the entries up to here; the log before it may go.
    Compacted(Index),
    /// The answer to [`crate::Effect::Ask`] with this number.
    Answered(u64, Answer),
    /// A person, or a program of this room, wants something.
    Command(Command),
    /// The disk has not finished a sync for longer than it may.
    DiskStuck,
    /// It works again.
    DiskBack,
}

/// What may be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Begin a site with what this room has, which was part of none. Once in the life of a site.
    Found {
        /// A number drawn for it.
        cluster: u128,
    },
    /// The other room is to lead.
    HandOver,
    /// This follower is to leave the set in sync, since it is about to be stopped.
    Leave,
    /// It may come back into the set.
    Return,
    /// A person says that the other room is off and stays off until it is told; this one goes on.
    GoOnAlone {
        /// Also where this room may not hold every acknowledged write.
        accept_loss: bool,
    },
}

/// What an authority answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The witness.
    Witness(Reply),
    /// The peer's power switch.
    Power(PowerAnswer),
    /// None came in the driver's own time.
    Unreachable,
}

/// What the peer's power switches say, all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PowerAnswer {
    /// All were confirmed off after the question.
    Off,
    /// One still says on.
    StillOn,
}
