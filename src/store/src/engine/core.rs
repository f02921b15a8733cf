//! Decides, in order, what every write does. Start at [`Core::handle`]. Reads no clock and no disk:
//! moments are given, and what is decided leaves in groups that others make durable.
//!
//! The head may be ahead of what is durable. When a group could not be written, the head falls back to
//! what is published, and every decision since is refused: nobody has seen them.

use std::collections::VecDeque;
use std::sync::Arc;

use mvcc::{Effect, RequestOp, State, TxnRequest};

use super::autocompact::{AutoCompact, Retention};
use super::command::{Ack, Command, Done, Group, Pending, Reply};
use super::lease::{Clocks, Moment};
use super::metrics::Counters;
use super::types::Answer;
use crate::record::Record;
use crate::refusal::Refusal;

/// A group is closed at this size: larger ones do not get a disk to write more per second, and the
/// first of a group waits for the last.
const GROUP_BYTES: usize = 1 << 20;

/// And at so many entries, for the same reason.
pub(crate) const GROUP_ENTRIES: usize = 4096;

/// Versions that one step of forgetting looks at: half a millisecond.
const SWEEP: usize = 256;

/// Steps of forgetting after which readers get a state without what was forgotten. What it alone holds is
/// freed at once then, which takes about as long as the steps.
const SWEEPS_PUBLISHED: u32 = 8;

/// Leases that end in one turn, so that a thousand that end at once do not hold up the writes.
const EXPIRED_AT_ONCE: usize = 64;

/// How long what is due waits before it is looked at again while the disk takes nothing.
const QUIET: Moment = Moment::from_millis(200);

/// What the deciding thread knows.
pub(crate) struct Core {
    head: State,
    term: u64,
    /// The entry before the next one.
    index: u64,
    clocks: Clocks,
    auto: AutoCompact,
    quota: u64,
    current: Group,
    /// Closed groups that wait for the committer.
    closed: VecDeque<Group>,
    /// The committer has a group.
    busy: bool,
    /// Steps of forgetting that readers have not got yet.
    swept: u32,
    counters: Arc<Counters>,
}

impl Core {
    pub(crate) fn new(
        head: State,
        term: u64,
        index: u64,
        (quota, retention): (u64, Retention),
        counters: Arc<Counters>,
        now: Moment,
    ) -> Core {
        let mut clocks = Clocks::default();
        clocks.fit(head.leases().map(|(id, lease)| (id, lease.ttl)), now);
        Core {
            head,
            term,
            index,
            clocks,
            auto: AutoCompact::new(retention),
            quota,
            current: Group::default(),
            closed: VecDeque::new(),
            busy: false,
            swept: 0,
            counters,
        }
    }

    /// Decides one command. [`Command::Done`] and [`Command::Stop`] are not for here.
    pub(crate) fn handle(&mut self, command: Command, now: Moment) {
        match command {
            Command::Put(request, reply) => {
                let grows = request.key.len() + request.value.len();
                let decided = self.room(grows).and_then(|()| Ok(self.head.put(&request)?));
                self.counters.puts.add(1);
                let answer = self.note(decided);
                self.ack(Ack::Put(Pending { reply, answer }));
            }
            Command::DeleteRange(request, reply) => {
                let decided = self.head.delete_range(&request).map_err(Refusal::Data);
                self.counters.deletes.add(1);
                let answer = self.note(decided);
                self.ack(Ack::DeleteRange(Pending { reply, answer }));
            }
            Command::Txn(request, reply) => {
                let room = grows(&request).map_or(Ok(()), |bytes| self.room(bytes));
                let decided = room.and_then(|()| Ok(self.head.txn(&request)?));
                self.counters.txns.add(1);
                let answer = self.note(decided);
                self.ack(Ack::Txn(Pending { reply, answer }));
            }
            Command::Compact(revision, reply) => {
                let decided = self.compact(revision).map_err(Refusal::Data);
                let answer = self.note(decided.map(|effect| ((), Some(effect))));
                self.ack(Ack::Done(Pending { reply, answer }));
            }
            Command::Grant(granted, reply) => {
                let decided =
                    self.room(0).and_then(|()| Ok(self.head.grant(granted.id, granted.ttl)?));
                if decided.is_ok() {
                    self.clocks.renew(granted.id, granted.ttl, now);
                    self.counters.leases_granted.add(1);
                }
                let answer = self.note(decided.map(|effect| (granted, Some(effect))));
                self.ack(Ack::Grant(Pending { reply, answer }));
            }
            Command::Revoke(id, reply) => {
                let decided = self.revoke(id).map_err(Refusal::Data);
                if decided.is_ok() {
                    self.counters.leases_revoked.add(1);
                }
                let answer = self.note(decided.map(|effect| ((), Some(effect))));
                self.ack(Ack::Done(Pending { reply, answer }));
            }
            Command::KeepAlive(id, reply) => self.keep_alive(id, reply, now),
            Command::Left(id, reply) => {
                let _ = reply.send(Ok(self.clocks.left(id, now)));
            }
            Command::Done(_) | Command::Pair(_) | Command::Stop => {}
        }
    }

