//! Leading. Start at [`Pair::commit`], which alone acknowledges.

use super::{Asked, Effects, MAX_WAITING, Pair, Role};
use crate::effect::{Ask, Effect};
use crate::happening::What;
use crate::message::{Body, Message};
use crate::refusal::Refusal;
use crate::register::{Authority, Epoch, GrantedBy, InSync, Index, Register};
use crate::time::Time;
use crate::witness::{self, Reply, Request};

use super::stream::Follower;

/// So few entries behind, a follower is about to be taken into the set: acknowledgements then wait for
/// it, so that the gap closes.
const GROW_LAG: u64 = 1024;

/// The witness is asked whether it still knows the decision each so many retries.
const WITNESS_EVERY: u32 = 5;

/// The only room that may acknowledge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    /// The epoch in which this leadership began; its entries carry it.
    pub(super) term: Epoch,
    /// The last entry from before. Some of these may be acknowledged without this room knowing, so it
    /// reads only when they are acknowledged for certain.
    pub(super) before: Index,
    /// Until then the follower cannot have gone on alone.
    pub(super) lease: Time,
    /// When the follower was heard last.
    pub(super) heard: Time,
    pub(super) follower: Option<Follower>,
    /// The newest decision that the follower is known to have persisted.
    confirmed: Epoch,
    /// The follower is about to be taken into the set, so acknowledgements need it already.
    growing: bool,
    /// The leadership is being handed over, and no longer than until then.
    handing: Option<Time>,
    /// The newest decision that the witness is known to hold.
    pub(super) witnessed: Epoch,
    report_at: Time,
    served: Option<Option<Time>>,
}

impl Pair {
    /// Persists the decision that makes this room the leader, then begins.
    pub(super) fn lead(&mut self, now: Time, register: Register, out: &mut Effects) {
        self.question = None;
        self.role = Role::Leading(Leading {
            term: register.epoch,
            before: self.history.last().index,
            lease: Time::ZERO,
            heard: now,
            follower: None,
            confirmed: 0,
            growing: false,
            handing: None,
            witnessed: 0,
            report_at: now,
            served: None,
        });
        self.persist(register, out);
        self.tell(What::Leads(register.in_sync, register.granted_by), out);
        self.commit(now, out);
        self.heartbeat(now, out);
        self.report(now, out);
    }

    /// Persists the decision that leaves the peer out, then goes on.
    pub(super) fn shrink(&mut self, now: Time, register: Register, out: &mut Effects) {
        let Role::Leading(leading) = &mut self.role else { return };
        leading.follower = None;
        (leading.growing, leading.handing, leading.report_at) = (false, None, now);
        self.question = None;
        self.persist(register, out);
        self.tell(What::Shrinks(register.granted_by), out);
        self.commit(now, out);
        self.heartbeat(now, out);
        self.report(now, out);
    }

    pub(super) fn tick_leading(&mut self, now: Time, out: &mut Effects) {
        let timing = self.settings.timing;
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.handing.is_some_and(|late| now >= late) {
            leading.handing = None;
            self.refuse(Refusal::HandOverLate, out);
        }
        if let Some(question) = self.question {
            let overdue = now >= question.asked + timing.retry;
            if overdue && !matches!(question.what, Asked::Grant(_)) {
                self.stop_asking(now);
            }
        }
        let Role::Leading(leading) = &mut self.role else { return };
        if now.since(leading.heard) >= timing.silent {
            if leading.follower.take().is_some() {
                if leading.growing {
                    self.question = None;
                }
                (leading.growing, leading.handing) = (false, None);
                self.tell(What::PeerSilent, out);
                self.commit(now, out);
            }
            if !self.is_alone() {
                return self.seek(now, out);
            }
        }
        if self.is_alone() {
            self.report(now, out);
        }
    }

    pub(super) fn receive_leading(&mut self, now: Time, message: &Message, out: &mut Effects) {
        if !self.counts_peer() {
            return;
        }
        let (epoch, asking) = (self.epoch(), self.asks_for_grant());
        let Role::Leading(leading) = &mut self.role else { return };
        match message.body {
            Body::Hello { ref history } => self.join(history, out),
            Body::Alive { term, answered, last, synced, stuck, away } => {
                // A follower whose disk sticks is no follower; it is as good as silent.
                if term != leading.term || stuck {
                    return;
                }
                (leading.heard, leading.confirmed) = (now, epoch);
                if let Some(sent) = answered {
                    leading.lease = leading.lease.max(sent + self.settings.timing.leader_lease());
                }
                let is_new = leading.follower.is_none();
                let follower = leading.follower.get_or_insert_with(Follower::default);
                follower.hear(answered.is_some(), last, synced, away);
                if asking {
                    // The grant may be on its way: whoever gave it has to learn that it is void.
                    (self.question, leading.report_at) = (None, now);
                    self.tell(What::PeerBack, out);
                }
                if is_new && answered.is_none() {
                    // It has just aligned its log; its promise is wanted now and not a beat later.
                    self.heartbeat(now, out);
                }
                self.pump(out);
                self.commit(now, out);
                self.grow(now, out);
                self.finish_hand_over(now, out);
                self.report(now, out);
            }
            _ => {}
        }
    }

