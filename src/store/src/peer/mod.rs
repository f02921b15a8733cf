//! The link between the two rooms' stores: it carries bytes, and knows neither the protocol nor the log.
//! Start at [`Peer::start`].
//!
//! ```text
//!        room a                                                  room b
//!  send ──► outbox ──► frames   ═══════ TLS 1.3 ═══════► Handler::frame
//!           (urgent            ◄─ pongs ─
//!            first)
//!  send_snapshot ────► snapshot ═══════════════════════► Handler::snapshot
//!                              ◄─ taken ─
//!  call ─────────────► calls    ═══════════════════════► Handler::call
//!                              ◄─ answers ─
//!                     and the same three from b to a
//! ```
//!
//! Each room dials the other and sends on what it dialed, so there is never a question which of two
//! connections counts. A later connection for the same purpose takes the place of an earlier one. Both
//! ends show a certificate of the site's authority that names the room, and then say who they are; those
//! that do not fit tell each other why.
//!
//! Nothing is kept for a peer that is away: the protocol sends again. Everything that waits has a bound.

mod accept;
pub mod calls;
mod candidates;
mod dial;
mod error;
mod frame;
mod frames;
mod greet;
pub mod hello;
mod keep;
mod outbox;
pub mod packet;
mod refusal;
mod shared;
mod snapshot;
mod socket;
mod status;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pair::Room;
use rustls::pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use error::{CallError, PeerError};
pub use frame::Frame;
pub use outbox::QUEUE_BYTES;
pub use refusal::Refusal;
pub use status::{Connected, Counters, LinkStatus};

use accept::Accepted;
use hello::Purpose;
use shared::{Local, Shared};

/// How long a link that stops still sends what waits.
const GRACE: Duration = Duration::from_secs(1);

/// Who this room is, and where the other one is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The site: a DNS label.
    pub site: String,
    /// Which room this is.
    pub room: Room,
    /// Where this room listens; port 0 to have one chosen.
    pub listen: Vec<SocketAddr>,
    /// Where the other room listens, as `host:port`: several names or addresses of the one room. Names are
    /// looked up anew at each try.
    pub peers: Vec<String>,
    /// A file of further ones, an `https://host:port` each line, which is read anew at each try; one that is
    /// not there yet is empty.
    pub peers_file: Option<PathBuf>,
    /// This room's certificate, with what is between it and the authority (PEM). Read again when it changes,
    /// as are the next two.
    pub cert_file: PathBuf,
    /// Its key (PEM).
    pub key_file: PathBuf,
    /// The site's authority (PEM).
    pub ca_file: PathBuf,
    /// This program's release, for people; the peer hears the first 32 characters.
    pub release: String,
    /// What both rooms must have set alike, in words; at most 128 bytes.
    pub terms: String,
}

/// What is done with what the peer sends.
pub trait Handler: Send + Sync + 'static {
    /// A frame. One at a time, in the order in which the peer sent them, but that urgent ones overtake
    /// others. Must not block: nothing else is read meanwhile.
    fn frame(&self, frame: Bytes);
    /// A snapshot begins: where its bytes go. `head` is what the sender gave. Called on a blocking thread,
    /// and not before the sink of the snapshot before is gone.
    fn snapshot(&self, head: Bytes) -> Box<dyn SnapshotSink>;
    /// A request, and its answer. Many at once; dropped when the peer's time is over or it is gone.
    fn call(&self, request: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>>;
}

/// Where a snapshot goes. Used on a blocking thread.
pub trait SnapshotSink: Send {
    /// The next bytes.
    ///
    /// # Errors
    /// If they cannot be kept: then the snapshot breaks off, and the sender's log says why.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// All has come, in order and whole. A sink that is dropped without this was broken off.
    ///
    /// # Errors
    /// As with [`SnapshotSink::write`].
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// One room's end of the link. Cloning shares it; when the last clone goes, all ends at once.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    accepted: Arc<Accepted>,
    addresses: Vec<SocketAddr>,
    runtime: Handle,
    closing: watch::Sender<bool>,
    frames: Mutex<JoinSet<()>>,
    others: Mutex<JoinSet<()>>,
    snapshot: Mutex<JoinSet<()>>,
}

/// A link whose ports are bound, and which does nothing yet.
struct Bound {
    config: Config,
    local: Local,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Peer {
    /// Listens, and dials the other room from now on.
    ///
    /// # Errors
    /// If an address cannot be listened on, or the certificates cannot be used. That the other room is away
    /// is no error.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(config: Config, handler: Arc<dyn Handler>) -> Result<Peer, PeerError> {
        Bound::bind(config, Local::default())?.start(handler)
    }

