//! The Watch service.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::{Server, put, start};
use crate::wire::proto::watch_request::RequestUnion;
use crate::wire::proto::{self, WatchCreateRequest, WatchResponse, event::EventType};

struct Stream {
    ask: mpsc::Sender<proto::WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Stream {
    async fn open(server: &Server) -> Stream {
        let (ask, asked) = mpsc::channel(16);
        let mut watch = server.client().await.watch;
        let mut request = tonic::Request::new(ReceiverStream::new(asked));
        // As kube-apiserver asks.
        request.metadata_mut().insert("hasleader", "true".parse().unwrap());
        Stream { ask, answers: watch.watch(request).await.unwrap().into_inner() }
    }

    async fn ask(&self, union: RequestUnion) {
        self.ask.send(proto::WatchRequest { request_union: Some(union) }).await.unwrap();
    }

    async fn create(&mut self, create: WatchCreateRequest) -> WatchResponse {
        self.ask(RequestUnion::CreateRequest(create)).await;
        self.next().await
    }

    async fn cancel(&mut self, watch_id: i64) {
        self.ask(RequestUnion::CancelRequest(proto::WatchCancelRequest { watch_id })).await;
    }

    async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(Duration::from_secs(10), self.answers.message());
        next.await.expect("an answer comes").unwrap().unwrap()
    }
}

fn prefix(start: &str, end: &str) -> WatchCreateRequest {
    let (key, range_end) = (start.to_owned().into(), end.to_owned().into());
    WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() }
}

/// What happened, shortly: the kind, the key, the revision, the value before.
fn events(told: &WatchResponse) -> Vec<(EventType, String, i64, Option<String>)> {
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    told.events
        .iter()
        .map(|event| {
            let kv = event.kv.as_ref().unwrap();
            let before = event.prev_kv.as_ref().map(|kv| text(&kv.value));
            (event.r#type(), text(&kv.key), kv.mod_revision, before)
        })
        .collect()
}

#[tokio::test]
async fn a_watch_tells_what_happens() {
    let server = start(&[]).await;
    let mut kv = server.client().await.kv;
    kv.put(put("a1", "old")).await.unwrap();
    let mut stream = Stream::open(&server).await;
    let created = stream.create(WatchCreateRequest { prev_kv: true, ..prefix("a", "b") }).await;
    assert!(created.created && !created.canceled && created.events.is_empty());
    assert_eq!((created.watch_id, created.header.unwrap().revision), (0, 2));
    kv.put(put("a1", "new")).await.unwrap();
    kv.put(put("b1", "not watched")).await.unwrap();
    let delete = proto::DeleteRangeRequest { key: "a1".into(), ..Default::default() };
    kv.delete_range(delete).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let next = stream.next().await;
        assert_eq!(next.watch_id, 0);
        assert_eq!(
            next.header.unwrap().revision,
            next.events.last().unwrap().kv.as_ref().unwrap().mod_revision
        );
        told.extend(events(&next));
    }
    let expected = [
        (EventType::Put, "a1".to_owned(), 3, Some("old".to_owned())),
        (EventType::Delete, "a1".to_owned(), 5, Some("new".to_owned())),
    ];
    assert_eq!(told, expected);

    // From the past on, without deletions, under a number of the client's choice.
    let past = WatchCreateRequest {
        start_revision: 2,
        watch_id: 50,
        filters: vec![proto::watch_create_request::FilterType::Nodelete.into()],
        ..prefix("a", "b")
    };
    let created = stream.create(past.clone()).await;
    assert_eq!((created.created, created.watch_id), (true, 50));
    let told = events(&stream.next().await);
    assert_eq!(told.iter().map(|event| event.2).collect::<Vec<_>>(), [2, 3]);
    let taken = stream.create(past).await;
    assert!(taken.created && taken.canceled);
    assert_eq!(taken.watch_id, -1);
    assert!(taken.cancel_reason.contains("duplicate watch ID"), "{}", taken.cancel_reason);

    stream.ask(RequestUnion::ProgressRequest(proto::WatchProgressRequest {})).await;
    let progress = stream.next().await;
    assert_eq!((progress.watch_id, progress.header.unwrap().revision), (-1, 5));
    assert!(progress.events.is_empty() && !progress.created && !progress.canceled);

    stream.cancel(50).await;
    let canceled = stream.next().await;
    assert!(canceled.canceled && !canceled.created);
    assert_eq!((canceled.watch_id, canceled.cancel_reason.as_str()), (50, ""));
    server.stop().await;
}

#[tokio::test]
async fn a_watch_on_what_is_compacted_is_ended() {
    let server = start(&[]).await;
    let mut kv = server.client().await.kv;
    for value in ["1", "2", "3"] {
        kv.put(put("a", value)).await.unwrap();
    }
    kv.compact(proto::CompactionRequest { revision: 3, physical: false }).await.unwrap();
    let mut stream = Stream::open(&server).await;
    let created = stream.create(WatchCreateRequest { start_revision: 2, ..prefix("a", "b") }).await;
    assert!(created.created && !created.canceled);
    let ended = stream.next().await;
    assert!(ended.canceled && !ended.created);
    assert_eq!((ended.watch_id, ended.compact_revision), (created.watch_id, 3));
    server.stop().await;
}

#[tokio::test]
async fn large_messages_come_in_parts_if_the_client_wants() {
    let server = start(&[("max-request-bytes", "100000")]).await;
    let mut kv = server.client().await.kv;
    for number in 0..20 {
        kv.put(put(&format!("a{number}"), &"x".repeat(90_000))).await.unwrap();
    }
    let mut stream = Stream::open(&server).await;
    let create = WatchCreateRequest { start_revision: 2, fragment: true, ..prefix("a", "b") };
    stream.create(create).await;
    let mut told = 0;
    let mut parts = 0;
    while told < 20 {
        let part = stream.next().await;
        told += part.events.len();
        parts += 1;
        // The limit is the largest request and gRPC's overhead.
        assert!(part.events.len() < 8, "{}", part.events.len());
        assert!(part.fragment || told == 20 || parts > 1);
    }
    assert!(parts >= 3, "{parts}");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_server_and_stays_when_only_the_asking_has_ended() {
    let server = start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream.create(prefix("a", "b")).await;
    let Stream { ask, mut answers } = stream;
    drop(ask);
    server.client().await.kv.put(put("a", "1")).await.unwrap();
    let told = answers.message().await.unwrap().unwrap();
    assert_eq!(told.events.len(), 1);
    server.stop().await;
    let status = answers.message().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "etcdserver: server stopped")
    );
}

#[tokio::test]
async fn streams_that_end_are_forgotten() {
    let server = start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream.create(prefix("a", "b")).await;
    let now = server.engine.metrics();
    assert_eq!((now.streams, now.watchers), (1, 1));
    drop(stream);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while server.engine.metrics().streams > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the stream is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.engine.metrics().watchers, 0);
    server.stop().await;
}
