//! Reads at a room that follows, while its leader is heard no more: none misses what was acknowledged before
//! it began.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use pair::Room;
use tests::bad_wire::Way;
use tests::local_rooms::{LocalRooms, Setup};
use tests::programs::kept;
use tests::wire::etcdserverpb as pb;
use tokio::time::{Instant, sleep, timeout_at};

use pb::kv_client::KvClient;

const KEY: Bytes = Bytes::from_static(b"k");

/// Longer than the store lets a request wait for a leader.
const LONG: Duration = Duration::from_secs(20);

/// Reads begin so often, for so long: from before the leader goes on alone until nobody leads here.
const EVERY: Duration = Duration::from_millis(10);
const DURING: Duration = Duration::from_secs(3);

/// What the leader says is lost, but the follower's questions still reach it, and its answers come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_misses_what_was_acknowledged_before_it() {
    let folder = tempfile::tempdir_in(kept("stores")).unwrap();
    let two = LocalRooms::start(Setup::new(folder.path()).wired());
    let [mut leader, follower] = [Room::A, Room::B].map(|room| two.room(room).endpoint());
    let mut leader = KvClient::connect(std::mem::take(&mut leader)).await.unwrap();
    let follower = KvClient::connect(follower).await.unwrap();
    leader.put(put("old")).await.unwrap();

    two.wire(Room::A).cut_one_way(Way::Forth);
    let end = Instant::now() + DURING;
    let mut reads = Vec::new();
    let writing = tokio::spawn(async move {
        // The leader goes on alone, as the preferred room may.
        leader.put(put("new")).await.unwrap();
        Instant::now()
    });
    while Instant::now() < end {
        let mut follower = follower.clone();
        reads.push(tokio::spawn(async move {
            let begun = Instant::now();
            let range = pb::RangeRequest { key: KEY, ..Default::default() };
            let read = timeout_at(begun + LONG, follower.range(range)).await.unwrap();
            (begun, read.map(|answer| answer.into_inner().kvs[0].value.clone()))
        }));
        sleep(EVERY).await;
    }
    let acknowledged = writing.await.unwrap();
    assert!(acknowledged < end, "the leader went on too late for this test");
    let mut after = 0;
    for read in join_all(reads).await {
        let (begun, value) = read.unwrap();
        if begun > acknowledged {
            after += 1;
            // A refusal is no lie.
            assert!(value.as_ref().map_or(true, |value| value == "new"), "{value:?} at {begun:?}");
        }
    }
    assert!(after > 10, "{after} reads began after the write");
}

fn put(value: &'static str) -> pb::PutRequest {
    pb::PutRequest { key: KEY, value: value.into(), ..Default::default() }
}
