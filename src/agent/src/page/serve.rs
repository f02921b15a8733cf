//! The face to people: TCP and TLS. Start at [`Server::bind`] and [`Server::run`]. What is answered is in
//! `routes`; here is who gets so far.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use site::keys::{operator_name, room_name};
use site::{Label, Room};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::board::Board;
use super::bundle::Bundler;
use super::crowd::Crowd;
use super::patience::Patient;
use super::routes::{self, Hall, Visitor};
use crate::certificates::{Files, Renewed, TlsError, dns, has_name};

/// The largest head of a request: a browser's has some kilobytes.
const HEAD: usize = 16 << 10;

/// Connections that wait in the kernel's queue.
const QUEUE: i32 = 64;

/// How long is waited when the system has no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// How long answers that are under way have when the server ends.
const GRACE: Duration = Duration::from_secs(2);

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at one time: each takes some 50 KiB, and a service of a node has little.
    pub connections: usize,
    /// Of these, from one computer.
    pub of_one: usize,
    /// Of these, who follows the events and so stays.
    pub followers: usize,
    /// How long the handshake may take, and then the head of a request.
    pub opening: Duration,
    /// How long a reader may take nothing of what is written for it.
    pub patience: Duration,
    /// How often who follows hears something.
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 128,
            of_one: 48,
            followers: 64,
            opening: Duration::from_secs(10),
            patience: Duration::from_secs(20),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PageError {
    /// A place to listen on cannot be had.
    #[error("cannot listen on {address}")]
    #[diagnostic(
        code(network::page_listen),
        help("is another agent running? `ss -ltnp` shows who listens")
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
}

/// Places that are listened on; who comes waits until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    certificates: Arc<Renewed<ServerConfig>>,
    doors: Arc<Doors>,
    limits: Limits,
}

/// The names in certificates that tell who comes.
#[derive(Debug)]
struct Doors {
    operator: ServerName<'static>,
    rooms: [(Room, ServerName<'static>); 2],
}

impl Server {
    /// Reads the certificate, and listens on every address of this machine.
    ///
    /// # Errors
    /// If neither IPv6 nor IPv4 can be had, or the certificate cannot be used.
    pub fn bind(files: Files, site: &Label, port: u16) -> Result<Server, PageError> {
        let six = listen((Ipv6Addr::UNSPECIFIED, port).into());
        // With port 0, both get the one that was chosen first.
        let port =
            six.as_ref().ok().and_then(|six| six.local_addr().ok()).map_or(port, |at| at.port());
        let four = listen((Ipv4Addr::UNSPECIFIED, port).into());
        // A machine may have been told to be without one of the two.
        let listeners = match (six, four) {
            (Err(_), Err(error)) => return Err(error),
            (six, four) => [six, four].into_iter().filter_map(Result::ok).collect(),
        };
        Server::on(files, site, listeners)
    }

    /// The same on one address.
    ///
    /// # Errors
    /// If it cannot be had, or the certificate cannot be used.
    pub fn bind_at(files: Files, site: &Label, at: SocketAddr) -> Result<Server, PageError> {
        let listeners = vec![listen(at)?];
        Server::on(files, site, listeners)
    }

    fn on(files: Files, site: &Label, listeners: Vec<TcpListener>) -> Result<Server, PageError> {
        let [a, b] = Room::ALL.map(|room| dns(room_name(site, room)).map(|name| (room, name)));
        let doors = Doors { operator: dns(operator_name(site))?, rooms: [a?, b?] };
        let certificates = Arc::new(Renewed::load(files, Files::server)?);
        Ok(Server { listeners, certificates, doors: Arc::new(doors), limits: Limits::default() })
    }

    /// With other limits, for tests.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Server {
        Server { limits, ..self }
    }

    /// Where it listens, with the port that was chosen where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves what is on the board until `shutdown` is there.
    pub async fn run(self, board: Board, bundler: Bundler, shutdown: impl Future<Output = ()>) {
        let (close, closing) = watch::channel(false);
        let hall = Hall::new(board, bundler, self.limits);
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let crowd = Crowd::new(self.limits.of_one);
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            loops.spawn(accept(
                listener,
                Entrance {
                    certificates: self.certificates.clone(),
                    doors: self.doors.clone(),
                    hall: hall.clone(),
                    crowd: crowd.clone(),
                    limits: self.limits,
                    closing: closing.clone(),
                },
                places.clone(),
            ));
        }
        shutdown.await;
        close.send_replace(true);
        while loops.join_next().await.is_some() {}
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, PageError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(QUEUE)?;
        TcpListener::from_std(socket.into())
    };
    bound().map_err(|source| PageError::Listen { address, source })
}

/// What every connection has of the server.
#[derive(Clone)]
struct Entrance {
    certificates: Arc<Renewed<ServerConfig>>,
    doors: Arc<Doors>,
    hall: Hall,
    crowd: Crowd,
    limits: Limits,
    closing: watch::Receiver<bool>,
}

async fn accept(listener: TcpListener, entrance: Entrance, places: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    let mut closing = entrance.closing.clone();
    if let Ok(address) = listener.local_addr() {
        info!(%address, "the page is shown");
    }
    loop {
        let next = async {
            // Who comes when all places are taken waits in the kernel's queue: places become free, since
            // only who follows the events may stay.
            let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (socket, from) = listener.accept().await?;
            socket.set_nodelay(true)?;
            Ok::<_, io::Error>((socket, from, place))
        };
        let (socket, from, place) = tokio::select! {
            biased;
            () = closed(&mut closing) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            },
        };
        let Some(entered) = entrance.crowd.enter(from.ip()) else {
            debug!(%from, "there are many connections from there already");
            continue;
        };
        let entrance = entrance.clone();
        connections.spawn(async move {
            if let Err(reason) = serve(entrance, socket).await {
                // People close their browsers as they like; only who looks for a fault wants to see it.
                debug!(%from, %reason, "a connection ended");
            }
            drop((place, entered));
        });
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve(entrance: Entrance, socket: TcpStream) -> Result<(), String> {
    let Entrance { certificates, doors, hall, limits, mut closing, .. } = entrance;
    let acceptor = TlsAcceptor::from(certificates.current());
    let accepted = timeout(limits.opening, acceptor.accept(socket)).await;
    let socket =
        accepted.map_err(|_| "no handshake came".to_owned())?.map_err(|error| error.to_string())?;
    let visitor = doors.judge(socket.get_ref().1.peer_certificates().unwrap_or_default());
    let service = TowerToHyperService::new(routes::all(hall, visitor));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.opening).max_buf_size(HEAD);
    let socket = TokioIo::new(Patient::new(socket, limits.patience));
    let mut connection = std::pin::pin!(http.serve_connection(socket, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(|error| error.to_string())
}

impl Doors {
    /// Who shows this certificate, which rustls has found to be of the site's authority.
    fn judge(&self, chain: &[rustls::pki_types::CertificateDer<'_>]) -> Visitor {
        let Some(certificate) = chain.first() else { return Visitor::Anybody };
        if has_name(certificate, &self.operator) {
            return Visitor::Operator;
        }
        let room = self.rooms.iter().find(|(_, name)| has_name(certificate, name));
        room.map_or(Visitor::Anybody, |(room, _)| Visitor::Room(*room))
    }
}

/// Waits for the server's end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that who would tell is gone: that is an end, too.
    let _ = closing.wait_for(|closing| *closing).await;
}
