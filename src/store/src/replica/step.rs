//! The state machine. Start at [`Replica::handle`]. Here is what both roles share: carrying out what the
//! protocol wants, in its order. `lead` decides and answers, `attach` brings entries and snapshots to
//! messages and back.

use std::collections::VecDeque;
use std::sync::Arc;

use mvcc::{Effect as Change, State};
use pair::{
    Command, Effect, Event, Identity, Index, Pair, Position, Recovered, Refusal as PairRefusal,
    RoleView, Time, What,
};

use super::input::{Acks, Input, Opened, Output, Settings};
use super::lead::Leading;
use super::packet::Packet;
use super::request::Request;
use super::ring::{Ring, position};
use crate::engine::metrics::Counters;
use crate::record::Record;
use crate::refusal::Refusal;

/// Entries that are applied in one turn, so that a long catching up does not hold up heartbeats.
const APPLIED_AT_ONCE: usize = 4096;

/// It was not damaged on the disk, where checksums tell.
const DAMAGED: &str = "its log does not follow from its state";

/// Bytes of entries that may wait for the disk.
const UNWRITTEN: usize = 64 << 20;

/// Versions that are swept for each entry applied, as at a start, and at each tick.
const SWEEP: usize = 4;
const SWEPT_AT_TICK: usize = 1024;

/// One room's store.
pub struct Replica {
    pub(super) settings: Settings,
    pub(super) pair: Pair,
    pub(super) ring: Ring,
    /// What readers see: acknowledged, and a beginning of the log.
    pub(super) published: State,
    pub(super) at: Position,
    pub(super) leading: Option<Leading>,
    /// The write that is under way.
    writing: Option<Writing>,
    /// Stored for a leader, and not yet handed to the disk.
    unwritten: VecDeque<Arc<[Record]>>,
    unwritten_bytes: usize,
    /// The snapshot that takes the place of everything.
    installing: Option<(Position, State)>,
    /// What a snapshot that is being sent holds.
    pub(super) sending: Option<Position>,
    stuck: bool,
    /// Revisions jump as soon as this room leads.
    leap: bool,
    /// The data is void, and the process about to end.
    ended: bool,
    pub(super) counters: Arc<Counters>,
    pub(super) outputs: Vec<Output>,
}

#[derive(Clone, Copy)]
struct Writing {
    upto: Position,
    since: Time,
    /// What it wrote is cut off.
    void: bool,
}

/// What came with the message at hand.
#[derive(Default)]
struct Attached {
    records: Vec<Record>,
    snapshot: Option<State>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("register", &self.pair.register())
            .field("role", &self.pair.role())
            .field("at", &self.at)
            .field("last", &self.ring.last())
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// The process begins with what the disk has. `identity` is counted durably already.
    #[must_use]
    pub fn open(settings: Settings, identity: Identity, disk: Opened, now: Time) -> Replica {
        Replica::open_counted(settings, identity, disk, Arc::default(), now)
    }

    pub(crate) fn open_counted(
        settings: Settings,
        identity: Identity,
        disk: Opened,
        counters: Arc<Counters>,
        now: Time,
    ) -> Replica {
        let Opened { register, state, at, ring } = disk;
        let recovered = Recovered { register, history: ring.history(), acknowledged: at.index };
        let (pair, effects) = Pair::start(settings.pair, identity, recovered, now);
        let mut replica = Replica {
            settings,
            pair,
            ring,
            published: state,
            at,
            leading: None,
            writing: None,
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            installing: None,
            sending: None,
            stuck: false,
            leap: false,
            ended: false,
            counters,
            outputs: Vec::new(),
        };
        replica.carry_out(now, effects, Attached::default());
        if settings.found && replica.pair.register().is_none() {
            replica.step(now, Event::Command(Command::Found { cluster: settings.cluster }));
        }
        replica.turn(now);
        replica
    }

