//! Bodies of answers. Start at [`Body::message`] for one message and [`Body::stream`] for many; each ends
//! with gRPC's trailers. Nothing is made before the client's window has room for it, so that a client
//! that does not read costs no memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Frame, SizeHint};
use tonic::{Code, Status};

use super::count::Running;
use crate::wire::response::RangePieces;

/// Messages of a stream as they come, and at last perhaps why it ended.
pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The body of an answer.
pub(crate) struct Body(Inner);

enum Inner {
    /// Nothing; the headers say it all.
    Empty,
    /// A page of HTTP.
    Page(Option<Bytes>),
    /// One message, or its pieces.
    Message(Option<Bytes>),
    Pieces(RangePieces),
    /// Many messages.
    Stream(Answers, Running),
    /// Only the trailers are left, and then nothing.
    Trailers(Option<Status>),
    /// Made by tonic.
    Foreign(tonic::body::Body),
}

impl Body {
    pub(crate) fn page(text: impl Into<Bytes>) -> Body {
        Body(Inner::Page(Some(text.into())))
    }

    pub(crate) fn message(message: Bytes) -> Body {
        Body(Inner::Message(Some(message)))
    }

    pub(crate) fn pieces(pieces: RangePieces) -> Body {
        Body(Inner::Pieces(pieces))
    }

    pub(crate) fn stream(answers: Answers, running: Running) -> Body {
        Body(Inner::Stream(answers, running))
    }

    /// The message, if it is one and whole.
    pub(crate) fn into_message(self) -> Option<Bytes> {
        match self.0 {
            Inner::Message(message) => message,
            _ => None,
        }
    }

    /// How many bytes a message has, written or not.
    pub(crate) fn weight(&self) -> usize {
        match &self.0 {
            Inner::Message(message) => message.as_ref().map_or(0, Bytes::len),
            Inner::Pieces(pieces) => pieces.left(),
            _ => 0,
        }
    }

    pub(crate) fn foreign(body: tonic::body::Body) -> Body {
        Body(Inner::Foreign(body))
    }
}

impl Default for Body {
    fn default() -> Body {
        Body(Inner::Empty)
    }
}

fn trailers(status: Option<Status>) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    match status {
        // A text that is no header value is left out; the code goes without it.
        Some(status) if status.add_header(&mut trailers).is_ok() => {}
        Some(status) => {
            let code = HeaderValue::from(status.code() as i32);
            trailers.insert("grpc-status", code);
        }
        None => {
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
    }
    trailers
}

type Polled = Poll<Option<Result<Frame<Bytes>, Infallible>>>;

fn data(bytes: Bytes) -> Polled {
    Poll::Ready(Some(Ok(Frame::data(bytes))))
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Page(page) => page.take().map_or(Poll::Ready(None), data),
            Inner::Message(message) => match message.take() {
                Some(message) => {
                    self.0 = Inner::Trailers(None);
                    data(message)
                }
                None => Poll::Ready(None),
            },
            Inner::Pieces(pieces) => match pieces.next() {
                Some(piece) => data(piece),
                None => {
                    self.0 = Inner::Empty;
                    Poll::Ready(Some(Ok(Frame::trailers(trailers(None)))))
                }
            },
            Inner::Stream(answers, running) => match ready!(answers.as_mut().poll_next(context)) {
                Some(Ok(message)) => data(message),
                end => {
                    let status = end.and_then(Result::err);
                    running.end(status.as_ref().map_or(Code::Ok, Status::code));
                    self.0 = Inner::Empty;
                    Poll::Ready(Some(Ok(Frame::trailers(trailers(status)))))
                }
            },
            Inner::Trailers(status) => {
                let last = trailers(status.take());
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::trailers(last))))
            }
            Inner::Foreign(body) => match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
                Some(Err(status)) => {
                    self.0 = Inner::Trailers(Some(status));
                    self.poll_frame(context)
                }
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty | Inner::Page(None) => true,
            Inner::Foreign(body) => body.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Page(page) => {
                SizeHint::with_exact(page.as_ref().map_or(0, |page| page.len() as u64))
            }
            _ => SizeHint::default(),
        }
    }
}
