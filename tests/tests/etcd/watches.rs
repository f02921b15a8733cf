//! Watches where random programs do not reach: large events in fragments, streams that nobody reads,
//! progress by the clock, many watches under load.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tests::wire::{etcdserverpb as pb, mvccpb};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use pb::request_op::Request;
use pb::watch_request::RequestUnion;

use crate::client::{Answer, Client, PATIENCE};
use crate::program::Op;
use crate::scenario::same;
use crate::stream::{Stream, Word};

/// etcd splits what is larger, if it may: the largest request, and half a MiB for what is around it
/// (v3.5 `v3rpc/watch.go`).
const LARGEST: usize = 2 << 20;

/// A watch stream without anything on top, that is read only when the test wants.
struct Raw {
    send: mpsc::UnboundedSender<pb::WatchRequest>,
    messages: Streaming<pb::WatchResponse>,
}

impl Raw {
    async fn open(client: &Client, create: pb::WatchCreateRequest) -> Raw {
        let (send, requests) = mpsc::unbounded_channel();
        let union = Some(RequestUnion::CreateRequest(create));
        send.send(pb::WatchRequest { request_union: union }).unwrap();
        let opened = client.watch.clone().watch(UnboundedReceiverStream::new(requests)).await;
        Raw { send, messages: opened.unwrap().into_inner() }
    }

    async fn next(&mut self) -> pb::WatchResponse {
        let message = timeout(PATIENCE, self.messages.message()).await;
        message.expect("nothing was told").unwrap().expect("the stream ended")
    }

    /// The events of the next messages, until so many are there.
    async fn events(&mut self, count: usize) -> Vec<mvccpb::Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.next().await.events);
        }
        events
    }
}

fn everything() -> pb::WatchCreateRequest {
    let all = Bytes::from_static(b"\0");
    pb::WatchCreateRequest { key: all.clone(), range_end: all, ..Default::default() }
}

fn prefix(key: &'static str) -> pb::WatchCreateRequest {
    let mut end = key.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    pb::WatchCreateRequest { key: key.into(), range_end: end.into(), ..Default::default() }
}

async fn put(client: &Client, key: &str, value: &[u8]) -> i64 {
    let answer = client.put(key.as_bytes(), value, 0).await;
    answer.revision().unwrap_or_else(|| panic!("{answer:?}"))
}

#[test]
fn large_events_come_in_fragments_to_who_allows_it() {
    same(&[], async |stage| {
        let client = stage.client().await;
        // Many revisions that are large together.
        for number in 0..40 {
            put(&client, &format!("k{number:02}"), &[b'x'; 120 << 10]).await;
        }
        // And two that are as large as a request may be. The second has as much again in the values
        // before, so that it no longer fits, even alone.
        for byte in [b'y', b'z'] {
            let steps = (0..100).map(|number| {
                let (key, value) = (format!("t{number:02}").into(), vec![byte; 14 << 10].into());
                let put = pb::PutRequest { key, value, ..Default::default() };
                pb::RequestOp { request: Some(Request::RequestPut(put)) }
            });
            let txn = pb::TxnRequest { success: steps.collect(), ..Default::default() };
            let Answer::Txn(_) = client.run(&Op::Txn(txn)).await else { panic!("no transaction") };
        }
        let mut told = Vec::new();
        for fragment in [false, true] {
            let create = pb::WatchCreateRequest {
                start_revision: 1,
                fragment,
                prev_kv: true,
                ..everything()
            };
            let mut raw = Raw::open(&client, create).await;
            let (mut events, mut pieces) = (Vec::new(), 0);
            while events.len() < 240 {
                let message = raw.next().await;
                let size: usize = message.events.iter().map(size).sum();
                assert!(!fragment || size <= LARGEST, "a piece of {size} bytes");
                assert!(fragment || !message.fragment, "a piece for who does not want pieces");
                pieces += usize::from(message.fragment);
                events.extend(message.events);
            }
            // How much goes into one message is a server's own affair; a revision is never parted
            // without that mark.
            assert!(!fragment || pieces >= 1, "nothing came in pieces");
            told.push(events);
        }
        assert!(told[0] == told[1], "what came in pieces is not what came whole");
        told.remove(0)
    });
}

fn size(event: &mvccpb::Event) -> usize {
    let kv =
        |kv: &Option<mvccpb::KeyValue>| kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
    kv(&event.kv) + kv(&event.prev_kv)
}

#[test]
fn numbers_of_watches_are_used_again_after_their_end_only() {
    let answers = same(&[], async |stage| {
        let client = stage.client().await;
        let stream = &client.streams[0];
        let mut answers = Vec::new();
        let watch = |watch_id| pb::WatchCreateRequest { watch_id, ..prefix("a") };
        for watch_id in [7, 7, 0, 0, 1, -2] {
            answers.push(stream.create(watch(watch_id)).await.unwrap());
        }
        put(&client, "a1", b"1").await;
        stream.settle(2).await.unwrap();
        answers.push(stream.cancel(7).await.unwrap());
        put(&client, "a2", b"2").await;
        answers.push(stream.create(watch(7)).await.unwrap());
        let bad = pb::WatchCreateRequest { range_end: Bytes::from_static(b"a"), ..prefix("b") };
        answers.push(stream.create(bad).await.unwrap());
        put(&client, "a3", b"3").await;
        stream.settle(4).await.unwrap();
        for answer in &mut answers {
            answer.header = answer.header.as_ref().map(|header| pb::ResponseHeader {
                revision: header.revision,
                ..Default::default()
            });
        }
        (answers, stream.heard().words.clone())
    });
    assert_eq!(answers.0[1].cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
}

#[test]
fn a_stream_that_nobody_reads_stops_no_other_and_loses_nothing() {
    const EVENTS: usize = 20_000;
    same(&[], async |stage| {
        let client = stage.client().await;
        let other = stage.client().await;
        // Far more than the windows and buffers between hold.
        let mut idle =
            Raw::open(&other, pb::WatchCreateRequest { prev_kv: true, ..prefix("k") }).await;
        assert!(idle.next().await.created);
        let mut busy = Raw::open(&client, prefix("k")).await;
        assert!(busy.next().await.created);
        let writing = async {
            for round in 0..EVENTS / 50 {
                let value = format!("{round:01000}");
                let keys: Vec<String> = (0..50).map(|key| format!("k{key}")).collect();
                join_all(keys.iter().map(|key| put(&client, key, value.as_bytes()))).await;
            }
        };
        let ((), events) = tokio::join!(writing, busy.events(EVENTS));
        let late = idle.events(EVENTS).await;
        let revisions = |events: &[mvccpb::Event]| -> Vec<i64> {
            events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).collect()
        };
        let all: Vec<i64> = (2..).take(EVENTS).collect();
        assert!(revisions(&events) == all, "the reader's stream has holes");
        assert!(revisions(&late) == all, "the idle stream has holes");
        let before = late.iter().filter(|event| event.prev_kv.is_some()).count();
        assert_eq!(before, EVENTS - 50, "values before are missing");
        drop(idle.send);
    });
}

