//! The health service of gRPC (grpc.io, "Health Checking Protocol"). As etcd, it knows the server as a
//! whole, by the empty name.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::Status;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::body::{Answers, Body};
use super::grpc::{Messages, decode, encode};
use super::method::Call;
use super::server::{Reply, Server};

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

fn now(broken: &watch::Receiver<Option<String>>) -> HealthCheckResponse {
    let well = broken.borrow().is_none();
    response(if well { ServingStatus::Serving } else { ServingStatus::NotServing })
}

pub(super) fn check(server: &Server, message: Bytes) -> Reply {
    let request: HealthCheckRequest = decode(message)?;
    if !request.service.is_empty() {
        return Err(Status::not_found("unknown service"));
    }
    Ok(Body::message(encode(&now(&server.broken))))
}

/// Tells how the server is, and again when that changes.
pub(super) async fn watch(
    server: &Arc<Server>,
    mut messages: Messages<Incoming>,
) -> Result<Answers, Status> {
    let message = messages.only().await?;
    server.counters.received(Call::HealthWatch, message.len());
    let request: HealthCheckRequest = decode(message)?;
    if !request.service.is_empty() {
        // The protocol has it so: it may come to be known later.
        let unknown = encode(&response(ServingStatus::ServiceUnknown));
        let later = stream::once(std::future::pending());
        return Ok(Box::pin(stream::StreamExt::chain(stream::iter([Ok(unknown)]), later)));
    }
    let broken = server.broken.clone();
    Ok(Box::pin(stream::unfold((broken, true), |(mut broken, first)| async move {
        if !first && broken.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let told = encode(&now(&broken));
        Some((Ok(told), (broken, false)))
    })))
}
