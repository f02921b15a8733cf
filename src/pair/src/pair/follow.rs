//! Following. Start at [`Pair::follow`].

use super::{Effects, Pair, Role};
use crate::effect::Effect;
use crate::happening::What;
use crate::history::{History, Position};
use crate::message::{Body, Message};
use crate::refusal::Refusal;
use crate::register::{Epoch, GrantedBy, InSync, Index, Register};
use crate::time::Time;

/// Hears a leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Following {
    /// The epoch in which the leadership began that is followed.
    pub(super) term: Epoch,
    /// Until then no grant is sought.
    pub(super) promised: Time,
    /// The leadership that the log was aligned with: it is a beginning of that leader's log.
    pub(super) aligned: Option<Epoch>,
}

impl Pair {
    /// A heartbeat of the leader: follow it, promise, answer.
    pub(super) fn follow(
        &mut self,
        now: Time,
        term: Epoch,
        sent: Time,
        acknowledged: Index,
        out: &mut Effects,
    ) {
        let promised = now + self.settings.timing.lease;
        match &mut self.role {
            Role::Following(following) if following.term == term => following.promised = promised,
            // A leadership that ended; what follows it was heard already.
            Role::Following(following) if following.term > term => return,
            _ => {
                self.question = None;
                self.role = Role::Following(Following { term, promised, aligned: None });
                self.tell(What::Follows, out);
            }
        }
        if self.away && self.register.is_some_and(|register| register.in_sync == InSync::Both) {
            // It left before, and the leader did not hear of it.
            self.leave(out);
        }
        let Role::Following(following) = &self.role else { return };
        if following.aligned == Some(term) {
            self.learn(acknowledged);
            self.alive(Some(sent), out);
        } else if self.installing.is_none() {
            self.hello(out);
        }
    }

    /// The leader whose log this one is a beginning of has acknowledged so much.
    fn learn(&mut self, acknowledged: Index) {
        let known = acknowledged.min(self.history.last().index);
        self.acknowledged = self.acknowledged.max(known);
    }

    pub(super) fn receive_following(&mut self, now: Time, message: &Message, out: &mut Effects) {
        let Role::Following(following) = &mut self.role else { return };
        let fits = |term: Epoch| following.term == term;
        match message.body {
            Body::Rejoin { term, of, to } if fits(term) => self.rejoin(of, to, out),
            Body::Snapshot { term, of, at } if fits(term) => {
                let waits = following.aligned.is_none() && self.installing.is_none();
                if waits && of == self.history.last() {
                    self.installing = Some((term, at));
                    out.push(Effect::Install(at));
                }
            }
            Body::Entries { term, after, epoch, last } if following.aligned == Some(term) => {
                let fits = after == self.history.last() && last > after.index;
                let full = self.history.is_full() && after.epoch != epoch;
                if fits && !full && epoch >= after.epoch {
                    self.history.append(epoch, last);
                    out.push(Effect::Store { after, epoch, last });
                }
            }
            Body::Committed { term, acknowledged } if following.aligned == Some(term) => {
                self.learn(acknowledged);
            }
            Body::Resign { term } if fits(term) => {
                self.apart(now, out);
                self.tick_apart(now, out);
            }
            // The leader leads no longer, but what it heard of this room's promise still binds.
            Body::Hello { .. } => {
                let promised = following.promised;
                self.apart(promised, out);
            }
            _ => {}
        }
    }

    /// Cuts off what the leader does not have. It was never acknowledged: an acknowledged entry is in
    /// the log of every later leader.
    fn rejoin(&mut self, of: Position, to: Position, out: &mut Effects) {
        let last = self.history.last();
        let Role::Following(following) = &mut self.role else { return };
        let waits = following.aligned.is_none() && self.installing.is_none();
        // An answer to an earlier log says nothing about this one.
        if !waits || of != last || self.history.at(to.index) != Some(to) {
            return;
        }
        following.aligned = Some(following.term);
        if to != last {
            self.history.truncate(to.index);
            self.synced = self.synced.min(to.index);
            self.acknowledged = self.acknowledged.min(to.index);
            out.push(Effect::Truncate(to));
            self.tell(What::Truncates(to, last.index), out);
        }
        self.alive(None, out);
    }

    pub(super) fn installed(&mut self, at: Position, out: &mut Effects) {
        let Some((term, _)) = self.installing.take_if(|(_, expected)| *expected == at) else {
            return;
        };
        // The log is another one, whether or not the leader that sent it is still heard.
        if let Role::Following(following) = &mut self.role {
            following.aligned = (following.term == term).then_some(term);
        }
        self.history = History::new(at, Vec::new()).expect("no runs, none out of order");
        self.synced = at.index;
        self.acknowledged = at.index;
        self.tell(What::Installs(at), out);
        self.alive(None, out);
    }

    pub(super) fn alive(&self, answered: Option<Time>, out: &mut Effects) {
        let Role::Following(Following { aligned: Some(term), .. }) = self.role else { return };
        let (last, synced) = (self.history.last().index, self.synced);
        let (stuck, away) = (self.stuck, self.away);
        self.send(Body::Alive { term, answered, last, synced, stuck, away }, out);
    }

    /// Persists that it is out before the leader hears of it: from then on it cannot seek a grant.
    pub(super) fn leave(&mut self, out: &mut Effects) {
        let (Role::Following(_), Some(register)) = (&self.role, self.register) else {
            return self.refuse(Refusal::NotFollowing, out);
        };
        self.away = true;
        if register.in_sync == InSync::Both {
            let in_sync = InSync::Only(register.leader);
            self.persist(Register { in_sync, granted_by: GrantedBy::Consent, ..register }, out);
            self.tell(What::Leaves, out);
        }
        self.alive(None, out);
    }
}
