//! Clients: each asks one thing at a time, waits for a while, and turns to the other room when it is of
//! no use. Start at [`World::thinks`]. Watchers go from room to room, too.

use std::time::Duration;

use bytes::Bytes;
use mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, KeyRange,
    KeyValue, PutRequest, PutResponse, RangeRequest, RequestOp, ResponseOp, TxnRequest,
    TxnResponse,
};
use pair::Room;
use store::Refusal;
use store::engine::Answer;
use store::replica::{Pending, Request as Asked};
use tokio::sync::oneshot::error::TryRecvError;

use super::disk::End;
use super::{Ending, Happens, ROOMS, World};
use crate::history::{Found, Key, Operation, Outcome, Request, Revision, Value};
use crate::moment::Moment;
use crate::timeline::{Place, What};

/// Few, so that clients meet.
const KEYS: usize = 6;

/// How long a client waits for an answer, in milliseconds.
const PATIENCE: u64 = 1_000;

/// No write for so long, and what a client may think besides, is a line in the timeline.
const GAP_MS: u64 = 1_000;

pub(crate) const WATCHERS: usize = 2;

/// History that is kept when it is compacted, in revisions.
const KEPT: i64 = 60;

/// Revisions that a watcher takes at a time.
const BATCH: Revision = 1024;

/// All of them.
pub(crate) struct Clients {
    clients: Vec<Client>,
    pub(super) watchers: [Watcher; WATCHERS],
    /// When a client was last told that its write is done.
    pub(super) written: Moment,
    pub(super) writes: u64,
    pub(super) longest: Duration,
}

struct Client {
    /// Where it is; outside of both rooms if nowhere.
    place: Option<Room>,
    /// Whom it asks.
    target: Room,
    waits: Option<Value>,
    /// What it last read, for swaps.
    knows: [Option<Found>; KEYS],
}

/// Sees each change once, in order, from whichever room it watches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watcher {
    room: Room,
    pub(super) next: Revision,
}

/// Who waits for an answer of a process.
pub(crate) struct Call {
    client: u32,
    number: Value,
    answer: Waiting,
}

enum Waiting {
    Put(Pending<PutResponse>),
    Delete(Pending<DeleteRangeResponse>),
    Swap(Pending<TxnResponse>),
}

impl Clients {
    pub(crate) fn new(count: u32) -> Clients {
        let places = [None, Some(Room::A), Some(Room::B)];
        let client = |number: u32| Client {
            place: places[number as usize % 3],
            target: ROOMS[number as usize % 2],
            waits: None,
            knows: [None; KEYS],
        };
        Clients {
            clients: (0..count).map(client).collect(),
            watchers: ROOMS.map(|room| Watcher { room, next: 2 }),
            written: Moment::ZERO,
            writes: 0,
            longest: Duration::ZERO,
        }
    }
}

impl Client {
    /// The room was of no use.
    fn turn_from(&mut self, room: Room) {
        if self.target == room {
            self.target = room.other();
        }
    }
}

/// The one key's request, as the store takes it.
fn key(key: Key) -> Bytes {
    Bytes::copy_from_slice(&[b'k', key])
}

fn value(number: Value) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The key that [`key`] made.
pub(super) fn read_key(key: &[u8]) -> Option<Key> {
    match key {
        [b'k', key] => Some(*key),
        _ => None,
    }
}

/// The value that [`value`] made.
pub(super) fn read_value(value: &[u8]) -> Option<Value> {
    Some(Value::from_be_bytes(value.try_into().ok()?))
}

fn found(kv: Option<&KeyValue>) -> Option<Found> {
    let kv = kv?;
    // What nobody can have written is found as something that nobody has.
    let value = read_value(&kv.value).unwrap_or(Value::MAX);
    Some(Found { value, revision: kv.mod_revision })
}

impl World {
    pub(super) fn thinks(&mut self, client: u32) {
        if !matches!(self.ending, Ending::Not | Ending::Mended { .. } | Ending::Well { .. }) {
            return;
        }
        let dice = &mut self.client_dice;
        let know = dice.below(KEYS);
        let own = &self.clients.clients[client as usize];
        let request = match dice.below(100) {
            0..42 => Request::Put,
            42..54 => Request::Delete,
            54..72 => Request::Swap(own.knows[know]),
            72..90 => Request::Read,
            _ => Request::Local,
        };
        let any = ROOMS[dice.below(2)];
        let room = if request == Request::Local { any } else { own.target };
        let reaches =
            own.place.is_none_or(|place| place == room || self.link.is_up(room, self.now));
        let number = self.history.invoke((client, room), (request, know as Key), self.now);
        self.clients.clients[client as usize].waits = Some(number);
        if reaches {
            let at = Moment(self.now.0 + 100 + self.client_dice.below(900) as u64);
            self.queue.put(at, Happens::Calls(client, number));
        }
        self.queue.put(self.now.after_millis(PATIENCE), Happens::GivesUp(client, number));
    }

