//! The Maintenance, Cluster and Auth services, health and reflection.

use ring::digest;
use tonic::Code;

use super::{MEMBER, no, put, refused, start};
use crate::serve::ETCD_VERSION;
use crate::wire::proto;

#[tokio::test]
async fn the_store_tells_how_it_is() {
    let server = start(&[]).await;
    let client = server.client().await;
    let (mut kv, mut maintenance) = (client.kv, client.maintenance);
    kv.put(put("a", "1")).await.unwrap();
    let status = maintenance.status(proto::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.version.as_str(), status.leader), (ETCD_VERSION, MEMBER));
    assert_eq!(status.header.unwrap().revision, 2);
    assert!(status.raft_index > 0 && status.raft_index == status.raft_applied_index);
    assert!(status.raft_term > 0 && status.db_size_in_use > 0 && status.errors.is_empty());

    let alarms = maintenance.alarm(proto::AlarmRequest::default()).await.unwrap().into_inner();
    assert!(alarms.alarms.is_empty());
    let off = proto::AlarmRequest {
        action: proto::alarm_request::AlarmAction::Deactivate.into(),
        alarm: proto::AlarmType::Nospace.into(),
        member_id: MEMBER,
    };
    assert!(maintenance.alarm(off).await.unwrap().into_inner().alarms.is_empty());
    maintenance.defragment(proto::DefragmentRequest {}).await.unwrap();
    let hash = maintenance.hash(proto::HashRequest {}).await.unwrap().into_inner().hash;
    let hash_kv = maintenance.hash_kv(proto::HashKvRequest { revision: 2 }).await.unwrap();
    assert_eq!(hash_kv.into_inner().hash, hash);
    let future = maintenance.hash_kv(proto::HashKvRequest { revision: 99 }).await;
    assert_eq!(refused(future).0, Code::OutOfRange);

    let moved = maintenance.move_leader(proto::MoveLeaderRequest { target_id: 5 }).await;
    let text = "etcdserver: bad leader transferee";
    assert_eq!(refused(moved), no(Code::FailedPrecondition, text));
    maintenance.move_leader(proto::MoveLeaderRequest { target_id: MEMBER }).await.unwrap();
    let mut downgrade = async |action: proto::downgrade_request::DowngradeAction, version: &str| {
        let (action, version) = (action.into(), version.to_owned());
        refused(maintenance.downgrade(proto::DowngradeRequest { action, version }).await)
    };
    use proto::downgrade_request::DowngradeAction::{Cancel, Enable, Validate};
    let text = "etcdserver: invalid downgrade target version";
    assert_eq!(downgrade(Validate, "3.4.0").await, no(Code::InvalidArgument, text));
    let text = "etcdserver: wrong downgrade target version format";
    assert_eq!(downgrade(Enable, "old").await, no(Code::InvalidArgument, text));
    let text = "etcdserver: no inflight downgrade job";
    assert_eq!(downgrade(Cancel, "").await, no(Code::FailedPrecondition, text));
    server.stop().await;
}

#[tokio::test]
async fn a_snapshot_is_what_etcdctl_takes_and_what_can_be_restored() {
    let server = start(&[]).await;
    let client = server.client().await;
    let (mut kv, mut maintenance) = (client.kv, client.maintenance);
    for number in 0..50 {
        kv.put(put(&format!("key-{number}"), &"x".repeat(10_000))).await.unwrap();
    }
    let mut parts = maintenance.snapshot(proto::SnapshotRequest {}).await.unwrap().into_inner();
    let mut file = Vec::new();
    let mut last = u64::MAX;
    while let Some(part) = parts.message().await.unwrap() {
        assert!(last > 0, "only the end says that nothing is left");
        last = part.remaining_bytes;
        file.extend_from_slice(&part.blob);
    }
    assert_eq!(last, 0);
    assert_eq!(file.len() % 512, 32, "etcdctl tells by this that a sum follows");
    let (content, sum) = file.split_at(file.len() - 32);
    assert_eq!(digest::digest(&digest::SHA256, content).as_ref(), sum);
    let mut from = std::io::Cursor::new(&file);
    let backup = crate::backup::open(&mut from, &mut |_, _| {}).unwrap();
    assert_eq!((backup.state.revision(), backup.state.keys()), (51, 50));
    assert_eq!(backup.stamp.member_id, MEMBER);
    server.stop().await;
}

