//! The Lease service.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::{get, no, put, refused, start};
use crate::wire::proto;

#[tokio::test]
async fn leases_live_and_end() {
    let server = start(&[]).await;
    let client = server.client().await;
    let (mut kv, mut lease) = (client.kv, client.lease);
    let granted = lease.lease_grant(proto::LeaseGrantRequest { id: 0, ttl: 1 }).await.unwrap();
    let granted = granted.into_inner();
    assert!(granted.id > 0);
    assert_eq!(granted.ttl, crate::engine::MIN_LEASE_TTL);
    let taken = proto::LeaseGrantRequest { id: 77, ttl: 1000 };
    lease.lease_grant(taken).await.unwrap();
    let text = "etcdserver: lease already exists";
    assert_eq!(refused(lease.lease_grant(taken).await), no(Code::FailedPrecondition, text));
    let long = lease.lease_grant(proto::LeaseGrantRequest { id: 1, ttl: i64::MAX }).await;
    assert_eq!(refused(long), no(Code::OutOfRange, "etcdserver: too large lease TTL"));

    kv.put(proto::PutRequest { lease: 77, ..put("a", "1") }).await.unwrap();
    let left = lease.lease_time_to_live(proto::LeaseTimeToLiveRequest { id: 77, keys: true }).await;
    let left = left.unwrap().into_inner();
    assert_eq!((left.id, left.granted_ttl, &left.keys[..]), (77, 1000, &["a".into()][..]));
    assert!((990..=1000).contains(&left.ttl));
    let none = lease.lease_time_to_live(proto::LeaseTimeToLiveRequest { id: 5, keys: true }).await;
    let none = none.unwrap().into_inner();
    assert_eq!((none.id, none.ttl, none.granted_ttl), (5, -1, 0));
    let all = lease.lease_leases(proto::LeaseLeasesRequest {}).await.unwrap().into_inner();
    let mut ids: Vec<i64> = all.leases.iter().map(|lease| lease.id).collect();
    ids.sort_unstable();
    let mut expected = [77, granted.id];
    expected.sort_unstable();
    assert_eq!(ids, expected);

    lease.lease_revoke(proto::LeaseRevokeRequest { id: 77 }).await.unwrap();
    assert_eq!(kv.range(get("a")).await.unwrap().into_inner().count, 0);
    let again = lease.lease_revoke(proto::LeaseRevokeRequest { id: 77 }).await;
    assert_eq!(refused(again), no(Code::NotFound, "etcdserver: requested lease not found"));
    server.stop().await;
}

#[tokio::test]
async fn each_request_to_keep_alive_has_one_answer() {
    let server = start(&[]).await;
    let mut lease = server.client().await.lease;
    lease.lease_grant(proto::LeaseGrantRequest { id: 3, ttl: 60 }).await.unwrap();
    let (ask, asked) = mpsc::channel(4);
    let answers = lease.lease_keep_alive(ReceiverStream::new(asked)).await.unwrap();
    let mut answers = answers.into_inner();
    for (id, ttl) in [(3, 60), (4, 0), (3, 60)] {
        ask.send(proto::LeaseKeepAliveRequest { id }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.id, answer.ttl), (id, ttl));
        assert_eq!(answer.header.unwrap().revision, 1);
    }
    drop(ask);
    assert!(answers.message().await.unwrap().is_none(), "it ends when the client has no more");
    server.stop().await;
}
