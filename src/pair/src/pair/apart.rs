//! Waiting for the peer, and seeking to go on without it. Start at [`Pair::seek`].

use super::{Asked, Effects, Pair, Question, Role};
use crate::effect::{Ask, Effect};
use crate::event::{Answer, PowerAnswer};
use crate::happening::What;
use crate::refusal::Refusal;
use crate::register::{Authority, Epoch, GrantedBy, InSync, Incarnations, Register};
use crate::time::Time;
use crate::witness::{Reply, Request};

/// An operator's grant goes so far ahead of all epochs that a room, which was not asked, may have
/// reached meanwhile.
const LEAP: Epoch = 1 << 20;

/// Neither leads nor follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Apart {
    /// Until then this room has promised not to seek a grant.
    pub(super) seek: Time,
}

impl Pair {
    pub(super) fn tick_apart(&mut self, now: Time, out: &mut Effects) {
        let Role::Apart(apart) = &self.role else { return };
        if now < apart.seek {
            return;
        }
        match self.register {
            None => self.refuse(Refusal::Empty, out),
            Some(_) if self.stuck => self.refuse(Refusal::DiskStuck, out),
            Some(Register { epoch, in_sync, .. }) if !self.is_in_sync() => {
                self.refuse(Refusal::NotInSync { epoch, in_sync }, out);
            }
            Some(_) => self.seek(now, out),
        }
    }

    /// Asks the site's authority, or says why that is to no avail. Both roles that may go on alone come
    /// here at each tick, so it asks again only when the answer is overdue.
    pub(super) fn seek(&mut self, now: Time, out: &mut Effects) {
        if let Some(Question { asked, what: Asked::Grant(_), .. }) = self.question {
            if now < asked + self.settings.timing.retry {
                return;
            }
            self.refuse(Refusal::NoAnswer, out);
        }
        let register = self.decided();
        let met = register.boot_id == self.identity.boot_id;
        match self.settings.authority {
            Authority::Witness => {
                let (room, incarnation) = (self.me(), self.identity.incarnation);
                let request = Request::Grant { room, incarnation, base: register };
                self.ask(now, Asked::Grant(register.epoch), Ask::Witness(request), out);
            }
            Authority::Power if !met => self.deny(now, Refusal::NotMetSinceBoot, out),
            // An empty disk cannot have gone on alone: that it was met says so.
            Authority::Power if self.peer_is_empty() => self.go(now, GrantedBy::Consent, out),
            Authority::Power => {
                let off = Ask::PowerOff(self.me().other());
                self.ask(now, Asked::Grant(register.epoch), off, out);
            }
            Authority::Preferred(room) if room != self.me() => {
                self.deny(now, Refusal::NotPreferred(room), out);
            }
            Authority::Preferred(_) if !met => self.deny(now, Refusal::NotMetSinceBoot, out),
            Authority::Preferred(_) => self.go(now, GrantedBy::Preferred, out),
            Authority::Operator => self.deny(now, Refusal::OperatorNeeded, out),
        }
    }

    pub(super) fn ask(&mut self, now: Time, what: Asked, ask: Ask, out: &mut Effects) {
        self.questions += 1;
        self.question = Some(Question { number: self.questions, asked: now, what });
        if let Asked::Grant(_) = what {
            self.tell(What::Asks(self.settings.authority), out);
        }
        out.push(Effect::Ask(self.questions, ask));
    }

    pub(super) fn answered(&mut self, now: Time, number: u64, answer: &Answer, out: &mut Effects) {
        let Some(question) = self.question.filter(|question| question.number == number) else {
            return;
        };
        match (question.what, *answer) {
            // It stays asked, so that the next question comes after the pause.
            (Asked::Grant(_), Answer::Unreachable) => self.refuse(Refusal::NoAnswer, out),
            (_, Answer::Unreachable) => self.stop_asking(now),
            (Asked::Grant(base), answer) => {
                self.question = None;
                if base == self.epoch() {
                    self.grant_answered(now, &answer, out);
                }
            }
            (Asked::Report | Asked::Grow(_), Answer::Witness(reply)) => {
                self.question = None;
                self.report_answered(now, question.what, &reply, out);
            }
            (Asked::Report | Asked::Grow(_), Answer::Power(_)) => {}
        }
    }

