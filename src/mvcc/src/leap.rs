//! Jumping ahead in revisions, where writes that clients may have seen are lost: no revision that they
//! know may ever come again with other contents. Start at [`State::leap`].

use crate::record::is_tombstone;
use crate::{ApplyError, Effect, Error, Item, State};

impl State {
    /// Makes `revision` the newest one, and the first that can be read and watched; it holds the keys as
    /// they are now. Whoever watches from before is told that it is compacted, and reads anew, as after
    /// a restored backup. Takes O(keys) time.
    ///
    /// # Errors
    /// [`Error::FutureRevision`] if `revision` does not lie ahead; the state is unchanged then.
    ///
    /// # Panics
    /// Never: a state's own items make a state.
    pub fn leap(&mut self, revision: i64) -> Result<Effect, Error> {
        if revision <= self.revision {
            return Err(Error::FutureRevision);
        }
        *self = self.at_leap(revision).expect("a state's own items make a state");
        Ok(Effect::Leap { revision })
    }

    fn at_leap(&self, revision: i64) -> Result<State, ApplyError> {
        let mut whole = self.clone();
        if whole.compacted < whole.revision {
            // It lies within the revisions, so it cannot be refused.
            let _ = whole.compact(whole.revision);
        }
        let lasting = |item: &Item| !matches!(item, Item::Version { kv, .. } if is_tombstone(kv));
        let items: Vec<Item> = whole.into_items().filter(lasting).collect();
        let versions = items.iter().filter(|item| matches!(item, Item::Version { .. })).count();
        let mut builder = State::builder();
        for item in items {
            builder.push(match item {
                Item::Head { leases, .. } => {
                    let versions = versions as u64;
                    Item::Head { revision, compacted: revision, leases, versions }
                }
                item => item,
            })?;
        }
        builder.finish()
    }
}
