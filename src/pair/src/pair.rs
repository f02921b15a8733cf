//! One room's side of the protocol. Start at [`Pair::start`], then [`Pair::step`].
//!
//! Here is what all roles share: hearing the peer, taking over its newer decisions, persisting.
//! `apart` waits and seeks grants, `follow` and `lead` are the two roles, `stream` brings a follower's
//! log up to the leader's.

mod apart;
mod follow;
mod lead;
mod stream;
mod view;

use crate::effect::Effect;
use crate::event::{Command, Event};
use crate::happening::{Happening, What};
use crate::history::{History, Position};
use crate::message::{Body, Message};
use crate::refusal::Refusal;
use crate::register::{Authority, Epoch, GrantedBy, InSync, Index, Register, Room};
use crate::time::Time;
use crate::timing::Timing;

use apart::Apart;
use follow::Following;
use lead::Leading;

pub use view::{FollowerView, View};

/// Entries that may wait for their acknowledgement: far more than clients have under way at once, and
/// few enough to be sent again.
pub const MAX_WAITING: u64 = 1 << 16;

/// What a person has chosen; the same in both rooms but for `me`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Which room this is.
    pub me: Room,
    /// Who grants.
    pub authority: Authority,
    /// How long to wait for what; [`Timing::checked`] has passed it.
    pub timing: Timing,
}

/// What tells this process, machine and disk from earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The boot of this machine (`/proc/sys/kernel/random/boot_id`); never 0.
    pub boot_id: u128,
    /// Which start of the process on this disk it is; larger at each.
    pub start: u64,
    /// Which disk it is; larger at each replacement or restored copy, never 0.
    pub incarnation: u64,
}

/// What the disk has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recovered {
    /// As last persisted; none on an empty disk.
    pub register: Option<Register>,
    /// The log; all of it is synced.
    pub history: History,
    /// Entries up to here are known to be acknowledged; what really is may be more.
    pub acknowledged: Index,
}

/// What this room is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleView {
    /// It waits for its peer or the authority.
    Apart,
    /// It follows; `aligned` when its log takes entries.
    Following {
        /// Whether its log is a beginning of the leader's.
        aligned: bool,
    },
    /// It leads; whether it can acknowledge depends on the set in sync.
    Leading,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    settings: Settings,
    identity: Identity,
    register: Option<Register>,
    history: History,
    synced: Index,
    /// Known to be acknowledged; what really is may be more.
    acknowledged: Index,
    peer: Option<Peer>,
    role: Role,
    /// When to speak next without being asked.
    beat: Time,
    question: Option<Question>,
    questions: u64,
    stuck: bool,
    away: bool,
    /// The snapshot that takes the place of the log, and the leadership that sent it.
    installing: Option<(Epoch, Position)>,
    /// The last refusal that was told, so that it is told once.
    told: Option<Refusal>,
}

/// The newest process of the peer that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Peer {
    incarnation: u64,
    start: u64,
    /// It has heard this process too.
    hears: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Role {
    Apart(Apart),
    Following(Following),
    Leading(Leading),
}

/// What the authority was asked last; an answer to anything before is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    number: u64,
    asked: Time,
    what: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// To go on alone from this epoch.
    Grant(Epoch),
    /// That the witness holds this room's register.
    Report,
    /// That the witness holds the register that takes the peer into the set.
    Grow(Register),
}

type Effects = Vec<Effect>;

impl Pair {
    /// The process begins. What it promised as a follower before is not known any more, so the promise
    /// counts from now; only a room that is in sync alone leads at once.
    #[must_use]
    pub fn start(
        settings: Settings,
        identity: Identity,
        disk: Recovered,
        now: Time,
    ) -> (Pair, Vec<Effect>) {
        let synced = disk.history.last().index;
        let mut pair = Pair {
            settings,
            identity,
            register: disk.register,
            history: disk.history,
            synced,
            acknowledged: disk.acknowledged,
            peer: None,
            role: Role::Apart(Apart { seek: now + settings.timing.lease }),
            beat: now,
            question: None,
            // An answer to the process before this one must not look like one to this.
            questions: identity.start << 32,
            stuck: false,
            away: false,
            installing: None,
            told: None,
        };
        let mut out = Vec::new();
        pair.go_on_if_alone(now, &mut out);
        pair.tick(now, &mut out);
        (pair, out)
    }