    /// Takes what happened. What is to be done about it is there to [`Replica::take`].
    pub fn handle(&mut self, now: Time, input: Input) {
        if self.ended {
            return;
        }
        match input {
            Input::Tick => self.tick(now),
            Input::Request(request) => self.request(now, request),
            Input::Packet(packet) if self.is_full(&packet) => {}
            Input::Packet(Packet { message, records }) => {
                let blank = message.register.is_none();
                let heard = message.heard.is_some();
                let attached = Attached { records, snapshot: None };
                let effects = self.pair.step(now, Event::Received(message));
                self.carry_out(now, effects, attached);
                if blank && heard {
                    self.found_if_both_are_empty(now);
                }
            }
            Input::Snapshot(message, state) => {
                let attached = Attached { records: Vec::new(), snapshot: Some(state) };
                let effects = self.pair.step(now, Event::Received(message));
                self.carry_out(now, effects, attached);
            }
            Input::Written => self.written(now),
            Input::Installed => self.installed(now),
            Input::SnapshotSent => self.sending = None,
            Input::Answered(number, answer) => self.step(now, Event::Answered(number, answer)),
        }
        self.turn(now);
    }

    /// Takes a request that is decided together with others, at the next [`Replica::handle`].
    pub(crate) fn hear(&mut self, now: Time, request: Request) {
        if !self.ended {
            self.request(now, request);
        }
    }

    /// A write is on its way to the disk.
    pub(crate) fn is_busy(&self) -> bool {
        self.writing.is_some()
    }