    /// Acknowledges what every room in sync has on its disk, while it is certain that they are in sync.
    pub(super) fn commit(&mut self, now: Time, out: &mut Effects) {
        let alone = self.is_alone();
        let Role::Leading(leading) = &mut self.role else { return };
        let theirs = leading.follower.as_ref().map(|follower| follower.synced);
        let up_to = if alone && !leading.growing {
            self.synced
        } else if alone || now < leading.lease {
            self.synced.min(theirs.unwrap_or(0))
        } else {
            0
        };
        if up_to > self.acknowledged {
            self.acknowledged = up_to;
            out.push(Effect::Acknowledge(up_to));
            self.tell_follower(up_to, out);
        }
        self.serve(now, out);
        self.finish_hand_over(now, out);
    }

    /// The follower's readers and watches are to see what is acknowledged, and not only with the next
    /// heartbeat.
    fn tell_follower(&self, acknowledged: Index, out: &mut Effects) {
        if let Role::Leading(Leading { term, follower: Some(_), .. }) = &self.role {
            self.send(Body::Committed { term: *term, acknowledged }, out);
        }
    }

    fn serve(&mut self, now: Time, out: &mut Effects) {
        let readable = self.may_read(now);
        let alone = self.is_alone();
        let Role::Leading(leading) = &mut self.role else { return };
        let until = (!alone).then_some(leading.lease);
        if readable && leading.served != Some(until) {
            leading.served = Some(until);
            out.push(Effect::Serve { until });
        }
    }

    pub(super) fn room_of(&self, leading: &Leading) -> u64 {
        let last = self.history.last();
        let full = self.history.is_full() && last.epoch != leading.term;
        if full || leading.handing.is_some() {
            return 0;
        }
        MAX_WAITING.saturating_sub(last.index - self.acknowledged)
    }

    pub(super) fn append(&mut self, now: Time, count: u64, out: &mut Effects) {
        let after = self.history.last();
        let Role::Leading(leading) = &self.role else {
            return self.refuse(Refusal::NotLeading, out);
        };
        let (epoch, waiting) = (leading.term, after.index - self.acknowledged);
        if leading.handing.is_some() {
            return self.refuse(Refusal::HandingOver, out);
        }
        if waiting.saturating_add(count) > MAX_WAITING {
            return self.refuse(Refusal::TooManyWaiting(waiting), out);
        }
        if self.history.is_full() && after.epoch != epoch {
            return self.refuse(Refusal::HistoryFull, out);
        }
        if count > 0 {
            let last = after.index + count;
            self.history.append(epoch, last);
            out.push(Effect::Append { after, epoch, last });
            self.pump(out);
            self.commit(now, out);
        }
    }

    /// Takes a follower that has everything into the set. The leader persists that first: it
    /// acknowledges nothing without the follower before the follower can believe that it is in sync.
    fn grow(&mut self, now: Time, out: &mut Effects) {
        let register = self.decided();
        let (alone, acknowledged) = (self.is_alone(), self.acknowledged);
        let last = self.history.last().index;
        let Role::Leading(leading) = &mut self.role else { return };
        let (Some(follower), Some(peer)) = (&leading.follower, self.peer) else { return };
        if !alone || follower.away || last.saturating_sub(follower.synced) > GROW_LAG {
            return;
        }
        let witness = self.settings.authority == Authority::Witness;
        if witness && leading.witnessed != register.epoch {
            return;
        }
        leading.growing = true;
        if follower.synced < acknowledged || self.question.is_some() {
            return;
        }
        let incarnations = register.incarnations.with(self.me().other(), peer.incarnation);
        let agreed = register.agreed(GrantedBy::Consent);
        let grown = Register { in_sync: InSync::Both, incarnations, ..agreed };
        if witness {
            // First, so that at no moment the witness knows less than the rooms.
            self.ask(now, Asked::Grow(grown), Ask::Witness(Request::Report(grown)), out);
        } else {
            self.take_in(now, grown, out);
        }
    }

    fn take_in(&mut self, now: Time, grown: Register, out: &mut Effects) {
        let follows = self.decided().epoch + 1 == grown.epoch;
        let lease = now + self.settings.timing.leader_lease();
        let Role::Leading(leading) = &mut self.role else { return };
        let whole = leading.follower.as_ref().is_some_and(|f| f.synced >= self.acknowledged);
        if !leading.growing || !follows || !whole {
            return;
        }
        // The follower cannot know of this before it is sent, and promises when it hears it.
        leading.lease = lease;
        (leading.growing, leading.witnessed) = (false, grown.epoch);
        self.persist(grown, out);
        self.tell(What::Grows, out);
        self.serve(now, out);
        self.heartbeat(now, out);
    }