    /// Takes one event and says what to do about it. `now` never goes back.
    #[must_use]
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Tick => self.tick(now, &mut out),
            Event::Received(message) => self.receive(now, &message, &mut out),
            Event::Append(count) => self.append(now, count, &mut out),
            Event::Synced(at) => self.synced(now, at, &mut out),
            Event::Installed(at) => self.installed(at, &mut out),
            Event::Compacted(to) => self.history.compact(to.min(self.acknowledged)),
            Event::Answered(number, answer) => self.answered(now, number, &answer, &mut out),
            Event::Command(command) => self.command(now, command, &mut out),
            Event::DiskStuck => self.disk_stuck(now, &mut out),
            Event::DiskBack => {
                self.stuck = false;
                self.go_on_if_alone(now, &mut out);
            }
        }
        out
    }

    /// When [`Event::Tick`] is due at the latest, after one at `now`.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Time {
        match &self.role {
            // What could be sought by now is sought; what comes of it is looked at with each beat.
            Role::Apart(apart) if apart.seek <= now => self.beat,
            Role::Apart(apart) => self.beat.min(apart.seek),
            Role::Following(following) => self.beat.min(following.promised),
            Role::Leading(_) => self.beat,
        }
    }

    /// Who grants.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.settings.authority
    }

    /// What is persisted.
    #[must_use]
    pub fn register(&self) -> Option<&Register> {
        self.register.as_ref()
    }

    /// The shape of the log.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What this room is doing.
    #[must_use]
    pub fn role(&self) -> RoleView {
        match &self.role {
            Role::Apart(_) => RoleView::Apart,
            Role::Following(following) => {
                RoleView::Following { aligned: following.aligned.is_some() }
            }
            Role::Leading(_) => RoleView::Leading,
        }
    }

    /// Up to where this room knows that entries are acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> Index {
        self.acknowledged
    }

    /// The epoch in which this room's leadership began; none while it does not lead.
    #[must_use]
    pub fn term(&self) -> Option<Epoch> {
        match &self.role {
            Role::Leading(leading) => Some(leading.term),
            _ => None,
        }
    }

    /// How many entries [`Event::Append`] takes now; 0 while this room does not lead or hands over.
    #[must_use]
    pub fn room_for_entries(&self) -> u64 {
        match &self.role {
            Role::Leading(leading) => self.room_of(leading),
            _ => 0,
        }
    }

    /// Up to where the log is on this room's disk.
    #[must_use]
    pub fn on_disk(&self) -> Index {
        self.synced
    }

    /// Whether both rooms heard each other since this process began.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.peer.is_some_and(|peer| peer.hears)
    }

    /// Whether this room may acknowledge at `now`: it leads, and its lease holds or it is in sync alone.
    #[must_use]
    pub fn may_acknowledge(&self, now: Time) -> bool {
        matches!(&self.role, Role::Leading(leading) if self.is_alone() || now < leading.lease)
    }

    /// Whether this room may answer linearizable reads at `now`.
    #[must_use]
    pub fn may_read(&self, now: Time) -> bool {
        matches!(&self.role, Role::Leading(leading) if self.acknowledged >= leading.before)
            && self.may_acknowledge(now)
    }

    fn tick(&mut self, now: Time, out: &mut Effects) {
        if let Role::Following(following) = &self.role {
            if now >= following.promised {
                self.tell(What::PeerSilent, out);
                self.apart(following.promised, out);
            }
        }
        match &self.role {
            Role::Apart(_) => self.tick_apart(now, out),
            Role::Following(_) => {}
            Role::Leading(_) => self.tick_leading(now, out),
        }
        if now >= self.beat {
            self.beat = now + self.settings.timing.heartbeat;
            match &self.role {
                Role::Apart(_) => self.hello(out),
                Role::Following(_) => {}
                Role::Leading(_) => self.heartbeat(now, out),
            }
        }
    }

    /// What every message does, whatever is in it; then what this one says.
    fn receive(&mut self, now: Time, message: &Message, out: &mut Effects) {
        if message.from == self.me() {
            return self.refuse(Refusal::SameRoom(message.from), out);
        }
        let clusters = (message.register.map(|r| r.cluster), self.register.map(|r| r.cluster));
        if matches!(clusters, (Some(theirs), Some(ours)) if theirs != ours) {
            return self.refuse(Refusal::OtherCluster, out);
        }
        if !self.hear(message, out) {
            return;
        }
        if let Some(theirs) = message.register {
            let ours = self.epoch();
            if theirs.epoch > ours {
                self.adopt(now, theirs, out);
            } else if theirs.epoch < ours {
                self.correct(now, theirs.epoch, message, out);
            } else {
                self.agree(now, theirs, message, out);
            }
        }
        self.meet(now, message, out);
        let current = message.register.is_some_and(|theirs| theirs.epoch == self.epoch());
        let leads = current && self.register.is_some_and(|r| r.leader == message.from);
        match (&self.role, &message.body) {
            (Role::Apart(_) | Role::Following(_), Body::Heartbeat { term, sent, acknowledged })
                if leads =>
            {
                self.follow(now, *term, *sent, *acknowledged, out);
            }
            (Role::Following(_), _) => self.receive_following(now, message, out),
            (Role::Leading(_), _) if current => self.receive_leading(now, message, out),
            _ => {}
        }
    }

    /// Remembers who speaks; false when it is an older process of the peer, whose words are void.
    fn hear(&mut self, message: &Message, out: &mut Effects) -> bool {
        let theirs = (message.incarnation, message.start);
        let hears = message.heard == Some(self.identity.start);
        match &mut self.peer {
            Some(peer) if (peer.incarnation, peer.start) > theirs => return false,
            Some(peer) if (peer.incarnation, peer.start) == theirs => {
                if hears && !peer.hears {
                    peer.hears = true;
                    self.tell(What::Met, out);
                }
            }
            _ => {
                self.peer = Some(Peer { incarnation: theirs.0, start: theirs.1, hears });
                // A new start: an answer that it was off speaks of the time before.
                if self.settings.authority == Authority::Power {
                    self.question = None;
                }
                if let Role::Leading(leading) = &mut self.role {
                    leading.follower = None;
                }
                if hears {
                    self.tell(What::Met, out);
                }
            }
        }
        true
    }

    /// The peer's decision is newer: it is this room's now.
    fn adopt(&mut self, now: Time, theirs: Register, out: &mut Effects) {
        // Whoever leads under it may count on a promise from the moment that this room knows of it.
        let promised = now + self.settings.timing.lease;
        let me = self.me();
        match &mut self.role {
            Role::Apart(apart) => apart.seek = apart.seek.max(promised),
            Role::Following(following) if theirs.leader != me => following.promised = promised,
            _ => self.withdraw(promised, out),
        }
        let boot_id = self.register.map_or(0, |register| register.boot_id);
        self.persist(Register { boot_id, ..theirs }, out);
        self.tell(What::Adopts(theirs.in_sync), out);
    }

    /// The peer's decision is older: it is told so, unless what it hears next tells it anyway.
    fn correct(&mut self, now: Time, theirs: Epoch, message: &Message, out: &mut Effects) {
        if let Body::Heartbeat { .. } = message.body {
            self.refuse(Refusal::OldEpoch { theirs, ours: self.epoch() }, out);
        }
        match self.role {
            Role::Leading(_) => self.heartbeat(now, out),
            _ if matches!(message.body, Body::Heartbeat { .. }) => self.hello(out),
            _ => {}
        }
    }

    /// The peer has the decision with the same number: the same one, or the same without itself, which
    /// is its consent to be left out.
    fn agree(&mut self, now: Time, theirs: Register, message: &Message, out: &mut Effects) {
        let Some(ours) = self.register else { return };
        if ours.decides_as(&theirs) {
            return;
        }
        let left = ours.in_sync == InSync::Both
            && ours.leader == self.me()
            && theirs.in_sync == InSync::Only(self.me());
        let asked = theirs.in_sync == InSync::Both && ours.in_sync == InSync::Only(message.from);
        if left && matches!(self.role, Role::Leading(_)) {
            self.tell(What::PeerLeft, out);
            let in_sync = InSync::Only(self.me());
            self.shrink(now, Register { in_sync, ..ours.agreed(GrantedBy::Consent) }, out);
        } else if !left && !asked {
            self.refuse(Refusal::Conflict(ours.epoch), out);
        }
    }

    /// Once the rooms hear each other and agree, this boot has met the peer; and where nobody leads,
    /// the one that the register names begins.
    fn meet(&mut self, now: Time, message: &Message, out: &mut Effects) {
        let (Some(register), Some(peer)) = (self.register, self.peer) else { return };
        let theirs = message.register.map_or(0, |register| register.epoch);
        if !peer.hears || theirs > register.epoch || !self.counts_peer() {
            return;
        }
        if register.boot_id != self.identity.boot_id && theirs == register.epoch {
            let boot_id = self.identity.boot_id;
            self.persist(Register { boot_id, ..register }, out);
        }
        let hello = matches!(message.body, Body::Hello { .. });
        let apart = matches!(self.role, Role::Apart(_));
        let hears = message.heard == Some(self.identity.start);
        if hello && hears && apart && register.leader == self.me() && self.is_able() {
            // A decision that the peer has may have entries on its disk that are lost here, so this
            // leadership needs another one. One that the peer does not have yet serves as it is: two
            // that it does not know could outnumber what the authority granted it meanwhile.
            let known = theirs == register.epoch;
            let register = self.decided();
            let register = if known { register.agreed(GrantedBy::Consent) } else { register };
            self.lead(now, register, out);
        }
    }

    fn command(&mut self, now: Time, command: Command, out: &mut Effects) {
        // Who asks is answered, also for the second time.
        self.told = None;
        match command {
            Command::Found { cluster } => self.found(now, cluster, out),
            Command::HandOver => self.hand_over(now, out),
            Command::Leave => self.leave(out),
            Command::Return => self.away = false,
            Command::GoOnAlone { accept_loss } => self.go_on_alone(now, accept_loss, out),
        }
    }

    fn disk_stuck(&mut self, now: Time, out: &mut Effects) {
        self.stuck = true;
        if let Role::Leading(leading) = &self.role {
            let term = leading.term;
            self.tell(What::Resigns, out);
            self.withdraw(now + self.settings.timing.lease, out);
            self.send(Body::Resign { term }, out);
        }
    }

    fn synced(&mut self, now: Time, at: Position, out: &mut Effects) {
        // What was cut off since does not count.
        if self.history.at(at.index) != Some(at) || at.index <= self.synced {
            return;
        }
        self.synced = at.index;
        match &self.role {
            Role::Apart(_) => {}
            Role::Following(_) => self.alive(None, out),
            Role::Leading(_) => self.commit(now, out),
        }
    }

    /// Neither leads nor follows from here on; a grant may be sought from `seek` on.
    fn apart(&mut self, seek: Time, out: &mut Effects) {
        self.withdraw(seek, out);
        self.hello(out);
    }

    fn withdraw(&mut self, seek: Time, out: &mut Effects) {
        if let Role::Leading(_) = self.role {
            out.push(Effect::StopServing);
            self.tell(What::StepsDown, out);
        }
        self.question = None;
        // The leader uses the power switch first, so that a cut link has one winner.
        let second = self.register.is_some_and(|register| register.leader != self.me());
        let power = second && self.settings.authority == Authority::Power;
        let seek = if power { seek + self.settings.timing.power_delay } else { seek };
        self.role = Role::Apart(Apart { seek });
    }

    fn hello(&self, out: &mut Effects) {
        self.send(Body::Hello { history: self.history.clone() }, out);
    }

    fn send(&self, body: Body, out: &mut Effects) {
        out.push(Effect::Send(Message {
            from: self.me(),
            incarnation: self.identity.incarnation,
            start: self.identity.start,
            heard: self.peer.map(|peer| peer.start),
            register: self.register,
            body,
        }));
    }

    fn persist(&mut self, register: Register, out: &mut Effects) {
        self.register = Some(register);
        self.told = None;
        out.push(Effect::Persist(register));
    }

    fn tell(&self, what: What, out: &mut Effects) {
        out.push(Effect::Tell(Happening { room: self.me(), epoch: self.epoch(), what }));
    }

    fn refuse(&mut self, refusal: Refusal, out: &mut Effects) {
        if self.told != Some(refusal) {
            self.told = Some(refusal);
            self.tell(What::Refuses(refusal), out);
        }
    }

    fn me(&self) -> Room {
        self.settings.me
    }

    fn epoch(&self) -> Epoch {
        self.register.map_or(0, |register| register.epoch)
    }

    /// The register of a room that leads or is about to.
    fn decided(&self) -> Register {
        self.register.expect("only a room with a register leads")
    }

    fn asks_for_grant(&self) -> bool {
        matches!(self.question, Some(Question { what: Asked::Grant(_), .. }))
    }

    fn is_in_sync(&self) -> bool {
        let own = self.identity.incarnation;
        self.register.is_some_and(|register| register.has_in_sync(self.me(), own))
    }

    /// In sync, and with a disk that can show it.
    fn is_able(&self) -> bool {
        self.is_in_sync() && !self.stuck && self.installing.is_none()
    }

    fn is_alone(&self) -> bool {
        self.register.is_some_and(|register| register.in_sync == InSync::Only(self.me()))
    }

    /// Whether the peer that is heard has the disk that the register speaks of, where it speaks of one.
    fn counts_peer(&self) -> bool {
        let (Some(register), Some(peer)) = (self.register, self.peer) else { return false };
        let other = self.me().other();
        !register.in_sync.contains(other) || register.has_in_sync(other, peer.incarnation)
    }
}
