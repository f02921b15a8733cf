//! One watch stream of one server: what each of its watches was told, in order.
//!
//! Start at [`Stream::open`]; [`agree`] holds two servers' streams against each other. Whatever a
//! server may not do on a stream, whichever it is, is kept as a fault: events out of order, a revision
//! told in two pieces, an event after the promise that it had been told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::wire::{etcdserverpb as pb, mvccpb};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;

use crate::client::PATIENCE;

/// The watch that every stream has, of a key that no program writes: a stream opens with it, and etcd
/// makes no promise on a stream without a watch.
const ANCHOR: i64 = 9000;

/// The key of the anchor.
pub(crate) const MARK: &[u8] = b"~";

/// etcd drops a request for progress while a watch lags, so it is asked again. Its lagging watches
/// are looked after every 100 ms.
const ASK_AGAIN: Duration = Duration::from_millis(40);

/// One thing that a watch was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word {
    Event(mvccpb::Event),
    /// The watch is over: what it wants is compacted away.
    Compacted {
        revision: i64,
        reason: String,
    },
}

impl Word {
    fn name(&self) -> &'static str {
        match self {
            Word::Event(event) if event.prev_kv.is_some() => "event with the value before",
            Word::Event(event) if event.r#type() == mvccpb::event::EventType::Delete => "deletion",
            Word::Event(_) => "event",
            Word::Compacted { .. } => "compacted",
        }
    }
}

/// All that was heard and not yet compared.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// By watch.
    pub(crate) words: BTreeMap<i64, VecDeque<Word>>,
    /// Watches that are open, the anchor left aside.
    pub(crate) open: BTreeSet<i64>,
    /// What a server may not do.
    pub(crate) faults: Vec<String>,
    /// Answers to creations and cancellations.
    answers: VecDeque<pb::WatchResponse>,
    /// The newest promise that everything up to a revision has been told.
    progress: i64,
    promises: u64,
    /// Watches that the next promise is about: those that were open when it was asked for.
    concerned: BTreeSet<i64>,
    promised: BTreeMap<i64, i64>,
    /// The last revision of each watch, and whether more pieces of it follow.
    last: BTreeMap<i64, (i64, bool)>,
    /// Ended by a compaction. etcd still knows such a watch and answers when it is cancelled.
    dead: BTreeSet<i64>,
}

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct Stream {
    send: mpsc::UnboundedSender<pb::WatchRequest>,
    heard: Arc<Mutex<Heard>>,
    changed: Arc<Notify>,
    reader: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Stream {
    /// Opens one, with its anchor.
    pub(crate) async fn open(mut client: WatchClient<Channel>) -> Result<Stream, String> {
        let (send, requests) = mpsc::unbounded_channel();
        let anchor = pb::WatchCreateRequest {
            key: Bytes::from_static(MARK),
            watch_id: ANCHOR,
            ..Default::default()
        };
        let _ = send.send(request(RequestUnion::CreateRequest(anchor)));
        let opened = client.watch(UnboundedReceiverStream::new(requests)).await;
        let mut messages = opened.map_err(|status| format!("no watch: {status}"))?.into_inner();
        let first = messages.message().await.map_err(|status| status.to_string())?;
        let first = first.ok_or("the stream ended at once")?;
        if first.watch_id != ANCHOR || !first.created || first.canceled {
            return Err(format!("the anchor got {first:?}"));
        }
        let heard = Arc::<Mutex<Heard>>::default();
        let changed = Arc::<Notify>::default();
        let reader =
            tokio::spawn(listen(messages, send.clone(), Arc::clone(&heard), Arc::clone(&changed)));
        Ok(Stream { send, heard, changed, reader })
    }

    /// What was heard.
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("no holder panics")
    }

    /// Creates a watch, and returns when the server has answered.
    pub(crate) async fn create(
        &self,
        create: pb::WatchCreateRequest,
    ) -> Result<pb::WatchResponse, Status> {
        self.send(RequestUnion::CreateRequest(create));
        self.answer(|answer| answer.created).await
    }

    /// Cancels a watch that is open, likewise.
    pub(crate) async fn cancel(&self, watch_id: i64) -> Result<pb::WatchResponse, Status> {
        self.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }));
        self.answer(|answer| answer.canceled && !answer.created).await
    }

    /// Returns when the server promises that everything up to `revision` has been told.
    pub(crate) async fn settle(&self, revision: i64) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let mut asked = 0;
        let before = self.heard().promises;
        while Instant::now() < until {
            {
                let mut heard = self.heard();
                heard.concerned = heard.open.clone();
            }
            self.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
            asked += 1;
            let told = || {
                let heard = self.heard();
                heard.progress >= revision && heard.promises > before
            };
            if self.wait(ASK_AGAIN, told).await {
                // A promise that is under way still would be taken for the next one.
                let all = || self.heard().promises >= before + asked;
                let _ = self.wait(ASK_AGAIN / 2, all).await;
                return Ok(());
            }
        }
        Err(format!("no promise of revision {revision} in {PATIENCE:?}: {:?}", self.heard()))
    }

    /// Returns when the anchor was told of `revision`, at which its key was put. As good as a promise
    /// if no watch of the stream lags.
    pub(crate) async fn mark(&self, revision: i64) -> Result<(), String> {
        let told = || self.heard().last.get(&ANCHOR).is_some_and(|(last, _)| *last >= revision);
        if self.wait(PATIENCE, told).await {
            return Ok(());
        }
        Err(format!("the mark at {revision} was not told in {PATIENCE:?}: {:?}", self.heard()))
    }

    fn send(&self, union: RequestUnion) {
        let _ = self.send.send(request(union));
    }

    async fn answer(
        &self,
        fits: impl Fn(&pb::WatchResponse) -> bool,
    ) -> Result<pb::WatchResponse, Status> {
        let found = || self.heard().answers.iter().any(&fits);
        if !self.wait(PATIENCE, found).await {
            return Err(Status::deadline_exceeded("no answer to a request on a watch stream"));
        }
        let mut heard = self.heard();
        let at = heard.answers.iter().position(&fits).expect("it was just there");
        let answer = heard.answers.remove(at).expect("it was just there");
        match heard.answers.drain(..).next() {
            Some(other) => Err(Status::internal(format!("nobody asked for {other:?}"))),
            None => Ok(answer),
        }
    }

    /// Whether it came true within the time.
    pub(crate) async fn wait(&self, limit: Duration, true_now: impl Fn() -> bool) -> bool {
        let come_true = async {
            loop {
                let changed = self.changed.notified();
                if true_now() {
                    return;
                }
                changed.await;
            }
        };
        timeout(limit, come_true).await.is_ok()
    }
}