    /// Tells the witness what is decided. Both rooms have persisted it: this room just heard the other
    /// one speak of the same epoch, or needs no other one.
    pub(super) fn report(&mut self, now: Time, out: &mut Effects) {
        let epoch = self.epoch();
        let Role::Leading(leading) = &mut self.role else { return };
        let known = self.register.is_some_and(|r| r.in_sync == InSync::Only(self.settings.me));
        let due = now >= leading.report_at && (known || leading.confirmed == epoch);
        if self.settings.authority == Authority::Witness && due && self.question.is_none() {
            leading.report_at = now + self.settings.timing.retry;
            let request = Request::Report(self.decided());
            self.ask(now, Asked::Report, Ask::Witness(request), out);
        }
    }

    pub(super) fn report_answered(
        &mut self,
        now: Time,
        asked: Asked,
        reply: &Reply,
        out: &mut Effects,
    ) {
        let (epoch, retry) = (self.epoch(), self.settings.timing.retry);
        let Role::Leading(leading) = &mut self.role else { return };
        match (asked, *reply) {
            (Asked::Grow(grown), Reply::Holds(held)) if held.decides_as(&grown) => {
                self.take_in(now, grown, out);
            }
            (_, Reply::Holds(held)) if held.epoch == epoch => {
                leading.report_at = now + retry * WITNESS_EVERY;
                if leading.witnessed != epoch {
                    leading.witnessed = epoch;
                    self.tell(What::Witnessed, out);
                }
            }
            (_, Reply::Refused { why, generation, held }) => {
                if why == witness::Refusal::OtherCluster {
                    return self.refuse(Refusal::Witness(why), out);
                }
                self.outbid(now, generation, held, out);
            }
            _ => {}
        }
    }

    /// The witness is another one than the rooms know: a decision that names it makes all that an earlier
    /// one may still grant useless. Or it holds a newer decision. One that a person made for the other
    /// room stands. Else it is a grant that the room that asked took no notice of: as it may yet be given
    /// again, it stands, too, and only a room that is in sync alone may go above it.
    fn outbid(&mut self, now: Time, generation: u64, held: Option<Register>, out: &mut Effects) {
        let register = self.decided();
        let newest = held.filter(|held| held.epoch > register.epoch);
        let me = self.me();
        // A room alone never meets a grant that was used, unless a person has overruled the witness.
        let idle = |held: &Register| held.granted_by == GrantedBy::Witness || held.leader == me;
        let next = if self.is_alone() && newest.as_ref().is_none_or(idle) {
            let epoch = held.map_or(0, |held| held.epoch).max(register.epoch) + 1;
            Register { epoch, granted_by: GrantedBy::Alone, witness: generation, ..register }
        } else if let Some(held) = newest.filter(|held| held.witness == generation) {
            return self.yield_to(now, held, out);
        } else {
            Register { witness: generation, ..register.agreed(GrantedBy::Consent) }
        };
        let Role::Leading(leading) = &mut self.role else { return };
        (leading.growing, leading.report_at) = (false, now);
        self.persist(next, out);
        self.commit(now, out);
        self.heartbeat(now, out);
        if self.is_alone() {
            self.report(now, out);
        }
    }

    fn yield_to(&mut self, now: Time, held: Register, out: &mut Effects) {
        if held.in_sync == InSync::Only(self.me()) {
            let boot_id = self.decided().boot_id;
            return self.shrink(now, Register { boot_id, ..held }, out);
        }
        self.adopt(now, held, out);
        self.hello(out);
    }

    /// The witness does not answer, so the peer is not taken in now.
    pub(super) fn stop_asking(&mut self, now: Time) {
        self.question = None;
        let again = now + self.settings.timing.retry;
        if let Role::Leading(leading) = &mut self.role {
            (leading.growing, leading.report_at) = (false, again);
            if leading.witnessed == self.register.map_or(0, |register| register.epoch) {
                leading.witnessed = 0;
            }
        }
    }

    pub(super) fn hand_over(&mut self, now: Time, out: &mut Effects) {
        let late = now + self.settings.timing.lease;
        let alone = self.is_alone();
        match &mut self.role {
            Role::Leading(leading) if !alone && leading.follower.is_some() => {
                leading.handing = Some(late);
                self.finish_hand_over(now, out);
            }
            Role::Leading(_) => self.refuse(Refusal::PeerNotInSync, out),
            _ => self.refuse(Refusal::NotLeading, out),
        }
    }

    /// Once the peer has all of the log: stops, persists that the peer leads, and says so.
    fn finish_hand_over(&mut self, now: Time, out: &mut Effects) {
        let Role::Leading(leading) = &self.role else { return };
        let whole = self.acknowledged == self.history.last().index;
        let confirmed = leading.confirmed == self.epoch();
        if leading.handing.is_none() || self.is_alone() || !whole || !confirmed {
            return;
        }
        self.tell(What::HandsOver, out);
        self.withdraw(now + self.settings.timing.lease, out);
        let leader = self.me().other();
        self.persist(Register { leader, ..self.decided().agreed(GrantedBy::Consent) }, out);
        self.hello(out);
    }

    pub(super) fn heartbeat(&self, now: Time, out: &mut Effects) {
        let Role::Leading(Leading { term, .. }) = self.role else { return };
        self.send(Body::Heartbeat { term, sent: now, acknowledged: self.acknowledged }, out);
    }
}
