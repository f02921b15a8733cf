//! When history is forgotten without being asked: etcd's two modes. Start at [`AutoCompact::due`].
//! Time is given, never read.

use std::collections::VecDeque;
use std::time::Duration;

use super::lease::Moment;

/// How history is forgotten by itself (etcd's `--auto-compaction-mode` and `-retention`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// It is not: the client does it, as kube-apiserver does every five minutes.
    #[default]
    Forever,
    /// What is older than this is forgotten.
    Time(Duration),
    /// All but so many revisions are forgotten.
    Revisions(i64),
}

/// With [`Retention::Revisions`], how often is looked (etcd's `revInterval`).
const EVERY: Duration = Duration::from_secs(300);

/// With [`Retention::Time`], how many looks fit into the time (etcd's `retryDivisor`).
const LOOKS: u32 = 10;

/// Remembers which revision was the newest when.
#[derive(Debug)]
pub(crate) struct AutoCompact {
    retention: Retention,
    seen: VecDeque<(Moment, i64)>,
    next: Moment,
}

impl AutoCompact {
    pub(crate) fn new(retention: Retention) -> AutoCompact {
        AutoCompact { retention, seen: VecDeque::new(), next: Moment::ZERO }
    }

    /// When the next look is due; none if never.
    pub(crate) fn next(&self) -> Option<Moment> {
        (self.retention != Retention::Forever).then_some(self.next)
    }

    /// The revision to compact at `now`, the newest revision being `revision`.
    pub(crate) fn due(&mut self, now: Moment, revision: i64) -> Option<i64> {
        if now < self.next {
            return None;
        }
        match self.retention {
            Retention::Forever => None,
            Retention::Revisions(kept) => {
                self.next = now + EVERY;
                Some(revision - kept).filter(|at| *at > 0)
            }
            Retention::Time(time) => {
                self.next = now + (time / LOOKS).max(Duration::from_secs(1));
                self.seen.push_back((now, revision));
                let old = now.checked_sub(time)?;
                let mut found = None;
                while let Some((_, at)) = self.seen.front().filter(|(moment, _)| *moment <= old) {
                    found = Some(*at);
                    self.seen.pop_front();
                }
                found
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn time_forgets_what_was_the_newest_that_long_ago() {
        let mut auto = AutoCompact::new(Retention::Time(at(100)));
        let mut done = Vec::new();
        for second in 0..=130 {
            let revision = i64::try_from(second).unwrap() + 1;
            if let Some(compacted) = auto.due(at(second), revision) {
                done.push((second, compacted));
            }
        }
        assert_eq!(done, [(100, 1), (110, 11), (120, 21), (130, 31)]);
    }

    #[test]
    fn revisions_keep_so_many() {
        let mut auto = AutoCompact::new(Retention::Revisions(1000));
        assert_eq!(auto.due(at(0), 900), None);
        assert_eq!(auto.due(at(299), 9000), None);
        assert_eq!(auto.due(at(300), 9000), Some(8000));
    }

    #[test]
    fn forever_is_never_due() {
        let mut auto = AutoCompact::new(Retention::Forever);
        assert_eq!((auto.next(), auto.due(at(1_000_000), 1_000_000)), (None, None));
    }
}
