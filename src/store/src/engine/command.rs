//! What reaches the deciding thread, and what leaves it for the disk. Plain data; nothing here decides.

use std::time::Duration;

use mvcc::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, State, TxnRequest,
    TxnResponse,
};
use tokio::sync::oneshot;

use super::paired::Word;
use super::shared::Slot;
use super::types::{Answer, Granted};
use crate::record::Record;
use crate::refusal::Refusal;

/// Where an answer goes, and the room that its request takes until then.
pub(crate) struct Reply<T> {
    pub to: oneshot::Sender<Result<Answer<T>, Refusal>>,
    /// None where nobody counts.
    pub slot: Option<Slot>,
}

impl<T> Reply<T> {
    /// A client that has gone away needs no answer. Who has the answer takes no room any more.
    pub(crate) fn send(self, answer: Result<Answer<T>, Refusal>) {
        drop(self.slot);
        let _ = self.to.send(answer);
    }
}

/// What the deciding thread is asked for.
pub(crate) enum Command {
    Put(PutRequest, Reply<PutResponse>),
    DeleteRange(DeleteRangeRequest, Reply<DeleteRangeResponse>),
    Txn(TxnRequest, Reply<TxnResponse>),
    Compact(i64, Reply<()>),
    Grant(Granted, Reply<Granted>),
    Revoke(i64, Reply<()>),
    /// Renews a lease; the answer is its time, 0 if there is none. Nothing is logged.
    KeepAlive(i64, Reply<i64>),
    /// How much time a lease has left.
    Left(i64, oneshot::Sender<Result<Option<Duration>, Refusal>>),
    /// The committer has done with a group.
    Done(Done),
    /// Of a room of a pair: something else than a request.
    Pair(Word),
    /// The last command.
    Stop,
}

impl Command {
    /// Answers that nothing was done.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        let no = || refusal.clone();
        match self {
            Command::Put(_, reply) => reply.send(Err(no())),
            Command::DeleteRange(_, reply) => reply.send(Err(no())),
            Command::Txn(_, reply) => reply.send(Err(no())),
            Command::Compact(_, reply) | Command::Revoke(_, reply) => reply.send(Err(no())),
            Command::Grant(_, reply) => reply.send(Err(no())),
            Command::KeepAlive(_, reply) => reply.send(Err(no())),
            Command::Left(_, reply) => drop(reply.send(Err(no()))),
            Command::Done(_) | Command::Pair(_) | Command::Stop => {}
        }
    }

    /// Whether it is to be handled at once, also while a group is on its way to the disk: what a disk that
    /// is stuck must not hold up, and what ends the waiting.
    pub(crate) fn is_urgent(&self) -> bool {
        match self {
            Command::Put(..)
            | Command::DeleteRange(..)
            | Command::Txn(..)
            | Command::Compact(..)
            | Command::Grant(..)
            | Command::Revoke(..) => false,
            Command::KeepAlive(..)
            | Command::Left(..)
            | Command::Done(_)
            | Command::Pair(_)
            | Command::Stop => true,
        }
    }
}

/// How the writing of a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It is durable and published.
    Durable,
    /// It was not written, for want of room; nobody has seen it.
    NoSpace,
    /// Nothing is known of the disk any more, and the committer has ended.
    Failed,
}

/// Decisions that are made durable together.
#[derive(Default)]
pub(crate) struct Group {
    /// What goes to the log; may be empty if nothing changed.
    pub records: Vec<Record>,
    /// About how many bytes they are.
    pub bytes: usize,
    /// What is answered when they are durable.
    pub acks: Vec<Ack>,
    /// The state after them, published when they are durable; none while the group is open.
    pub state: Option<State>,
}

/// An answer that waits for the disk. Refusals wait too: they may rest on a write that is not durable.
pub(crate) enum Ack {
    Put(Pending<PutResponse>),
    DeleteRange(Pending<DeleteRangeResponse>),
    Txn(Pending<TxnResponse>),
    Grant(Pending<Granted>),
    Done(Pending<()>),
}

/// An answer and where it goes.
pub(crate) struct Pending<T> {
    pub reply: Reply<T>,
    pub answer: Result<Answer<T>, Refusal>,
}

impl<T> Pending<T> {
    fn send(self, refused: Option<&Refusal>) {
        self.reply.send(refused.map_or(self.answer, |refusal| Err(refusal.clone())));
    }
}

impl Ack {
    /// Sends the answer, or the refusal if there is one.
    pub(crate) fn send(self, refused: Option<&Refusal>) {
        match self {
            Ack::Put(pending) => pending.send(refused),
            Ack::DeleteRange(pending) => pending.send(refused),
            Ack::Txn(pending) => pending.send(refused),
            Ack::Grant(pending) => pending.send(refused),
            Ack::Done(pending) => pending.send(refused),
        }
    }
}
