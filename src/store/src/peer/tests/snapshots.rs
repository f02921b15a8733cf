//! Snapshots beside frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::super::Bound;
use super::super::hello::Purpose;
use super::super::shared::Local;
use super::rig::{Heard, Site, Snapshot, as_room_b, noise};
use pair::Room;

/// Chunks of some size, and how many were taken.
fn chunks(
    count: usize,
    size: usize,
) -> (Box<dyn Iterator<Item = Vec<u8>> + Send>, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let chunks = (0..count).map(move |number| {
        counter.fetch_add(1, Ordering::Relaxed);
        noise(size, number as u64)
    });
    (Box::new(chunks), taken)
}

#[allow(clippy::await_holding_lock, reason = "only the sink's own thread waits for it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_of_50_mib_passes_while_frames_go_on() {
    const CHUNK: usize = 300_000;
    const COUNT: usize = (50 << 20) / CHUNK;
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let (all, taken) = chunks(COUNT, CHUNK);
    {
        let slow = b.ears.slow_sink.clone();
        let _slow = slow.lock().unwrap();
        a.peer.send_snapshot(Bytes::from_static(b"the head"), all);
        assert_eq!(b.snapshot().await, Snapshot::Began(Bytes::from_static(b"the head")));
        // The disk takes nothing; frames pass, and the snapshot's source waits.
        for number in 0..100_u8 {
            a.peer.send(vec![number; 1000].into(), false);
        }
        for number in 0..100_u8 {
            assert_eq!(b.frame().await[0], number);
        }
        assert!(taken.load(Ordering::Relaxed) < COUNT, "it waits for the disk");
    }
    let Snapshot::Finished(bytes) = b.snapshot().await else { panic!("it broke off") };
    let sent: Vec<u8> = (0..COUNT).flat_map(|number| noise(CHUNK, number as u64)).collect();
    assert!(bytes == sent, "{} bytes arrived", bytes.len());
    a.until(|status| status.counters.snapshots_sent == 1).await;
    b.until(|status| status.counters.snapshots_received == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_empty_snapshot_is_one_too() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    a.peer.send_snapshot(Bytes::from(vec![1; 200_000]), Box::new(std::iter::empty()));
    assert_eq!(b.snapshot().await, Snapshot::Began(vec![1; 200_000].into()));
    assert_eq!(b.snapshot().await, Snapshot::Finished(vec![]));
    a.until(|status| status.counters.snapshots_sent == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_snapshot_ends_the_one_before() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let (endless, _) = chunks(usize::MAX, 100_000);
    a.peer.send_snapshot(Bytes::from_static(b"1"), endless);
    assert_eq!(b.snapshot().await, Snapshot::Began(Bytes::from_static(b"1")));
    let (second, _) = chunks(3, 100_000);
    a.peer.send_snapshot(Bytes::from_static(b"2"), second);
    // The sink before is gone when the next begins.
    assert!(matches!(b.snapshot().await, Snapshot::BrokeOff(_)));
    assert_eq!(b.snapshot().await, Snapshot::Began(Bytes::from_static(b"2")));
    assert!(matches!(b.snapshot().await, Snapshot::Finished(bytes) if bytes.len() == 300_000));
    a.until(|status| status.counters.snapshots_sent == 1).await;
    assert_eq!(a.peer.status().counters.snapshots_broken, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_whose_sender_goes_is_not_finished() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let (endless, _) = chunks(usize::MAX, 100_000);
    a.peer.send_snapshot(Bytes::new(), endless);
    assert_eq!(b.snapshot().await, Snapshot::Began(Bytes::new()));
    a.peer.stop().await;
    assert!(matches!(b.snapshot().await, Snapshot::BrokeOff(_)));
    b.until(|status| status.counters.snapshots_broken == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_iterator_that_panics_is_no_end() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let chunks = (0..5).map(|number| {
        assert!(number < 3, "what a test does on purpose");
        vec![number; 1000]
    });
    a.peer.send_snapshot(Bytes::new(), Box::new(chunks));
    assert_eq!(b.snapshot().await, Snapshot::Began(Bytes::new()));
    assert!(matches!(b.snapshot().await, Snapshot::BrokeOff(_)));
    a.until(|status| status.counters.snapshots_broken == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_closes_in_good_order_is_no_end_either() {
    let site = Site::new("north");
    let mut a = Heard::start(Bound::bind(site.config(Room::A), Local::default()).unwrap());
    let mut stream = as_room_b(&site, &a.peer, Purpose::Snapshot).await;
    stream.write_all(&[1, 1, 0, 0, b'h', 0, 3, 0, 0, 1, 2, 3]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(a.snapshot().await, Snapshot::Began(Bytes::from_static(b"h")));
    assert_eq!(a.snapshot().await, Snapshot::BrokeOff(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_takes_no_more_ends_it_at_both_ends() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    *b.ears.sink_fails.lock().unwrap() = true;
    let (endless, _) = chunks(usize::MAX, 100_000);
    a.peer.send_snapshot(Bytes::new(), endless);
    assert_eq!(b.snapshot().await, Snapshot::Began(Bytes::new()));
    assert_eq!(b.snapshot().await, Snapshot::BrokeOff(0));
    for room in [&a, &b] {
        room.until(|status| status.counters.snapshots_broken == 1).await;
    }
}
