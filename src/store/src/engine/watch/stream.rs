//! One client's stream of watches. Start at [`WatchControl::create`] and [`WatchFeed::next`]: the one
//! takes wishes, the other gives messages. Reading the history for a watch that is behind happens here,
//! on the client's own time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mvcc::{Event, State};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::super::types::{WatchCreate, WatchMessage};
use super::super::{Shared, lock};
use super::queue::{Place, Queue, Watch, message};

/// Revisions, events and bytes that one step through the history reads at most: some milliseconds.
const STEP_REVISIONS: i64 = 20_000;
const STEP_EVENTS: usize = 1000;
const STEP_BYTES: usize = 1 << 20;

/// Watches of one stream, and of the store; kube-apiserver has some hundreds.
const MOST_OF_STREAM: usize = 20_000;
const MOST: u64 = 100_000;

/// Takes a stream's wishes. Ending the stream is dropping both halves.
#[derive(Debug)]
pub struct WatchControl {
    stream: Arc<Stream>,
}

/// Gives a stream's messages.
#[derive(Debug)]
pub struct WatchFeed {
    stream: Arc<Stream>,
    looks: Interval,
    stopped: tokio::sync::watch::Receiver<bool>,
}

/// What the two halves share.
#[derive(Debug)]
struct Stream {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
}

/// Opens a stream; `every` is how often idle watches that want it are told the revision.
pub(crate) fn open(shared: Arc<Shared>, every: Duration) -> (WatchControl, WatchFeed) {
    shared.streams.add(1);
    let stopped = shared.stopped.subscribe();
    let stream = Arc::new(Stream { queue: Arc::default(), shared });
    let mut looks = interval_at(Instant::now() + every, every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    (WatchControl { stream: stream.clone() }, WatchFeed { stream, looks, stopped })
}

impl WatchControl {
    /// Begins a watch. The answer, also a refusal, comes as a message.
    pub fn create(&self, mut wish: WatchCreate) {
        if wish.keys.key.is_empty() {
            // As etcd has it: no key is the smallest key.
            wish.keys.key = Bytes::from_static(&[0]);
        }
        let Stream { queue, shared } = &*self.stream;
        let refuse = |reason: &'static str| {
            let base = message(-1, shared.revision());
            queue.tell(WatchMessage {
                created: true,
                canceled: true,
                cancel_reason: reason,
                ..base
            });
        };
        let keys = wish.keys.clone();
        if !keys.is_single() && !keys.contains(&keys.key) {
            return refuse("mvcc: watcher range is empty");
        }
        if shared.watchers.get() >= MOST {
            return refuse("duet: too many watches");
        }
        shared.hub.with(|live| {
            let mut inner = lock(&queue.inner);
            if inner.watches.len() >= MOST_OF_STREAM {
                drop(inner);
                return refuse("duet: too many watches in one stream");
            }
            if wish.id == 0 {
                while inner.watches.contains_key(&inner.next_id) {
                    inner.next_id += 1;
                }
                wish.id = inner.next_id;
                inner.next_id += 1;
            } else if inner.watches.contains_key(&wish.id) {
                drop(inner);
                return refuse("mvcc: duplicate watch ID provided on the WatchStream");
            }
            let id = wish.id;
            // Read while the hub stands still: nothing between this and the first event is missed.
            let revision = shared.revision();
            let from = if wish.start_revision == 0 { revision + 1 } else { wish.start_revision };
            let place = if from > live.revision {
                Place::Live { watch: live.join(queue, id, &keys, from), from }
            } else {
                Place::Behind(from)
            };
            inner.watches.insert(id, Watch { wish: Arc::new(wish), place, told: false });
            shared.watchers.add(1);
            drop(inner);
            queue.tell(WatchMessage { created: true, ..message(id, revision) });
        });
    }

    /// Ends a watch. Nothing is answered if there is none of this number.
    pub fn cancel(&self, id: i64) {
        let Stream { queue, shared } = &*self.stream;
        if self.stream.remove(id) {
            queue.tell(WatchMessage { canceled: true, ..message(id, shared.revision()) });
        }
    }

    /// Asks how far all watches of the stream are. The answer, with the id -1, comes when none of them
    /// is behind, after everything that it speaks of.
    pub fn progress(&self) {
        let queue = &self.stream.queue;
        lock(&queue.inner).progress = true;
        queue.wake.notify_one();
    }
}

impl WatchFeed {
    /// The next message; none when the store has stopped. Safe to give up and call again.
    pub async fn next(&mut self) -> Option<WatchMessage> {
        let queue = &self.stream.queue;
        loop {
            if *self.stopped.borrow_and_update() {
                return None;
            }
            if let Some(message) = lock(&queue.inner).pop() {
                return Some(message);
            }
            let behind = lock(&queue.inner).behind();
            if let Some((id, next)) = behind {
                if let Some(message) = self.stream.catch_up(id, next) {
                    return Some(message);
                }
                tokio::task::yield_now().await;
                continue;
            }
            if let Some(message) = self.stream.progress() {
                return Some(message);
            }
            tokio::select! {
                () = queue.wake.notified() => {}
                _ = self.looks.tick() => self.stream.look(),
                _ = self.stopped.changed() => {}
            }
        }
    }
}