    /// The question reaches the room.
    pub(super) fn calls(&mut self, client: u32, number: Value) {
        let Operation { room, request, key: of, .. } = self.history.0[number as usize];
        let (now, mutant) = (self.now, self.mutant);
        let machine = self.machine_mut(room);
        if let Some(until) = machine.paused(now) {
            let at = Moment(until.0 + self.client_dice.below(3_000) as u64);
            return self.queue.put(at, Happens::Calls(client, number));
        }
        if !machine.on {
            return;
        }
        let time = machine.time(now);
        let Some(process) = &mut machine.process else {
            return self.tell(client, number, Outcome::Refused);
        };
        let (asked, answer) = match request {
            Request::Read if !process.serves(time, mutant) => {
                return self.tell(client, number, Outcome::Refused);
            }
            Request::Read | Request::Local => {
                let state = &process.published.0;
                let keys = KeyRange::single(key(of));
                let read = state.range(&RangeRequest { keys, ..RangeRequest::default() });
                let read = read.map(|read| found(read.kvs.first().map(|kv| &**kv)));
                let revision = state.revision();
                let outcome = match read {
                    Ok(found) => Outcome::Done { revision, changed: false, found },
                    Err(_) => Outcome::Refused,
                };
                let life = process.life;
                self.history.0[number as usize].life = life;
                return self.tell(client, number, outcome);
            }
            Request::Put => {
                let (request, pending) = Asked::put(put(of, number));
                (request, Waiting::Put(pending))
            }
            Request::Delete => {
                let keys = KeyRange::single(key(of));
                let request = DeleteRangeRequest { keys, prev_kv: false };
                let (request, pending) = Asked::delete_range(request);
                (request, Waiting::Delete(pending))
            }
            Request::Swap(expected) => {
                let (request, pending) = Asked::txn(swap(of, number, expected));
                (request, Waiting::Swap(pending))
            }
        };
        let life = process.life;
        process.calls.push(Call { client, number, answer });
        self.input(room, life, store::replica::Input::Request(asked));
    }

    /// Who has got an answer is told.
    pub(super) fn answer_calls(&mut self, room: Room) {
        let Some(process) = &mut self.machine_mut(room).process else { return };
        let mut told = Vec::new();
        process.calls.retain_mut(|call| match call.answer.outcome() {
            Some(outcome) => {
                told.push((call.client, call.number, outcome));
                false
            }
            None => true,
        });
        for (client, number, outcome) in told {
            self.tell(client, number, outcome);
        }
    }

    /// Nobody answers them any more. A machine that lives says so; one without power says nothing.
    pub(super) fn drop_calls(&mut self, calls: Vec<Call>, how: End) {
        for Call { client, number, .. } in calls {
            if how == End::Process {
                self.tell(client, number, Outcome::Unknown);
            }
        }
    }

    /// The answer goes on its way.
    fn tell(&mut self, client: u32, number: Value, outcome: Outcome) {
        let room = self.history.0[number as usize].room;
        let place = self.clients.clients[client as usize].place;
        if place.is_none_or(|place| place == room || self.link.is_up(place, self.now)) {
            let at = Moment(self.now.0 + 100 + self.client_dice.below(900) as u64);
            self.queue.put(at, Happens::Hears(client, number, outcome));
        }
    }

    pub(super) fn hears(&mut self, client: u32, number: Value, outcome: Outcome) {
        let own = &mut self.clients.clients[client as usize];
        if own.waits != Some(number) {
            return;
        }
        own.waits = None;
        let now = self.now;
        self.history.answer(number, outcome, now);
        let Operation { key, request, room, .. } = self.history.0[number as usize];
        let mut pause = self.plan.think_ms;
        if let Outcome::Done { revision, changed, found } = outcome {
            let writes = matches!(request, Request::Put | Request::Swap(_)) && changed;
            let written = writes.then_some(Found { value: number, revision });
            own.knows[key as usize] = if writes { written } else { found };
            if changed {
                self.written();
            }
        } else {
            own.turn_from(room);
            pause = pause.max(100);
        }
        let think = 1 + self.client_dice.below(pause as usize) as u64;
        self.queue.put(now.after_millis(think), Happens::Thinks(client));
    }

    fn written(&mut self) {
        let gap = self.now.since(self.clients.written);
        if self.clients.writes > 0 {
            self.clients.longest = self.clients.longest.max(gap);
            if gap > Duration::from_millis(GAP_MS + self.plan.think_ms) {
                self.timeline.add(self.now, Place::Run, What::Gap(gap));
            }
        }
        self.clients.written = self.now;
        self.clients.writes += 1;
    }

