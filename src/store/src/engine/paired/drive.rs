//! The deciding thread of a room of a pair: gives the replica what happened, and carries out what it says,
//! in its order. Start at [`Drive::run`].

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pair::{Ask, RoleView, wire};

use super::super::command::{Ack, Command};
use super::super::inbox::{Inbox, Receiving};
use super::super::shared::Shared;
use super::super::types::Failure;
use super::disk::{Work, failed};
use super::seat::{Seat, Standing};
use super::view::without_peer;
use super::{Authority, Link, View, Word, clock};
use crate::checkpoint::{Stamp, chunks};
use crate::disk::Disk;
use crate::recover;
use crate::refusal::Refusal;
use crate::replica::{Acks, Input, Output, Replica, Request};

/// Commands that are taken before anything is carried out.
const TURN: usize = 512;

/// As with a single store: requests that wake the thread while the disk is busy.
const COMPANY: usize = 32;

/// How often is asked what would happen if the other room were lost.
const LOOK: Duration = Duration::from_secs(1);

/// What is under way when the store stops has so long to end.
const GRACE: Duration = Duration::from_secs(3);

pub(super) struct Drive {
    pub(super) replica: Replica,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) to_disk: Sender<Work>,
    pub(super) shared: Arc<Shared>,
    pub(super) link: Option<Arc<dyn Link>>,
    pub(super) asks: Arc<dyn Authority>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// The thread ends.
struct End;

