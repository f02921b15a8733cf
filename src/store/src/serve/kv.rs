//! The KV service: keys, read and written. Every call reads its request and writes its answer by hand
//! (see [`crate::wire`]); what etcd's gRPC layer refuses is refused here, before the engine sees it.

use bytes::Bytes;
use tonic::Status;

use super::body::Body;
use super::grpc::{decode, encode, malformed};
use super::server::{Reply, Server, refused};
use crate::refusal::Refusal;
use crate::wire::response::{self, RangePieces};
use crate::wire::{proto, request};

fn data(error: mvcc::Error) -> Status {
    refused(&Refusal::Data(error))
}

pub(super) async fn range(server: &Server, message: &Bytes) -> Reply {
    let (read, serializable) = request::range(message).map_err(malformed)?;
    read.request.check().map_err(data)?;
    read.flaw.map_or(Ok(()), |flaw| Err(data(flaw)))?;
    if !serializable {
        server.read_point().await?;
    }
    let answer = server.engine.range(&read.request).map_err(|no| refused(&no))?;
    let header = server.header(&answer);
    Ok(Body::pieces(RangePieces::new(&header, answer.body)))
}

pub(super) async fn put(server: &Server, message: Bytes) -> Reply {
    let request = request::put(&message).map_err(malformed)?;
    request.check().map_err(data)?;
    server.fits(&message)?;
    // The connection's buffer is free while the disk is waited for.
    drop(message);
    let answer = server.engine.put(request).await.map_err(|no| refused(&no))?;
    let header = server.header(&answer);
    Ok(Body::message(response::put(&header, &answer.body)))
}

pub(super) async fn txn(server: &Server, message: Bytes) -> Reply {
    let read = request::txn(&message).map_err(malformed)?;
    // Whether keys come twice is what etcd asks last.
    match (read.request.check(server.max_txn_ops), read.flaw) {
        (Err(mvcc::Error::DuplicateKey) | Ok(()), Some(flaw)) => return Err(data(flaw)),
        (checked, _) => checked.map_err(data)?,
    }
    if !read.request.is_read_only() {
        server.fits(&message)?;
    } else {
        server.read_point().await?;
    }
    drop(message);
    let answer = server.engine.txn(read.request).await.map_err(|no| refused(&no))?;
    let header = server.header(&answer);
    Ok(Body::message(response::txn(&header, &answer.body)))
}

pub(super) async fn delete_range(server: &Server, message: Bytes) -> Reply {
    let request = request::delete_range(&message).map_err(malformed)?;
    request.check().map_err(data)?;
    server.fits(&message)?;
    drop(message);
    let answer = server.engine.delete_range(request).await.map_err(|no| refused(&no))?;
    let header = server.header(&answer);
    Ok(Body::message(response::delete_range(&header, &answer.body)))
}

pub(super) async fn compact(server: &Server, message: Bytes) -> Reply {
    let request: proto::CompactionRequest = decode(message)?;
    let answer = server.engine.compact(request.revision).await.map_err(|no| refused(&no))?;
    let header = Some(server.header(&answer).into());
    Ok(Body::message(encode(&proto::CompactionResponse { header })))
}
