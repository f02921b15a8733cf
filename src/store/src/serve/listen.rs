//! Sockets that are listened on, and the loop that accepts. Start at [`bind`].

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::connection::{Face, Speech, closed, serve};
use super::error::ServeError;
use super::tls::Certificates;
use crate::config::{Listen, Place};

/// How long is waited when the system has no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// A socket file is for its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// A bound place.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Socket,
    /// Kept for what happens when it is dropped.
    _file: Option<File>,
    certificates: Option<Arc<Certificates>>,
    /// The place with the port that was chosen.
    pub(crate) url: String,
    pub(crate) address: Option<SocketAddr>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a socket, taken away at the end.
#[derive(Debug)]
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds one place.
pub(crate) async fn bind(
    listen: &Listen,
    certificates: Option<&Arc<Certificates>>,
) -> Result<Bound, ServeError> {
    let failed = |source| ServeError::Listen { url: listen.to_string(), source };
    let (socket, file, address) = match &listen.place {
        Place::Tcp { address, port, .. } => {
            let listener = TcpListener::bind((*address, *port)).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            (Socket::Tcp(listener), None, Some(address))
        }
        Place::Unix(path) => {
            clear(path).map_err(failed)?;
            let listener = UnixListener::bind(path).map_err(failed)?;
            let file = File(path.clone());
            let mode = fs::Permissions::from_mode(SOCKET_MODE);
            fs::set_permissions(path, mode).map_err(failed)?;
            (Socket::Unix(listener), Some(file), None)
        }
    };
    let url = match (&listen.place, address) {
        (Place::Tcp { host, .. }, Some(address)) => {
            let s = if listen.tls { "s" } else { "" };
            format!("http{s}://{host}:{}", address.port())
        }
        _ => listen.to_string(),
    };
    let certificates = certificates.filter(|_| listen.tls).cloned();
    Ok(Bound { socket, _file: file, certificates, url, address })
}

/// Takes away a socket file that nobody listens on any more.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(data) if data.file_type().is_socket() => match Probe::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            _ => Err(io::ErrorKind::AddrInUse.into()),
        },
        // Something else is left alone; binding will say what is wrong.
        _ => Ok(()),
    }
}

/// Accepts until `closing`, and then waits for the connections, at most `grace`.
pub(crate) async fn accept(
    bound: Bound,
    face: Face,
    speech: Speech,
    places: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
    grace: Duration,
) {
    let mut connections = JoinSet::new();
    let mut stop = closing.clone();
    info!(url = %bound.url, "listening");
    loop {
        let accepted = tokio::select! {
            biased;
            () = closed(&mut stop) => break,
            // Ended connections are forgotten as they end.
            Some(_) = connections.join_next() => continue,
            accepted = next(&bound.socket, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A client that is gone already, or no file descriptor left: both pass.
                warn!(%error, url = %bound.url, "cannot accept");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let (certificates, face) = (bound.certificates.clone(), face.clone());
        let (speech, closing) = (speech.clone(), closing.clone());
        connections.spawn(async move {
            match stream {
                Accepted::Tcp(stream) => serve(stream, certificates, face, speech, closing).await,
                Accepted::Unix(stream) => serve(stream, certificates, face, speech, closing).await,
            }
            drop(place);
        });
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        connections.shutdown().await;
    }
}

enum Accepted {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

/// Waits for a free place and then for a connection: while all places are taken, clients wait in the
/// kernel's queue.
async fn next(
    socket: &Socket,
    places: &Arc<Semaphore>,
) -> io::Result<(Accepted, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let stream = match socket {
        Socket::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Answers are small and must not wait for the client's acknowledgement.
            stream.set_nodelay(true)?;
            Accepted::Tcp(stream)
        }
        Socket::Unix(listener) => Accepted::Unix(listener.accept().await?.0),
    };
    Ok((stream, place))
}