impl Drive {
    /// Works until it is told to stop, or the disk fails.
    pub(super) fn run(mut self, commands: &Receiving) {
        if let Some(register) = self.replica.pair().register() {
            let (cluster, epoch) = (register.cluster, register.epoch);
            self.seat().set_cluster(cluster);
            self.shared.set_term(epoch);
        }
        let mut stopping: Option<Instant> = None;
        let mut looked = Instant::now();
        while self.carry_out_all().is_ok() {
            if stopping.is_some_and(|since| self.replica.is_idle() || since.elapsed() > GRACE) {
                return;
            }
            let now = clock::now();
            let wait = self.replica.deadline(now).since(now).min(GRACE);
            let enough = if self.replica.is_busy() { COMPANY } else { 1 };
            for command in commands.0.receive(enough, TURN, wait) {
                match command {
                    Command::Stop => stopping = Some(Instant::now()),
                    Command::Pair(Word::DiskFailed) => return,
                    Command::Pair(word) => self.word(word),
                    request => self.replica.hear(clock::now(), Request(request)),
                }
            }
            self.replica.handle(clock::now(), Input::Tick);
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look_ahead();
            }
        }
    }

    fn seat(&self) -> &Seat {
        self.shared.seat.as_ref().expect("a room of a pair has one")
    }

    fn word(&mut self, word: Word) {
        let now = clock::now();
        let input = match word {
            Word::Packet(packet) => Input::Packet(packet),
            Word::Snapshot(message, state) => Input::Snapshot(message, *state),
            Word::Written => Input::Written,
            Word::Installed => Input::Installed,
            Word::SnapshotSent => Input::SnapshotSent,
            Word::Answered(number, answer) => Input::Answered(number, answer),
            Word::Linked(link) => {
                self.link = Some(link);
                return;
            }
            Word::Wish(command, answer) => {
                // Who asked and has gone away needs no answer.
                let _ = answer.send(self.replica.command(now, command));
                return;
            }
            Word::Look(answer) => return drop(answer.send(self.view())),
            Word::DiskFailed => return,
        };
        self.replica.handle(now, input);
    }

    /// Says, when it changes, what would happen if the other room were lost now.
    fn look_ahead(&self) {
        let outlook = without_peer(self.replica.pair(), &self.asks.reach());
        let survives = outlook.is_ok();
        if self.seat().survives(survives) {
            match outlook {
                Ok(by) => tracing::info!(
                    reason = "WouldSurvive",
                    "if the other room were lost now, this one would go on by {by}"
                ),
                Err(why) => tracing::warn!(
                    reason = "WouldNotSurvive",
                    "if the other room were lost now, this one would not go on: {why}"
                ),
            }
        }
    }

    fn view(&self) -> View {
        let (state, at) = self.replica.published();
        let pair = self.replica.pair().view();
        let (now, reach) = (clock::now(), self.asks.reach());
        View {
            room: self.seat().place.room,
            site: self.seat().place.site.clone(),
            authority: self.replica.pair().authority(),
            in_force: pair.lease.is_none_or(|lease| now < lease),
            index: at.index,
            revision: state.revision(),
            silent_for: pair.follower.map(|follower| now.since(follower.heard)),
            without_peer: without_peer(self.replica.pair(), &reach),
            reach,
            sending_snapshot: self.replica.is_sending(),
            pair,
        }
    }

    fn carry_out_all(&mut self) -> Result<(), End> {
        loop {
            let outputs = self.replica.take();
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                self.carry_out(output)?;
            }
        }
        let standing = match self.replica.pair().role() {
            RoleView::Leading => Standing::Leads,
            RoleView::Following { .. } => Standing::Follows,
            RoleView::Apart => Standing::Apart,
        };
        self.seat().stands(standing);
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), End> {
        match output {
            Output::Write { groups, settled } => self.disk_work(Work::Write(groups, settled))?,
            Output::Persist(register) => {
                if let Err(error) = recover::persist(&*self.disk, &register) {
                    return Err(self.fail(failed("writing the register", &error)));
                }
                self.seat().set_cluster(register.cluster);
                self.shared.set_term(register.epoch);
            }
            Output::Install { state, at, told: true } => {
                self.disk_work(Work::Install(state, at, None))?;
            }
            Output::Install { state, at, told: false } => {
                let (to, done) = channel();
                self.disk_work(Work::Install(state, at, Some(to)))?;
                done.recv().map_err(|_| End)?;
            }
            Output::Void(why) => {
                if let Err(error) = recover::void(&*self.disk, why) {
                    return Err(self.fail(failed("giving up the data", &error)));
                }
                let reason = format!("{why}; the next start begins with an empty folder");
                return Err(self.fail(Failure { reason: reason.into(), void: true }));
            }
            Output::Broken(why) => {
                return Err(self.fail(Failure { reason: why.into(), void: false }));
            }
            Output::Send(packet) => {
                if let Some(link) = &self.link {
                    link.send(packet.encode(), packet.is_urgent());
                }
            }
            Output::Snapshot(message, state) => self.send_snapshot(&message, state),
            Output::Ask(number, ask) => self.ask(number, ask),
            Output::Publish { state, at, acks } => {
                self.shared.publish(state, (at.index, at.epoch));
                self.answer(acks);
            }
            Output::Serve { until, .. } => self.seat().serve(until),
            Output::StopServing => self.seat().stop_serving(),
            Output::Fence { peer, epoch } => self.asks.fence(peer, epoch),
            Output::Tell(happening) => {
                self.seat().note(happening);
                let reason = happening.what.reason();
                match happening.what.severity() {
                    "Warning" => tracing::warn!(reason, "{happening}"),
                    _ => tracing::info!(reason, "{happening}"),
                }
            }
        }
        Ok(())
    }

    fn disk_work(&self, work: Work) -> Result<(), End> {
        self.to_disk.send(work).map_err(|_| End)
    }

    fn fail(&self, failure: Failure) -> End {
        tracing::error!("{failure}");
        self.shared.fail(failure);
        End
    }

    fn ask(&self, number: u64, ask: Ask) {
        let (asking, inbox) = (self.asks.ask(ask), self.inbox.clone());
        self.runtime.spawn(async move {
            let word = Word::Answered(number, asking.await);
            // Where nobody decides any more, the answer is of no use.
            let _ = inbox.send(Command::Pair(word));
        });
    }

    fn send_snapshot(&self, message: &pair::Message, state: mvcc::State) {
        let over = Over(self.inbox.clone());
        let Some(link) = &self.link else { return };
        // Whose copy it becomes stamps it anew.
        let chunks = chunks(state, Stamp::default());
        let chunks = chunks.inspect(move |_| {
            let _ = &over;
        });
        link.send_snapshot(Bytes::from(wire::encode(message)), Box::new(chunks));
    }

    /// As with a single store: many answers from within the runtime, so that it is woken once.
    fn answer(&self, Acks(acks): Acks) {
        let all = |acks: Vec<Ack>| acks.into_iter().for_each(|ack| ack.send(None));
        if acks.len() > 1 {
            self.runtime.spawn(async move { all(acks) });
        } else {
            all(acks);
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.seat().stop_serving();
        self.seat().stands(Standing::Apart);
        self.replica.refuse_all(&Refusal::Stopped);
    }
}

/// Says that a snapshot is sent, or has broken off, when it is dropped with the chunks.
struct Over(Arc<Inbox>);

impl Drop for Over {
    fn drop(&mut self) {
        let _ = self.0.send(Command::Pair(Word::SnapshotSent));
    }
}
