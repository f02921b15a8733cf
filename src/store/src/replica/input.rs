//! What comes into a [`super::Replica`] and what goes out. Plain data.

use std::sync::Arc;
use std::time::Duration;

use mvcc::State;
use pair::{Answer, Ask, Epoch, Happening, Index, Message, Position, Register, Room, Time};

use super::{Packet, Request, Ring};
use crate::engine::Retention;
use crate::engine::command::Ack;
use crate::record::Record;
use crate::refusal::Refusal;

/// What a person has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The protocol's.
    pub pair: pair::Settings,
    /// Bytes of keys, values and history, over which puts are refused.
    pub quota: u64,
    /// What history is forgotten by itself.
    pub retention: Retention,
    /// A sync that takes longer means that the disk sticks.
    pub stuck_after: Duration,
    /// The room that begins a site where both are empty.
    pub founder: Room,
    /// Begin a site with what is here, whatever the peer has: for data of a store that was part of none.
    pub found: bool,
    /// A number drawn for the site, should this room found it.
    pub cluster: u128,
}

/// What the data folder held.
#[derive(Debug)]
pub struct Opened {
    /// As last persisted.
    pub register: Option<Register>,
    /// The state that is surely acknowledged, and the place of its last entry.
    pub state: State,
    /// See `state`.
    pub at: Position,
    /// The newest entries, some of them behind `at`.
    pub ring: Ring,
}

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// Time went by; due no later than [`super::Replica::deadline`].
    Tick,
    /// A client wants something.
    Request(Request),
    /// The peer said something; the link's keys have shown that it is the peer.
    Packet(Packet),
    /// The peer sent all of a snapshot: the message, and the state.
    Snapshot(Message, State),
    /// The one [`Output::Write`] that was under way is synced.
    Written,
    /// The one [`Output::Install`] that was to be told is done.
    Installed,
    /// The last [`Output::Snapshot`] is sent, or has broken off.
    SnapshotSent,
    /// The answer to [`Output::Ask`] with this number.
    Answered(u64, Answer),
}

/// Something to do. They are done in their order; one that says *durable* is on the disk before the next
/// one is begun. A disk that fails ends the process.
#[derive(Debug)]
pub enum Output {
    /// Write these entries and sync them, then say [`Input::Written`]. At most one is under way; the
    /// following outputs need not wait for it. Without room on the disk it is tried until there is some.
    Write {
        /// They follow each other and what was written before.
        groups: Vec<Arc<[Record]>>,
        /// Entries up to here are known to be acknowledged ([`crate::log::Log::append_behind`]).
        settled: Index,
    },
    /// Durable: this is the register now ([`crate::recover::persist`]).
    Persist(Register),
    /// This state, which ends with entry `at`, takes the place of checkpoint and log
    /// ([`crate::recover::install`]). Durable if it is not `told`; else [`Input::Installed`] follows, and
    /// the following outputs need not wait.
    Install {
        /// All that the folder is to hold.
        state: State,
        /// Its last entry.
        at: Position,
        /// See above.
        told: bool,
    },
    /// Durable, and the last output: the folder's data is void ([`crate::recover::void`]). The process
    /// ends; the next start begins as a new disk.
    Void(&'static str),
    /// The last output: what is here contradicts itself. The process ends, and everything stays as it is.
    Broken(&'static str),
    /// To the peer. May be lost.
    Send(Packet),
    /// To the peer, beside the packets: this message and this state. May break off; either way
    /// [`Input::SnapshotSent`] follows.
    Snapshot(Message, State),
    /// To the authority; the answer comes back as [`Input::Answered`], or never.
    Ask(u64, Ask),
    /// Readers see this state from now on, which ends with entry `at`; then clients are answered.
    Publish {
        /// All up to `at` is acknowledged.
        state: State,
        /// Its last entry.
        at: Position,
        /// Who waits for it.
        acks: Acks,
    },
    /// This room leads and may answer linearizable reads of what is published, while its clock is before
    /// `until`; without it until further notice.
    Serve {
        /// The end of the lease.
        until: Option<Time>,
        /// The epoch in which its leadership began.
        term: Epoch,
    },
    /// This room leads no longer: no linearizable reads any more.
    StopServing,
    /// Make the peer harmless under this decision.
    Fence {
        /// Whom.
        peer: Room,
        /// The decision that allows it.
        epoch: Epoch,
    },
    /// For people.
    Tell(Happening),
}

/// Answers that wait until what they rest on is published.
#[derive(Default)]
pub struct Acks(pub(crate) Vec<Ack>);

impl std::fmt::Debug for Acks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answers", self.0.len())
    }
}

impl Acks {
    /// Sends the answers.
    pub fn answer(self) {
        self.0.into_iter().for_each(|ack| ack.send(None));
    }

    /// Sends this instead.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        self.0.into_iter().for_each(|ack| ack.send(Some(refusal)));
    }
}