    fn grant_answered(&mut self, now: Time, answer: &Answer, out: &mut Effects) {
        match *answer {
            Answer::Witness(Reply::Granted(register)) if register.epoch > self.epoch() => {
                self.take(now, register, out);
            }
            Answer::Witness(Reply::Refused { why, .. }) => {
                self.deny(now, Refusal::Witness(why), out);
            }
            Answer::Power(PowerAnswer::Off) => self.go(now, GrantedBy::Power, out),
            Answer::Power(PowerAnswer::StillOn) => self.deny(now, Refusal::StillOn, out),
            Answer::Witness(_) | Answer::Unreachable => {}
        }
    }

    /// There is no grant now: a leader steps down, and it is tried again after a pause.
    fn deny(&mut self, now: Time, refusal: Refusal, out: &mut Effects) {
        let pause = now + self.settings.timing.retry;
        if let Role::Leading(_) = self.role {
            self.apart(pause, out);
        }
        if let Role::Apart(apart) = &mut self.role {
            apart.seek = pause;
        }
        self.refuse(refusal, out);
    }

    fn go(&mut self, now: Time, by: GrantedBy, out: &mut Effects) {
        self.take(now, self.decided().granted(self.me(), by), out);
    }

    /// The grant is there: persist it, then go on.
    fn take(&mut self, now: Time, granted: Register, out: &mut Effects) {
        let granted = Register { boot_id: self.decided().boot_id, ..granted };
        assert!(granted.in_sync == InSync::Only(self.me()), "a grant is for the room that asked");
        match self.role {
            Role::Leading(_) => self.shrink(now, granted, out),
            _ => self.lead(now, granted, out),
        }
        if !matches!(granted.granted_by, GrantedBy::Power | GrantedBy::Consent) {
            out.push(Effect::Fence { peer: self.me().other(), epoch: granted.epoch });
        }
    }

    /// The only room in sync needs nobody. Its new process begins a new epoch all the same: entries of
    /// the old one, which its disk lost with the power, may have reached the other room.
    pub(super) fn go_on_if_alone(&mut self, now: Time, out: &mut Effects) {
        if let Role::Apart(_) = self.role {
            if self.is_alone() && self.is_able() {
                self.lead(now, self.decided().agreed(GrantedBy::Alone), out);
            }
        }
    }

    pub(super) fn found(&mut self, now: Time, cluster: u128, out: &mut Effects) {
        if self.register.is_some() {
            return self.refuse(Refusal::NotEmpty, out);
        }
        let me = self.me();
        let register = Register {
            cluster,
            // Entries of a store that was not part of a pair may be there already.
            epoch: self.history.last().epoch + 1,
            leader: me,
            in_sync: InSync::Only(me),
            granted_by: GrantedBy::Founding,
            witness: 0,
            boot_id: 0,
            incarnations: Incarnations::default().with(me, self.identity.incarnation),
        };
        self.lead(now, register, out);
    }

    /// A person vouches that the peer is off. Nobody can know what it did before, so this leaps.
    pub(super) fn go_on_alone(&mut self, now: Time, accept_loss: bool, out: &mut Effects) {
        let Some(register) = self.register else { return self.refuse(Refusal::Empty, out) };
        match self.role {
            Role::Following(_) => return self.refuse(Refusal::PeerAlive, out),
            Role::Leading(_) if self.is_alone() => return self.refuse(Refusal::AlreadyAlone, out),
            Role::Leading(_) if self.may_acknowledge(now) => {
                return self.refuse(Refusal::PeerAlive, out);
            }
            _ if self.stuck || self.installing.is_some() => {
                return self.refuse(Refusal::DiskStuck, out);
            }
            _ if !self.is_in_sync() && !accept_loss => return self.refuse(Refusal::MayLose, out),
            _ => {}
        }
        let mut granted = register.granted(self.me(), GrantedBy::Operator);
        granted.epoch += LEAP;
        granted.incarnations = granted.incarnations.with(self.me(), self.identity.incarnation);
        out.push(Effect::LeapRevisions);
        self.take(now, granted, out);
    }

    fn peer_is_empty(&self) -> bool {
        self.peer.is_some_and(|peer| peer.hears) && !self.counts_peer()
    }
}
