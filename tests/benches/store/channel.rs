//! A connection with as little around it as there can be, so that a small computer's processors are left
//! to the servers: tonic's own has a queue, a task and a wake-up more for each request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::client::GrpcService;

/// A connection that clients share.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    send: SendRequest<Body>,
    /// Where it leads, as every request says.
    pub(crate) origin: Uri,
}

impl Channel {
    /// Connects, with windows that are large enough for large lists.
    pub(crate) async fn connect(endpoint: &str) -> Channel {
        let origin: Uri = endpoint.parse().unwrap();
        let stream = TcpStream::connect(origin.authority().unwrap().as_str()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(4 << 20).initial_connection_window_size(16 << 20);
        let (send, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Channel { send, origin }
    }
}

impl GrpcService<Body> for Channel {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.send.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.send.send_request(request))
    }
}
