//! The leader's side: deciding, and answering once every room in sync has what the answer rests on.
//! Start at [`Replica::decide`].

use std::collections::VecDeque;
use std::sync::Arc;

use mvcc::State;
use pair::{Epoch, Event, Index, Position, Time};

use super::input::Acks;
use super::request::Request;
use super::ring::position;
use super::step::Replica;
use crate::engine::command::{Ack, Done, Group};
use crate::engine::core::Core;
use crate::record::Record;
use crate::refusal::Refusal;

/// By how many revisions the store leaps where writes may be lost: more than a lost room can have made
/// in the time that it may have gone on alone.
const LEAP: i64 = 1 << 32;

/// A group may have so many entries; a larger room is waited for.
const ROOM: u64 = crate::engine::core::GROUP_ENTRIES as u64;

/// What only a leader has.
pub(super) struct Leading {
    core: Core,
    /// Groups that wait for their acknowledgement, oldest first. Bounded by [`pair::MAX_WAITING`] and by
    /// the requests that may wait.
    tails: VecDeque<Tail>,
    /// What the decided group waits with until it is appended.
    group: Option<(Vec<Ack>, State, Vec<Record>)>,
}

/// A group that is in the log, or one that only read.
struct Tail {
    last: Position,
    state: State,
    acks: Vec<Ack>,
    /// It changed nothing: its answers are reads.
    reads: bool,
}

impl Leading {
    /// Begins with the log as it is; what of it is not acknowledged yet will be.
    pub(super) fn new(
        replica: &Replica,
        head: State,
        term: Epoch,
        leap: bool,
        now: Time,
    ) -> Leading {
        let last = replica.ring.last();
        let inherited = (last != replica.at).then(|| Tail {
            last,
            state: head.clone(),
            acks: Vec::new(),
            reads: false,
        });
        let rules = (replica.settings.quota, replica.settings.retention);
        let counters = replica.counters.clone();
        let mut core = Core::new(head, term, last.index, rules, counters, now.0);
        if leap {
            core.leap(LEAP);
        }
        Leading { core, tails: inherited.into_iter().collect(), group: None }
    }

    pub(super) fn next(&self, now: Time) -> Option<Time> {
        self.core.next(now.0, false).map(Time)
    }

    /// The log has the last group.
    pub(super) fn written(&mut self, now: Time) {
        self.core.done(Done::Durable, (&State::new(), 0), now.0);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.core.idle() && self.tails.iter().all(|tail| tail.acks.is_empty())
    }

    /// Who waits for something that may or may not last, and who for something that was never begun or
    /// changes nothing.
    pub(super) fn end(self) -> (Acks, Acks) {
        let (reads, writes): (Vec<_>, Vec<_>) = self.tails.into_iter().partition(|tail| tail.reads);
        let unknown = writes.into_iter().flat_map(|tail| tail.acks).collect();
        let undone = self.group.into_iter().flat_map(|(acks, ..)| acks).chain(self.core.abandon());
        let undone = reads.into_iter().flat_map(|tail| tail.acks).chain(undone);
        (Acks(unknown), Acks(undone.collect()))
    }
}

impl Replica {
    pub(super) fn request(&mut self, now: Time, Request(command): Request) {
        match &mut self.leading {
            Some(leading) => leading.core.handle(command, now.0),
            None => command.refuse(&Refusal::NotLeading),
        }
    }

    /// Offers what is decided to both disks, while they take something.
    pub(super) fn decide(&mut self, now: Time) {
        if let Some(leading) = &mut self.leading {
            leading.core.tick(now.0, false);
        }
        while !self.is_writing() && self.pair.room_for_entries() >= ROOM {
            let Some(leading) = &mut self.leading else { return };
            let Some(Group { records, acks, state: Some(state), .. }) = leading.core.take() else {
                break;
            };
            if records.is_empty() {
                leading.core.done(Done::Durable, (&State::new(), 0), now.0);
                let last = self.ring.last();
                leading.tails.push_back(Tail { last, state, acks, reads: true });
                continue;
            }
            let count = records.len() as u64;
            leading.group = Some((acks, state, records));
            self.step(now, Event::Append(count));
        }
        self.settle(now, self.pair.acknowledged());
    }

    /// The protocol took the group: to the disk with it.
    pub(super) fn append(&mut self, now: Time, last: Position) {
        let group = self.leading.as_mut().and_then(|leading| leading.group.take());
        let (acks, state, records) = group.expect("entries are appended where they were decided");
        let records: Arc<[Record]> = Arc::from(records);
        assert!(records.last().map(position) == Some(last), "core and protocol count alike");
        self.ring.push(records.clone());
        self.write(now, vec![records], last);
        if let Some(leading) = &mut self.leading {
            leading.tails.push_back(Tail { last, state, acks, reads: false });
        }
    }

    /// Publishes and answers what is acknowledged up to `index`. A hand-over may have ended this leadership in
    /// the step that acknowledged: writes are still answered, and what only reads is not.
    pub(super) fn settle(&mut self, now: Time, index: Index) {
        let (readable, leads) = (self.pair.may_read(now), self.pair.term().is_some());
        while let Some(leading) = &mut self.leading {
            let waits = |tail: &Tail| tail.last.index > index || (tail.reads && leads && !readable);
            if leading.tails.front().is_none_or(waits) {
                return;
            }
            let Some(tail) = leading.tails.pop_front() else { return };
            if tail.reads && !readable {
                Acks(tail.acks).refuse(&Refusal::NotLeading);
                continue;
            }
            self.publish(tail.state, tail.last, Acks(tail.acks));
        }
    }
}