    pub(super) fn gives_up(&mut self, client: u32, number: Value) {
        let room = self.history.0[number as usize].room;
        let own = &mut self.clients.clients[client as usize];
        if own.waits == Some(number) {
            own.waits = None;
            own.turn_from(room);
            self.queue.put(self.now.after_millis(1), Happens::Thinks(client));
        }
    }

    /// Somebody has the history compacted, as Kubernetes does.
    pub(super) fn compacts(&mut self) {
        for room in ROOMS {
            let Some(process) = &self.machine(room).process else { continue };
            let (life, revision) = (process.life, process.published.0.revision() - KEPT);
            if revision > 1 {
                // Whoever follows refuses, and nobody waits for the answer.
                let (request, _) = Asked::compact(revision);
                self.input(room, life, store::replica::Input::Request(request));
            }
        }
        self.queue.put(self.now.after_millis(7_000), Happens::Compacts);
    }

    /// A watcher takes what its room has, and each change must be the next one.
    pub(super) fn watches(&mut self, watcher: usize) {
        let Watcher { room, next } = self.clients.watchers[watcher];
        let moves = self.client_dice.one_in(8);
        let pause = 50 + self.client_dice.below(700) as u64;
        self.queue.put(self.now.after_millis(pause), Happens::Watches(watcher));
        let stands = self.machine(room).paused(self.now).is_some();
        let process = self.machine(room).process.as_ref().filter(|_| !stands);
        let Some(process) = process else {
            self.clients.watchers[watcher].room = room.other();
            return;
        };
        let state = &process.published.0;
        let all = KeyRange { key: Bytes::from_static(b"\0"), end: Bytes::from_static(b"\0") };
        // A watch below the compaction is refused, and whoever watched reads all anew.
        let from = next.max(state.compacted());
        let to = (state.revision() + 1).min(from + BATCH).max(from);
        let mut seen = Vec::new();
        if let Ok(events) = state.events(from, to, &all) {
            seen.extend(events.map(|event| event.kv.mod_revision));
        }
        let wanted: Vec<Revision> =
            self.truth.between(from, to).map(|(revision, _)| revision).collect();
        if seen != wanted {
            return self.break_off(format!(
                "a watch of room {room} from revision {from} to {to} saw {seen:?}; there was {wanted:?}"
            ));
        }
        // A leap leaves revisions out, which nobody waits for one by one.
        let done = if seen.is_empty() { to.max(next.min(state.revision() + 1)) } else { to };
        let watcher = &mut self.clients.watchers[watcher];
        watcher.next = done.max(next);
        if moves {
            watcher.room = room.other();
        }
    }
}

fn put(of: Key, number: Value) -> PutRequest {
    PutRequest { key: key(of), value: value(number), ..PutRequest::default() }
}

/// Writes if the key is as it was; else reads it.
fn swap(of: Key, number: Value, expected: Option<Found>) -> TxnRequest {
    let keys = KeyRange::single(key(of));
    let revision = expected.map_or(0, |found| found.revision);
    TxnRequest {
        compare: vec![Compare {
            keys: keys.clone(),
            result: CompareResult::Equal,
            target: CompareTarget::Mod(revision),
        }],
        success: vec![RequestOp::Put(put(of, number))],
        failure: vec![RequestOp::Range(RangeRequest { keys, ..RangeRequest::default() })],
    }
}

impl Waiting {
    /// What the store said, once it has.
    fn outcome(&mut self) -> Option<Outcome> {
        match self {
            Waiting::Put(pending) => outcome(pending.try_recv(), |revision, _| Outcome::Done {
                revision,
                changed: true,
                found: None,
            }),
            Waiting::Delete(pending) => outcome(pending.try_recv(), |revision, body| {
                Outcome::Done { revision, changed: body.deleted > 0, found: None }
            }),
            Waiting::Swap(pending) => outcome(pending.try_recv(), |revision, body| {
                let read = match body.responses.first() {
                    Some(ResponseOp::Range(_, read)) => found(read.kvs.first().map(|kv| &**kv)),
                    _ => None,
                };
                Outcome::Done { revision, changed: body.succeeded, found: read }
            }),
        }
    }
}

fn outcome<T>(
    received: Result<Result<Answer<T>, Refusal>, TryRecvError>,
    done: impl FnOnce(Revision, &T) -> Outcome,
) -> Option<Outcome> {
    match received {
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Closed) => Some(Outcome::Unknown),
        Ok(Ok(answer)) => Some(done(answer.revision, &answer.body)),
        Ok(Err(Refusal::Stopped | Refusal::LeaderLost)) => Some(Outcome::Unknown),
        Ok(Err(_)) => Some(Outcome::Refused),
    }
}
