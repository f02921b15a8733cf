//! A state taken apart into items, for checkpoints and backups, and put together again. Start at
//! [`Items`] and [`Builder`].
//!
//! What goes out is what a state holds when it is fully swept, however far that is. What comes in is
//! not trusted: whatever contradicts itself is an error.

use std::sync::Arc;

use crate::apply::printable;
use crate::history::Chunk;
use crate::lease::MAX_LEASE_TTL;
use crate::record::{Record, cost, is_tombstone};
use crate::{ApplyError, Event, EventKind, Item, KeyValue, State};

/// The first revision that can hold a change: an empty store answers 1.
const FIRST_CHANGE: i64 = 2;

/// The items of a state in their order; owns all that it needs. To make one takes O(keys) time and 24
/// bytes a key: the versions up to the compaction revision are sorted by revision.
#[derive(Debug)]
pub struct Items {
    head: Option<Item>,
    leases: std::vec::IntoIter<(i64, i64)>,
    /// Up to the compaction revision.
    old: std::vec::IntoIter<(i64, u32, Arc<KeyValue>)>,
    /// After it.
    chunks: std::vec::IntoIter<Arc<Chunk>>,
    /// The chunk that is being told, and the place of the next event: revision and sub-revision.
    current: Option<(Arc<Chunk>, i64, usize)>,
    after: i64,
}

impl Items {
    pub(crate) fn new(state: &State) -> Items {
        let kept = state.keys.iter().filter_map(|record| record.kept(state.compacted));
        let mut old: Vec<_> =
            kept.map(|(kv, sub)| (kv.mod_revision, sub, Arc::clone(kv))).collect();
        old.sort_unstable_by_key(|(main, sub, _)| (*main, *sub));
        let after = state.compacted.max(FIRST_CHANGE - 1) + 1;
        let chunks: Vec<_> = state
            .history
            .chunks(after)
            .filter(|chunk| chunk.after() > after)
            .map(Arc::clone)
            .collect();
        let newer: usize = chunks.iter().map(|chunk| chunk.events(after, i64::MAX).len()).sum();
        let head = Item::Head {
            revision: state.revision,
            compacted: state.compacted,
            leases: state.leases.len(),
            versions: (old.len() + newer) as u64,
        };
        let leases: Vec<_> = state.leases().map(|(id, lease)| (id, lease.ttl)).collect();
        Items {
            head: Some(head),
            leases: leases.into_iter(),
            old: old.into_iter(),
            chunks: chunks.into_iter(),
            current: None,
            after,
        }
    }

    fn next_event(&mut self) -> Option<Item> {
        loop {
            let Some((chunk, revision, sub)) = &mut self.current else {
                let chunk = self.chunks.next()?;
                let revision = chunk.first().max(self.after);
                self.current = Some((chunk, revision, 0));
                continue;
            };
            if let Some(event) = chunk.events(*revision, *revision + 1).get(*sub) {
                let item = version(event.kind, *sub as u64, &event.kv);
                *sub += 1;
                return Some(item);
            }
            (*revision, *sub) = (*revision + 1, 0);
            if *revision >= chunk.after() {
                self.current = None;
            }
        }
    }
}

fn version(kind: EventKind, sub: u64, kv: &Arc<KeyValue>) -> Item {
    let sub = i64::try_from(sub).expect("a revision's changes fit into memory");
    Item::Version { sub, kind, kv: Arc::clone(kv) }
}

impl Iterator for Items {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        if let Some((id, ttl)) = self.leases.next() {
            return Some(Item::Lease { id, ttl });
        }
        if let Some((_, sub, kv)) = self.old.next() {
            let kind = if is_tombstone(&kv) { EventKind::Delete } else { EventKind::Put };
            return Some(version(kind, u64::from(sub), &kv));
        }
        self.next_event()
    }
}

/// Puts a state together from items. See [`State::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    building: Option<Building>,
}

/// What there is after the head.
#[derive(Debug)]
struct Building {
    state: State,
    /// What the head promised.
    revision: i64,
    leases: u64,
    versions: u64,
    /// How many versions came, and the place of the last.
    found: u64,
    last: (i64, i64),
    last_lease: Option<i64>,
    /// The revision that is not closed yet, and how many events it has; none before the first.
    open: Option<(i64, i64)>,
}

impl State {
    /// Takes the items of a state, in their order, and makes an equal state of them.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Takes the next item. The bytes of its version are shared, so they must be its own: a slice of
    /// some large buffer would keep all of that buffer.
    ///
    /// # Errors
    /// [`ApplyError`] if it does not continue what came before; the builder must not be used then.
    pub fn push(&mut self, item: Item) -> Result<(), ApplyError> {
        match (&mut self.building, item) {
            (None, Item::Head { revision, compacted, leases, versions }) => {
                self.building = Some(Building::new(revision, compacted, leases, versions)?);
                Ok(())
            }
            (Some(building), Item::Lease { id, ttl }) => building.lease(id, ttl),
            (Some(building), Item::Version { sub, kind, kv }) => building.version(sub, kind, kv),
            (_, Item::Head { .. }) => Err(ApplyError::Order("a second head")),
            (None, _) => Err(ApplyError::Order("what comes before the head")),
        }
    }

    /// The state.
    ///
    /// # Errors
    /// [`ApplyError`] if something is missing.
    pub fn finish(self) -> Result<State, ApplyError> {
        self.building.ok_or(ApplyError::Order("the end before the head"))?.finish()
    }
}

