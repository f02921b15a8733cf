//! Which leaderships wrote which entries of a log. Start at [`History::common`].
//!
//! Entries of one epoch come from one leader, which writes each index once. So two logs that both have
//! entry 7 of epoch 3 agree up to there, and the contents are never needed to compare them.

use serde::{Deserialize, Serialize};

use crate::register::{Epoch, Index};

/// More leaderships than this in the log that is kept need a checkpoint of the driver first.
pub const MAX_RUNS: usize = 1024;

/// A place in a log: the entry there and the epoch that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The epoch in which the leadership began that wrote the entry; 0 before the first entry.
    pub epoch: Epoch,
    /// The entry's number; 0 before the first entry.
    pub index: Index,
}

/// Consecutive entries of one leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The epoch in which the leadership began.
    pub epoch: Epoch,
    /// The last entry.
    pub last: Index,
}

/// The shape of a log: where it begins, and who wrote what of it. At most [`MAX_RUNS`] runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Position, Vec<Run>)", into = "(Position, Vec<Run>)")]
pub struct History {
    base: Position,
    runs: Vec<Run>,
}

/// Why runs are no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A run does not lie behind the one before it.
    #[error("the run of epoch {epoch} up to entry {last} does not follow the one before it")]
    Order {
        /// Of the run.
        epoch: Epoch,
        /// Of the run.
        last: Index,
    },
    /// Too many runs.
    #[error("{0} leaderships in one log; {MAX_RUNS} is the most")]
    TooLong(usize),
}

impl TryFrom<(Position, Vec<Run>)> for History {
    type Error = HistoryError;

    fn try_from((base, runs): (Position, Vec<Run>)) -> Result<History, HistoryError> {
        History::new(base, runs)
    }
}

impl From<History> for (Position, Vec<Run>) {
    fn from(history: History) -> (Position, Vec<Run>) {
        (history.base, history.runs)
    }
}

impl History {
    /// A log that begins after `base` (what a snapshot holds, or nothing) and has these runs.
    ///
    /// # Errors
    /// When they are out of order or too many.
    pub fn new(base: Position, runs: Vec<Run>) -> Result<History, HistoryError> {
        if runs.len() > MAX_RUNS {
            return Err(HistoryError::TooLong(runs.len()));
        }
        let mut before = base;
        for (number, run) in runs.iter().enumerate() {
            // The first run may be the rest of the one that the snapshot ends in.
            let continues = number == 0 && run.epoch == before.epoch && run.epoch > 0;
            if run.last <= before.index || !(run.epoch > before.epoch || continues) {
                return Err(HistoryError::Order { epoch: run.epoch, last: run.last });
            }
            before = Position { epoch: run.epoch, index: run.last };
        }
        Ok(History { base, runs })
    }

    /// What lies before the first entry that the log still has.
    #[must_use]
    pub fn base(&self) -> Position {
        self.base
    }

    /// The runs behind [`History::base`].
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Position {
        self.runs.last().map_or(self.base, |run| Position { epoch: run.epoch, index: run.last })
    }

