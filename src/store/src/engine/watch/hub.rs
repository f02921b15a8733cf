//! Tells every watch what it wants to know, in order and once. Start at [`Hub::advance`]. The hub only
//! hands on what is published; a watch that cannot take it falls behind and is no longer the hub's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mvcc::{Event, KeyRange, State};

use super::super::lock;
use super::index::Index;
use super::queue::{Place, Queue};

/// Revisions that are told in one go, while new watches have to wait.
const AT_ONCE: i64 = 1000;

/// All live watches of the store.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    inner: Mutex<Live>,
}

#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Everything up to here has been told.
    pub revision: i64,
    told: u64,
    watches: HashMap<u64, Watch>,
    next: u64,
    index: Index,
}

#[derive(Debug)]
struct Watch {
    queue: Arc<Queue>,
    id: i64,
    keys: KeyRange,
    /// Nothing before this revision.
    from: i64,
}

impl Hub {
    pub(crate) fn new(revision: i64) -> Hub {
        Hub { inner: Mutex::new(Live { revision, ..Live::default() }) }
    }

    /// Tells what happened up to the state's revision.
    pub(crate) fn advance(&self, state: &State) {
        while lock(&self.inner).advance(state, AT_ONCE) {}
    }

    /// How many watches are live.
    pub(crate) fn live(&self) -> u64 {
        lock(&self.inner).watches.len() as u64
    }

    /// How many events have been told to live watches.
    pub(crate) fn told(&self) -> u64 {
        lock(&self.inner).told
    }

    /// Works on the live watches while nothing is told.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Live) -> T) -> T {
        work(&mut lock(&self.inner))
    }
}

impl Live {
    /// Tells at most `most` revisions; true if there are more.
    pub(crate) fn advance(&mut self, state: &State, most: i64) -> bool {
        if self.revision + 1 < state.compacted() {
            self.skip(state.compacted());
        }
        let until = state.revision().min(self.revision.saturating_add(most));
        let mut found: HashMap<KeyRange, Vec<Event>> = HashMap::new();
        while self.revision < until {
            self.revision += 1;
            for event in state.events_at(self.revision) {
                self.index.find(&event.kv.key, |range| match found.get_mut(range) {
                    Some(events) => events.push(event.clone()),
                    None => drop(found.insert(range.clone(), vec![event.clone()])),
                });
            }
        }
        for (range, events) in found {
            self.tell(&range, &events.into());
        }
        self.revision < state.revision()
    }

    /// What was to be told up to `compacted` is forgotten, since another room's state took the place of
    /// this one's: who was to hear of it looks into the history, and is told that it is compacted.
    fn skip(&mut self, compacted: i64) {
        let next = self.revision + 1;
        let late = |(number, watch): (&u64, &Watch)| (watch.from.max(next), *number);
        let mut fallen: Vec<(i64, u64)> =
            self.watches.iter().map(late).filter(|(from, _)| *from < compacted).collect();
        // A stream looks after the one with the lowest revision first, also while this goes on.
        fallen.sort_unstable();
        for (from, number) in fallen {
            if let Some(watch) = self.watches.get(&number) {
                if let Some(own) = lock(&watch.queue.inner).watches.get_mut(&watch.id) {
                    own.place = Place::Behind(from);
                }
                watch.queue.wake.notify_one();
            }
            self.leave(number);
        }
        self.revision = compacted - 1;
    }

    /// Takes a watch that has been told everything before `from`; its number.
    pub(crate) fn join(&mut self, queue: &Arc<Queue>, id: i64, keys: &KeyRange, from: i64) -> u64 {
        self.next += 1;
        self.index.insert(keys, self.next);
        let watch = Watch { queue: queue.clone(), id, keys: keys.clone(), from };
        self.watches.insert(self.next, watch);
        self.next
    }

    /// Lets a watch go.
    pub(crate) fn leave(&mut self, watch: u64) {
        if let Some(gone) = self.watches.remove(&watch) {
            self.index.remove(&gone.keys, watch);
        }
    }

    fn tell(&mut self, range: &KeyRange, events: &Arc<[Event]>) {
        let mut fallen = Vec::new();
        for number in self.index.watches(range) {
            let Some(watch) = self.watches.get(number) else { continue };
            let skip = events.partition_point(|event| event.kv.mod_revision < watch.from);
            let wanted = if skip == 0 { events.clone() } else { events[skip..].into() };
            let Some(first) = wanted.first() else { continue };
            self.told += wanted.len() as u64;
            let mut queue = lock(&watch.queue.inner);
            if !queue.push(watch.id, &wanted) {
                if let Some(own) = queue.watches.get_mut(&watch.id) {
                    own.place = Place::Behind(first.kv.mod_revision);
                }
                fallen.push(*number);
            }
            drop(queue);
            watch.queue.wake.notify_one();
        }
        for number in fallen {
            self.leave(number);
        }
    }
}
