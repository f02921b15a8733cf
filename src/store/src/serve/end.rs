//! When a stream of answers ends although it has more to say: its deadline has come, or the server ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::body::Answers;
use super::server::refused;
use crate::refusal::Refusal;

/// Answers, until something ends them; what is ready goes first.
pub(crate) struct Ending {
    answers: Answers,
    end: Pin<Box<dyn Future<Output = Status> + Send>>,
    over: bool,
}

impl Ending {
    pub(crate) fn new(
        answers: Answers,
        closing: watch::Receiver<bool>,
        deadline: Option<Instant>,
    ) -> Ending {
        Ending { answers, end: Box::pin(end(closing, deadline)), over: false }
    }
}

async fn end(mut closing: watch::Receiver<bool>, deadline: Option<Instant>) -> Status {
    let closed = async {
        super::connection::closed(&mut closing).await;
        // Unavailable, so that a client comes back, here or elsewhere.
        refused(&Refusal::Stopped)
    };
    match deadline {
        None => closed.await,
        Some(deadline) => tokio::select! {
            status = closed => status,
            () = sleep_until(deadline) => Status::deadline_exceeded("context deadline exceeded"),
        },
    }
}

impl Stream for Ending {
    type Item = Result<Bytes, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(next) = self.answers.as_mut().poll_next(context) {
            self.over = !matches!(next, Some(Ok(_)));
            return Poll::Ready(next);
        }
        self.end.as_mut().poll(context).map(|status| {
            self.over = true;
            Some(Err(status))
        })
    }
}
