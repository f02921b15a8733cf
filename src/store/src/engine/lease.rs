//! When leases run out. Start at [`Clocks`]. Time is given, never read; what hangs on a lease and
//! whether it is logged is the state's matter.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A moment: how long after the engine's start.
pub(crate) type Moment = Duration;

/// The moments at which leases run out.
///
/// After a start every lease has its full time again, as etcd's have after an election: a store that
/// was away must not end the leases of those who could not reach it.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    ends: HashMap<i64, Moment>,
    order: BTreeSet<(Moment, i64)>,
}

impl Clocks {
    /// Starts or restarts the lease `id`, which then lasts `ttl` seconds from `now` on.
    pub(crate) fn renew(&mut self, id: i64, ttl: i64, now: Moment) {
        let end = now.saturating_add(Duration::from_secs(ttl.max(0).unsigned_abs()));
        self.remove(id);
        self.ends.insert(id, end);
        self.order.insert((end, id));
    }

    /// Forgets a lease.
    pub(crate) fn remove(&mut self, id: i64) {
        if let Some(end) = self.ends.remove(&id) {
            self.order.remove(&(end, id));
        }
    }

    /// The time that the lease has left; none if it is not known.
    pub(crate) fn left(&self, id: i64, now: Moment) -> Option<Duration> {
        self.ends.get(&id).map(|end| end.saturating_sub(now))
    }

    /// The lease that ran out first, if one has.
    pub(crate) fn due(&self, now: Moment) -> Option<i64> {
        self.order.first().filter(|(end, _)| *end <= now).map(|(_, id)| *id)
    }

    /// When the next one runs out.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.order.first().map(|(end, _)| *end)
    }

    /// Makes the clocks fit the leases that there are: others are forgotten, new ones begin at `now`.
    pub(crate) fn fit(&mut self, leases: impl Iterator<Item = (i64, i64)>, now: Moment) {
        let leases: HashMap<i64, i64> = leases.collect();
        let gone: Vec<i64> =
            self.ends.keys().copied().filter(|id| !leases.contains_key(id)).collect();
        for id in gone {
            self.remove(id);
        }
        for (id, ttl) in leases {
            if !self.ends.contains_key(&id) {
                self.renew(id, ttl, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_runs_out_once_and_after_its_time() {
        let mut clocks = Clocks::default();
        clocks.renew(7, 10, at(0));
        clocks.renew(8, 5, at(0));
        assert_eq!((clocks.due(at(4)), clocks.next()), (None, Some(at(5))));
        assert_eq!(clocks.due(at(5)), Some(8));
        clocks.remove(8);
        assert_eq!(clocks.due(at(9)), None);
        clocks.renew(7, 10, at(9));
        assert_eq!((clocks.due(at(10)), clocks.due(at(19))), (None, Some(7)));
        assert_eq!((clocks.left(7, at(12)), clocks.left(8, at(12))), (Some(at(7)), None));
    }

    #[test]
    fn fitting_keeps_the_time_of_those_that_stay() {
        let mut clocks = Clocks::default();
        clocks.renew(1, 10, at(0));
        clocks.renew(2, 10, at(0));
        clocks.fit([(2, 10), (3, 10)].into_iter(), at(5));
        let left = |id| clocks.left(id, at(5));
        assert_eq!((left(1), left(2), left(3)), (None, Some(at(5)), Some(at(10))));
    }

    #[test]
    fn the_longest_lease_does_not_overflow() {
        let mut clocks = Clocks::default();
        clocks.renew(1, i64::MAX, Duration::MAX - at(1));
        assert_eq!(clocks.due(at(1)), None);
    }
}