#[test]
fn progress_is_told_by_the_clock_to_who_wants_it() {
    same(&["--experimental-watch-progress-notify-interval=300ms"], async |stage| {
        let client = stage.client().await;
        let revision = put(&client, "elsewhere", b"").await;
        let create = pb::WatchCreateRequest { progress_notify: true, watch_id: 5, ..prefix("k") };
        let mut raw = Raw::open(&client, create).await;
        assert!(raw.next().await.created);
        let first = raw.next().await;
        assert_eq!(first.header.map(|header| header.revision), Some(revision));
        // What is told elsewhere moves the next one.
        let revision = put(&client, "elsewhere", b"").await;
        let mut told = raw.next().await;
        while told.header.as_ref().map(|header| header.revision) < Some(revision) {
            told = raw.next().await;
        }
        assert!(told.events.is_empty() && !told.created && !told.canceled, "{told:?}");
        told.watch_id
    });
}

/// What an API server's cache lives on: a promise of progress never overtakes an event. Streams note
/// it as a fault if one does.
#[test]
fn progress_never_overtakes_events() {
    const WRITING: Duration = Duration::from_secs(4);
    same(&[], async |stage| {
        let client = stage.client().await;
        let streams: Vec<Stream> =
            join_all((0..4).map(|_| async { Stream::open(client.watch.clone()).await.unwrap() }))
                .await;
        let until = Instant::now() + WRITING;
        let writing = async {
            let mut revision = 0;
            while Instant::now() < until {
                let puts = ["ka", "kb", "kc", "kd"].map(|key| put(&client, key, b"v"));
                revision = join_all(puts).await.into_iter().max().unwrap_or(revision);
            }
            revision
        };
        let asking = join_all(streams.iter().enumerate().map(|(at, stream)| async move {
            while Instant::now() < until {
                // New ones that start now, and ones that have to catch up.
                let start_revision = if at % 2 == 0 { 0 } else { 2 };
                let create =
                    pb::WatchCreateRequest { start_revision, prev_kv: true, ..prefix("k") };
                let watch_id = stream.create(create).await.unwrap().watch_id;
                for _ in 0..10 {
                    stream.settle(0).await.unwrap();
                    sleep(Duration::from_millis(5)).await;
                }
                if stream.heard().open.len() > 5 {
                    stream.cancel(watch_id).await.unwrap();
                }
            }
        }));
        let (revision, _) = tokio::join!(writing, asking);
        for stream in &streams {
            stream.settle(revision).await.unwrap();
            let mut heard = stream.heard();
            assert_eq!(heard.faults, [""; 0], "{}", stage.server.make().name());
            let open = heard.open.clone();
            for (id, words) in &mut heard.words {
                let is_last = |word: &Word| matches!(word, Word::Event(event) if event.kv.as_ref().unwrap().mod_revision == revision);
                assert!(
                    !open.contains(id) || words.back().is_some_and(is_last),
                    "watch {id} is behind"
                );
            }
        }
    });
}

#[test]
fn a_thousand_watches_share_a_stream() {
    const WATCHES: usize = 1000;
    same(&[], async |stage| {
        let client = stage.client().await;
        let stream = &client.streams[0];
        for number in 0..WATCHES {
            let key = Bytes::from(format!("k{number}"));
            let create = pb::WatchCreateRequest { key, prev_kv: true, ..Default::default() };
            let answer = stream.create(create).await.unwrap();
            assert_eq!(answer.watch_id, i64::try_from(number).unwrap());
        }
        let mut revision = 0;
        for round in ["1", "2"] {
            let keys: Vec<String> = (0..WATCHES).map(|number| format!("k{number}")).collect();
            for some in keys.chunks(50) {
                let puts = some.iter().map(|key| put(&client, key, round.as_bytes()));
                revision = join_all(puts).await.into_iter().max().unwrap_or(revision);
            }
        }
        stream.settle(revision).await.unwrap();
        let heard = stream.heard();
        assert_eq!(heard.faults, [""; 0]);
        // Puts that were under way together have their revisions in any order.
        let told = |words: &std::collections::VecDeque<Word>| {
            let value = |word: &Word| match word {
                Word::Event(event) => event.kv.as_ref().unwrap().value.clone(),
                Word::Compacted { .. } => Bytes::new(),
            };
            words.iter().map(value).collect::<Vec<_>>()
        };
        heard.words.iter().map(|(id, words)| (*id, told(words))).collect::<Vec<_>>()
    });
}