    /// Nobody waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.writing.is_none() && self.leading.as_ref().is_none_or(Leading::is_idle)
    }

    /// A snapshot is being sent.
    pub(crate) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    /// The process ends: whoever waits for an answer is told so.
    pub(crate) fn refuse_all(&mut self, refusal: &Refusal) {
        if let Some(leading) = self.leading.take() {
            let (unknown, undone) = leading.end();
            unknown.refuse(refusal);
            undone.refuse(refusal);
        }
    }

    /// A person, or a program of this room, wants something.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn command(&mut self, now: Time, command: Command) -> Result<(), PairRefusal> {
        if self.ended {
            return Ok(());
        }
        // Who hung for a while first notices what ran out meanwhile.
        self.step(now, Event::Tick);
        let effects = self.pair.step(now, Event::Command(command));
        let refused = effects.iter().find_map(|effect| match effect {
            Effect::Tell(happening) => match happening.what {
                What::Refuses(refusal) => Some(refusal),
                _ => None,
            },
            _ => None,
        });
        self.carry_out(now, effects, Attached::default());
        self.turn(now);
        refused.map_or(Ok(()), Err)
    }

    /// What is to be done now.
    #[must_use]
    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// When [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Time {
        if self.lags() {
            return now;
        }
        let stuck = self.writing.filter(|_| !self.stuck);
        let stuck = stuck.map(|writing| writing.since + self.settings.stuck_after);
        let core = self.leading.as_ref().and_then(|leading| leading.next(now));
        [stuck, core].into_iter().flatten().fold(self.pair.deadline(now), Time::min)
    }

    /// The protocol's side.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// What readers see, and its last entry.
    #[must_use]
    pub fn published(&self) -> (&State, Position) {
        (&self.published, self.at)
    }

    /// The newest entry of the log, acknowledged or not.
    #[must_use]
    pub fn last(&self) -> Position {
        self.ring.last()
    }

    pub(super) fn step(&mut self, now: Time, event: Event) {
        let effects = self.pair.step(now, event);
        self.carry_out(now, effects, Attached::default());
    }

    fn tick(&mut self, now: Time) {
        if let Some(writing) = self.writing.filter(|_| !self.stuck) {
            if now >= writing.since + self.settings.stuck_after {
                self.stuck = true;
                self.step(now, Event::DiskStuck);
            }
        }
        self.step(now, Event::Tick);
        if self.leading.is_none() {
            self.published.sweep(SWEPT_AT_TICK);
        }
    }

    fn carry_out(&mut self, now: Time, effects: Vec<Effect>, mut attached: Attached) {
        for effect in effects {
            if self.ended {
                return;
            }
            match effect {
                Effect::Persist(register) => self.outputs.push(Output::Persist(register)),
                Effect::Send(message) => self.send(message),
                Effect::Ask(number, ask) => self.outputs.push(Output::Ask(number, ask)),
                Effect::Append { last, epoch, .. } => {
                    self.append(now, Position { epoch, index: last })
                }
                Effect::Store { .. } => self.store(std::mem::take(&mut attached.records)),
                Effect::Truncate(to) => self.truncate(now, to),
                Effect::Install(at) => {
                    if let Some(state) = attached.snapshot.take() {
                        self.install(at, state);
                    }
                }
                Effect::Acknowledge(index) => {
                    self.begin_if_leading(now);
                    self.settle(now, index);
                }
                Effect::Serve { until } => {
                    self.begin_if_leading(now);
                    let term = self.pair.term().unwrap_or_default();
                    self.outputs.push(Output::Serve { until, term });
                }
                Effect::StopServing => {
                    self.end_leading();
                    self.outputs.push(Output::StopServing);
                }
                Effect::Fence { peer, epoch } => self.outputs.push(Output::Fence { peer, epoch }),
                Effect::LeapRevisions => self.leap = true,
                Effect::Tell(happening) => self.outputs.push(Output::Tell(happening)),
            }
        }
        self.begin_if_leading(now);
    }

    /// Whether a packet is as good as lost, since the disk does not keep up: entries come again.
    fn is_full(&self, packet: &Packet) -> bool {
        self.unwritten_bytes >= UNWRITTEN && !packet.records.is_empty()
    }

    /// What is due after each event: entries are applied and written, requests decided.
    fn turn(&mut self, now: Time) {
        if self.ended {
            return;
        }
        if self.leading.is_none() {
            self.apply();
        }
        self.trim(now);
        self.write_stored(now);
        self.decide(now);
    }

    /// Entries that came from the leader.
    fn store(&mut self, records: Vec<Record>) {
        let group: Arc<[Record]> = Arc::from(records);
        self.unwritten_bytes += group.iter().map(Record::weight).sum::<usize>();
        self.ring.push(group.clone());
        self.unwritten.push_back(group);
    }

    fn write_stored(&mut self, now: Time) {
        if self.writing.is_some() || self.unwritten.is_empty() {
            return;
        }
        let groups: Vec<_> = self.unwritten.drain(..).collect();
        self.unwritten_bytes = 0;
        let last = groups.last().and_then(|group| group.last());
        let upto = last.map_or(self.at, position);
        self.write(now, groups, upto);
    }

    pub(super) fn write(&mut self, now: Time, groups: Vec<Arc<[Record]>>, upto: Position) {
        self.writing = Some(Writing { upto, since: now, void: false });
        let settled = self.pair.acknowledged().max(self.at.index);
        self.outputs.push(Output::Write { groups, settled });
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some() || !self.unwritten.is_empty()
    }

    fn written(&mut self, now: Time) {
        let Some(Writing { upto, void, .. }) = self.writing.take() else { return };
        if let Some(leading) = &mut self.leading {
            leading.written(now);
        }
        if std::mem::take(&mut self.stuck) {
            self.step(now, Event::DiskBack);
        }
        if !void {
            self.step(now, Event::Synced(upto));
        }
    }

    /// Cuts off what the leader does not have.
    fn truncate(&mut self, now: Time, to: Position) {
        if to.index < self.at.index {
            // Only a person's decision to go on without this room leads here. What is left of its own
            // history is of no use to anybody.
            return self.void("the other room went on without this one's last acknowledged writes");
        }
        self.ring.truncate(to.index);
        self.unwritten.clear();
        self.unwritten_bytes = 0;
        if let Some(writing) = &mut self.writing {
            writing.void = true;
        }
        let Some(state) = self.state_at(to.index) else { return self.broken(DAMAGED) };
        self.outputs.push(Output::Install { state, at: to, told: false });
        self.step(now, Event::Synced(to));
    }

    fn void(&mut self, why: &'static str) {
        self.ended = true;
        self.outputs.push(Output::Void(why));
    }

    /// Its own data contradicts itself, which only a fault of this program can do: nothing is given up, and
    /// a person has to look.
    fn broken(&mut self, why: &'static str) {
        self.ended = true;
        self.outputs.push(Output::Broken(why));
    }

    fn install(&mut self, at: Position, state: State) {
        self.unwritten.clear();
        self.unwritten_bytes = 0;
        if let Some(writing) = &mut self.writing {
            writing.void = true;
        }
        self.outputs.push(Output::Install { state: state.clone(), at, told: true });
        self.installing = Some((at, state));
    }

    fn installed(&mut self, now: Time) {
        let Some((at, state)) = self.installing.take() else { return };
        self.ring = Ring::new(at);
        self.publish(state, at, Acks::default());
        self.step(now, Event::Installed(at));
    }

    pub(super) fn publish(&mut self, state: State, at: Position, acks: Acks) {
        (self.published, self.at) = (state.clone(), at);
        self.outputs.push(Output::Publish { state, at, acks });
    }

    /// Whether entries are known to be acknowledged that readers do not see yet.
    fn lags(&self) -> bool {
        self.leading.is_none() && self.installing.is_none() && self.applicable() > self.at.index
    }

    /// Entries up to here are known to be acknowledged, and are on the disk: a checkpoint of what readers
    /// see never holds more than the log.
    fn applicable(&self) -> Index {
        self.pair.acknowledged().min(self.pair.on_disk())
    }

    /// Lets readers of a room that does not lead see what is acknowledged.
    fn apply(&mut self) {
        if !self.lags() {
            return;
        }
        let last = self.applicable();
        let (mut state, mut at, mut published) = (self.published.clone(), self.at, Vec::new());
        let mut sound = true;
        for record in self.ring.between(at.index, last).take(APPLIED_AT_ONCE) {
            // The watches are told what is forgotten before it is.
            let forgets = matches!(record.effect, Change::Compact { .. } | Change::Leap { .. });
            if forgets && at != self.at {
                published.push((state.clone(), at));
            }
            sound = state.apply(&record.effect).is_ok();
            if !sound {
                break;
            }
            state.sweep(SWEEP);
            at = position(record);
        }
        if !sound {
            return self.broken(DAMAGED);
        }
        for (state, at) in published.into_iter().chain([(state, at)]) {
            self.publish(state, at, Acks::default());
        }
    }

    /// The state behind entry `index`, which is in the ring; none if its entries do not follow.
    pub(super) fn state_at(&self, index: Index) -> Option<State> {
        let mut state = self.published.clone();
        for record in self.ring.between(self.at.index, index) {
            state.apply(&record.effect).ok()?;
        }
        Some(state)
    }

    /// Forgets entries that are acknowledged and older than any follower may want.
    fn trim(&mut self, now: Time) {
        let held = self.sending.map_or(Index::MAX, |at| at.index);
        if self.ring.trim(self.at.index.min(held)) {
            self.step(now, Event::Compacted(self.ring.before().index));
        }
    }

    fn begin_if_leading(&mut self, now: Time) {
        let Some(term) = self.pair.term().filter(|_| self.leading.is_none()) else { return };
        let Some(head) = self.state_at(self.ring.last().index) else { return self.broken(DAMAGED) };
        let leap = std::mem::take(&mut self.leap);
        self.leading = Some(Leading::new(self, head, term, leap, now));
    }

    /// Who waits for the peer is told that nobody knows; who was not yet heard, that nothing was done.
    fn end_leading(&mut self) {
        let Some(leading) = self.leading.take() else { return };
        let (unknown, undone) = leading.end();
        unknown.refuse(&Refusal::LeaderLost);
        undone.refuse(&Refusal::NotLeading);
    }

    /// Where neither room belongs to a site, the founder begins one.
    fn found_if_both_are_empty(&mut self, now: Time) {
        let Settings { founder, cluster, pair, .. } = self.settings;
        let empty = self.pair.register().is_none() && self.ring.last().index == 0;
        if empty && founder == pair.me && self.pair.role() == RoleView::Apart && self.pair.is_met()
        {
            self.step(now, Event::Command(Command::Found { cluster }));
        }
    }
}
