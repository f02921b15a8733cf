//! Writes, leases, the quota, and what a restart keeps.

use std::time::Duration;

use mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, Error, RangeRequest, RequestOp,
    TxnRequest,
};
use tokio::time::sleep;

use super::*;
use crate::engine::Alarm;
use crate::refusal::Refusal;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    assert_eq!(engine.put(put("a", "1")).await.unwrap().revision, 2);
    assert_eq!(engine.put(put("a", "2")).await.unwrap().revision, 3);
    let gone = engine.delete_range(DeleteRangeRequest { keys: one("b"), prev_kv: false }).await;
    assert_eq!(gone.unwrap().revision, 3, "a deletion of nothing is no revision");
    let term = engine.status().term;
    engine.stop().await;
    drop(engine);

    let engine = open(folder.path());
    assert_eq!(get(&engine, "a"), Some(("2".to_owned(), 3)));
    let status = engine.status();
    assert_eq!((status.revision, status.body.index), (3, 2));
    assert!(status.term > term, "each run has a term of its own");
    assert_eq!(engine.identity().cluster_id, IDS.cluster_id);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_get_one_revision_each() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..32 {
        let engine = engine.clone();
        clients.spawn(async move {
            let mut revisions = Vec::new();
            for number in 0..50 {
                let answer = engine.put(put(&format!("{client}/{number}"), "x")).await.unwrap();
                let seen = get(&engine, &format!("{client}/{number}")).unwrap();
                assert_eq!(seen.1, answer.revision, "an acknowledged write is seen at once");
                revisions.push(answer.revision);
            }
            revisions
        });
    }
    let mut revisions: Vec<i64> = clients.join_all().await.concat();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..2 + 32 * 50).collect::<Vec<i64>>());
    assert_eq!(engine.metrics().entries, 32 * 50);
    assert_eq!(engine.metrics().pending, 0);
    engine.stop().await;
}

#[tokio::test]
async fn a_transaction_decides_on_what_came_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let create = |value: &str| TxnRequest {
        compare: vec![Compare {
            keys: one("k"),
            result: CompareResult::Equal,
            target: CompareTarget::Mod(0),
        }],
        success: vec![RequestOp::Put(put("k", value))],
        failure: vec![RequestOp::Range(RangeRequest { keys: one("k"), ..RangeRequest::default() })],
    };
    let (first, second) = tokio::join!(engine.txn(create("1")), engine.txn(create("2")));
    assert_eq!((first.unwrap().body.succeeded, second.unwrap().body.succeeded), (true, false));
    assert_eq!(get(&engine, "k").unwrap().0, "1");
    let look = TxnRequest { success: Vec::new(), ..create("3") };
    assert_eq!(engine.txn(look).await.unwrap().revision, 2, "one that only reads is no revision");
    engine.stop().await;
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let lease = engine.lease_grant(0, 1).await.unwrap().body;
    assert_eq!(lease.ttl, crate::engine::MIN_LEASE_TTL);
    let long = engine.lease_grant(77, 1000).await.unwrap().body;
    for (key, id) in [("short", lease.id), ("long", long.id)] {
        engine.put(mvcc::PutRequest { lease: id, ..put(key, "x") }).await.unwrap();
    }
    assert_eq!(engine.lease_grant(77, 5).await, Err(Refusal::Data(Error::LeaseExists)));
    assert_eq!(engine.lease_keep_alive(77).await.unwrap().body, 1000);
    assert_eq!(engine.lease_keep_alive(78).await.unwrap().body, 0);

    let ended = async {
        while get(&engine, "short").is_some() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    assert_eq!(engine.leases().body, [77]);
    assert_eq!(engine.metrics().leases_expired, 1);
    let revision = engine.status().revision;
    engine.stop().await;

    let engine = open(folder.path());
    assert_eq!((engine.status().revision, get(&engine, "short")), (revision, None));
    let left = engine.lease_time_to_live(77, true).await.unwrap().body;
    assert_eq!((left.granted_ttl, left.keys.len()), (1000, 1));
    assert!(left.ttl > 990, "after a start a lease has its full time: {left:?}");
    engine.lease_revoke(77).await.unwrap();
    assert_eq!(get(&engine, "long"), None);
    assert_eq!(engine.lease_time_to_live(77, true).await.unwrap().body.ttl, -1);
    assert_eq!(engine.lease_revoke(77).await, Err(Refusal::Data(Error::LeaseNotFound)));
    engine.stop().await;
}

#[tokio::test]
async fn over_the_quota_deleting_goes_on_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_with(folder.path(), |options| options.quota = 100_000);
    let value = "v".repeat(10_000);
    let mut written = 0;
    let refused = loop {
        match engine.put(put(&format!("k{written}"), &value)).await {
            Ok(_) => written += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused, Refusal::NoSpace);
    assert_eq!(engine.alarms().body, [Alarm::NoSpace]);
    assert!((5..=10).contains(&written), "{written}");
    let deleted = engine.delete_range(DeleteRangeRequest { keys: all(), prev_kv: false }).await;
    assert_eq!(deleted.as_ref().unwrap().body.deleted, written);
    // A large put does not fit yet; history is what takes the room.
    assert_eq!(engine.put(put("new", &value.repeat(3))).await, Err(Refusal::NoSpace));
    engine.compact(deleted.unwrap().revision).await.unwrap();
    let healed = async {
        while engine.put(put("new", &value.repeat(3))).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), healed).await.unwrap();
    assert_eq!(engine.alarms().body, [] as [Alarm; 0]);
    engine.stop().await;
}

#[tokio::test]
async fn compaction_answers_as_it_must() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for value in ["1", "2", "3"] {
        engine.put(put("k", value)).await.unwrap();
    }
    assert_eq!(engine.compact(9).await, Err(Refusal::Data(Error::FutureRevision)));
    assert_eq!(engine.compact(3).await.unwrap().revision, 4);
    assert_eq!(engine.compact(3).await, Err(Refusal::Data(Error::Compacted)));
    let at = |revision| {
        engine.range(&RangeRequest { keys: one("k"), revision, ..RangeRequest::default() })
    };
    assert_eq!(at(2), Err(Refusal::Data(Error::Compacted)));
    assert_eq!(at(3).unwrap().body.kvs[0].value, "2");
    engine.stop().await;
}

#[tokio::test]
async fn a_stopped_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    engine.put(put("k", "v")).await.unwrap();
    engine.stop().await;
    assert_eq!(engine.put(put("k", "w")).await, Err(Refusal::Stopped));
    assert_eq!(get(&engine, "k").unwrap().0, "v");
}
