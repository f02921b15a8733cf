//! One connection: encrypted or not, HTTP/2 or HTTP/1. Start at [`serve`]. Which of the two it is shows in
//! its first bytes, so that `/health` and `/metrics` are answered where clients come.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::body::Body;
use super::server::Server;
use super::tls::Certificates;
use crate::config::Config;

/// What every client of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client may take until it has said what it speaks, its certificate included.
const OPENING: Duration = Duration::from_secs(10);

/// How much a client may send ahead in one request: more than one of the largest by default.
const STREAM_WINDOW: u32 = 2 << 20;

/// And on all of a connection. What lies in here is not read yet, and is all that a connection can make
/// the server hold besides the requests that are answered.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// How much is written ahead of a client that reads slowly, for each of its requests.
const SEND_BUFFER: usize = 256 << 10;

/// How large a request's headers may be; a token and a user agent are far below.
const HEADERS: u32 = 16 << 10;

/// What is answered on a connection.
#[derive(Clone)]
pub(crate) enum Face {
    /// Everything.
    Client(Arc<Server>),
    /// Everything, and what only this machine may ask.
    Local(Arc<Server>),
    /// Only how the store is.
    Metrics(Arc<Server>),
}

impl Face {
    async fn call(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        Ok(match self {
            Face::Client(server) => server.call(request, false).await,
            Face::Local(server) => server.call(request, true).await,
            Face::Metrics(server) => server.tell(&request).await,
        })
    }
}

/// How connections are spoken on.
#[derive(Clone)]
pub(crate) struct Speech {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Speech {
    pub(crate) fn new(config: &Config) -> Speech {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(OPENING);
        http1.max_buf_size(HEADERS as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(config.max_concurrent_streams)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEADERS)
            .keep_alive_interval(config.grpc_keepalive_interval)
            .keep_alive_timeout(config.grpc_keepalive_timeout);
        Speech { http1, http2 }
    }
}

/// Serves one connection until it ends, or until `closing` is true and its requests are answered.
pub(crate) async fn serve<I>(
    socket: I,
    certificates: Option<Arc<Certificates>>,
    face: Face,
    speech: Speech,
    closing: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = match certificates {
        None => speak(socket, face, &speech, closing).await,
        Some(certificates) => {
            let acceptor = TlsAcceptor::from(certificates.current());
            match timeout(OPENING, acceptor.accept(socket)).await {
                Ok(Ok(socket)) => speak(socket, face, &speech, closing).await,
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no handshake came".to_owned()),
            }
        }
    };
    if let Err(reason) = ended {
        // Clients go away as they like; only who looks for a fault wants to see it.
        debug!(%reason, "a connection ended");
    }
}

async fn speak<I>(
    mut socket: I,
    face: Face,
    speech: &Speech,
    mut closing: watch::Receiver<bool>,
) -> Result<(), String>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opening = timeout(OPENING, open(&mut socket)).await.map_err(|_| "nothing came")?;
    let (begin, two) = opening.map_err(|error| error.to_string())?;
    if begin.is_empty() {
        return Ok(());
    }
    let io = TokioIo::new(Begun { begin, given: 0, socket });
    let service = service_fn(move |request| face.clone().call(request));
    // The two have no type in common.
    macro_rules! run {
        ($builder:expr) => {{
            let mut connection = pin!($builder.serve_connection(io, service));
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = closed(&mut closing) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }};
    }
    let ended = if two { run!(speech.http2) } else { run!(speech.http1) };
    ended.map_err(|error| error.to_string())
}

/// Waits for the server's end.
pub(crate) async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that who would tell is gone: that is an end, too.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Reads so much that it shows which HTTP is spoken; true for HTTP/2.
async fn open<I: AsyncRead + Unpin>(socket: &mut I) -> io::Result<(Vec<u8>, bool)> {
    let mut begin = vec![0; PREFACE.len()];
    let mut length = 0;
    loop {
        let more = socket.read(&mut begin[length..]).await?;
        length += more;
        let two = PREFACE[..length] == begin[..length];
        if !two || more == 0 || length == PREFACE.len() {
            begin.truncate(length);
            return Ok((begin, two));
        }
    }
}

/// A socket whose first bytes have been read already.
struct Begun<I> {
    begin: Vec<u8>,
    given: usize,
    socket: I,
}

impl<I: AsyncRead + Unpin> AsyncRead for Begun<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.begin[self.given..];
        if left.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let part = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..part]);
        self.given += part;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Begun<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
