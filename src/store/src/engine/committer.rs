//! Makes groups durable, publishes what they lead to, and only then answers. Start at [`run`]. The one
//! thread that owns the log; it decides nothing.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use tokio::runtime::Handle;

use super::Shared;
use super::command::{Ack, Command, Done, Group};
use super::inbox::Inbox;
use super::types::Failure;
use crate::log::{Log, LogError};
use crate::refusal::Refusal;

/// What the committer is told.
pub(crate) enum Work {
    /// Write this.
    Group(Group),
    /// A checkpoint holds everything up to this entry: older segments may go.
    Release(u64),
}

/// Writes groups until nobody sends any, or the disk fails. `runtime` is the one that serves the clients.
pub(crate) fn run(
    mut log: Log,
    work: &Receiver<Work>,
    deciding: &Inbox,
    shared: &Arc<Shared>,
    runtime: Option<&Handle>,
) {
    shared.counters.log_bytes.set(log.bytes());
    while let Ok(work) = work.recv() {
        let mut group = match work {
            Work::Group(group) => group,
            Work::Release(index) => {
                if let Err(error) = log.release(index) {
                    // They are removed with the next checkpoint.
                    tracing::warn!(%error, "cannot remove old segments of the log");
                }
                shared.counters.log_bytes.set(log.bytes());
                continue;
            }
        };
        let done = match commit(&mut log, &mut group, shared) {
            Ok(done) => done,
            Err(failure) => {
                tracing::error!("{failure}");
                shared.fail(failure);
                let _ = deciding.send(Command::Done(Done::Failed));
                return refuse(group, &Refusal::Stopped);
            }
        };
        // The next group may come while this one's clients are told.
        let _ = deciding.send(Command::Done(done));
        if done == Done::Durable {
            answer(group.acks, runtime);
        } else {
            shared.counters.failed.add(group.acks.len());
            refuse(group, &Refusal::NoSpace);
        }
    }
}

/// Answers the clients of a group. Where there are several it is done from within the runtime: one thread
/// of it is woken once, and not from outside for each of them.
fn answer(acks: Vec<Ack>, runtime: Option<&Handle>) {
    let many = acks.len() > 1;
    let all = move || acks.into_iter().for_each(|ack| ack.send(None));
    match runtime {
        Some(runtime) if many => drop(runtime.spawn(async move { all() })),
        _ => all(),
    }
}

fn refuse(group: Group, refusal: &Refusal) {
    group.acks.into_iter().for_each(|ack| ack.send(Some(refusal)));
}

/// One group to the disk and to the readers.
fn commit(log: &mut Log, group: &mut Group, shared: &Shared) -> Result<Done, Failure> {
    let published = shared.published.load();
    let mut at = (published.index, published.term);
    drop(published);
    if let Some(last) = group.records.last() {
        let start = Instant::now();
        match log.append(&group.records) {
            Ok(()) => {}
            Err(LogError::NoSpace(error)) => {
                if !shared.full.swap(true, std::sync::atomic::Ordering::AcqRel) {
                    tracing::error!(%error, "the disk is full: writes are refused until there is room");
                }
                return Ok(Done::NoSpace);
            }
            Err(LogError::Fatal(error)) => {
                let reason = format!("writing the log failed: {error}");
                return Err(Failure { reason: reason.into(), void: false });
            }
        }
        shared.counters.fsync.observe(start.elapsed());
        shared.counters.commits.add(1);
        shared.counters.entries.add(group.records.len());
        shared.counters.log_bytes.set(log.bytes());
        at = (last.index, last.term);
    }
    if let Some(state) = group.state.take() {
        shared.publish(state, at);
    }
    Ok(Done::Durable)
}
