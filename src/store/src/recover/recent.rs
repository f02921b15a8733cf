//! The end of the log as a room of a pair needs it: the state as far as it is surely acknowledged, and
//! the entries behind it, which may still be cut off. Start at [`Recent`]. Filled while the log is read.

use std::collections::VecDeque;
use std::sync::Arc;

use mvcc::State;
use pair::Position;

use crate::record::Record;
use crate::replica::Ring;

/// See the module.
#[derive(Debug)]
pub struct Recent {
    /// States behind groups, oldest first: the newest one that is surely acknowledged, and all later ones.
    marks: VecDeque<(State, Position)>,
    ring: Ring,
}

impl Recent {
    /// Of a log that begins behind a checkpoint, which holds nothing that is not acknowledged.
    pub(super) fn new(checkpoint: State, at: Position) -> Recent {
        Recent { marks: VecDeque::from([(checkpoint, at)]), ring: Ring::new(at) }
    }

    /// A group whose writer knew that all up to `settled` is acknowledged.
    pub(super) fn settle(&mut self, settled: u64) {
        while self.marks.get(1).is_some_and(|(_, at)| at.index <= settled) {
            self.marks.pop_front();
        }
    }

    /// The group's records, and what they led to.
    pub(super) fn push(&mut self, group: Vec<Record>, state: &State) {
        self.ring.push(Arc::from(group));
        self.marks.push_back((state.clone(), self.ring.last()));
        self.ring.trim(self.marks[0].1.index);
    }

    /// The state that is surely acknowledged, the place of its last entry, and all entries in memory,
    /// older and later ones.
    #[must_use]
    pub fn into_parts(mut self) -> (State, Position, Ring) {
        let (state, at) = self.marks.pop_front().expect("the checkpoint's state is the first");
        (state, at, self.ring)
    }
}