    /// Where is listened, with the ports that were chosen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.inner.addresses.clone()
    }

    /// Sends a frame, and never waits. Urgent ones of up to 64 KiB overtake others. Dropped, and counted,
    /// when there is no connection, when more than [`QUEUE_BYTES`] wait, or when it is longer than
    /// [`packet::MESSAGE_BYTES`]; the protocol sends again.
    pub fn send(&self, frame: Frame, urgent: bool) {
        let taken = match &*self.inner.shared.outbox() {
            Some(outbox) => outbox.push(frame, urgent, 0),
            None => false,
        };
        if !taken {
            self.inner.shared.meter.frames_dropped.add(1);
        }
    }

    /// Sends a snapshot on a connection of its own, and breaks off one that is under way. It is tried
    /// once; whether it arrived, the protocol says. The iterator runs on a blocking thread, no further
    /// ahead than two of its chunks.
    pub fn send_snapshot(&self, head: Bytes, chunks: Box<dyn Iterator<Item = Vec<u8>> + Send>) {
        let shared = self.inner.shared.clone();
        let mut running = lock(&self.inner.snapshot);
        while running.try_join_next().is_some() {}
        shared.meter.snapshots_broken.add(running.len() as u64);
        running.abort_all();
        let task = async move {
            let sent = match dial::dial(&shared, Purpose::Snapshot).await {
                Ok(link) => {
                    shared.meter.connections.add(1);
                    let sent = snapshot::send(link.stream, head, chunks, &shared).await;
                    sent.map_err(|error| error.to_string())
                }
                Err(problems) => {
                    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                    Err(problems.join("; "))
                }
            };
            match sent {
                Ok(()) => {
                    info!("the other room has taken a snapshot");
                    shared.meter.snapshots_sent.add(1);
                }
                Err(reason) => {
                    warn!(%reason, "a snapshot for the other room broke off");
                    shared.meter.snapshots_broken.add(1);
                }
            }
        };
        running.spawn_on(task, &self.inner.runtime);
    }

    /// Asks the peer; many at once, answered in any order. At most ten minutes.
    ///
    /// # Errors
    /// [`CallError`], which says whether the peer can have seen the request.
    pub async fn call(&self, request: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        let caller = self.inner.shared.caller().clone().ok_or(CallError::NoConnection)?;
        let outcome = caller.begin(request, timeout)?;
        self.inner.shared.meter.calls_sent.add(1);
        match tokio::time::timeout(timeout, outcome).await {
            Err(_) => Err(CallError::TimedOut),
            Ok(outcome) => outcome.unwrap_or(Err(CallError::BrokeOff)),
        }
    }

    /// How the link is.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        self.inner.shared.status()
    }

    /// Ends the link: what waits is still sent, for a second at most; then all connections are closed, and
    /// the handler hears nothing more.
    pub async fn stop(&self) {
        let inner = &self.inner;
        inner.closing.send_replace(true);
        let mut frames = std::mem::take(&mut *lock(&inner.frames));
        let drained = async { while frames.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, drained).await;
        frames.shutdown().await;
        for tasks in [&inner.others, &inner.snapshot] {
            let mut tasks = std::mem::take(&mut *lock(tasks));
            tasks.shutdown().await;
        }
        inner.accepted.end().await;
        if let Some(outbox) = inner.shared.outbox().take() {
            inner.shared.meter.frames_dropped.add(outbox.end().messages);
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("config", &self.inner.shared.config).finish_non_exhaustive()
    }
}

impl Bound {
    fn bind(config: Config, local: Local) -> Result<Bound, PeerError> {
        let site = &config.site;
        let long = tls::name(config.room, site);
        if site.contains('.') || site.to_lowercase() != *site || ServerName::try_from(long).is_err()
        {
            return Err(PeerError::Site { site: site.clone() });
        }
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for &address in &config.listen {
            // A wildcard of IPv6 takes IPv4's port, too, unless somebody else wants it.
            let alone = config.listen.iter().any(|other| other.is_ipv4());
            let listener = socket::listen(address, alone).and_then(|listener| {
                addresses.push(listener.local_addr()?);
                Ok(listener)
            });
            listeners.push(listener.map_err(|source| PeerError::Listen { address, source })?);
        }
        Ok(Bound { config, local, listeners, addresses })
    }

    fn start(self, handler: Arc<dyn Handler>) -> Result<Peer, PeerError> {
        let files = tls::Files {
            cert: self.config.cert_file.clone(),
            key: self.config.key_file.clone(),
            ca: self.config.ca_file.clone(),
        };
        let identity = tls::load(files).map_err(PeerError::Certificates)?;
        let shared = Arc::new(Shared::new(self.config, self.local, identity, handler));
        let accepted = Arc::new(Accepted::new(shared.clone()));
        let closing = watch::Sender::new(false);
        let (mut frames, mut others) = (JoinSet::new(), JoinSet::new());
        for listener in self.listeners {
            others.spawn(accept::accept(listener, accepted.clone()));
        }
        frames.spawn(keep::frames(shared.clone(), closing.subscribe()));
        others.spawn(keep::calls(shared.clone()));
        info!(addresses = ?self.addresses, room = %shared.config.room, "listening for the other room");
        Ok(Peer {
            inner: Arc::new(Inner {
                shared,
                accepted,
                addresses: self.addresses,
                runtime: Handle::current(),
                closing,
                frames: Mutex::new(frames),
                others: Mutex::new(others),
                snapshot: Mutex::default(),
            }),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("a thread that panics ends the process")
}
