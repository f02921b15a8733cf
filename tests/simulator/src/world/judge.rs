//! Looks at both rooms after each event, and at everything in the end. Start at [`World::judge_rooms`].

use bytes::Bytes;
use mvcc::{EventKind, KeyRange, State};
use pair::{InSync, Position, RoleView, Room};

use super::clients::{read_key, read_value};
use super::{ROOMS, World};
use crate::history::{Change, Operation, Outcome, Revision, Value};
use crate::linear::search::{Verdict, order};
use crate::linear::{self};
use crate::moment::Moment;
use crate::report::{Report, Totals};

/// Steps of the search for an order, for each key: more than a sound history takes.
const STEPS: usize = 20_000;

/// Operations on one key that are searched at most; the search takes the square of it.
const SEARCHED: usize = 400;

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// The first promise that was broken.
    pub(super) broken: Option<String>,
    /// The newest entry that any room has shown to readers, so it was acknowledged.
    acknowledged: Position,
    /// By room: what its readers saw last, in any life of its process.
    seen: [Revision; 2],
}

impl World {
    /// At most one room acknowledges, and it has all that was acknowledged before.
    pub(super) fn judge_rooms(&mut self) {
        let now = self.now;
        let may = |room: Room| {
            let machine = self.machine(room);
            let time = machine.time(now);
            machine
                .process
                .as_ref()
                .is_some_and(|process| process.replica.pair().may_acknowledge(time))
        };
        let may = ROOMS.map(may);
        if may == [true, true] {
            let how = self.describe();
            return self.break_off(format!("both rooms may acknowledge: {how}"));
        }
        let Some(leader) = ROOMS.into_iter().find(|room| may[*room as usize]) else { return };
        let acknowledged = self.judge.acknowledged;
        let Some(process) = &self.machine(leader).process else { return };
        let history = process.replica.pair().history();
        if acknowledged.index > 0 && history.at(acknowledged.index) != Some(acknowledged) {
            let last = history.last();
            self.break_off(format!(
                "room {leader} leads, and lacks entry {} of epoch {}, which was acknowledged; its last is \
                 {} of epoch {}",
                acknowledged.index, acknowledged.epoch, last.index, last.epoch
            ));
        }
    }

    /// The process of a room has begun with what its disk had.
    pub(super) fn see_start(&mut self, room: Room) {
        let Some(process) = &self.machine(room).process else { return };
        let (state, at) = process.published.clone();
        self.judge.seen[room as usize] = 1;
        self.see(room, &state, at);
    }

    /// Readers of the room see this state from now on. It must be a beginning of the one history.
    pub(super) fn see(&mut self, room: Room, state: &State, at: Position) {
        if at.index > self.judge.acknowledged.index {
            self.judge.acknowledged = at;
        }
        // Else a checkpoint could hold more than the log behind it.
        let process = self.machine(room).process.as_ref();
        if let Some(written) = process.map(|process| process.written).filter(|w| *w < at.index) {
            let last = at.index;
            return self.break_off(format!(
                "readers of room {room} see entry {last}, and its own disk has {written} only"
            ));
        }
        let seen = std::mem::replace(&mut self.judge.seen[room as usize], state.revision());
        if state.revision() < seen {
            let revision = state.revision();
            return self
                .break_off(format!("room {room} went back from revision {seen} to {revision}"));
        }
        let from = (seen + 1).max(state.compacted());
        let all = KeyRange { key: Bytes::from_static(b"\0"), end: Bytes::from_static(b"\0") };
        let Ok(events) = state.events(from, state.revision() + 1, &all) else { return };
        let mut wrong = None;
        let mut before = 0;
        for event in events {
            let revision = event.kv.mod_revision;
            let change = read_key(&event.kv.key).map(|key| Change {
                key,
                value: match event.kind {
                    EventKind::Put => Some(read_value(&event.kv.value).unwrap_or(Value::MAX)),
                    EventKind::Delete => None,
                },
            });
            let once = revision > before;
            before = revision;
            if !change.is_some_and(|change| once && self.truth.see(revision, change)) {
                wrong = wrong.or(Some((revision, change)));
            }
        }
        if let Some((revision, change)) = wrong {
            let known = self.truth.at(revision);
            self.break_off(format!(
                "room {room} shows revision {revision} as {change:?}, and it was {known:?}"
            ));
        }
    }

