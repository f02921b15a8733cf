//! The newest entries of the log, in memory: what a follower may still need, and what may still be cut
//! off. Start at [`Ring::push`]. Knows nothing of rooms or of the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use pair::{History, Index, MAX_RUNS, Position, Run};

use crate::record::Record;

/// Entries and bytes that are kept for a follower that was away; one that needs older ones is sent a
/// snapshot. More than may wait for an acknowledgement ([`pair::MAX_WAITING`]).
const ENTRIES: u64 = 1 << 17;
const BYTES: usize = 64 << 20;

/// Entries `before.index + 1 ..= last`, in the groups in which they came.
#[derive(Debug)]
pub struct Ring {
    before: Position,
    last: Position,
    groups: VecDeque<Arc<[Record]>>,
    /// How many leaderships the groups are of, at most.
    runs: usize,
    bytes: usize,
}

/// Where an entry is.
#[must_use]
pub fn position(record: &Record) -> Position {
    Position { epoch: record.term, index: record.index }
}

impl Ring {
    /// One without an entry; the next is the one behind `before`.
    #[must_use]
    pub fn new(before: Position) -> Ring {
        Ring { before, last: before, groups: VecDeque::new(), runs: 0, bytes: 0 }
    }

    /// What the oldest entry follows.
    #[must_use]
    pub fn before(&self) -> Position {
        self.before
    }

    /// The newest entry.
    #[must_use]
    pub fn last(&self) -> Position {
        self.last
    }

    /// Adds entries, which follow the last one.
    pub fn push(&mut self, group: Arc<[Record]>) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
        assert!(first.index == self.last.index + 1, "entries follow each other");
        self.runs += usize::from(self.last.epoch != first.term || self.groups.is_empty());
        self.runs += group.windows(2).filter(|pair| pair[0].term != pair[1].term).count();
        self.bytes += weight(&group);
        self.last = position(last);
        self.groups.push_back(group);
    }

    /// Forgets what is behind `to`.
    pub fn truncate(&mut self, to: Index) {
        while let Some(group) = self.groups.back() {
            let kept = group.partition_point(|record| record.index <= to);
            if kept == group.len() {
                break;
            }
            let rest = (kept > 0).then(|| Arc::from(&group[..kept]));
            self.bytes -= weight(group);
            self.groups.pop_back();
            if let Some(rest) = rest {
                self.bytes += weight(&rest);
                self.groups.push_back(rest);
            }
        }
        let last = self.groups.back().and_then(|group| group.last());
        self.last = last.map_or(self.before, position);
    }

    /// Forgets the oldest entries up to `settled` as far as there are too many; true if some went.
    pub fn trim(&mut self, settled: Index) -> bool {
        let before = self.before;
        while let Some(group) = self.groups.front() {
            let Some(last) = group.last().map(position).filter(|last| last.index <= settled) else {
                break;
            };
            let entries = self.last.index - self.before.index;
            // So that one more leadership fits into a history.
            if entries <= ENTRIES && self.bytes <= BYTES && self.runs < MAX_RUNS / 2 {
                break;
            }
            self.runs -= group.windows(2).filter(|pair| pair[0].term != pair[1].term).count();
            self.bytes -= weight(group);
            self.groups.pop_front();
            let next = self.groups.front().and_then(|group| group.first());
            self.runs -= usize::from(next.is_none_or(|next| next.term != last.epoch));
            self.before = last;
        }
        self.before != before
    }

    /// The entries behind `after` up to `last`, which are there.
    pub fn between(&self, after: Index, last: Index) -> impl Iterator<Item = &Record> {
        let first = self
            .groups
            .partition_point(|group| group.last().is_none_or(|record| record.index <= after));
        let entries = self.groups.iter().skip(first).flat_map(|group| group.iter());
        entries
            .skip_while(move |record| record.index <= after)
            .take_while(move |record| record.index <= last)
    }

    /// Its shape.
    #[must_use]
    pub fn history(&self) -> History {
        let mut runs: Vec<Run> = Vec::new();
        for record in self.groups.iter().flat_map(|group| group.iter()) {
            match runs.last_mut() {
                Some(run) if run.epoch == record.term => run.last = record.index,
                _ => runs.push(Run { epoch: record.term, last: record.index }),
            }
        }
        History::new(self.before, runs).expect("terms never fall, and the ring bounds the runs")
    }
}

fn weight(group: &[Record]) -> usize {
    group.iter().map(Record::weight).sum()
}

#[cfg(test)]
mod tests {
    use mvcc::Effect;

    use super::*;

    fn group(first: u64, terms: &[u64]) -> Arc<[Record]> {
        let record = |(index, term): (u64, &u64)| Record {
            index,
            term: *term,
            effect: Effect::Grant { id: 1, ttl: 1 },
        };
        (first..).zip(terms).map(record).collect()
    }

    fn ring() -> Ring {
        let mut ring = Ring::new(Position { epoch: 1, index: 10 });
        ring.push(group(11, &[1, 1, 3]));
        ring.push(group(14, &[3]));
        ring.push(group(15, &[4, 4]));
        ring
    }

    fn indices(ring: &Ring, after: u64, last: u64) -> Vec<u64> {
        ring.between(after, last).map(|record| record.index).collect()
    }

    #[test]
    fn entries_are_found_across_groups() {
        let ring = ring();
        assert_eq!(indices(&ring, 10, 16), [11, 12, 13, 14, 15, 16]);
        assert_eq!(indices(&ring, 12, 15), [13, 14, 15]);
        assert_eq!(indices(&ring, 16, 16), [0; 0]);
        let runs = [(1, 12), (3, 14), (4, 16)];
        let found: Vec<_> = ring.history().runs().iter().map(|r| (r.epoch, r.last)).collect();
        assert_eq!(found, runs);
    }

    #[test]
    fn what_is_cut_off_is_gone_also_within_a_group() {
        let mut ring = ring();
        ring.truncate(15);
        assert_eq!(ring.last(), Position { epoch: 4, index: 15 });
        ring.truncate(12);
        assert_eq!(
            (ring.last(), indices(&ring, 10, 99)),
            (Position { epoch: 1, index: 12 }, vec![11, 12])
        );
        ring.push(group(13, &[5]));
        ring.truncate(10);
        assert_eq!((ring.last(), ring.bytes), (ring.before(), 0));
    }

    #[test]
    fn it_is_bounded_by_what_is_settled() {
        let mut ring = Ring::new(Position::default());
        let many = vec![1; 1 << 12];
        for turn in 0..64 {
            ring.push(group(1 + turn * (1 << 12), &many));
        }
        assert!(!ring.trim(0), "nothing is settled");
        assert!(ring.trim(1 << 13));
        assert_eq!(ring.before(), Position { epoch: 1, index: 1 << 13 });
        assert!(ring.trim(u64::MAX));
        assert_eq!(ring.last().index - ring.before().index, ENTRIES);
        assert_eq!(ring.runs, 1);
    }
}
