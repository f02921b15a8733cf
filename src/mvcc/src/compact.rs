//! Forgetting (etcd v3.5.16 `mvcc/key_index.go`, `compact`; `mvcc/kvstore_compaction.go`).
//!
//! [`State::compact`] only says from which revision on the store answers; what nobody can see any more
//! is cleared by [`State::sweep`], a few versions at a time. No answer but [`State::size`] depends on
//! how far that has gone.
//!
//! Each version up to the compaction revision that is to go is found by its key's events, so the work
//! is that of the changes since the last compaction, not of all keys: a key that did not change has
//! nothing to give.

use std::collections::HashSet;
use std::sync::Arc;

use crate::{Effect, Error, State};

/// Versions that one event's visit to its key drops at most, so that a key with very many is cleared
/// in bounded pieces. Two would do: a key has one version more than events to visit it.
const VERSIONS_A_VISIT: usize = 8;

impl State {
    /// Makes `revision` the first that can be read and watched. Of each key the newest version up to it
    /// is kept, but a deletion only if it happened at just that revision.
    ///
    /// # Errors
    /// [`Error::Compacted`] if it is compacted already, [`Error::FutureRevision`]; the state is
    /// unchanged then.
    pub fn compact(&mut self, revision: i64) -> Result<Effect, Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        self.swept = 0;
        // What came before the events of that revision cannot be read any more; and of a key that
        // it changed twice, only the last change stays.
        self.history.rewrite(revision, |events| {
            let mut seen = HashSet::new();
            events.reverse();
            events.retain_mut(|event| {
                event.prev_kv = None;
                seen.insert(event.kv.key.clone())
            });
            events.reverse();
        });
        Ok(Effect::Compact { revision })
    }

    /// Whether there is something for [`State::sweep`] to do.
    #[must_use]
    pub fn sweeping(&self) -> bool {
        let front = self.history.front();
        let due = front.events(front.first(), self.compacted.saturating_add(1)).len();
        front.first() < self.compacted || self.swept < due
    }

    /// Clears what compactions left behind, for about as many events as `budget` says.
    pub fn sweep(&mut self, budget: usize) {
        let mut left = budget;
        while left > 0 && self.sweeping() {
            let chunk = Arc::clone(self.history.front());
            let due = chunk.events(chunk.first(), self.compacted.saturating_add(1));
            for event in due.iter().skip(self.swept).take(left) {
                self.prune(&event.kv.key);
                self.swept += 1;
                left -= 1;
            }
            if self.swept >= due.len() && chunk.after() <= self.compacted {
                self.history.pop_front();
                self.swept = 0;
                left = left.saturating_sub(1);
            }
        }
    }

    fn prune(&mut self, key: &[u8]) {
        let compacted = self.compacted;
        // So that nothing is copied for a key that has nothing to give.
        if !self.keys.get(key).is_some_and(|record| record.can_prune(compacted)) {
            return;
        }
        let pruned = self.keys.edit(key, |record| record.prune(compacted, VERSIONS_A_VISIT));
        let Some((freed, gone)) = pruned else { return };
        self.size -= freed;
        if gone {
            self.keys.remove(key);
        }
    }
}