#[tokio::test]
async fn there_is_one_member_and_no_user() {
    let server = start(&[("advertise-client-urls", "http://store.example:2379")]).await;
    let client = server.client().await;
    let (mut cluster, mut auth) = (client.cluster, client.auth);
    let list = cluster.member_list(proto::MemberListRequest { linearizable: true }).await.unwrap();
    let [member] = &list.into_inner().members[..] else { panic!("one member") };
    assert_eq!((member.id, member.name.as_str(), member.is_learner), (MEMBER, "a", false));
    assert_eq!(member.client_ur_ls, ["http://store.example:2379"]);
    let add = cluster.member_add(proto::MemberAddRequest::default()).await;
    let text = "etcdserver: given member URLs are invalid";
    assert_eq!(refused(add), no(Code::InvalidArgument, text));
    let peer_ur_ls = vec!["http://10.0.0.2:2380".to_owned()];
    let add = cluster.member_add(proto::MemberAddRequest { peer_ur_ls, is_learner: false }).await;
    assert_eq!(refused(add).0, Code::FailedPrecondition);
    let unknown = no(Code::NotFound, "etcdserver: member not found");
    assert_eq!(refused(cluster.member_remove(proto::MemberRemoveRequest { id: 5 }).await), unknown);
    let own = cluster.member_remove(proto::MemberRemoveRequest { id: MEMBER }).await;
    assert_eq!(refused(own).0, Code::FailedPrecondition);
    let promote = cluster.member_promote(proto::MemberPromoteRequest { id: MEMBER }).await;
    let text = "etcdserver: can only promote a learner member";
    assert_eq!(refused(promote), no(Code::FailedPrecondition, text));

    let status = auth.auth_status(proto::AuthStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.enabled, status.auth_revision), (false, 1));
    let refusal = |text| no(Code::FailedPrecondition, text);
    let login = auth.authenticate(proto::AuthenticateRequest::default()).await;
    assert_eq!(refused(login), refusal("etcdserver: authentication is not enabled"));
    let enable = auth.auth_enable(proto::AuthEnableRequest {}).await;
    assert_eq!(refused(enable), refusal("etcdserver: root user does not exist"));
    let user = auth.user_get(proto::AuthUserGetRequest::default()).await;
    assert_eq!(refused(user), refusal("etcdserver: user name not found"));
    assert!(
        auth.user_list(proto::AuthUserListRequest {}).await.unwrap().into_inner().users.is_empty()
    );
    server.stop().await;
}

#[tokio::test]
async fn grpcs_own_services_answer() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_response};
    let server = start(&[]).await;
    let channel = tonic::transport::Endpoint::from_shared(server.urls[0].clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let well = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(well.status(), ServingStatus::Serving);
    let other = health.check(HealthCheckRequest { service: "x".to_owned() }).await;
    assert_eq!(refused(other).0, Code::NotFound);
    let mut told = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(told.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let mut reflection = ServerReflectionClient::new(channel.clone());
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = tokio_stream::once(list);
    let mut answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"etcdserverpb.KV") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );

    let mut any = tonic::client::Grpc::new(channel);
    let mut unknown = async |path: &'static str| {
        any.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(path);
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        refused(any.unary(tonic::Request::new(()), path, codec).await)
    };
    let text = "unknown method Fly for service etcdserverpb.KV";
    assert_eq!(unknown("/etcdserverpb.KV/Fly").await, no(Code::Unimplemented, text));
    assert_eq!(unknown("/a.B/C").await, no(Code::Unimplemented, "unknown service a.B"));
    server.stop().await;
}