fn request(union: RequestUnion) -> pb::WatchRequest {
    pb::WatchRequest { request_union: Some(union) }
}

async fn listen(
    mut messages: Streaming<pb::WatchResponse>,
    send: mpsc::UnboundedSender<pb::WatchRequest>,
    heard: Arc<Mutex<Heard>>,
    changed: Arc<Notify>,
) {
    loop {
        let message = messages.message().await;
        {
            let mut heard = heard.lock().expect("no holder panics");
            match message {
                Ok(Some(message)) => {
                    if message.canceled && message.compact_revision != 0 {
                        let watch_id = message.watch_id;
                        let cancel = pb::WatchCancelRequest { watch_id };
                        let _ = send.send(request(RequestUnion::CancelRequest(cancel)));
                    }
                    heard.note(message);
                }
                ended => {
                    heard.faults.push(format!("the stream ended: {ended:?}"));
                    changed.notify_waiters();
                    return;
                }
            }
        }
        changed.notify_waiters();
    }
}

impl Heard {
    /// Files one message.
    fn note(&mut self, message: pb::WatchResponse) {
        let id = message.watch_id;
        if message.created {
            if !message.canceled {
                self.open.insert(id);
                self.last.remove(&id);
                self.promised.remove(&id);
                self.dead.remove(&id);
            }
            self.answers.push_back(message);
        } else if message.canceled && message.compact_revision != 0 {
            self.open.remove(&id);
            self.dead.insert(id);
            let (revision, reason) = (message.compact_revision, message.cancel_reason);
            self.words.entry(id).or_default().push_back(Word::Compacted { revision, reason });
        } else if message.canceled && self.dead.remove(&id) {
            // etcd says it twice: see [`Heard::dead`].
        } else if message.canceled {
            self.open.remove(&id);
            self.answers.push_back(message);
        } else if message.events.is_empty() {
            self.promise(&message);
        } else {
            self.events(message);
        }
    }

    fn promise(&mut self, message: &pb::WatchResponse) {
        let revision = message.header.as_ref().map_or(0, |header| header.revision);
        // A promise about one watch is made by the clock and is asked for by nobody here.
        if message.watch_id != -1 {
            return;
        }
        if revision < self.progress {
            self.faults.push(format!("progress went from {} to {revision}", self.progress));
        }
        self.progress = revision;
        self.promises += 1;
        for id in self.concerned.intersection(&self.open) {
            self.promised.insert(*id, revision);
        }
    }

