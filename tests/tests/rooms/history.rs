//! All that happened in a store, as a watch from its first revision tells it. Start at [`History::of`].

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use store::client::Client;
use tests::wire::etcdserverpb as pb;
use tests::wire::mvccpb::event::EventType;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::Status;

use pb::watch_request::RequestUnion;

/// A room that is in sync has told everything by then.
const LONG: Duration = Duration::from_secs(30);

/// One key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) revision: i64,
    pub(crate) key: Bytes,
    /// None where it was deleted.
    pub(crate) value: Option<Bytes>,
}

/// Everything, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<Event>,
    by_key: HashMap<Bytes, Vec<usize>>,
    by_value: HashMap<Bytes, Vec<usize>>,
}

impl History {
    pub(crate) fn new(events: Vec<Event>) -> History {
        let mut history = History { events, ..History::default() };
        for (at, event) in history.events.iter().enumerate() {
            history.by_key.entry(event.key.clone()).or_default().push(at);
            if let Some(value) = &event.value {
                history.by_value.entry(value.clone()).or_default().push(at);
            }
        }
        history
    }

    /// Reads it from a store, up to a revision that it has or is about to have.
    ///
    /// # Panics
    /// If it does not come so far.
    pub(crate) async fn of(endpoint: &str, upto: i64) -> History {
        let mut events: Vec<Event> = Vec::new();
        let client = Client::connect(endpoint, None).await.unwrap();
        let mut stream = watch(client, 1).await.unwrap();
        while events.last().is_none_or(|last| last.revision < upto) {
            let news = timeout(LONG, stream.next()).await;
            let news = news.unwrap_or_else(|_| {
                let last = events.last().map(|last| last.revision);
                panic!("{endpoint} tells no more after {last:?} of {upto}")
            });
            events.extend(told(news.expect("the stream goes on").unwrap()));
        }
        // What came since is of nobody who is judged.
        events.retain(|event| event.revision <= upto);
        History::new(events)
    }

    /// Where this value was written; it should be one place.
    pub(crate) fn of_value(&self, value: &Bytes) -> Vec<&Event> {
        let places = self.by_value.get(value).map_or(&[][..], |places| places);
        places.iter().map(|at| &self.events[*at]).collect()
    }

    /// The last change of a key up to a revision.
    pub(crate) fn at(&self, key: &Bytes, revision: i64) -> Option<&Event> {
        let places = self.by_key.get(key)?;
        let count = places.partition_point(|at| self.events[*at].revision <= revision);
        places[..count].last().map(|at| &self.events[*at])
    }

    /// The keys that are there at a revision, below a prefix, in order.
    pub(crate) fn list(&self, prefix: &str, revision: i64) -> Vec<(Bytes, i64)> {
        let keys = self.by_key.keys().filter(|key| key.starts_with(prefix.as_bytes()));
        let there = keys.filter_map(|key| {
            let event = self.at(key, revision).filter(|event| event.value.is_some())?;
            Some((key.clone(), event.revision))
        });
        let mut there: Vec<_> = there.collect();
        there.sort_unstable();
        there
    }
}

/// Watches all keys from a revision on.
pub(crate) async fn watch(
    mut client: Client,
    from: i64,
) -> Result<tonic::Streaming<pb::WatchResponse>, Status> {
    let create = pb::WatchCreateRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        start_revision: from,
        ..Default::default()
    };
    let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // The requests end only with the watch.
    let requests = tokio_stream::once(request).chain(tokio_stream::pending());
    Ok(client.watch.watch(requests).await?.into_inner())
}

/// What a watch told.
pub(crate) fn told(news: pb::WatchResponse) -> Vec<Event> {
    assert!(!news.canceled, "the watch was cancelled: {}", news.cancel_reason);
    let event = |event: tests::wire::mvccpb::Event| {
        let deleted = event.r#type() == EventType::Delete;
        let kv = event.kv.unwrap();
        let value = (!deleted).then_some(kv.value);
        Event { revision: kv.mod_revision, key: kv.key, value }
    };
    news.events.into_iter().map(event).collect()
}
