//! What the clients' side sees of a pair: who leads, whether reads may be answered here, how far this room
//! has come. Start at [`Seat`]. Written by the deciding thread, read by everybody.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use pair::{Happening, Room, Time};
use tokio::sync::watch;

use super::super::lock;
use super::clock;
use crate::recover::Place;

/// Events that are kept for people.
const EVENTS: usize = 256;

/// No linearizable reads here.
const NEVER: u64 = 0;
/// Reads without a lease.
const ALWAYS: u64 = u64::MAX;

/// Who leads, as this room knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This room.
    Leads,
    /// The other one.
    Follows,
    /// Nobody that this room hears.
    Apart,
}

/// Something that happened, and when by the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// For people only.
    pub when: SystemTime,
    /// What.
    pub happening: Happening,
}

/// A store's place in a pair.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) place: Place,
    /// The site's number, once it is known.
    cluster: AtomicU64,
    /// Until when linearizable reads may be answered, in nanoseconds of [`clock::now`].
    until: AtomicU64,
    standing: watch::Sender<Standing>,
    applied: watch::Sender<u64>,
    events: Mutex<VecDeque<Event>>,
    /// Whether this room would go on without the other one; none before it was asked.
    survives: Mutex<Option<bool>>,
}

impl Seat {
    pub(crate) fn new(place: Place, index: u64) -> Seat {
        Seat {
            place,
            cluster: AtomicU64::new(0),
            until: AtomicU64::new(NEVER),
            standing: watch::Sender::new(Standing::Apart),
            applied: watch::Sender::new(index),
            events: Mutex::default(),
            survives: Mutex::default(),
        }
    }

    /// Readers see everything up to this entry.
    pub(crate) fn applied(&self, index: u64) {
        self.applied.send_replace(index);
    }

    /// Waits until they do.
    pub(crate) async fn reach(&self, index: u64) {
        let mut applied = self.applied.subscribe();
        // The sender lives as long as this does.
        let _ = applied.wait_for(|reached| *reached >= index).await;
    }

    /// Linearizable reads may be answered until then; without it until further notice.
    pub(super) fn serve(&self, until: Option<Time>) {
        let nanos = |time: Time| u64::try_from(time.0.as_nanos()).unwrap_or(ALWAYS - 1);
        self.until.store(until.map_or(ALWAYS, nanos), Ordering::Release);
        // Who waits for a lease looks again.
        self.standing.send_replace(Standing::Leads);
    }

    pub(super) fn stop_serving(&self) {
        self.until.store(NEVER, Ordering::Release);
    }

    /// Whether what is published *now* is all that anybody may have been told.
    pub(crate) fn serves(&self) -> bool {
        match self.until.load(Ordering::Acquire) {
            NEVER => false,
            ALWAYS => true,
            until => clock::now().0.as_nanos() < u128::from(until),
        }
    }

    pub(super) fn stands(&self, standing: Standing) {
        self.standing.send_if_modified(|known| std::mem::replace(known, standing) != standing);
    }

    pub(crate) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Tells when [`Seat::standing`] or the lease changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) fn set_cluster(&self, cluster: u128) {
        // Clients know 64 bits of it, which are not 0.
        let short = (cluster as u64) ^ ((cluster >> 64) as u64);
        self.cluster.store(short.max(1), Ordering::Release);
    }

    /// The site's number as clients know it; 0 before it is known.
    pub(crate) fn cluster_id(&self) -> u64 {
        self.cluster.load(Ordering::Acquire)
    }

    /// A room's number as clients know it: the same for both of its incarnations.
    pub(crate) fn member_id(&self, room: Room) -> u64 {
        (self.cluster_id() << 8 | 0xd0) + 1 + room as u64
    }

    pub(super) fn note(&self, happening: Happening) {
        let mut events = lock(&self.events);
        if events.len() == EVENTS {
            events.pop_front();
        }
        events.push_back(Event { when: SystemTime::now(), happening });
    }

    /// Notes whether this room would go on without the other one; true if that is new.
    pub(super) fn survives(&self, survives: bool) -> bool {
        lock(&self.survives).replace(survives) != Some(survives)
    }

    /// Whether it would; none before it was asked.
    pub(crate) fn would_survive(&self) -> Option<bool> {
        *lock(&self.survives)
    }

    /// The newest events, oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.events).iter().copied().collect()
    }
}