impl Stream {
    /// Forgets a watch; false if there is none.
    fn remove(&self, id: i64) -> bool {
        self.shared.hub.with(|live| {
            let Some(watch) = lock(&self.queue.inner).watches.remove(&id) else { return false };
            if let Place::Live { watch, .. } = watch.place {
                live.leave(watch);
            }
            self.shared.watchers.sub(1);
            true
        })
    }

    /// Reads on for a watch that is behind; the message, if there is anything to tell.
    fn catch_up(&self, id: i64, next: i64) -> Option<WatchMessage> {
        let wish = lock(&self.queue.inner).watches.get(&id).map(|watch| watch.wish.clone())?;
        let published = self.shared.published.load_full();
        let state = &published.state;
        let Some((events, next)) = read(state, &wish, next) else {
            self.remove(id);
            let compact_revision = state.compacted();
            let base = message(id, state.revision());
            return Some(WatchMessage { canceled: true, compact_revision, ..base });
        };
        self.shared.hub.with(|live| {
            let mut inner = lock(&self.queue.inner);
            // It may have been ended meanwhile.
            let watch = inner.watches.get_mut(&id)?;
            watch.told |= !events.is_empty();
            watch.place = if next > live.revision {
                let watch = live.join(&self.queue, id, &wish.keys, next);
                Place::Live { watch, from: next }
            } else {
                Place::Behind(next)
            };
            let revision = events.last()?.kv.mod_revision;
            let fragment = wish.fragment;
            Some(WatchMessage { events, fragment, ..message(id, revision) })
        })
    }

    /// Answers the question how far all watches are, if it was asked and can be answered.
    fn progress(&self) -> Option<WatchMessage> {
        if !lock(&self.queue.inner).progress {
            return None;
        }
        self.told_so_far(|inner, revision| {
            inner.progress = false;
            let all = |watch: &Watch| matches!(watch.place, Place::Live { from, .. } if from <= revision + 1);
            let known = !inner.watches.is_empty() && inner.watches.values().all(all);
            if known { vec![message(-1, revision)] } else { Vec::new() }
        });
        lock(&self.queue.inner).pop()
    }

    /// Tells the revision to idle watches that want it.
    fn look(&self) {
        self.told_so_far(|inner, revision| {
            let mut messages = Vec::new();
            for (id, watch) in &mut inner.watches {
                let told = std::mem::take(&mut watch.told);
                let live = matches!(watch.place, Place::Live { from, .. } if from <= revision + 1);
                if live && !told && watch.wish.progress_notify {
                    messages.push(message(*id, revision));
                }
            }
            messages
        });
    }

    /// Has everything told that is published, and then, before anything else happens, `say` add what may
    /// be said at that revision. If a watch fell behind or events wait, they come first in the queue.
    fn told_so_far(&self, say: impl FnOnce(&mut super::queue::Inner, i64) -> Vec<WatchMessage>) {
        let published = self.shared.published.load_full();
        self.shared.hub.with(|live| {
            while live.advance(&published.state, i64::MAX) {}
            let mut inner = lock(&self.queue.inner);
            if inner.behind().is_some() {
                return;
            }
            for message in say(&mut inner, live.revision) {
                inner.messages.push_back(super::queue::Queued::Message(message));
            }
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let ids: Vec<i64> = lock(&self.queue.inner).watches.keys().copied().collect();
        for id in ids {
            self.remove(id);
        }
        self.shared.streams.sub(1);
    }
}

/// The events that the watch wants from revision `next` on, at most a step's; and the revision after
/// them. None if they are compacted away.
fn read(state: &State, wish: &WatchCreate, next: i64) -> Option<(Vec<Event>, i64)> {
    let end = state.revision() + 1;
    let until = end.min(next.saturating_add(STEP_REVISIONS));
    let mut found: Vec<Event> = Vec::new();
    let mut bytes = 0;
    for mut event in state.events(next, until, &wish.keys).ok()? {
        let revision = event.kv.mod_revision;
        let whole = found.last().is_none_or(|last| last.kv.mod_revision < revision);
        if whole && (found.len() >= STEP_EVENTS || bytes >= STEP_BYTES) {
            return Some((found, revision));
        }
        let wanted = match event.kind {
            mvcc::EventKind::Put => !wish.no_put,
            mvcc::EventKind::Delete => !wish.no_delete,
        };
        if !wish.prev_kv {
            event.prev_kv = None;
        }
        if wanted {
            bytes += event.kv.key.len() + event.kv.value.len();
            found.push(event);
        }
    }
    Some((found, until))
}
