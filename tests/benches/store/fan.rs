//! One writer, many watches: how long until the last one has been told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::wire::etcdserverpb as pb;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;

use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;

use crate::channel::Channel;
use crate::load::{Run, Whom};
use crate::process::cpu;
use crate::work::{VALUE, bytes, client, create};

/// Watches that share a stream: an API server has a few dozen.
const SHARED: usize = 50;

/// Nobody waits longer for the last watch.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many events were told, how many the writer waits for, and what wakes it.
#[derive(Default)]
struct Told {
    events: AtomicUsize,
    wanted: AtomicUsize,
    all: Notify,
}

/// Lets `watches` watches see one writer for `time`. A request is a write that all have been told.
pub(crate) async fn fan(watched: &Whom, written: &Whom, watches: usize, time: Duration) -> Run {
    let streams = watches.div_ceil(SHARED);
    let channels = watched.connect(streams.min(8)).await;
    let prefix = format!("fan/{watches}/");
    let told = Arc::<Told>::default();
    let mut readers = Vec::new();
    for stream in 0..streams {
        let mine = SHARED.min(watches - stream * SHARED);
        let channel = channels[stream % channels.len()].clone();
        readers.push(open(channel, mine, &prefix, Arc::clone(&told)).await);
    }
    let mut kv = client(written.connect(1).await.remove(0));
    let value = bytes(1, VALUE);
    let mut run = Run::default();
    let own = std::process::id();
    let (server_before, own_before, start) = (watched.cpu(), cpu(own), Instant::now());
    let mut number = 0;
    while start.elapsed() < time || run.done == 0 {
        let key = Bytes::from(format!("{prefix}{number:08}"));
        number += 1;
        let wanted = told.events.load(Ordering::Acquire) + watches;
        told.wanted.store(wanted, Ordering::Release);
        let begun = Instant::now();
        // Kubernetes' own form, since kine knows no other.
        kv.txn(create(&key, &value)).await.unwrap();
        while told.events.load(Ordering::Acquire) < wanted {
            let more = tokio::time::timeout(PATIENCE, told.all.notified());
            assert!(more.await.is_ok(), "a watch at {:?} was not told", watched.endpoints);
        }
        run.took.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        run.done += 1;
    }
    run.time = start.elapsed();
    run.server_cpu = watched.cpu().saturating_sub(server_before);
    run.client_cpu = cpu(own).saturating_sub(own_before);
    run.took.sort_unstable();
    for reader in readers {
        reader.abort();
    }
    run
}

/// Opens a stream with its watches, and counts what they are told.
async fn open(
    channel: Channel,
    watches: usize,
    prefix: &str,
    told: Arc<Told>,
) -> tokio::task::JoinHandle<()> {
    let (send, requests) = mpsc::unbounded_channel();
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    for _ in 0..watches {
        let create = pb::WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: end.clone().into(),
            prev_kv: true,
            ..Default::default()
        };
        let union = Some(RequestUnion::CreateRequest(create));
        send.send(pb::WatchRequest { request_union: union }).unwrap();
    }
    let origin = channel.origin.clone();
    let opened = WatchClient::with_origin(channel, origin)
        .watch(UnboundedReceiverStream::new(requests))
        .await;
    let mut messages = opened.unwrap().into_inner();
    let mut created = 0;
    while created < watches {
        created += usize::from(messages.message().await.unwrap().unwrap().created);
    }
    tokio::spawn(async move {
        // The stream is open as long as this is held.
        let _send = send;
        while let Ok(Some(message)) = messages.message().await {
            let before = told.events.fetch_add(message.events.len(), Ordering::AcqRel);
            if before + message.events.len() >= told.wanted.load(Ordering::Acquire) {
                told.all.notify_one();
            }
        }
    })
}
