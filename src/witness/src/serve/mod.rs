//! The face to rooms: TCP and mutual TLS, and a page of metrics over plain HTTP. Start at [`Server::bind`] and
//! [`Server::run`].
//!
//! ```text
//!  accept ─► handshake (rooms: whose certificate is it?) ─► connection ─► keeper
//!                                                             │
//!                                                             └─ crowd: who is there, how often may it ask
//! ```
//!
//! Nothing is decided here about registers, and nothing a stranger sends gets past the handshake.

mod certificates;
mod connection;
mod crowd;
mod pages;
mod rooms;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use crate::limit::Rate;
pub use crate::tls::TlsError;
pub use rooms::Clock;

use crate::keeper::{Failure, Keeper};
use certificates::Certificates;
use connection::Hall;
use crowd::Crowd;
use rooms::Rooms;

/// Connections that have not shown a certificate yet. More wait in the kernel's queue, so that strangers do
/// not use up the memory that rooms need.
const GUESTS: usize = 256;

/// Connections to the page of metrics: a scraper or two, and people.
const READERS: usize = 16;

/// How often it is looked whether sites were added or removed.
const LOOK: Duration = Duration::from_secs(1);

/// How often sites that nobody asks for are forgotten.
const SWEEP: u64 = 60;

/// How long is waited when the system has no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// How long answers that are under way have when the server ends.
const GRACE: Duration = Duration::from_secs(2);

/// How the witness is served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where rooms connect.
    pub listen: Vec<SocketAddr>,
    /// The witness' certificate, with those that signed it: a PEM file.
    pub cert_file: PathBuf,
    /// Its key: a PEM file.
    pub key_file: PathBuf,
    /// Where the page of metrics is; it may be nowhere.
    pub metrics: Vec<SocketAddr>,
    /// Connections of rooms at one time. Each takes some 25 KiB.
    pub max_connections: usize,
    /// How often a site may ask.
    pub rate: Rate,
    /// How long a room may be silent until its connection is closed; it makes a new one when it asks.
    pub idle: Duration,
    /// How long the handshake may take.
    pub handshake: Duration,
    /// The clock.
    pub clock: Clock,
}

impl Settings {
    /// With the usual limits.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, cert_file: PathBuf, key_file: PathBuf) -> Settings {
        Settings {
            listen,
            cert_file,
            key_file,
            metrics: Vec::new(),
            max_connections: 4096,
            rate: Rate::default(),
            idle: Duration::from_secs(120),
            handshake: Duration::from_secs(5),
            clock: Clock::default(),
        }
    }
}

/// Why rooms cannot be served.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ServeError {
    /// A place to listen on cannot be had.
    #[error("cannot listen on {address}")]
    #[diagnostic(
        code(network::witness_listen),
        help("is another witness running? `ss -ltnp` shows who listens")
    )]
    Listen {
        /// The place.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tls(#[from] TlsError),
    /// The disk failed, and the process must end.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Failed(#[from] Failure),
}

/// Places that are listened on; rooms that come wait until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    hall: Arc<Hall>,
    rooms: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
}

impl Server {
    /// Reads the certificate, and binds every place that the settings name.
    ///
    /// # Errors
    /// If one of them cannot be had, or the certificate cannot be used.
    pub async fn bind(settings: Settings, keeper: Keeper) -> Result<Server, ServeError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let rooms = Arc::new(Rooms::new(keeper.disk.clone(), provider.clone()));
        let certificates = Certificates::load(
            settings.cert_file,
            settings.key_file,
            rooms.clone(),
            settings.clock.clone(),
            provider,
        )?;
        let hall = Hall {
            crowd: Arc::new(Crowd::new(settings.rate, keeper.counters.clone())),
            keeper,
            rooms,
            certificates,
            clock: settings.clock,
            seats: Arc::new(Semaphore::new(settings.max_connections)),
            handshake: settings.handshake,
            idle: settings.idle,
        };
        let rooms = bind(&settings.listen).await?;
        let metrics = bind(&settings.metrics).await?;
        Ok(Server { hall: Arc::new(hall), rooms, metrics })
    }

    /// Where rooms connect, with the ports that were chosen where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.rooms.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Where the page of metrics is, likewise.
    #[must_use]
    pub fn metrics_addresses(&self) -> Vec<SocketAddr> {
        self.metrics.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `shutdown` is there.
    ///
    /// # Errors
    /// If the disk failed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (close, closing) = watch::channel(false);
        let mut loops = JoinSet::new();
        let guests = Arc::new(Semaphore::new(GUESTS));
        for listener in self.rooms {
            loops.spawn(accept(listener, self.hall.clone(), guests.clone(), closing.clone()));
        }
        let readers = Arc::new(Semaphore::new(READERS));
        for listener in self.metrics {
            let counters = self.hall.keeper.counters.clone();
            loops.spawn(pages::accept(listener, counters, readers.clone(), closing.clone()));
        }
        let keeper = self.hall.keeper.clone();
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            failure = keeper.failed() => Err(failure.into()),
            () = look(&self.hall) => Ok(()),
        };
        close.send_replace(true);
        while loops.join_next().await.is_some() {}
        ended
    }
}

/// Waits for the server's end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that who would tell is gone: that is an end, too.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ServeError> {
    let mut bound = Vec::new();
    for &address in addresses {
        let listener = TcpListener::bind(address).await;
        bound.push(listener.map_err(|source| ServeError::Listen { address, source })?);
    }
    Ok(bound)
}

/// Looks for new sites, and forgets who is gone; never ends.
async fn look(hall: &Hall) {
    let mut tick = tokio::time::interval(LOOK);
    for count in 0_u64.. {
        tick.tick().await;
        hall.keeper.refresh();
        if count % SWEEP == 0 {
            hall.crowd.sweep(Instant::now());
        }
    }
}

async fn accept(
    listener: TcpListener,
    hall: Arc<Hall>,
    guests: Arc<Semaphore>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    if let Ok(address) = listener.local_addr() {
        info!(%address, "listening for rooms");
    }
    loop {
        let next = async {
            let guest = guests.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (socket, from) = listener.accept().await?;
            // Answers are small and must not wait for the room's acknowledgement.
            socket.set_nodelay(true)?;
            Ok::<_, io::Error>((socket, from, guest))
        };
        let (socket, from, guest) = tokio::select! {
            biased;
            () = closed(&mut closing) => break,
            // Ended connections are forgotten as they end.
            Some(_) = connections.join_next() => continue,
            accepted = next => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A room that is gone already, or no file descriptor left: both pass.
                    warn!(%error, "cannot accept");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            },
        };
        connections.spawn(connection::serve(hall.clone(), socket, from, guest, closing.clone()));
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}
