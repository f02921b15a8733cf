//! What one stream of watches has to tell. Start at [`Inner::push`]. A queue is bounded: when it is
//! full, a watch falls behind and reads the history later; it never makes others wait and misses nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use mvcc::Event;
use tokio::sync::Notify;

use super::super::lock;
use super::super::types::{WatchCreate, WatchMessage};

/// Bytes of keys and values that wait in one stream: some seconds of a busy site. They are shared with
/// the history, so that this bounds what compaction cannot free.
const FULL_BYTES: usize = 4 << 20;

/// Messages that wait in one stream.
const FULL_MESSAGES: usize = 4096;

/// What an event weighs beside its key and values.
const EVENT: usize = 64;

/// A watch of this stream.
#[derive(Debug)]
pub(crate) struct Watch {
    pub wish: Arc<WatchCreate>,
    pub place: Place,
    /// Something was told since the last time that the stream looked at its idle watches.
    pub told: bool,
}

/// Whence a watch gets what is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// From the hub, as it happens; the number is the hub's for the watch. Nothing before `from`.
    Live { watch: u64, from: i64 },
    /// From the history, beginning with this revision.
    Behind(i64),
}

/// One thing to tell.
#[derive(Debug)]
pub(crate) enum Queued {
    /// A message that is complete.
    Message(WatchMessage),
    /// Events that are not filtered yet.
    Events { id: i64, wish: Arc<WatchCreate>, events: Arc<[Event]> },
}

/// What a stream shares with the hub. Who locks both locks the hub first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub inner: Mutex<Inner>,
    pub wake: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub messages: VecDeque<Queued>,
    bytes: usize,
    pub watches: BTreeMap<i64, Watch>,
    /// The next number that is chosen for a client.
    pub next_id: i64,
    /// The client wants to know how far all its watches are.
    pub progress: bool,
}

impl Queue {
    /// Takes a complete message; these are few and answer the client.
    pub(crate) fn tell(&self, message: WatchMessage) {
        lock(&self.inner).messages.push_back(Queued::Message(message));
        self.wake.notify_one();
    }
}

impl Inner {
    /// Takes events of a live watch; false if the queue is full.
    pub(crate) fn push(&mut self, id: i64, events: &Arc<[Event]>) -> bool {
        let weight = events.iter().map(weight).sum::<usize>();
        // One that is alone may be larger than the bound: it must get through.
        let full = self.messages.len() >= FULL_MESSAGES
            || (self.bytes > 0 && self.bytes + weight > FULL_BYTES);
        let Some(watch) = self.watches.get_mut(&id).filter(|_| !full) else { return false };
        watch.told = true;
        self.bytes += weight;
        let (wish, events) = (watch.wish.clone(), events.clone());
        self.messages.push_back(Queued::Events { id, wish, events });
        true
    }

    /// The next message; events that the client does not want are left out.
    pub(crate) fn pop(&mut self) -> Option<WatchMessage> {
        loop {
            match self.messages.pop_front()? {
                Queued::Message(message) => return Some(message),
                Queued::Events { id, wish, events } => {
                    self.bytes -= events.iter().map(weight).sum::<usize>();
                    if let Some(message) = filtered(id, &wish, &events) {
                        return Some(message);
                    }
                }
            }
        }
    }

    /// A watch that is behind, and where it is: that with the lowest revision.
    pub(crate) fn behind(&self) -> Option<(i64, i64)> {
        let behind = |(id, watch): (&i64, &Watch)| match watch.place {
            Place::Behind(next) => Some((next, *id)),
            Place::Live { .. } => None,
        };
        self.watches.iter().filter_map(behind).min().map(|(next, id)| (id, next))
    }
}

fn weight(event: &Event) -> usize {
    let prev = event.prev_kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
    event.kv.key.len() + event.kv.value.len() + prev + EVENT
}

/// What the client wants of the events; none if nothing is left.
fn filtered(id: i64, wish: &WatchCreate, events: &[Event]) -> Option<WatchMessage> {
    let wanted = |event: &&Event| match event.kind {
        mvcc::EventKind::Put => !wish.no_put,
        mvcc::EventKind::Delete => !wish.no_delete,
    };
    let strip = |event: &Event| {
        let prev_kv = event.prev_kv.clone().filter(|_| wish.prev_kv);
        Event { kind: event.kind, kv: event.kv.clone(), prev_kv }
    };
    let revision = events.last()?.kv.mod_revision;
    let events: Vec<Event> = events.iter().filter(wanted).map(strip).collect();
    let fragment = wish.fragment;
    (!events.is_empty()).then(|| WatchMessage { events, fragment, ..message(id, revision) })
}

/// An empty message of a watch.
pub(crate) fn message(watch_id: i64, revision: i64) -> WatchMessage {
    WatchMessage {
        revision,
        watch_id,
        created: false,
        canceled: false,
        compact_revision: 0,
        cancel_reason: "",
        fragment: false,
        events: Vec::new(),
    }
}
