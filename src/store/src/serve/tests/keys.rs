//! The KV service.

use bytes::Bytes;
use tonic::Code;

use super::{CLUSTER, MEMBER, get, no, put, refused, start};
use crate::wire::proto::request_op::Request;
use crate::wire::proto::response_op::Response;
use crate::wire::proto::{self, compare};

fn op(request: Request) -> proto::RequestOp {
    proto::RequestOp { request: Some(request) }
}

/// As kube-apiserver creates.
fn create(key: &str, value: &str) -> proto::TxnRequest {
    let compare = proto::Compare {
        target: compare::CompareTarget::Mod.into(),
        key: key.to_owned().into(),
        target_union: Some(compare::TargetUnion::ModRevision(0)),
        ..proto::Compare::default()
    };
    proto::TxnRequest {
        compare: vec![compare],
        success: vec![op(Request::RequestPut(put(key, value)))],
        failure: vec![op(Request::RequestRange(get(key)))],
    }
}

#[tokio::test]
async fn keys_are_written_and_read() {
    let server = start(&[]).await;
    let mut kv = server.client().await.kv;
    let empty = kv.range(get("a")).await.unwrap().into_inner();
    let header = empty.header.unwrap();
    assert_eq!((header.cluster_id, header.member_id, header.revision), (CLUSTER, MEMBER, 1));
    assert!(header.raft_term > 0);
    assert_eq!((empty.count, empty.more), (0, false));

    let first = kv.put(put("a", "1")).await.unwrap().into_inner();
    assert_eq!(first.header.unwrap().revision, 2);
    let second = kv.put(proto::PutRequest { prev_kv: true, ..put("a", "2") }).await.unwrap();
    let before = second.into_inner().prev_kv.unwrap();
    assert_eq!((before.value, before.mod_revision), ("1".into(), 2));
    kv.put(put("b", &"x".repeat(100_000))).await.unwrap();

    let all = proto::RangeRequest { range_end: Bytes::from_static(&[0]), ..get("a") };
    let found = kv.range(all.clone()).await.unwrap().into_inner();
    let keys: Vec<_> =
        found.kvs.iter().map(|kv| (&kv.key[..], kv.value.len(), kv.version)).collect();
    assert_eq!(keys, [(&b"a"[..], 1, 2), (b"b", 100_000, 1)]);
    let found = kv.range(proto::RangeRequest { keys_only: true, limit: 1, ..all.clone() }).await;
    let found = found.unwrap().into_inner();
    assert_eq!((found.kvs.len(), found.count, found.more), (1, 2, true));
    assert!(found.kvs[0].value.is_empty());
    let past =
        kv.range(proto::RangeRequest { revision: 2, ..get("a") }).await.unwrap().into_inner();
    assert_eq!(past.kvs[0].value, "1");

    let delete =
        proto::DeleteRangeRequest { key: "a".into(), range_end: "b".into(), prev_kv: true };
    let deleted = kv.delete_range(delete).await.unwrap().into_inner();
    assert_eq!((deleted.deleted, &deleted.prev_kvs[0].value[..]), (1, &b"2"[..]));
    assert_eq!(deleted.header.unwrap().revision, 5);
    let compaction = proto::CompactionRequest { revision: 4, physical: true };
    assert_eq!(kv.compact(compaction).await.unwrap().into_inner().header.unwrap().revision, 5);
    let past = kv.range(proto::RangeRequest { revision: 2, ..get("a") }).await;
    let text = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!(refused(past), no(Code::OutOfRange, text));
    server.stop().await;
}

#[tokio::test]
async fn transactions_are_done_as_a_whole() {
    let server = start(&[]).await;
    let mut kv = server.client().await.kv;
    let made = kv.txn(create("a", "1")).await.unwrap().into_inner();
    assert!(made.succeeded);
    assert_eq!(made.header.unwrap().revision, 2);
    let Some(Response::ResponsePut(inner)) = &made.responses[0].response else {
        panic!("{made:?}")
    };
    let inner = inner.header.unwrap();
    assert_eq!((inner.revision, inner.cluster_id), (2, 0), "an inner header has a revision only");
    let again = kv.txn(create("a", "2")).await.unwrap().into_inner();
    assert!(!again.succeeded);
    let Some(Response::ResponseRange(found)) = &again.responses[0].response else {
        panic!("{again:?}")
    };
    assert_eq!(found.kvs[0].value, "1");
    // One that only reads changes nothing.
    let read = proto::TxnRequest {
        success: vec![op(Request::RequestRange(get("a")))],
        ..proto::TxnRequest::default()
    };
    assert_eq!(kv.txn(read).await.unwrap().into_inner().header.unwrap().revision, 2);
    server.stop().await;
}