impl Building {
    fn new(
        revision: i64,
        compacted: i64,
        leases: u64,
        versions: u64,
    ) -> Result<Building, ApplyError> {
        if revision < FIRST_CHANGE - 1 || compacted < -1 || compacted > revision {
            return Err(ApplyError::Compact { found: compacted, current: revision, compacted: -1 });
        }
        // The compaction revision has its place in the history, with the events that it kept.
        let open = (compacted >= FIRST_CHANGE).then_some((compacted, 0));
        let first = compacted.max(FIRST_CHANGE);
        let state = State::at(compacted.max(FIRST_CHANGE - 1), compacted, first);
        let last = (0, -1);
        Ok(Building { state, revision, leases, versions, found: 0, last, last_lease: None, open })
    }

    fn lease(&mut self, id: i64, ttl: i64) -> Result<(), ApplyError> {
        if self.found > 0 || self.last_lease.is_some_and(|last| last >= id) {
            return Err(ApplyError::Order("a lease"));
        }
        if id == 0 || ttl > MAX_LEASE_TTL {
            return Err(ApplyError::Grant(id));
        }
        self.last_lease = Some(id);
        self.state.grant_lease(id, ttl);
        Ok(())
    }

    fn version(&mut self, sub: i64, kind: EventKind, kv: Arc<KeyValue>) -> Result<(), ApplyError> {
        let place = (kv.mod_revision, sub);
        let short = u32::try_from(sub).map_err(|_| ApplyError::Order("a version"))?;
        if place <= self.last || kv.mod_revision < 1 {
            return Err(ApplyError::Order("a version"));
        }
        let sound = match kind {
            EventKind::Put => {
                kv.version >= 1 && (1..=kv.mod_revision).contains(&kv.create_revision)
            }
            EventKind::Delete => {
                (kv.version, kv.create_revision, kv.lease) == (0, 0, 0) && kv.value.is_empty()
            }
        };
        if !sound || kv.key.is_empty() {
            return Err(misfit(&kv));
        }
        self.last = place;
        self.found += 1;
        self.state.size += cost(&kv);
        if kv.mod_revision <= self.state.compacted {
            self.old(short, kind, kv)
        } else {
            self.newer(short, kind, kv)
        }
    }

    /// A version that the compaction kept: its key's only one up to there.
    fn old(&mut self, sub: u32, kind: EventKind, kv: Arc<KeyValue>) -> Result<(), ApplyError> {
        let at_compaction = kv.mod_revision == self.state.compacted;
        if kind == EventKind::Delete && !at_compaction {
            return Err(misfit(&kv));
        }
        if self.state.keys.insert(Record::new(Arc::clone(&kv), sub)).is_some() {
            return Err(misfit(&kv));
        }
        if at_compaction && kv.mod_revision >= FIRST_CHANGE {
            self.state.history.push(Event { kind, kv, prev_kv: None });
        }
        Ok(())
    }

    /// A version after the compaction: it must continue the one before it.
    fn newer(&mut self, sub: u32, kind: EventKind, kv: Arc<KeyValue>) -> Result<(), ApplyError> {
        let revision = kv.mod_revision;
        if self.open.is_none_or(|(open, _)| open < revision) {
            self.close();
            if revision != self.state.revision + 1 {
                let current = self.state.revision;
                return Err(ApplyError::Revision { found: revision, current });
            }
            self.open = Some((revision, 0));
        }
        let Some((_, events)) = &mut self.open else { return Err(misfit(&kv)) };
        if i64::from(sub) != *events {
            return Err(ApplyError::Order("a version"));
        }
        *events += 1;
        let creates = kv.version == 1 && kv.create_revision == revision;
        let pushed = self.state.keys.edit(&kv.key, |record| {
            let fits = match (kind, record.now()) {
                (EventKind::Delete, old) => old.is_some(),
                (EventKind::Put, None) => creates,
                (EventKind::Put, Some(old)) => {
                    (kv.create_revision, kv.version) == (old.create_revision, old.version + 1)
                }
            };
            let prev_kv = record.at(revision - 1).filter(|_| !creates).cloned();
            record.push(Arc::clone(&kv), sub);
            fits.then_some(prev_kv)
        });
        let prev_kv = match pushed {
            Some(Some(prev_kv)) => prev_kv,
            None if creates => {
                self.state.keys.insert(Record::new(Arc::clone(&kv), sub));
                None
            }
            _ => return Err(misfit(&kv)),
        };
        self.state.history.push(Event { kind, kv, prev_kv });
        Ok(())
    }

    fn close(&mut self) {
        if let Some((open, _)) = self.open.take() {
            self.state.close(open);
        }
    }

    fn finish(mut self) -> Result<State, ApplyError> {
        self.close();
        let count = |what, found, promised| {
            if found == promised {
                Ok(())
            } else {
                Err(ApplyError::Count { what, found, promised })
            }
        };
        count("leases", self.state.leases.len(), self.leases)?;
        count("versions", self.found, self.versions)?;
        if self.state.revision != self.revision {
            let current = self.state.revision;
            return Err(ApplyError::Revision { found: self.revision, current });
        }
        let State { keys, leases, .. } = &mut self.state;
        for kv in keys.iter().filter_map(Record::now).filter(|kv| kv.lease != 0) {
            if !leases.contains(kv.lease) {
                return Err(ApplyError::NoLease(kv.lease));
            }
            leases.attach(kv.lease, &kv.key);
        }
        // What came is swept already.
        self.state.swept = self.state.events_at(self.state.compacted).len();
        Ok(self.state)
    }
}

fn misfit(kv: &KeyValue) -> ApplyError {
    ApplyError::Version { revision: kv.mod_revision, key: printable(&kv.key) }
}
