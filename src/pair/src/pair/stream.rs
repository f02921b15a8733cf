//! Bringing a follower's log up to the leader's. Start at [`Pair::join`].

use super::{Effects, Pair, Role};
use crate::happening::What;
use crate::history::History;
use crate::message::Body;
use crate::register::Index;

/// Entries in one message: small beside a heartbeat's time on any link that a site has.
const CHUNK: u64 = 1024;

/// Entries that are under way at most.
const WINDOW: u64 = 16 * CHUNK;

/// What the leader knows of a follower whose log is a beginning of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    /// Sent up to here.
    sent: Index,
    /// It has them up to here,
    last: Index,
    /// and on its disk up to here.
    pub(super) synced: Index,
    /// What it had at the last heartbeat that it answered.
    before: Index,
    /// It wants to stay out of the set.
    pub(super) away: bool,
}

impl Follower {
    /// What it has, and what of it is on its disk.
    pub(super) fn reached(&self) -> (Index, Index) {
        (self.last, self.synced)
    }

    /// It answered. Positions only grow while it follows one leadership, so a late answer is harmless.
    pub(super) fn hear(&mut self, beat: bool, last: Index, synced: Index, away: bool) {
        self.last = self.last.max(last);
        self.synced = self.synced.max(synced);
        self.sent = self.sent.max(last);
        self.away = away;
        if beat {
            // No progress since the last heartbeat: what was sent is lost.
            if self.before == self.last {
                self.sent = self.last;
            }
            self.before = self.last;
        }
    }
}

impl Pair {
    /// A follower shows its log: say where it parts from this one, or send a snapshot instead.
    pub(super) fn join(&mut self, theirs: &History, out: &mut Effects) {
        let Role::Leading(leading) = &self.role else { return };
        let (term, of) = (leading.term, theirs.last());
        let to = self.history.common(theirs);
        let oldest = self.history.base().index.max(theirs.base().index);
        if to.index >= oldest && self.history.at(to.index) == Some(to) {
            return self.send(Body::Rejoin { term, of, to }, out);
        }
        let held = self.acknowledged.max(self.history.base().index);
        if let Some(at) = self.history.at(held) {
            self.tell(What::SendsSnapshot(at), out);
            self.send(Body::Snapshot { term, of, at }, out);
        }
    }

    /// Sends what the follower does not have yet, as far as the window goes.
    pub(super) fn pump(&mut self, out: &mut Effects) {
        loop {
            let Role::Leading(leading) = &mut self.role else { return };
            let Some(follower) = &mut leading.follower else { return };
            let room = WINDOW.saturating_sub(follower.sent - follower.last).min(CHUNK);
            let after = self.history.at(follower.sent);
            let (Some(after), Some(run)) = (after, self.history.next_run(follower.sent, room))
            else {
                return;
            };
            if room == 0 {
                return;
            }
            follower.sent = run.last;
            let term = leading.term;
            self.send(Body::Entries { term, after, epoch: run.epoch, last: run.last }, out);
        }
    }
}