    /// Does what time brings: ends leases, forgets history. `quiet` if the disk takes nothing now.
    pub(crate) fn tick(&mut self, now: Moment, quiet: bool) {
        if !quiet {
            for _ in 0..EXPIRED_AT_ONCE {
                let Some(id) = self.clocks.due(now) else { break };
                // A clock without a lease is dropped; the two can only differ by a fault.
                match self.revoke(id) {
                    Ok(effect) => {
                        self.counters.leases_expired.add(1);
                        self.record(effect);
                    }
                    Err(_) => self.clocks.remove(id),
                }
            }
            if let Some(revision) = self.auto.due(now, self.head.revision()) {
                // A revision that is compacted already needs nothing.
                if let Ok(effect) = self.compact(revision) {
                    self.record(effect);
                }
            }
        }
        if self.head.sweeping() {
            self.head.sweep(SWEEP);
            self.swept += 1;
        }
    }

    /// When [`Core::tick`] is due without a command; none if nothing is to come. While it is `quiet`
    /// what is overdue stays so: it is looked at now and then, not without a pause.
    pub(crate) fn next(&self, now: Moment, quiet: bool) -> Option<Moment> {
        if self.head.sweeping() {
            return Some(now);
        }
        let next = [self.clocks.next(), self.auto.next()].into_iter().flatten().min()?;
        Some(if quiet { next.max(now + QUIET) } else { next })
    }

    /// The next group for the committer, if it is free and there is one.
    pub(crate) fn take(&mut self) -> Option<Group> {
        if self.busy {
            return None;
        }
        let group = self.closed.pop_front().or_else(|| {
            let done = self.swept > 0 && !self.head.sweeping();
            let publish = done || self.swept >= SWEEPS_PUBLISHED;
            let worth =
                publish || !self.current.acks.is_empty() || !self.current.records.is_empty();
            worth.then(|| self.close())
        })?;
        self.busy = true;
        Some(group)
    }

    /// The committer has done with its group; `published` is the state and entry that readers have.
    pub(crate) fn done(&mut self, done: Done, published: (&State, u64), now: Moment) {
        self.busy = false;
        if done == Done::Durable {
            return;
        }
        let current = self.close();
        for group in self.closed.drain(..).chain([current]) {
            self.counters.failed.add(group.acks.len());
            group.acks.into_iter().for_each(|ack| ack.send(Some(&Refusal::NoSpace)));
        }
        let (state, index) = published;
        self.head = state.clone();
        self.index = index;
        self.clocks.fit(self.head.leases().map(|(id, lease)| (id, lease.ttl)), now);
    }

    /// The revision jumps ahead by so many, in a group that begins with it; see [`State::leap`].
    pub(crate) fn leap(&mut self, by: i64) {
        if !self.current.records.is_empty() {
            let group = self.close();
            self.closed.push_back(group);
        }
        let revision = self.head.revision().saturating_add(by);
        if let Ok(effect) = self.head.leap(revision) {
            self.record(effect);
        }
    }

    /// What was decided and never left: nobody has seen it, and nothing of it is done.
    pub(crate) fn abandon(self) -> impl Iterator<Item = Ack> {
        self.closed.into_iter().chain([self.current]).flat_map(|group| group.acks)
    }

