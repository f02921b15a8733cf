//! Connections that the other room makes. Start at [`accept`].
//!
//! Anybody can reach the port, so what has not shown a certificate yet gets little: so many at once, for
//! some seconds. When there are too many, the one that waits longest goes: whoever means it is through
//! within milliseconds, and cannot be kept out by others that hold the places.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tracing::{debug, warn};

use super::dial::{HANDSHAKE, Link};
use super::greet::{Failed, greet};
use super::hello::Purpose;
use super::refusal::Refusal;
use super::shared::Shared;
use super::socket::{tune, tune_for};
use super::tls::{ALPN, check_name, name};
use super::{calls, frames, snapshot};

/// Connections at once that have not said who they are. A room makes three.
const HANDSHAKES: usize = 16;

/// How long is waited when the system has no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// How long, and how much, is listened to somebody who was turned away, so that the reason arrives.
const LAST_WORD: (Duration, u64) = (Duration::from_secs(1), 64 << 10);

/// What is accepted: one connection for each purpose, and some that have yet to say theirs.
pub(super) struct Accepted {
    shared: Arc<Shared>,
    /// Those of all listeners, the oldest first.
    opening: Mutex<VecDeque<(AbortHandle, SocketAddr)>>,
    frames: Place,
    snapshot: Place,
    calls: Place,
}

/// Where one connection is served at a time.
#[derive(Default)]
struct Place {
    running: Mutex<JoinSet<()>>,
    /// Whoever serves holds it, so that one that was replaced has really stopped before the next begins.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Accepted {
    pub(super) fn new(shared: Arc<Shared>) -> Accepted {
        Accepted {
            shared,
            opening: Mutex::default(),
            frames: Place::default(),
            snapshot: Place::default(),
            calls: Place::default(),
        }
    }

    /// Ends all that were accepted, and waits until they have.
    pub(super) async fn end(&self) {
        for place in [&self.frames, &self.snapshot, &self.calls] {
            let mut running = {
                let mut running =
                    place.running.lock().expect("a thread that panics ends the process");
                std::mem::take(&mut *running)
            };
            running.shutdown().await;
        }
    }

    /// Notes one that has yet to say who it is; one too many goes.
    fn opening(&self, handle: AbortHandle, address: SocketAddr) {
        let mut opening = self.opening.lock().expect("a thread that panics ends the process");
        opening.retain(|(handle, _)| !handle.is_finished());
        if opening.len() >= HANDSHAKES {
            if let Some((oldest, address)) = opening.pop_front() {
                oldest.abort();
                self.shared.turned_away(address, "too many at once that do not say who they are");
            }
        }
        opening.push_back((handle, address));
    }

    /// Serves a connection, in place of an earlier one with the same purpose.
    fn admit(&self, link: Link, purpose: Purpose) {
        self.shared.meter.connections.add(1);
        self.shared.seen.notify_one();
        let place = match purpose {
            Purpose::Frames => &self.frames,
            Purpose::Snapshot => &self.snapshot,
            Purpose::Calls => &self.calls,
        };
        let (shared, turn) = (self.shared.clone(), place.turn.clone());
        let mut running = place.running.lock().expect("a thread that panics ends the process");
        while running.try_join_next().is_some() {}
        if purpose == Purpose::Snapshot {
            shared.meter.snapshots_broken.add(running.len() as u64);
        }
        running.abort_all();
        running.spawn(async move {
            let turn = turn.lock_owned().await;
            let address = link.address;
            match purpose {
                Purpose::Frames => {
                    shared.inward(address, &link.agreed);
                    let ended = frames::receive(link.stream, &shared).await;
                    shared.inward_ended(address, &reason(&ended));
                }
                Purpose::Snapshot => match snapshot::receive(link.stream, turn, &shared).await {
                    Ok(()) => shared.meter.snapshots_received.add(1),
                    Err(error) => {
                        shared.meter.snapshots_broken.add(1);
                        warn!(%error, "the other room's snapshot broke off");
                    }
                },
                Purpose::Calls => {
                    let ended = calls::answer(link.stream, &shared).await;
                    debug!(%address, reason = %reason(&ended), "the other room's connection for calls has ended");
                }
            }
        });
    }
}

/// Why a connection is over.
pub(super) fn reason(ended: &io::Result<()>) -> String {
    match ended {
        Ok(()) => "the other room closed it".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the other room is gone from one moment to the next".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

/// Accepts for ever.
pub(super) async fn accept(listener: TcpListener, accepted: Arc<Accepted>) {
    let mut opening = JoinSet::new();
    loop {
        let next = tokio::select! {
            Some(_) = opening.join_next() => continue,
            next = listener.accept() => next,
        };
        let (stream, address) = match next {
            Ok(next) => next,
            Err(error) => {
                // Somebody is gone already, or no file descriptor is left: both pass.
                debug!(%error, "cannot accept");
                sleep(BREATH).await;
                continue;
            }
        };
        let shown = accepted.clone();
        let handle = opening.spawn(async move {
            let opened = timeout(HANDSHAKE, open(&shown.shared, stream, address)).await;
            match opened.unwrap_or_else(|_| Err("no handshake in 5 s".to_owned())) {
                Ok((link, purpose)) => shown.admit(link, purpose),
                Err(reason) => shown.shared.turned_away(address, &reason),
            }
        });
        accepted.opening(handle, address);
    }
}

/// Finds out who it is, and whether it may come in.
async fn open(
    shared: &Shared,
    stream: TcpStream,
    address: SocketAddr,
) -> Result<(Link, Purpose), String> {
    let room = shared.config.room;
    let expected = name(room.other(), &shared.config.site);
    let meaning = |error: &io::Error| match Refusal::of_handshake(error, room, &expected) {
        Some(refusal) => refusal.to_string(),
        None => format!("the handshake failed: {error}"),
    };
    tune(&stream).map_err(|error| error.to_string())?;
    let acceptor = TlsAcceptor::from(shared.identity.current().server);
    let mut stream = match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            last_word(stream).await;
            return Err(meaning(&error));
        }
    };
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(ALPN) {
        return Err("it is no store".to_owned());
    }
    let named = ServerName::try_from(expected.as_str()).map_err(|error| error.to_string())?;
    let beforehand = check_name(session.peer_certificates(), room, &named);
    let agreed = match greet(&mut stream, &shared.hello(None), beforehand).await {
        Ok(agreed) => agreed,
        Err(Failed::Here(refusal)) => return Err(refusal.to_string()),
        Err(Failed::There(sentence)) => return Err(format!("the other room refuses: {sentence}")),
        Err(Failed::Broke(error)) => return Err(meaning(&error)),
    };
    let purpose = agreed.peer.purpose.ok_or("it does not say what it wants")?;
    tune_for(stream.get_ref().0, purpose).map_err(|error| error.to_string())?;
    Ok((Link { stream: TlsStream::from(stream), address, agreed }, purpose))
}

/// Closes a connection so that the alert on it arrives: to close a socket that has something to read
/// takes back what was written (RFC 1122, section 4.2.2.13).
async fn last_word(mut stream: TcpStream) {
    let (time, bytes) = LAST_WORD;
    if stream.shutdown().await.is_ok() {
        let rest = &mut stream.take(bytes);
        let _ = timeout(time, tokio::io::copy(rest, &mut tokio::io::sink())).await;
    }
}