#[tokio::test]
async fn what_etcd_refuses_is_refused_in_its_words() {
    let server = start(&[("max-txn-ops", "3")]).await;
    let mut kv = server.client().await.kv;
    let invalid = Code::InvalidArgument;
    let empty = no(invalid, "etcdserver: key is not provided");
    assert_eq!(refused(kv.range(get("")).await), empty);
    assert_eq!(refused(kv.put(put("", "v")).await), empty);
    assert_eq!(refused(kv.delete_range(proto::DeleteRangeRequest::default()).await), empty);
    let future = kv.range(proto::RangeRequest { revision: 99, ..get("a") }).await;
    let text = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!(refused(future), no(Code::OutOfRange, text));
    let sort = kv.range(proto::RangeRequest { sort_target: 7, ..get("a") }).await;
    assert_eq!(refused(sort), no(invalid, "etcdserver: invalid sort option"));
    let value = kv.put(proto::PutRequest { ignore_value: true, ..put("a", "v") }).await;
    assert_eq!(refused(value), no(invalid, "etcdserver: value is provided"));
    let keep = kv.put(proto::PutRequest { ignore_value: true, ..put("a", "") }).await;
    assert_eq!(refused(keep), no(invalid, "etcdserver: key not found"));
    let lease = kv.put(proto::PutRequest { lease: 5, ..put("a", "v") }).await;
    assert_eq!(refused(lease), no(Code::NotFound, "etcdserver: requested lease not found"));
    let compact = kv.compact(proto::CompactionRequest { revision: 9, physical: false }).await;
    assert_eq!(refused(compact), no(Code::OutOfRange, text));

    let twice = |count: usize, key: &str| proto::TxnRequest {
        success: vec![op(Request::RequestPut(put(key, "v"))); count],
        ..proto::TxnRequest::default()
    };
    let text = "etcdserver: duplicate key given in txn request";
    assert_eq!(refused(kv.txn(twice(2, "a")).await), no(invalid, text));
    let text = "etcdserver: too many operations in txn request";
    assert_eq!(refused(kv.txn(twice(4, "a")).await), no(invalid, text));
    assert_eq!(refused(kv.txn(twice(1, "")).await), empty);
    let nothing = |txn: proto::TxnRequest| {
        let nothing = proto::RequestOp { request: None };
        proto::TxnRequest { success: [txn.success, vec![nothing]].concat(), ..txn }
    };
    for txn in [proto::TxnRequest::default(), twice(2, "a")] {
        let refused = refused(kv.txn(nothing(txn)).await);
        assert_eq!(refused, no(invalid, "etcdserver: key not found"));
    }
    let none = kv.range(get("a")).await.unwrap().into_inner();
    assert_eq!(none.header.unwrap().revision, 1, "nothing has changed");
    server.stop().await;
}

#[tokio::test]
async fn a_list_larger_than_any_window_arrives() {
    let server = start(&[]).await;
    let mut kv = server.client().await.kv;
    for number in 0..40 {
        kv.put(put(&format!("k{number:02}"), &"x".repeat(100_000))).await.unwrap();
    }
    let endpoint = tonic::transport::Endpoint::from_shared(server.urls[0].clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut narrow = proto::kv_client::KvClient::new(channel).max_decoding_message_size(8 << 20);
    let all = proto::RangeRequest { range_end: Bytes::from_static(&[0]), ..get("k") };
    let found = narrow.range(all).await.unwrap().into_inner();
    assert_eq!((found.kvs.len(), found.count), (40, 40));
    assert!(found.kvs.iter().all(|kv| kv.value.len() == 100_000));
    server.stop().await;
}