    /// A group is on its way to the disk.
    pub(crate) fn busy(&self) -> bool {
        self.busy
    }

    /// Nothing is left to be made durable.
    pub(crate) fn idle(&self) -> bool {
        !self.busy && self.closed.is_empty() && self.current.acks.is_empty()
    }

    /// Closes the current group: it takes the state along as it is now.
    fn close(&mut self) -> Group {
        self.swept = 0;
        Group { state: Some(self.head.clone()), ..std::mem::take(&mut self.current) }
    }

    fn ack(&mut self, ack: Ack) {
        self.current.acks.push(ack);
        let Group { bytes, records, acks, .. } = &self.current;
        if *bytes >= GROUP_BYTES || records.len().max(acks.len()) >= GROUP_ENTRIES {
            let group = self.close();
            self.closed.push_back(group);
        }
    }

    /// Notes a decision for the log and makes its answer.
    fn note<T>(
        &mut self,
        decided: Result<(T, Option<Effect>), Refusal>,
    ) -> Result<Answer<T>, Refusal> {
        let (body, effect) = decided?;
        if let Some(effect) = effect {
            self.record(effect);
        }
        Ok(Answer { revision: self.head.revision(), term: self.term, body })
    }

    fn record(&mut self, effect: Effect) {
        self.index += 1;
        let record = Record { index: self.index, term: self.term, effect };
        self.current.bytes += record.weight();
        self.current.records.push(record);
    }

    /// Compacts, in a group that begins with it: the state before is published on its own, so that the
    /// watches are told what is then forgotten.
    fn compact(&mut self, revision: i64) -> Result<Effect, mvcc::Error> {
        if !self.current.records.is_empty() {
            let group = self.close();
            self.closed.push_back(group);
        }
        self.head.compact(revision)
    }

    fn revoke(&mut self, id: i64) -> Result<Effect, mvcc::Error> {
        let effect = self.head.revoke(id)?;
        self.clocks.remove(id);
        Ok(effect)
    }

    fn keep_alive(&mut self, id: i64, reply: Reply<i64>, now: Moment) {
        let ttl = self.head.lease(id).map_or(0, |lease| lease.ttl);
        if ttl > 0 {
            self.clocks.renew(id, ttl, now);
            self.counters.leases_renewed.add(1);
        }
        reply.send(Ok(Answer { revision: self.head.revision(), term: self.term, body: ttl }));
    }

    /// Whether `bytes` more fit into the quota.
    fn room(&self, bytes: usize) -> Result<(), Refusal> {
        let fits = self.head.size().saturating_add(bytes as u64) <= self.quota;
        self.counters.refused_bytes.set(if fits { 0 } else { bytes.max(1) as u64 });
        if fits { Ok(()) } else { Err(Refusal::NoSpace) }
    }
}

/// About how many bytes a transaction adds; none if it puts nothing.
fn grows(request: &TxnRequest) -> Option<usize> {
    let op = |op: &RequestOp| match op {
        RequestOp::Put(put) => Some(put.key.len() + put.value.len()),
        RequestOp::Txn(txn) => grows(txn),
        RequestOp::Range(_) | RequestOp::DeleteRange(_) => None,
    };
    request.success.iter().chain(&request.failure).filter_map(op).reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_lease_that_cannot_end_is_not_waited_for_without_a_pause() {
        let mut head = State::new();
        let _ = head.grant(1, 10).unwrap();
        let rules = (u64::MAX, Retention::Forever);
        let mut core = Core::new(head, 1, 0, rules, Arc::default(), Moment::ZERO);
        let (end, late) = (Moment::from_secs(10), Moment::from_secs(20));
        assert_eq!(core.next(Moment::ZERO, false), Some(end));
        core.tick(late, true);
        assert_eq!(core.next(late, true), Some(late + QUIET), "the disk takes nothing");
        assert_eq!(core.next(late, false), Some(end), "it has room again: at once");
        core.tick(late, false);
        assert_eq!(core.next(late, false), None);
        assert_eq!(core.take().unwrap().records.len(), 1);
    }
}
