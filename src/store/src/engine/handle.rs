//! The engine as others hold it. Start at [`Engine::put`] for a write and [`Engine::range`] for a read:
//! writes wait for the disk, reads see what is published and wait for nothing.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use mvcc::{
    DeleteRangeRequest, DeleteRangeResponse, Error, HashKv, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::oneshot;

use super::command::{Command, Reply};
use super::inbox::Inbox;
use super::open::{self, Options};
use super::paired::Seat;
use super::shared::{Shared, Slot};
use super::snapshot::SnapshotStream;
use super::types::{Alarm, Answer, Failure, Granted, Identity, Metrics, Status, TimeToLive};
use super::watch::stream::{self, WatchControl, WatchFeed};
use super::{MIN_LEASE_TTL, lock};
use crate::disk::Disk;
use crate::recover::{OpenError, Progress};
use crate::refusal::Refusal;

/// Streams of watches that may be open.
const MOST_STREAMS: u64 = 10_000;

/// How often another number is tried for a lease whose number the client leaves to us.
const TRIES: usize = 4;

/// A running store. Cloning is cheap; the store stops when [`Engine::stop`] is called.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
    options: Arc<Options>,
}

/// The threads and the ways to them.
#[derive(Debug)]
pub(crate) struct Handle {
    pub deciding: Arc<Inbox>,
    pub stop_keeper: Sender<()>,
    pub threads: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the store in a data folder, with everything that was acknowledged before. Takes as long as
    /// reading the last checkpoint and the log after it.
    ///
    /// # Errors
    /// If the folder is damaged, of another version, in use, or cannot be read; nothing is changed then.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        progress: &dyn Fn(Progress),
    ) -> Result<Engine, OpenError> {
        open::open(disk, options, progress)
    }

    pub(crate) fn new(shared: Arc<Shared>, handle: Handle, options: Options) -> Engine {
        Engine { shared, handle: Arc::new(handle), options: Arc::new(options) }
    }

    /// Who this store is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Reads. Every write that was acknowledged before the call is seen, whether or not the client asks
    /// for it to be: with one store, a serializable read has nothing to gain.
    ///
    /// # Errors
    /// [`Refusal::Data`]: compacted, in the future, or not sound.
    pub fn range(&self, request: &RangeRequest) -> Result<Answer<RangeResponse>, Refusal> {
        self.shared.counters.ranges.add(1);
        let published = self.shared.published.load();
        let body = published.state.range(request)?;
        Ok(self.answer(published.state.revision(), body))
    }

    /// Writes a key.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is written then. After [`Refusal::Stopped`] it is unknown whether it is.
    pub async fn put(&self, request: PutRequest) -> Result<Answer<PutResponse>, Refusal> {
        let bytes = request.key.len() + request.value.len();
        self.write(bytes, |reply| Command::Put(request, reply)).await
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// As [`Engine::put`].
    pub async fn delete_range(
        &self,
        request: DeleteRangeRequest,
    ) -> Result<Answer<DeleteRangeResponse>, Refusal> {
        let bytes = request.keys.key.len() + request.keys.end.len();
        self.write(bytes, |reply| Command::DeleteRange(request, reply)).await
    }

    /// Does several steps at one revision. One that can only read waits for nothing.
    ///
    /// # Errors
    /// As [`Engine::put`].
    pub async fn txn(&self, request: TxnRequest) -> Result<Answer<TxnResponse>, Refusal> {
        if request.is_read_only() {
            let published = self.shared.published.load();
            let body = published.state.read_txn(&request)?;
            return Ok(self.answer(published.state.revision(), body));
        }
        self.write(weight(&request), |reply| Command::Txn(request, reply)).await
    }

    /// Forgets the history below a revision. Answers never show how far the clearing up has come, so
    /// that etcd's `physical` needs nothing of its own.
    ///
    /// # Errors
    /// As [`Engine::put`].
    pub async fn compact(&self, revision: i64) -> Result<Answer<()>, Refusal> {
        self.write(0, |reply| Command::Compact(revision, reply)).await
    }

    /// Begins a lease of `ttl` seconds, at least [`MIN_LEASE_TTL`]. With the number 0 one is chosen.
    ///
    /// # Errors
    /// [`Refusal::Data`] if the number is taken or the time longer than [`mvcc::MAX_LEASE_TTL`]; else as
    /// [`Engine::put`].
    pub async fn lease_grant(&self, id: i64, ttl: i64) -> Result<Answer<Granted>, Refusal> {
        let ttl = ttl.max(MIN_LEASE_TTL);
        let mut tries = TRIES;
        loop {
            let chosen = if id == 0 { random() } else { id };
            let granted = Granted { id: chosen, ttl };
            let done = self.write(0, |reply| Command::Grant(granted, reply)).await;
            tries -= 1;
            match done {
                Err(Refusal::Data(Error::LeaseExists)) if id == 0 && tries > 0 => {}
                done => return done,
            }
        }
    }

    /// Ends a lease and deletes what hangs on it.
    ///
    /// # Errors
    /// [`Refusal::Data`] if there is none of this number; else as [`Engine::put`].
    pub async fn lease_revoke(&self, id: i64) -> Result<Answer<()>, Refusal> {
        self.write(0, |reply| Command::Revoke(id, reply)).await
    }

    /// Gives a lease its full time again. Answers the time in seconds, 0 if there is no such lease.
    ///
    /// # Errors
    /// [`Refusal::Stopped`], [`Refusal::TooManyRequests`].
    pub async fn lease_keep_alive(&self, id: i64) -> Result<Answer<i64>, Refusal> {
        let revision = self.shared.revision();
        let answer = self.ask(0, |reply| Command::KeepAlive(id, reply)).await?;
        Ok(self.answer(revision, answer.body))
    }

    /// What is left of a lease.
    ///
    /// # Errors
    /// [`Refusal::Stopped`].
    pub async fn lease_time_to_live(
        &self,
        id: i64,
        keys: bool,
    ) -> Result<Answer<TimeToLive>, Refusal> {
        let (reply, left) = oneshot::channel();
        self.send(Command::Left(id, reply))?;
        let left = left.await.map_err(|_| Refusal::Stopped)??;
        let state = self.shared.published.load().state.clone();
        let body = match (state.lease(id), left) {
            (Some(lease), Some(left)) => TimeToLive {
                id,
                ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                granted_ttl: lease.ttl,
                keys: if keys { lease.keys.iter().cloned().collect() } else { Vec::new() },
            },
            _ => TimeToLive { id, ttl: -1, ..TimeToLive::default() },
        };
        Ok(self.answer(state.revision(), body))
    }

    /// The numbers of all leases, in rising order.
    #[must_use]
    pub fn leases(&self) -> Answer<Vec<i64>> {
        let state = self.shared.published.load().state.clone();
        let mut ids: Vec<i64> = state.leases().map(|(id, _)| id).collect();
        ids.sort_unstable();
        self.answer(state.revision(), ids)
    }

    /// Opens a stream of watches.
    ///
    /// # Errors
    /// [`Refusal::Limit`] if there are too many.
    pub fn watch(&self) -> Result<(WatchControl, WatchFeed), Refusal> {
        if self.shared.streams.get() >= MOST_STREAMS {
            return Err(Refusal::Limit("too many streams of watches"));
        }
        Ok(stream::open(self.shared.clone(), self.options.watch_progress))
    }

    /// How the store is.
    #[must_use]
    pub fn status(&self) -> Answer<Status> {
        let published = self.shared.published.load();
        let member = self.shared.identity.member_id;
        let errors = self.alarms().body.into_iter().map(|alarm| match alarm {
            Alarm::NoSpace => format!("memberID:{member} alarm:NOSPACE "),
        });
        let counters = &self.shared.counters;
        let body = Status {
            db_size: counters.log_bytes.get() + counters.checkpoint_bytes.get(),
            db_size_in_use: published.state.size(),
            quota: self.options.quota,
            index: published.index,
            errors: errors.collect(),
        };
        self.answer(published.state.revision(), body)
    }

    /// What is wrong now. An alarm ends by itself when its cause does.
    #[must_use]
    pub fn alarms(&self) -> Answer<Vec<Alarm>> {
        let published = self.shared.published.load();
        // As etcd has it, from the first refusal on; but only while the same would be refused again.
        let wanted = published.state.size() + self.shared.counters.refused_bytes.get();
        let full = self.shared.is_full() || wanted > self.options.quota;
        let alarms = if full { vec![Alarm::NoSpace] } else { Vec::new() };
        self.answer(published.state.revision(), alarms)
    }

    /// The checksum of all keys up to a revision; 0 for the newest.
    ///
    /// # Errors
    /// [`Refusal::Data`]: compacted or in the future.
    pub async fn hash_kv(&self, revision: i64) -> Result<Answer<HashKv>, Refusal> {
        let state = self.shared.published.load().state.clone();
        let now = state.revision();
        let hash = tokio::task::spawn_blocking(move || state.hash_kv(revision)).await;
        let body = hash.map_err(|_| Refusal::Stopped)??;
        Ok(self.answer(now, body))
    }

    /// The whole store as a stream of bytes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotStream {
        let published = self.shared.published.load_full();
        SnapshotStream::start(published.state.clone(), self.shared.stamp(&published))
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let published = self.shared.published.load();
        let counters = &self.shared.counters;
        Metrics {
            puts: counters.puts.get(),
            deletes: counters.deletes.get(),
            txns: counters.txns.get(),
            ranges: counters.ranges.get(),
            commits: counters.commits.get(),
            entries: counters.entries.get(),
            pending: self.shared.waiting() as u64,
            failed: counters.failed.get(),
            fsync: counters.fsync.read(),
            checkpoint: counters.checkpoint.read(),
            keys: published.state.keys(),
            revision: published.state.revision(),
            compacted: published.state.compacted(),
            leases_granted: counters.leases_granted.get(),
            leases_revoked: counters.leases_revoked.get(),
            leases_expired: counters.leases_expired.get(),
            leases_renewed: counters.leases_renewed.get(),
            streams: self.shared.streams.get(),
            watchers: self.shared.watchers.get(),
            slow_watchers: self.shared.watchers.get().saturating_sub(self.shared.hub.live()),
            events: self.shared.hub.told(),
        }
    }

    /// Waits until the store cannot go on: a write of the log failed, so that nothing is known of the
    /// disk any more. The process must end then; a new start reads what is really there.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|known| known.clone()) {
            Ok(Some(failure)) => failure,
            _ => std::future::pending().await,
        }
    }

    /// Takes no more requests, makes durable what was taken, and ends the threads. Open streams of
    /// watches end.
    pub async fn stop(&self) {
        self.shared.stop();
        let _ = self.handle.deciding.send(Command::Stop);
        let _ = self.handle.stop_keeper.send(());
        let threads = std::mem::take(&mut *lock(&self.handle.threads));
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        let _ = tokio::task::spawn_blocking(join).await;
    }

    /// Where this store is one of two.
    pub(crate) fn seat(&self) -> Option<&Seat> {
        self.shared.seat.as_ref()
    }

    pub(super) fn deciding(&self) -> &Inbox {
        &self.handle.deciding
    }

    /// The newest entry that readers see.
    pub(crate) fn index(&self) -> u64 {
        self.shared.published.load().index
    }

    #[cfg(test)]
    pub(super) fn publish_for_tests(&self, state: mvcc::State) {
        self.shared.publish(state, (u64::MAX, u64::MAX));
    }

    fn answer<T>(&self, revision: i64, body: T) -> Answer<T> {
        Answer { revision, term: self.shared.term(), body }
    }

    fn send(&self, command: Command) -> Result<(), Refusal> {
        self.handle.deciding.send(command)
    }

    async fn write<T>(
        &self,
        bytes: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<Answer<T>, Refusal> {
        if self.shared.is_full() {
            return Err(Refusal::NoSpace);
        }
        self.ask(bytes, command).await
    }

    async fn ask<T>(
        &self,
        bytes: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<Answer<T>, Refusal> {
        if self.shared.is_stopped() {
            return Err(Refusal::Stopped);
        }
        let slot = Slot::take(&self.shared, bytes)?;
        let (to, answer) = oneshot::channel();
        self.send(command(Reply { to, slot: Some(slot) }))?;
        answer.await.unwrap_or(Err(Refusal::Stopped))
    }
}

/// About how many bytes of memory a transaction holds while it waits.
fn weight(request: &TxnRequest) -> usize {
    let op = |op: &RequestOp| match op {
        RequestOp::Put(put) => put.key.len() + put.value.len(),
        RequestOp::Txn(txn) => weight(txn),
        RequestOp::Range(_) | RequestOp::DeleteRange(_) => 0,
    };
    request.success.iter().chain(&request.failure).map(|one| op(one) + 64).sum()
}

/// A number for a lease: greater than 0.
fn random() -> i64 {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
    (i64::from_le_bytes(bytes) & i64::MAX).max(1)
}
