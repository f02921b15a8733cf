//! The Cluster service: one member or the two rooms of a site, and no way to another. The texts are etcd's.

use bytes::Bytes;
use tonic::Status;

use super::body::Body;
use super::grpc::{decode, encode};
use super::method::Call;
use super::server::{Reply, Server};
use crate::wire::proto;

pub(super) fn unary(server: &Server, call: Call, message: Bytes) -> Reply {
    let (_, own) = server.ids();
    let seat = server.engine.seat();
    let other = seat.map(|seat| seat.member_id(seat.place.room.other()));
    let known = |id: u64| {
        if id == own || Some(id) == other {
            Ok(())
        } else {
            Err(Status::not_found("etcdserver: member not found"))
        }
    };
    // What etcd says when a change would leave too few members.
    let fixed = Status::failed_precondition(
        "etcdserver: re-configuration failed due to not enough started members",
    );
    match call {
        Call::MemberList => {
            decode::<proto::MemberListRequest>(message)?;
            Ok(Body::message(encode(&list(server))))
        }
        Call::MemberAdd => {
            let request: proto::MemberAddRequest = decode(message)?;
            let url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
            if request.peer_ur_ls.is_empty() || !request.peer_ur_ls.iter().all(url) {
                let text = "etcdserver: given member URLs are invalid";
                return Err(Status::invalid_argument(text));
            }
            Err(fixed)
        }
        Call::MemberRemove => {
            let request: proto::MemberRemoveRequest = decode(message)?;
            known(request.id).and(Err(fixed))
        }
        Call::MemberUpdate => {
            let request: proto::MemberUpdateRequest = decode(message)?;
            known(request.id).and(Err(fixed))
        }
        _ => {
            let request: proto::MemberPromoteRequest = decode(message)?;
            let text = "etcdserver: can only promote a learner member";
            known(request.id).and(Err(Status::failed_precondition(text)))
        }
    }
}

fn list(server: &Server) -> proto::MemberListResponse {
    let mut header = server.header(&server.engine.status());
    // etcd 3.5 does not tell it here.
    header.revision = 0;
    let own = proto::Member {
        id: header.member_id,
        name: server.engine.identity().name.clone(),
        peer_ur_ls: Vec::new(),
        client_ur_ls: server.advertise_client_urls.clone(),
        is_learner: false,
    };
    let mut members = vec![own];
    if let Some(seat) = server.engine.seat() {
        let room = seat.place.room;
        let name = |room| format!("{}-{room}", seat.place.site);
        members[0].name = name(room);
        members.push(proto::Member {
            id: seat.member_id(room.other()),
            name: name(room.other()),
            ..proto::Member::default()
        });
        members.sort_by_key(|member| member.id);
    }
    proto::MemberListResponse { header: Some(header.into()), members }
}