    /// Both rooms are in sync under one decision, and a write was taken lately.
    pub(super) fn is_well(&self) -> bool {
        let pairs = ROOMS.map(|room| self.machine(room).process.as_ref());
        let [Some(one), Some(other)] = pairs else { return false };
        let registers = [one, other].map(|process| process.replica.pair().register().copied());
        let [Some(first), Some(second)] = registers else { return false };
        let roles = [one, other].map(|process| process.replica.pair().role());
        first.decides_as(&second)
            && first.in_sync == InSync::Both
            && roles.contains(&RoleView::Leading)
            && roles.contains(&RoleView::Following { aligned: true })
            && self.now.since(self.clients.written) < std::time::Duration::from_secs(5)
            && self.clients.written > Moment::from_millis(self.plan.seconds * 1000)
    }

    /// How both rooms are, for people.
    pub(super) fn describe(&self) -> String {
        let one = |room: Room| {
            let machine = self.machine(room);
            let Some(process) = &machine.process else {
                let what = if machine.on { "does not run" } else { "is off" };
                return format!("room {room} {what}");
            };
            let pair = process.replica.pair();
            let register = pair.register().map_or("no register".to_owned(), ToString::to_string);
            let last = pair.history().last();
            let (role, at) = (pair.role(), process.published.1);
            format!(
                "room {room} is {role:?} with {register}; its last entry is {} of epoch {}, its readers \
                 see {}",
                last.index, last.epoch, at.index
            )
        };
        ROOMS.map(one).join("; ")
    }

    /// What can only be judged in the end.
    pub(super) fn judge_all(&mut self) {
        if let Err(lie) = linear::check(&self.history, &self.truth) {
            return self.break_off(lie.to_string());
        }
        let mut keys: std::collections::BTreeMap<u8, Vec<(Value, &Operation)>> = Default::default();
        for (number, operation) in self.history.0.iter().enumerate() {
            keys.entry(operation.key).or_default().push((number as Value, operation));
        }
        let mut wrong = None;
        for (key, operations) in keys {
            let cut = operations.get(SEARCHED).map(|(_, operation)| operation.invoked);
            let first: Vec<_> = operations
                .into_iter()
                .take(SEARCHED)
                .map(|(number, operation)| (number, until(operation, cut)))
                .collect();
            if order(first.iter().map(|(number, operation)| (*number, operation)), STEPS)
                == Verdict::Not
            {
                wrong = Some(key);
            }
        }
        if let Some(key) = wrong {
            return self.break_off(format!("what was said of key {key} has no order"));
        }
        let pairs = ROOMS.map(|room| self.machine(room).process.as_ref());
        let [Some(one), Some(other)] = pairs else {
            return self.break_off("a room does not run in the end".to_owned());
        };
        let ((one, first), (other, second)) = (&one.published, &other.published);
        if first != second || !one.content_eq(other) {
            return self.break_off(format!(
                "the rooms differ in the end: entry {} at revision {}, entry {} at revision {}",
                first.index,
                one.revision(),
                second.index,
                other.revision()
            ));
        }
        let revision = one.revision();
        let behind = self.clients.watchers.iter().find(|watcher| watcher.next <= self.truth.last());
        if let Some(watcher) = behind {
            let text =
                format!("a watcher still waits at {} of {revision}: {watcher:?}", watcher.next);
            self.break_off(text);
        }
    }

    pub(super) fn report(self) -> Report {
        let told = self.history.0.iter().filter(|operation| operation.returned.is_some()).count();
        Report {
            totals: Totals {
                lasted: self.now.since(Moment::ZERO),
                events: self.events,
                operations: self.history.0.len() as u64,
                told: told as u64,
                writes: self.clients.writes,
                longest_gap: self.clients.longest,
            },
            broken: self.judge.broken,
            timeline: self.timeline,
            history: self.history,
        }
    }
}

/// The operation as it was known at that moment: its answer may rest on what was asked later.
fn until(operation: &Operation, cut: Option<Moment>) -> Operation {
    let told = cut.is_none_or(|cut| operation.returned.is_some_and(|returned| returned < cut));
    if told {
        return *operation;
    }
    Operation { returned: None, outcome: Outcome::Unknown, ..*operation }
}
