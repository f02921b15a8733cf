//! What is too much.

use std::time::Duration;

use tonic::Code;

use super::{get, no, put, refused, start};
use crate::client::Client;

#[tokio::test]
async fn requests_have_a_largest_size() {
    let server = start(&[]).await;
    let mut kv = server.client().await.kv;
    let most = 1536 << 10;
    // etcd's log entry and the put's own fields take their part; measured with etcd 3.5.16.
    let fits = "x".repeat(most - 24);
    let over = kv.put(put("a", &"x".repeat(most - 23))).await;
    assert_eq!(refused(over), no(Code::InvalidArgument, "etcdserver: request is too large"));
    kv.put(put("a", &fits)).await.unwrap();
    assert_eq!(kv.range(get("a")).await.unwrap().into_inner().kvs[0].value.len(), fits.len());
    let large = kv.put(put("a", &"x".repeat(most))).await;
    assert_eq!(refused(large), no(Code::InvalidArgument, "etcdserver: request is too large"));
    let larger = kv.put(put("a", &"x".repeat(2 << 20))).await;
    let text = "grpc: received message larger than max (2097160 vs. 2097152)";
    assert_eq!(refused(larger), no(Code::ResourceExhausted, text));
    // Reads are not held against the log.
    let long = kv.range(get(&"k".repeat(most))).await.unwrap().into_inner();
    assert_eq!(long.count, 0);
    server.stop().await;
}

#[tokio::test]
async fn connections_have_a_bound_and_wait_for_a_place() {
    let server = start(&[("max-connections", "1")]).await;
    let mut first = server.client().await.kv;
    first.put(put("a", "1")).await.unwrap();
    let url = server.urls[0].clone();
    let second = tokio::spawn(async move {
        let mut kv = Client::connect(&url, None).await.unwrap().kv;
        kv.range(get("a")).await.unwrap().into_inner().count
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!second.is_finished(), "the second waits");
    drop(first);
    assert_eq!(second.await.unwrap(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_full_store_says_so_and_deletes() {
    let server = start(&[("quota-backend-bytes", "200000")]).await;
    let client = server.client().await;
    let (mut kv, mut maintenance) = (client.kv, client.maintenance);
    let full = loop {
        match kv.put(put("a", &"x".repeat(50_000))).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    let text = "etcdserver: mvcc: database space exceeded";
    assert_eq!((full.code(), full.message()), (Code::ResourceExhausted, text));
    assert_eq!(kv.range(get("a")).await.unwrap().into_inner().count, 1);
    let delete = crate::wire::proto::DeleteRangeRequest { key: "a".into(), ..Default::default() };
    let revision = kv.delete_range(delete).await.unwrap().into_inner().header.unwrap().revision;
    let compaction = crate::wire::proto::CompactionRequest { revision, physical: true };
    kv.compact(compaction).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while kv.put(put("b", "1")).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it does not heal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let alarms = maintenance.alarm(crate::wire::proto::AlarmRequest::default()).await.unwrap();
    assert!(alarms.into_inner().alarms.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let server = start(&[("max-concurrent-streams", "4")]).await;
    let kv = server.client().await.kv;
    let calls = (0..200).map(|number| {
        let mut kv = kv.clone();
        tokio::spawn(async move { kv.put(put(&format!("k{number}"), "v")).await.unwrap() })
    });
    let mut revisions = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        revisions.push(call.await.unwrap().into_inner().header.unwrap().revision);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..202).collect::<Vec<i64>>());
    server.stop().await;
}
