//! The Watch service: many watches on one stream. The engine decides what each is told and in which order;
//! here it is only put on the wire.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;

use super::body::Answers;
use super::grpc::{Messages, decode};
use super::method::Call;
use super::server::{Server, refused};
use crate::engine::{Answer, WatchControl, WatchFeed, WatchMessage};
use crate::refusal::Refusal;
use crate::wire::proto::watch_request::RequestUnion;
use crate::wire::{proto, response, watch_create};

/// Messages that are ready are written together up to this size: one frame of HTTP/2.
const TOGETHER: usize = 16 << 10;

/// Begins a stream. What the client asks is taken by a task of its own, so that it is heard also while
/// it reads nothing.
pub(super) fn open(server: &Arc<Server>, messages: Messages<Incoming>) -> Result<Answers, Status> {
    let (control, feed) = server.engine.watch().map_err(|no| refused(&no))?;
    let (failed, failure) = oneshot::channel();
    let listening = tokio::spawn({
        let server = server.clone();
        async move {
            if let Err(status) = listen(&server, messages, &control).await {
                // Where nobody listens any more, nothing needs to be said.
                let _ = failed.send(status);
            }
        }
    });
    let telling = Telling {
        term: server.engine.status().term,
        server: server.clone(),
        feed,
        failure: Some(failure),
        _listening: Listening(listening),
    };
    Ok(Box::pin(stream::try_unfold(telling, |mut telling| async move {
        Ok(Some((telling.next().await?, telling)))
    })))
}

async fn listen(
    server: &Server,
    mut messages: Messages<Incoming>,
    control: &WatchControl,
) -> Result<(), Status> {
    while let Some(message) = messages.next().await? {
        server.counters.received(Call::Watch, message.len());
        let request: proto::WatchRequest = decode(message)?;
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => control.create(watch_create(create)),
            Some(RequestUnion::CancelRequest(cancel)) => control.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => control.progress(),
            // As etcd: what is not known is passed over.
            None => {}
        }
    }
    Ok(())
}

/// The task that takes what the client asks; it ends with the stream. As long as it had the request's
/// body, a connection could not be closed.
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Telling {
    server: Arc<Server>,
    term: u64,
    feed: WatchFeed,
    /// Why the client's side broke off; none once it has ended as it should.
    failure: Option<oneshot::Receiver<Status>>,
    _listening: Listening,
}

impl Telling {
    async fn next(&mut self) -> Result<Bytes, Status> {
        let first = loop {
            let Some(failure) = &mut self.failure else { break self.feed.next().await };
            tokio::select! {
                biased;
                failed = failure => match failed {
                    Ok(status) => return Err(status),
                    // The client has no more to ask, and still listens.
                    Err(_) => self.failure = None,
                },
                message = self.feed.next() => break message,
            }
        };
        // Unavailable, so that the client comes back when the store does.
        let first = first.ok_or_else(|| refused(&Refusal::Stopped))?;
        let mut out = Vec::new();
        self.put(&mut out, first);
        while out.len() < TOGETHER {
            let Some(Some(message)) = self.feed.next().now_or_never() else { break };
            self.put(&mut out, message);
        }
        Ok(out.into())
    }

    fn put(&self, out: &mut Vec<u8>, message: WatchMessage) {
        let before = out.len();
        let head = Answer { revision: message.revision, term: self.term, body: () };
        let limit = self.server.max_message_bytes();
        response::watch(out, &self.server.header(&head), &message, limit);
        self.server.counters.sent(Call::Watch, out.len() - before);
    }
}
