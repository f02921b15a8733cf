//! gRPC over HTTP/2, as much of it as etcd's clients use (grpc.io, "PROTOCOL-HTTP2"): messages with their
//! prefix, deadlines, statuses. Start at [`Messages`]. No compression: none of the clients asks for it.
//!
//! tonic's own server does the same with several allocations and two copies more for each request.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Body as HttpBody;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::body::Body;
use crate::wire::Malformed;
use crate::wire::response::{PREFIX, prefix};

/// Requests up to this size are read without asking for room.
const SMALL: usize = 64 << 10;

/// What large requests may take together while they come in: 128 of the largest that are allowed by
/// default.
pub(crate) const BUDGET_BYTES: usize = 256 << 20;

/// How long a request that has begun may stop coming.
const STALL: Duration = Duration::from_secs(30);

/// In which steps that is handed out.
const KIB: usize = 1 << 10;

/// Room for large requests.
pub(crate) fn budget() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(BUDGET_BYTES / KIB))
}

pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// How long the client waits; none if for ever, or if the header is not sound.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // The specification allows eight digits.
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The messages of a request, as they come.
pub(crate) struct Messages<B> {
    body: B,
    /// What has come; most often one whole message.
    held: Bytes,
    /// The parts of a message that comes in several; then `held` is empty.
    parts: BytesMut,
    limit: usize,
    budget: Arc<Semaphore>,
    room: Option<OwnedSemaphorePermit>,
}

impl<B> Messages<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    /// Of a body, each at most `limit` bytes long.
    pub(crate) fn new(body: B, limit: usize, budget: Arc<Semaphore>) -> Messages<B> {
        Messages { body, held: Bytes::new(), parts: BytesMut::new(), limit, budget, room: None }
    }

    /// The next message; none when the client has no more.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(whole) = self.take().await? {
                return Ok(Some(whole));
            }
            let frame = if self.parts.is_empty() {
                self.body.frame().await
            } else {
                // Half a message holds room that others wait for.
                let stalled = |_| Status::deadline_exceeded("the request stopped coming");
                tokio::time::timeout(STALL, self.body.frame()).await.map_err(stalled)?
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.push(data);
                    }
                }
                Some(Err(error)) => {
                    return Err(Status::cancelled(format!("the request broke off: {error}")));
                }
                None if self.held.is_empty() && self.parts.is_empty() => return Ok(None),
                None => return Err(Status::internal("unexpected EOF")),
            }
        }
    }

    /// The one message of a call that has one.
    pub(crate) async fn only(&mut self) -> Result<Bytes, Status> {
        let message = self.next().await?;
        let message = message.ok_or_else(|| Status::internal("the request has no message"))?;
        // The end is awaited, since an answer before it would reset the stream.
        if !self.body.is_end_stream() && self.next().await?.is_some() {
            return Err(Status::internal("the request has more than one message"));
        }
        Ok(message)
    }

    /// The length of the message that has begun to come.
    fn length(&self) -> Result<Option<usize>, Status> {
        let held: &[u8] = if self.parts.is_empty() { &self.held } else { &self.parts };
        let Some((&[flag, a, b, c, d], _)) = held.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if flag != 0 {
            return Err(Status::unimplemented("grpc: no compression is installed"));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.limit {
            let text =
                format!("grpc: received message larger than max ({length} vs. {})", self.limit);
            return Err(Status::resource_exhausted(text));
        }
        Ok(Some(length))
    }

    /// The message, if it has come as a whole.
    async fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(length) = self.length()? else { return Ok(None) };
        let whole = PREFIX + length;
        if self.parts.is_empty() && self.held.len() >= whole {
            self.held.advance(PREFIX);
            return Ok(Some(self.held.split_to(length)));
        }
        if length > SMALL && self.room.is_none() {
            self.make_room(length).await?;
        }
        if self.parts.is_empty() {
            self.parts = BytesMut::with_capacity(whole);
            self.parts.extend_from_slice(&std::mem::take(&mut self.held));
            return Ok(None);
        }
        if self.parts.len() < whole {
            return Ok(None);
        }
        let mut all = std::mem::take(&mut self.parts).freeze();
        all.advance(PREFIX);
        let message = all.split_to(length);
        self.held = all;
        Ok(Some(message))
    }

    /// Waits until so much may be taken in. What is taken in has [`STALL`] between two of its parts.
    async fn make_room(&mut self, length: usize) -> Result<(), Status> {
        let steps = u32::try_from(length.div_ceil(KIB).min(BUDGET_BYTES / KIB));
        let steps = steps.map_err(|_| Status::internal("the request is too large to count"))?;
        let room = self.budget.clone().acquire_many_owned(steps).await;
        self.room = Some(room.map_err(|_| Status::unavailable("etcdserver: server stopped"))?);
        Ok(())
    }

    fn push(&mut self, data: Bytes) {
        if !self.parts.is_empty() {
            self.parts.extend_from_slice(&data);
        } else if self.held.is_empty() {
            self.held = data;
        } else {
            // The prefix itself came in two.
            self.parts.extend_from_slice(&std::mem::take(&mut self.held));
            self.parts.extend_from_slice(&data);
        }
    }
}

/// A message that is no message of its kind.
pub(crate) fn malformed(_: Malformed) -> Status {
    Status::internal("grpc: error unmarshalling request: proto: illegal wire format")
}

/// Reads a generated message.
pub(crate) fn decode<M: prost::Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message)
        .map_err(|error| Status::internal(format!("grpc: error unmarshalling request: {error}")))
}

/// Writes a generated message, with its prefix.
pub(crate) fn encode<M: prost::Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut out = Vec::with_capacity(PREFIX + length);
    prefix(&mut out, length);
    message.encode(&mut out).expect("a vector has room for every message");
    out.into()
}

/// An answer that is no refusal.
pub(crate) fn answer(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
