//! The Lease service: keys that live only as long as somebody says so.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use tonic::Status;

use super::body::{Answers, Body};
use super::grpc::{Messages, decode, encode};
use super::method::Call;
use super::server::{Reply, Server, refused};
use crate::refusal::Refusal;
use crate::wire::proto;

fn no(refusal: Refusal) -> Status {
    refused(&refusal)
}

pub(super) async fn unary(server: &Server, call: Call, message: Bytes) -> Reply {
    let answer = match call {
        Call::LeaseGrant => {
            let request: proto::LeaseGrantRequest = decode(message)?;
            let answer = server.engine.lease_grant(request.id, request.ttl).await.map_err(no)?;
            encode(&proto::LeaseGrantResponse {
                header: Some(server.header(&answer).into()),
                id: answer.body.id,
                ttl: answer.body.ttl,
                error: String::new(),
            })
        }
        Call::LeaseRevoke => {
            let request: proto::LeaseRevokeRequest = decode(message)?;
            let answer = server.engine.lease_revoke(request.id).await.map_err(no)?;
            encode(&proto::LeaseRevokeResponse { header: Some(server.header(&answer).into()) })
        }
        Call::LeaseTimeToLive => {
            let request: proto::LeaseTimeToLiveRequest = decode(message)?;
            let answer =
                server.engine.lease_time_to_live(request.id, request.keys).await.map_err(no)?;
            let header = Some(server.header(&answer).into());
            let left = answer.body;
            encode(&proto::LeaseTimeToLiveResponse {
                header,
                id: left.id,
                ttl: left.ttl,
                granted_ttl: left.granted_ttl,
                keys: left.keys,
            })
        }
        _ => {
            decode::<proto::LeaseLeasesRequest>(message)?;
            server.read_point().await?;
            let answer = server.engine.leases();
            let header = Some(server.header(&answer).into());
            let leases = answer.body.into_iter().map(|id| proto::LeaseStatus { id }).collect();
            encode(&proto::LeaseLeasesResponse { header, leases })
        }
    };
    Ok(Body::message(answer))
}

/// Renews one lease.
pub(super) async fn renew(server: &Server, message: Bytes) -> Reply {
    let request: proto::LeaseKeepAliveRequest = decode(message)?;
    let answer = server.engine.lease_keep_alive(request.id).await.map_err(no)?;
    Ok(Body::message(encode(&proto::LeaseKeepAliveResponse {
        header: Some(server.header(&answer).into()),
        id: request.id,
        ttl: answer.body,
    })))
}

/// One answer to each request, in order. An unknown lease is answered with the time 0.
pub(super) fn keep_alive(server: Arc<Server>, messages: Messages<Incoming>) -> Answers {
    Box::pin(stream::try_unfold((server, messages), |(server, mut messages)| async move {
        let Some(message) = messages.next().await? else { return Ok(None) };
        server.counters.received(Call::LeaseKeepAlive, message.len());
        let body = server.answer(Call::LeaseKeepAlive, message).await?;
        let answer = body.into_message().unwrap_or_default();
        server.counters.sent(Call::LeaseKeepAlive, answer.len());
        Ok(Some((answer, (server, messages))))
    }))
}