    /// Whether one more leadership would be too many.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.runs.len() >= MAX_RUNS
    }

    /// The place of entry `index`, when the log or its base has it.
    #[must_use]
    pub fn at(&self, index: Index) -> Option<Position> {
        if index == self.base.index {
            return Some(self.base);
        }
        if index < self.base.index {
            return None;
        }
        let run = self.runs.iter().find(|run| run.last >= index)?;
        Some(Position { epoch: run.epoch, index })
    }

    /// The rest of the run behind `index`, no longer than `most` entries: what to send next.
    #[must_use]
    pub fn next_run(&self, index: Index, most: u64) -> Option<Run> {
        let run = self.runs.iter().find(|run| run.last > index)?;
        Some(Run { epoch: run.epoch, last: run.last.min(index.saturating_add(most)) })
    }

    /// The last place that both logs have.
    #[must_use]
    pub fn common(&self, other: &History) -> Position {
        let ends = |history: &History, epoch: Epoch| {
            let run = history.runs.iter().find(|run| run.epoch == epoch).map(|run| run.last);
            run.or((history.base.epoch == epoch).then_some(history.base.index))
        };
        let own = self.runs.iter().rev().map(|run| run.epoch).chain([self.base.epoch]);
        for epoch in own {
            if let (Some(here), Some(there)) = (ends(self, epoch), ends(other, epoch)) {
                return Position { epoch, index: here.min(there) };
            }
        }
        Position::default()
    }

    /// Adds entries of `epoch` up to `last`.
    pub(crate) fn append(&mut self, epoch: Epoch, last: Index) {
        let end = self.last();
        assert!(last > end.index && epoch >= end.epoch, "an entry goes to the end of the log");
        match self.runs.last_mut() {
            Some(run) if run.epoch == epoch => run.last = last,
            _ => self.runs.push(Run { epoch, last }),
        }
    }

    /// Drops what lies behind `to`.
    pub(crate) fn truncate(&mut self, to: Index) {
        assert!(to >= self.base.index, "what a snapshot holds cannot be cut off");
        let keep = self.runs.iter().take_while(|run| run.last <= to).count();
        let before = keep.checked_sub(1).map_or(self.base.index, |last| self.runs[last].last);
        let rest = self.runs.get(keep).filter(|_| before < to).map(|run| run.epoch);
        self.runs.truncate(keep);
        self.runs.extend(rest.map(|epoch| Run { epoch, last: to }));
    }

    /// Forgets entries up to `to`: from now on only a snapshot holds them.
    pub(crate) fn compact(&mut self, to: Index) {
        if let Some(base) = self.at(to).filter(|at| at.index > self.base.index) {
            self.runs.retain(|run| run.last > to);
            self.base = base;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(base: (u64, u64), runs: &[(u64, u64)]) -> History {
        let base = Position { epoch: base.0, index: base.1 };
        let runs = runs.iter().map(|&(epoch, last)| Run { epoch, last }).collect();
        History::new(base, runs).expect("in order")
    }

    fn common(one: &History, other: &History) -> (u64, u64) {
        let point = one.common(other);
        assert_eq!(point, other.common(one), "it is the same from both sides");
        (point.epoch, point.index)
    }

    #[test]
    fn the_common_point_is_where_the_leaderships_part() {
        let long = history((0, 0), &[(1, 5), (4, 9)]);
        assert_eq!(common(&long, &long), (4, 9));
        assert_eq!(common(&long, &history((0, 0), &[(1, 5), (4, 7)])), (4, 7));
        assert_eq!(common(&long, &history((0, 0), &[(1, 8)])), (1, 5));
        assert_eq!(common(&long, &history((0, 0), &[(1, 3), (2, 9)])), (1, 3));
        assert_eq!(common(&long, &history((0, 0), &[(2, 9)])), (0, 0));
        assert_eq!(common(&long, &history((4, 7), &[])), (4, 7));
        assert_eq!(common(&history((4, 8), &[(4, 9)]), &history((1, 5), &[])), (0, 0));
    }

    #[test]
    fn runs_out_of_order_are_refused() {
        let run = |epoch, last| Run { epoch, last };
        let of = |runs| History::new(Position { epoch: 3, index: 10 }, runs);
        assert!(of(vec![run(3, 12), run(4, 13)]).is_ok());
        assert!(of(vec![run(3, 10)]).is_err());
        assert!(of(vec![run(2, 12)]).is_err());
        assert!(of(vec![run(4, 12), run(4, 13)]).is_err());
        let many = (0..=MAX_RUNS as u64).map(|n| run(4 + n, 11 + n)).collect();
        assert_eq!(of(many), Err(HistoryError::TooLong(MAX_RUNS + 1)));
    }

    #[test]
    fn compaction_keeps_places() {
        let mut log = history((0, 0), &[(1, 5), (4, 9)]);
        log.compact(7);
        assert_eq!(log, history((4, 7), &[(4, 9)]));
        assert_eq!(log.at(5), None);
        assert_eq!(log.at(8), Some(Position { epoch: 4, index: 8 }));
        log.compact(9);
        assert_eq!(log, history((4, 9), &[]));
    }

    proptest! {
        /// Two logs that share a beginning: the common point is its end, and cutting there makes one
        /// a prefix of the other.
        #[test]
        fn what_is_shared_is_found(
            shared in prop::collection::vec(1u64..4, 0..5),
            mine in prop::collection::vec(1u64..4, 0..4),
            theirs in prop::collection::vec(1u64..4, 0..4),
        ) {
            let mut log = History::default();
            for (epoch, length) in shared.iter().enumerate() {
                log.append(epoch as u64 + 1, log.last().index + length);
            }
            let (mut one, mut other) = (log.clone(), log.clone());
            for (number, length) in mine.iter().enumerate() {
                one.append(100 + 2 * number as u64, one.last().index + length);
            }
            for (number, length) in theirs.iter().enumerate() {
                other.append(101 + 2 * number as u64, other.last().index + length);
            }
            prop_assert_eq!(one.common(&other), log.last());
            one.truncate(log.last().index);
            prop_assert_eq!(one, log);
        }
    }
}