    fn events(&mut self, message: pb::WatchResponse) {
        let id = message.watch_id;
        if !self.open.contains(&id) && id != ANCHOR {
            self.faults.push(format!("watch {id} is not open and was told {message:?}"));
        }
        let header = message.header.as_ref().map_or(0, |header| header.revision);
        let promised = self.promised.get(&id).copied().unwrap_or(0);
        let (mut last, in_pieces) = self.last.get(&id).copied().unwrap_or((0, false));
        for (at, event) in message.events.into_iter().enumerate() {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            let first_of_message = at == 0 && !in_pieces;
            if revision < last || (first_of_message && revision == last) {
                self.faults.push(format!("watch {id} was told {revision} after {last}"));
            }
            if revision <= promised {
                self.faults.push(format!("watch {id} was told {revision}, promised {promised}"));
            }
            if revision > header {
                self.faults.push(format!("watch {id} was told {revision} at {header}"));
            }
            last = revision;
            self.words.entry(id).or_default().push_back(Word::Event(event));
        }
        self.last.insert(id, (last, message.fragment));
    }
}

/// Waits until both servers' streams have told the same, and forgets it then. Returns how often what
/// was told.
///
/// # Errors
/// When they differ, one stays behind, or one has a fault.
pub(crate) async fn agree(left: &[&Stream], right: &[&Stream]) -> Result<Told, String> {
    let until = Instant::now() + PATIENCE;
    let mut told = Told::new();
    loop {
        let behind = left.iter().zip(right).enumerate().try_fold(None, |behind, (at, pair)| {
            let found = compare(&mut pair.0.heard(), &mut pair.1.heard(), &mut told);
            found.map_err(|found| format!("stream {at}: {found}")).map(|found| behind.or(found))
        })?;
        let Some(behind) = behind else { return Ok(told) };
        if Instant::now() >= until {
            return Err(format!("after {PATIENCE:?} still: {behind}"));
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// How often the watches were told what.
pub(crate) type Told = BTreeMap<&'static str, u64>;

/// Forgets what both have told; says which is behind, if one is.
fn compare(left: &mut Heard, right: &mut Heard, told: &mut Told) -> Result<Option<String>, String> {
    for (side, heard) in [("left", &left), ("right", &right)] {
        if let Some(fault) = heard.faults.first() {
            return Err(format!("{side}: {fault}"));
        }
    }
    let ids: BTreeSet<i64> = left.words.keys().chain(right.words.keys()).copied().collect();
    let mut behind = None;
    for id in ids {
        let (left, right) = (left.words.entry(id).or_default(), right.words.entry(id).or_default());
        while let (Some(one), Some(other)) = (left.front(), right.front()) {
            if one != other {
                return Err(format!("watch {id} was told\n left: {one:?}\nright: {other:?}"));
            }
            *told.entry(one.name()).or_default() += 1;
            left.pop_front();
            right.pop_front();
        }
        if let Some(more) = left.front().or(right.front()) {
            let side = if left.is_empty() { "right" } else { "left" };
            behind = Some(format!("only {side} told watch {id} {more:?}"));
        }
    }
    Ok(behind)
}

#[test]
fn what_a_server_may_not_do_is_a_fault() {
    let event = |revision| mvccpb::Event {
        kv: Some(mvccpb::KeyValue { mod_revision: revision, ..Default::default() }),
        ..Default::default()
    };
    let message = |revision, events: &[i64]| pb::WatchResponse {
        header: Some(pb::ResponseHeader { revision, ..Default::default() }),
        watch_id: 1,
        events: events.iter().map(|revision| event(*revision)).collect(),
        ..Default::default()
    };
    let faults = |messages: &[pb::WatchResponse]| {
        let mut heard = Heard::default();
        heard.note(pb::WatchResponse { watch_id: 1, created: true, ..Default::default() });
        heard.concerned.insert(1);
        messages.iter().for_each(|message| heard.note(message.clone()));
        heard.faults.len()
    };
    let progress = |revision| pb::WatchResponse { watch_id: -1, ..message(revision, &[]) };
    assert_eq!(faults(&[message(5, &[3, 4, 4, 5]), progress(6), message(7, &[7])]), 0);
    assert_eq!(faults(&[message(5, &[4, 3])]), 1);
    assert_eq!(faults(&[message(5, &[4]), message(5, &[4])]), 1);
    assert_eq!(
        faults(&[pb::WatchResponse { fragment: true, ..message(5, &[4]) }, message(5, &[4])]),
        0
    );
    assert_eq!(faults(&[message(5, &[6])]), 1);
    assert_eq!(faults(&[progress(6), message(6, &[6])]), 1);
    assert_eq!(faults(&[progress(6), progress(5)]), 1);
}
