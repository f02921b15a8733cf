//! Asking a node how its site is, over TLS with both sides' certificates. Start at [`Asker::get`]. The agent
//! asks the other room's control machine with it, and `duet` every node.
//!
//! An address is only where to dial: who answers is known by the certificate of the site's authority.

mod target;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use site::keys::room_name;
use site::{Label, Room};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use target::{BadTarget, Target};

use crate::certificates::{Files, TlsError, dns, has_name};

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(4);

/// Asks the nodes of one site.
#[derive(Clone)]
pub struct Asker {
    connector: TlsConnector,
    names: Vec<(Room, ServerName<'static>)>,
}

/// What a node said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The room that its certificate names.
    pub room: Room,
    /// The answer.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AskError {
    /// Nobody is there.
    #[error("{target} does not answer: {reason}")]
    #[diagnostic(
        code(network::node),
        help("is the machine on, and is this its address? `--node HOST:PORT` names another")
    )]
    Unreached {
        /// Where.
        target: String,
        /// Why.
        reason: String,
    },
    /// Somebody else is there.
    #[error("{target} is no machine of the site, or does not take this certificate: {reason}")]
    #[diagnostic(
        code(integrity::node),
        help(
            "do not believe what answers there; is it the address of another site, or are the keys beside the site file another site's?"
        )
    )]
    Stranger {
        /// Where.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It says no.
    #[error("{target} refuses {path} ({status}): {said}")]
    #[diagnostic(code(network::node), help("its journal tells more: `journalctl -u duet-agent`"))]
    Refused {
        /// Where.
        target: String,
        /// What was asked for.
        path: String,
        /// The number of the refusal.
        status: StatusCode,
        /// Its words.
        said: String,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tls(#[from] TlsError),
}

/// What is asked for, and what is waited and taken for it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Such as `/status.json`.
    pub path: &'a str,
    /// How long the answer may be, in bytes.
    pub longest: usize,
    /// How long it may take.
    pub patience: Duration,
}

impl Asker {
    /// Shows the certificate of `files`, and takes machines of the rooms.
    ///
    /// # Errors
    /// If the files cannot be used.
    pub fn new(files: &Files, site: &Label, rooms: &[Room]) -> Result<Asker, AskError> {
        let names: Result<Vec<_>, TlsError> =
            rooms.iter().map(|room| Ok((*room, dns(room_name(site, *room))?))).collect();
        let names = names?;
        let accepted: Vec<_> = names.iter().map(|(_, name)| name.clone()).collect();
        let config = files.client(&accepted)?;
        Ok(Asker { connector: TlsConnector::from(Arc::new(config)), names })
    }

    /// Asks.
    ///
    /// # Errors
    /// If nobody answers in time, who answers is not of the site, or it refuses.
    pub async fn get(&self, target: &Target, question: Question<'_>) -> Result<Said, AskError> {
        let late = |reason| AskError::Unreached { target: target.to_string(), reason };
        in_time(question.patience, self.ask(target, question)).await.map_err(late)?
    }

    async fn ask(&self, target: &Target, question: Question<'_>) -> Result<Said, AskError> {
        let unreached = |reason: String| AskError::Unreached { target: target.to_string(), reason };
        let socket = target.connect(CONNECT).await.map_err(|error| unreached(error.to_string()))?;
        let Some((_, dialled)) = self.names.first() else {
            return Err(unreached("no room is asked for".to_owned()));
        };
        let socket = self.connector.connect(dialled.clone(), socket).await;
        let socket = socket.map_err(|error| of_handshake(target, &error))?;
        let chain = socket.get_ref().1.peer_certificates().unwrap_or_default();
        let of = |(_, name): &&(Room, ServerName<'static>)| {
            chain.first().is_some_and(|certificate| has_name(certificate, name))
        };
        let Some(&(room, _)) = self.names.iter().find(of) else {
            return Err(unreached("its certificate has no name".to_owned()));
        };
        let (status, body) =
            exchange(socket, question).await.map_err(|reason| of_exchange(target, reason))?;
        if status != StatusCode::OK {
            let said: String = String::from_utf8_lossy(&body).trim().chars().take(200).collect();
            let (target, path) = (target.to_string(), question.path.to_owned());
            return Err(AskError::Refused { target, path, status, said });
        }
        Ok(Said { room, body })
    }
}

/// Whether the handshake failed for who is there, or for the way there.
fn of_handshake(target: &Target, error: &std::io::Error) -> AskError {
    let (target, reason) = (target.to_string(), error.to_string());
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(_) => AskError::Stranger { target, reason },
        None => AskError::Unreached { target, reason },
    }
}

/// With TLS 1.3 a server says only after the handshake that it does not take a client's certificate.
fn of_exchange(target: &Target, reason: String) -> AskError {
    let target = target.to_string();
    if reason.contains("received fatal alert") {
        return AskError::Stranger { target, reason };
    }
    AskError::Unreached { target, reason }
}

/// Asks a page of this machine without encryption.
///
/// # Errors
/// Why there is no answer.
pub(crate) async fn plainly(
    address: std::net::SocketAddr,
    question: Question<'_>,
) -> Result<(StatusCode, Bytes), String> {
    let asked = async {
        let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        exchange(socket, question).await
    };
    in_time(question.patience, asked).await?
}

/// What comes of it within the time; or why nothing does.
pub(crate) async fn in_time<T>(
    patience: Duration,
    asked: impl Future<Output = T>,
) -> Result<T, String> {
    let late = |_| format!("nothing came for {} s", patience.as_secs());
    tokio::time::timeout(patience, asked).await.map_err(late)
}

pub(crate) async fn exchange<S>(
    socket: S,
    question: Question<'_>,
) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let told = |error: &(dyn std::error::Error + 'static)| {
        // hyper keeps the cause to itself.
        error.source().map_or(error.to_string(), |cause| format!("{error}: {cause}"))
    };
    let shaken = http1::handshake(TokioIo::new(socket)).await;
    let (mut sender, connection) = shaken.map_err(|error| told(&error))?;
    let running = tokio::spawn(connection);
    let request = Request::get(question.path)
        .header("host", "duet.internal")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| told(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), question.longest).collect().await;
        let body = body.map_err(|error| told(error.as_ref()))?;
        Ok((status, body.to_bytes()))
    };
    let answer = answered.await;
    running.abort();
    answer
}
