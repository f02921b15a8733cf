//! Who is connected, and how often each site may ask. Start at [`Crowd::enter`] and [`Crowd::take`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pair::Room;
use site::Label;
use tokio::sync::oneshot;

use crate::count::{Counters, lock};
use crate::limit::{Bucket, Rate};
use crate::name::Caller;

/// Connections of one room: its store's, and that of a person who looks. With one more, the oldest goes: a
/// room whose cable was cut leaves connections behind that nobody closes.
const OF_A_ROOM: usize = 2;

/// Everyone who was let in. Bounded by the sites that there are, since only their rooms are.
#[derive(Debug)]
pub(crate) struct Crowd {
    rate: Rate,
    counters: Arc<Counters>,
    sites: Mutex<HashMap<Label, Group>>,
}

#[derive(Debug)]
struct Group {
    bucket: Bucket,
    members: Vec<Member>,
    next: u64,
}

#[derive(Debug)]
struct Member {
    number: u64,
    room: Room,
    /// Dropped when the connection is to end.
    _stay: oneshot::Sender<()>,
}

/// A connection that was let in; it is out when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    site: Label,
    number: u64,
    /// Resolves when the connection is to end.
    pub(crate) replaced: oneshot::Receiver<()>,
}

impl Crowd {
    pub(crate) fn new(rate: Rate, counters: Arc<Counters>) -> Crowd {
        Crowd { rate, counters, sites: Mutex::default() }
    }

    /// Lets a connection of a room in.
    pub(crate) fn enter(self: &Arc<Self>, caller: &Caller, now: Instant) -> Seat {
        let (stay, replaced) = oneshot::channel();
        let mut sites = lock(&self.sites);
        let group = sites.entry(caller.site.clone()).or_insert_with(|| Group {
            bucket: Bucket::full(self.rate, now),
            members: Vec::new(),
            next: 0,
        });
        group.next += 1;
        let number = group.next;
        group.members.push(Member { number, room: caller.room, _stay: stay });
        let of_room = group.members.iter().filter(|member| member.room == caller.room);
        if of_room.count() > OF_A_ROOM {
            let oldest = group.members.iter().position(|member| member.room == caller.room);
            oldest.map(|at| group.members.remove(at));
            self.counters.replaced.add(1);
        }
        self.counters.accepted.add(1);
        self.counters.connections.add(1);
        Seat { crowd: self.clone(), site: caller.site.clone(), number, replaced }
    }

    /// Whether the site may ask now, or in how long.
    pub(crate) fn take(&self, site: &Label, now: Instant) -> Result<(), Duration> {
        match lock(&self.sites).get_mut(site) {
            Some(group) => group.bucket.take(self.rate, now),
            None => Ok(()),
        }
    }

    /// Forgets sites of which nobody is there, and whose bucket is as good as new.
    pub(crate) fn sweep(&self, now: Instant) {
        lock(&self.sites)
            .retain(|_, group| !group.members.is_empty() || !group.bucket.is_full(self.rate, now));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.counters.connections.sub(1);
        if let Some(group) = lock(&self.crowd.sites).get_mut(&self.site) {
            group.members.retain(|member| member.number != self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn the_oldest_connection_of_a_room_gives_way() {
        let crowd = Arc::new(Crowd::new(Rate::default(), Arc::default()));
        let now = Instant::now();
        let caller = |room| Caller { site: "x".parse().unwrap(), room };
        let mut first = crowd.enter(&caller(Room::A), now);
        let mut other = crowd.enter(&caller(Room::B), now);
        let mut second = crowd.enter(&caller(Room::A), now);
        assert_eq!(first.replaced.try_recv(), Err(TryRecvError::Empty));
        let third = crowd.enter(&caller(Room::A), now);
        assert_eq!(first.replaced.try_recv(), Err(TryRecvError::Closed));
        for seat in [&mut second, &mut other] {
            assert_eq!(seat.replaced.try_recv(), Err(TryRecvError::Empty));
        }
        assert_eq!(crowd.counters.connections.get(), 4, "until its task has ended");
        drop((first, second, third, other));
        assert_eq!((crowd.counters.connections.get(), crowd.counters.replaced.get()), (0, 1));
    }

    #[test]
    fn one_site_does_not_use_up_what_another_has() {
        let rate = Rate { per_second: 1.0, burst: 2.0 };
        let crowd = Arc::new(Crowd::new(rate, Arc::default()));
        let now = Instant::now();
        let name = |text: &str| -> Label { text.parse().unwrap() };
        let seat = |site| crowd.enter(&Caller { site: name(site), room: Room::A }, now);
        let (x, _y) = (seat("x"), seat("y"));
        assert!(crowd.take(&name("x"), now).is_ok() && crowd.take(&name("x"), now).is_ok());
        assert_eq!(crowd.take(&name("x"), now), Err(Duration::from_secs(1)));
        assert!(crowd.take(&name("y"), now).is_ok());

        // Who goes and comes back finds the same bucket, until it is full.
        drop(x);
        crowd.sweep(now);
        let x = seat("x");
        assert!(crowd.take(&name("x"), now).is_err());
        drop(x);
        crowd.sweep(now + Duration::from_secs(2));
        assert_eq!(lock(&crowd.sites).len(), 1);
    }
}
