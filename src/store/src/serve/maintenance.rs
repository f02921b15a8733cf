//! The Maintenance service: how the store is, its checksums, its backup. What would need other members is
//! refused as etcd does it with one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use tonic::Status;

use super::body::{Answers, Body};
use super::grpc::{Messages, decode, encode};
use super::method::Call;
use super::server::{Reply, Server, refused};
use crate::backup::Sealer;
use crate::engine::{Alarm, Answer, SnapshotStream, Standing};
use crate::serve::ETCD_VERSION;
use crate::wire::proto::alarm_request::AlarmAction;
use crate::wire::proto::downgrade_request::DowngradeAction;
use crate::wire::proto::{self, AlarmType};

pub(super) async fn unary(server: &Server, call: Call, message: Bytes) -> Reply {
    let answer = match call {
        Call::Status => {
            decode::<proto::StatusRequest>(message)?;
            encode(&status(server))
        }
        Call::Alarm => encode(&alarm(server, &decode(message)?)),
        Call::Defragment => {
            decode::<proto::DefragmentRequest>(message)?;
            // Files of the store have no holes: what is forgotten leaves them with the next checkpoint.
            encode(&proto::DefragmentResponse { header: None })
        }
        Call::Hash => {
            decode::<proto::HashRequest>(message)?;
            let answer = server.engine.hash_kv(0).await.map_err(|no| refused(&no))?;
            let header = Some(server.header(&answer).into());
            encode(&proto::HashResponse { header, hash: answer.body.hash })
        }
        Call::HashKv => {
            let request: proto::HashKvRequest = decode(message)?;
            let answer =
                server.engine.hash_kv(request.revision).await.map_err(|no| refused(&no))?;
            encode(&proto::HashKvResponse {
                header: Some(server.header(&answer).into()),
                hash: answer.body.hash,
                compact_revision: answer.body.compact_revision,
            })
        }
        Call::MoveLeader => {
            let request: proto::MoveLeaderRequest = decode(message)?;
            move_leader(server, request.target_id).await?;
            encode(&proto::MoveLeaderResponse { header: None })
        }
        _ => return Err(downgrade(&decode(message)?)),
    };
    Ok(Body::message(answer))
}

fn status(server: &Server) -> proto::StatusResponse {
    let answer = server.engine.status();
    let header = server.header(&answer);
    let Answer { term, body: status, .. } = answer;
    let mut errors = status.errors;
    errors.extend(server.broken.borrow().clone());
    proto::StatusResponse {
        header: Some(header.into()),
        version: ETCD_VERSION.to_owned(),
        db_size: i64::try_from(status.db_size).unwrap_or(i64::MAX),
        leader: leader(server),
        raft_index: status.index,
        raft_term: term,
        raft_applied_index: status.index,
        errors,
        db_size_in_use: i64::try_from(status.db_size_in_use).unwrap_or(i64::MAX),
        is_learner: false,
    }
}

/// Who leads, as far as is known here; 0 for nobody.
fn leader(server: &Server) -> u64 {
    let (_, own) = server.ids();
    server.engine.seat().map_or(own, |seat| match seat.standing() {
        Standing::Leads => own,
        Standing::Follows => seat.member_id(seat.place.room.other()),
        Standing::Apart => 0,
    })
}

/// Hands the leadership over to the other room.
async fn move_leader(server: &Server, target: u64) -> Result<(), Status> {
    let (_, own) = server.ids();
    let bad = || Status::failed_precondition("etcdserver: bad leader transferee");
    let Some(seat) = server.engine.seat() else {
        return if target == own { Ok(()) } else { Err(bad()) };
    };
    if leader(server) != own {
        return Err(Status::failed_precondition("etcdserver: not leader"));
    }
    if target == own {
        return Ok(());
    }
    if target != seat.member_id(seat.place.room.other()) {
        return Err(bad());
    }
    server.engine.hand_over().await.map_err(|refusal| {
        Status::failed_precondition(format!("etcdserver: cannot hand over: {refusal}"))
    })
}

/// Lists what is wrong. An alarm of this store begins and ends with its cause, so that switching one on or
/// off changes nothing; the answers are etcd's (etcd v3.5 `server/etcdserver/apply.go`, `Alarm`).
fn alarm(server: &Server, request: &proto::AlarmRequest) -> proto::AlarmResponse {
    let answer = server.engine.alarms();
    let (_, own) = server.ids();
    let active = answer.body.iter().map(|alarm| match alarm {
        Alarm::NoSpace => proto::AlarmMember { member_id: own, alarm: AlarmType::Nospace.into() },
    });
    let wanted = request.alarm();
    let named = proto::AlarmMember { member_id: request.member_id, alarm: request.alarm };
    let alarms = match request.action() {
        AlarmAction::Get if wanted == AlarmType::None => active.collect(),
        AlarmAction::Get => active.filter(|one| one.alarm() == wanted).collect(),
        AlarmAction::Deactivate => active.filter(|one| *one == named).collect(),
        AlarmAction::Activate if wanted == AlarmType::None => Vec::new(),
        AlarmAction::Activate => vec![named],
    };
    proto::AlarmResponse { header: Some(server.header(&answer).into()), alarms }
}

/// There is no older version to go back to.
fn downgrade(request: &proto::DowngradeRequest) -> Status {
    // Three numbers, as etcd's parser has it.
    let parts: Vec<&str> = request.version.trim_start_matches('v').split('.').collect();
    let sound = parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok());
    match request.action() {
        DowngradeAction::Cancel => {
            Status::failed_precondition("etcdserver: no inflight downgrade job")
        }
        _ if sound => Status::invalid_argument("etcdserver: invalid downgrade target version"),
        _ => Status::invalid_argument("etcdserver: wrong downgrade target version format"),
    }
}

/// Sends a backup: the checkpoint's bytes, and at last what seals them.
pub(super) async fn snapshot(
    server: Arc<Server>,
    mut messages: Messages<Incoming>,
) -> Result<Answers, Status> {
    let message = messages.only().await?;
    server.counters.received(Call::Snapshot, message.len());
    decode::<proto::SnapshotRequest>(message)?;
    let chunks = server.engine.snapshot();
    let sending =
        Sending { server, sent: 0, total: chunks.total(), chunks, sealer: Some(Sealer::new()) };
    Ok(Box::pin(stream::unfold(sending, |mut sending| async move {
        let bytes = sending.next().await?;
        Some((Ok(bytes), sending))
    })))
}

struct Sending {
    server: Arc<Server>,
    chunks: SnapshotStream,
    /// Gone when the end has been sent.
    sealer: Option<Sealer>,
    sent: u64,
    /// About so many bytes there will be.
    total: u64,
}

impl Sending {
    async fn next(&mut self) -> Option<Bytes> {
        let sealer = self.sealer.as_mut()?;
        let response = match self.chunks.next().await {
            Some(blob) => {
                sealer.push(&blob);
                self.sent += blob.len() as u64;
                // At least 1, since only the end may say 0.
                let remaining_bytes = self.total.saturating_sub(self.sent).max(1);
                proto::SnapshotResponse { header: None, remaining_bytes, blob }
            }
            None => {
                let blob = self.sealer.take()?.finish().into();
                proto::SnapshotResponse { header: None, remaining_bytes: 0, blob }
            }
        };
        let bytes = encode(&response);
        self.server.counters.sent(Call::Snapshot, bytes.len());
        Some(bytes)
    }
}
