//! What happened, by main revision: what watches read. Start at [`History`].
//!
//! A persistent queue of chunks: changes are pushed at its end, whole chunks drop off its front. Each
//! main revision from the first held to the newest is there; none after the compaction revision is
//! without an event. What lies below the compaction revision is nobody's to see; that it may still be
//! held is the sweep's matter alone.

use std::sync::Arc;

use crate::tree::{Slot, Tree};
use crate::{Event, KeyRange};

/// A chunk is closed at so many revisions, or at so many events: small enough to copy when a
/// snapshot shares it, large enough that the tree over the chunks is small.
const CHUNK_REVISIONS: usize = 32;
const CHUNK_EVENTS: usize = 128;

/// Successive main revisions and their events.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The first revision, and the same as bytes that compare as numbers do.
    first: i64,
    key: [u8; 8],
    /// Where the events of each revision end.
    ends: Vec<u32>,
    events: Vec<Event>,
}

impl Chunk {
    fn new(first: i64) -> Chunk {
        Chunk { first, key: first.to_be_bytes(), ends: Vec::new(), events: Vec::new() }
    }

    /// Its first revision.
    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    /// The revision after its last one.
    pub(crate) fn after(&self) -> i64 {
        self.first + i64::try_from(self.ends.len()).expect("a chunk is short")
    }

    /// The events of the revisions in `[from, to)`.
    pub(crate) fn events(&self, from: i64, to: i64) -> &[Event] {
        let end = |revision: i64| match usize::try_from(revision.saturating_sub(self.first))
            .unwrap_or(0)
        {
            0 => 0,
            count => self.ends[count.min(self.ends.len()) - 1] as usize,
        };
        if self.ends.is_empty() { &[] } else { &self.events[end(from)..end(to).max(end(from))] }
    }

    /// Its revisions below `revision`, and those from there on.
    fn split(&self, revision: i64) -> (Chunk, Chunk) {
        let (mut below, mut above) = (Chunk::new(self.first), Chunk::new(revision));
        for each in self.first..self.after() {
            let half = if each < revision { &mut below } else { &mut above };
            half.events.extend_from_slice(self.events(each, each + 1));
            half.close();
        }
        (below, above)
    }

    fn close(&mut self) {
        self.ends.push(u32::try_from(self.events.len()).expect("events fit into memory"));
    }
}

impl Slot for Arc<Chunk> {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// By first revision; all before `tail`.
    closed: Tree<Arc<Chunk>>,
    /// What is written now. Beyond its last end may lie the events of a revision that is not over.
    tail: Arc<Chunk>,
}

impl History {
    /// One that begins with `first`.
    pub(crate) fn new(first: i64) -> History {
        History { closed: Tree::default(), tail: Arc::new(Chunk::new(first)) }
    }

    /// Adds an event to the revision that is being written.
    pub(crate) fn push(&mut self, event: Event) {
        let tail = Arc::make_mut(&mut self.tail);
        if tail.events.capacity() == 0 {
            tail.events.reserve_exact(CHUNK_REVISIONS);
            tail.ends.reserve_exact(CHUNK_REVISIONS);
        }
        tail.events.push(event);
    }

    /// Ends the revision that is being written.
    pub(crate) fn close(&mut self) {
        let tail = Arc::make_mut(&mut self.tail);
        tail.close();
        if tail.ends.len() >= CHUNK_REVISIONS || tail.events.len() >= CHUNK_EVENTS {
            tail.events.shrink_to_fit();
            tail.ends.shrink_to_fit();
            let next = Arc::new(Chunk::new(tail.after()));
            self.closed.insert(std::mem::replace(&mut self.tail, next));
        }
    }

    fn chunk(&self, revision: i64) -> Option<&Arc<Chunk>> {
        if revision >= self.tail.first {
            return Some(&self.tail);
        }
        self.closed.floor(&revision.to_be_bytes())
    }

    /// The events of one revision; none if it is not held.
    pub(crate) fn at(&self, revision: i64) -> &[Event] {
        self.chunk(revision).map_or(&[], |chunk| chunk.events(revision, revision + 1))
    }

    /// The oldest chunk.
    pub(crate) fn front(&self) -> &Arc<Chunk> {
        self.closed.first().unwrap_or(&self.tail)
    }

    /// Drops the oldest chunk, unless it is the one being written.
    pub(crate) fn pop_front(&mut self) {
        if let Some(first) = self.closed.first() {
            let key = first.key;
            self.closed.remove(&key);
        }
    }

    /// The chunks in order, from the one that holds `revision`.
    pub(crate) fn chunks(&self, revision: i64) -> impl Iterator<Item = &Arc<Chunk>> {
        let revision = revision.max(0);
        let first = self.closed.floor(&revision.to_be_bytes()).or_else(|| self.closed.first());
        let first = first.map_or(revision, Chunk::first_of).to_be_bytes();
        self.closed.iter_from(&first).chain(std::iter::once(&self.tail))
    }

    /// Makes `revision` the beginning of a chunk, and changes its events.
    pub(crate) fn rewrite(&mut self, revision: i64, change: impl FnOnce(&mut Vec<Event>)) {
        let Some(chunk) = self.chunk(revision).cloned() else { return };
        if revision < chunk.first || revision >= chunk.after() {
            return;
        }
        let (below, mut above) = chunk.split(revision);
        let mut events = above.events(revision, revision + 1).to_vec();
        let (old, rest) = (events.len(), above.events.split_off(events.len()));
        change(&mut events);
        let gone = u32::try_from(old - events.len()).expect("a change only takes away");
        events.extend(rest);
        above.events = events;
        above.ends.iter_mut().for_each(|end| *end -= gone);
        if !below.ends.is_empty() {
            self.closed.insert(Arc::new(below));
        }
        if chunk.first == self.tail.first {
            self.tail = Arc::new(above);
        } else {
            self.closed.insert(Arc::new(above));
        }
    }
}

impl Chunk {
    fn first_of(chunk: &Arc<Chunk>) -> i64 {
        chunk.first
    }
}

/// The events of a span of revisions that lie in a range, in order. See [`crate::State::events`].
pub struct Events<'a> {
    chunks: Box<dyn Iterator<Item = &'a Arc<Chunk>> + Send + 'a>,
    events: std::slice::Iter<'a, Event>,
    keys: KeyRange,
    from: i64,
    to: i64,
}

impl std::fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events of [{}, {})", self.from, self.to)
    }
}

impl<'a> Events<'a> {
    pub(crate) fn new(history: &'a History, from: i64, to: i64, keys: &KeyRange) -> Events<'a> {
        let chunks = Box::new(history.chunks(from));
        Events { chunks, events: [].iter(), keys: keys.clone(), from, to }
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.find(|event| self.keys.contains(&event.kv.key)) {
                return Some(event.clone());
            }
            let chunk = self.chunks.next().filter(|chunk| chunk.first < self.to)?;
            self.events = chunk.events(self.from, self.to).iter();
        }
    }
}
