//! What a client wants of a replica. Start at [`Request`].

use mvcc::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, TxnRequest, TxnResponse,
};
use tokio::sync::oneshot;

use crate::engine::command::{Command, Reply};
use crate::engine::{Answer, Granted};
use crate::refusal::Refusal;

/// A write, or something that only the leader knows. Made with the place where its answer comes.
pub struct Request(pub(crate) Command);

/// Where the answer comes. Closed without one, nobody knows whether the write is done.
pub type Pending<T> = oneshot::Receiver<Result<Answer<T>, Refusal>>;

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

impl Request {
    fn new<T>(command: impl FnOnce(Reply<T>) -> Command) -> (Request, Pending<T>) {
        let (to, pending) = oneshot::channel();
        (Request(command(Reply { to, slot: None })), pending)
    }

    /// Writes a key.
    #[must_use]
    pub fn put(request: PutRequest) -> (Request, Pending<PutResponse>) {
        Request::new(|reply| Command::Put(request, reply))
    }

    /// Deletes keys.
    #[must_use]
    pub fn delete_range(request: DeleteRangeRequest) -> (Request, Pending<DeleteRangeResponse>) {
        Request::new(|reply| Command::DeleteRange(request, reply))
    }

    /// Does several steps at one revision.
    #[must_use]
    pub fn txn(request: TxnRequest) -> (Request, Pending<TxnResponse>) {
        Request::new(|reply| Command::Txn(request, reply))
    }

    /// Forgets the history below a revision.
    #[must_use]
    pub fn compact(revision: i64) -> (Request, Pending<()>) {
        Request::new(|reply| Command::Compact(revision, reply))
    }

    /// Begins a lease of so many seconds.
    #[must_use]
    pub fn grant(granted: Granted) -> (Request, Pending<Granted>) {
        Request::new(|reply| Command::Grant(granted, reply))
    }

    /// Ends a lease.
    #[must_use]
    pub fn revoke(id: i64) -> (Request, Pending<()>) {
        Request::new(|reply| Command::Revoke(id, reply))
    }

    /// Renews a lease.
    #[must_use]
    pub fn keep_alive(id: i64) -> (Request, Pending<i64>) {
        Request::new(|reply| Command::KeepAlive(id, reply))
    }
}
