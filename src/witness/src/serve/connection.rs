//! One connection of a room: handshake, hellos, then a question and its answer, again and again. Start at
//! [`serve`]. Whatever is wrong with it ends this connection and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pair::witness::Request;
use rustls::pki_types::CertificateDer;
use rustls::time_provider::TimeProvider as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::certificates::Certificates;
use super::closed;
use super::crowd::{Crowd, Seat};
use super::rooms::{Clock, Rooms};
use crate::count::kind;
use crate::keeper::Keeper;
use crate::name::Caller;
use crate::wire::{self, Answer, Hello, Question, Refused, WireError};

/// How long a room may take to read an answer.
const READS_WITHIN: Duration = Duration::from_secs(10);

/// What every connection has of the server.
#[derive(Debug)]
pub(crate) struct Hall {
    pub(crate) keeper: Keeper,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) certificates: Certificates,
    pub(crate) clock: Clock,
    pub(crate) seats: Arc<Semaphore>,
    /// How long the handshake and the hellos may take.
    pub(crate) handshake: Duration,
    /// How long a room may be silent.
    pub(crate) idle: Duration,
}

/// Serves a connection until it ends, or `closing` is true. `guest` is its place among those that are not
/// let in yet.
pub(crate) async fn serve(
    hall: Arc<Hall>,
    socket: TcpStream,
    from: SocketAddr,
    guest: OwnedSemaphorePermit,
    mut closing: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(hall.certificates.current());
    let handshake = acceptor.accept(socket);
    let socket = match timeout(hall.handshake, handshake).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            hall.keeper.counters.strangers.add(1);
            debug!(%from, %error, "not let in");
            return;
        }
        Err(_) => {
            hall.keeper.counters.strangers.add(1);
            debug!(%from, "no handshake came");
            return;
        }
    };
    let Some(visit) = Visit::begin(&hall, socket) else { return };
    drop(guest);
    // Held until the end.
    let Ok(_place) = hall.seats.clone().try_acquire_owned() else {
        warn!(%from, "all connections are taken; --max-connections says how many there are");
        return;
    };
    let caller = visit.caller.clone();
    debug!(%from, room = %caller, "let in");
    let ended = tokio::select! {
        ended = visit.run() => ended,
        () = closed(&mut closing) => return,
    };
    match ended {
        Ok(()) | Err(WireError::Closed | WireError::Io(_) | WireError::Silent(_)) => {
            debug!(%from, room = %caller, "gone");
        }
        Err(error) => info!(%from, room = %caller, %error, "the connection was ended"),
    }
}

/// A room that was let in.
struct Visit<'a> {
    hall: &'a Hall,
    caller: Caller,
    chain: Vec<CertificateDer<'static>>,
    socket: TlsStream<TcpStream>,
    seat: Seat,
}

impl<'a> Visit<'a> {
    fn begin(hall: &'a Hall, socket: TlsStream<TcpStream>) -> Option<Visit<'a>> {
        let chain: Vec<_> = socket
            .get_ref()
            .1
            .peer_certificates()?
            .iter()
            .map(|one| one.clone().into_owned())
            .collect();
        let caller = judge(hall, &chain).ok()?;
        let seat = hall.crowd.enter(&caller, Instant::now());
        Some(Visit { hall, caller, chain, socket, seat })
    }

    async fn run(mut self) -> Result<(), WireError> {
        // A connection costs more than a question, and counts as one.
        if let Err(wait) = self.hall.crowd.take(&self.caller.site, Instant::now()) {
            tokio::time::sleep(wait).await;
        }
        let handshake = self.hall.handshake;
        let hellos = async {
            wire::send(&mut self.socket, &Hello::ours().encode()).await?;
            Hello::decode(&wire::receive(&mut self.socket).await?)
        };
        let theirs =
            timeout(handshake, hellos).await.map_err(|_| WireError::Silent(handshake))??;
        debug!(room = %self.caller, release = %theirs.release, "hello");
        loop {
            let idle = self.hall.idle;
            let bytes = tokio::select! {
                received = timeout(idle, wire::receive(&mut self.socket)) => {
                    received.map_err(|_| WireError::Silent(idle))??
                }
                _ = &mut self.seat.replaced => {
                    debug!(room = %self.caller, "a newer connection of the room takes its place");
                    return Ok(());
                }
            };
            let (number, answer, then) = self.answer(&bytes).await?;
            let bytes = wire::encode(number, &answer);
            timeout(READS_WITHIN, wire::send(&mut self.socket, &bytes))
                .await
                .map_err(|_| WireError::Silent(READS_WITHIN))??;
            match then {
                Then::GoOn => {}
                // Who asks too often is not read any further meanwhile.
                Then::Wait(wait) => tokio::time::sleep(wait).await,
                Then::End => return Ok(()),
            }
        }
    }

    async fn answer(&self, bytes: &[u8]) -> Result<(u64, Answer, Then), WireError> {
        let (number, question) = match wire::decode::<Question>(bytes) {
            Ok(asked) => asked,
            Err((None, error)) => return Err(error),
            Err((Some(number), error)) => {
                let refused = Refused::Question(error.to_string());
                return Ok((number, Answer::Refused(refused), Then::End));
            }
        };
        let refused = |refused: Refused, then| {
            let answer = Answer::Refused(refused);
            self.hall.keeper.counters.answered(kind(&question), &answer);
            Ok((number, answer, then))
        };
        if let Err(wait) = self.hall.crowd.take(&self.caller.site, Instant::now()) {
            let wait_ms = wait.as_millis() as u64 + 1;
            return refused(Refused::Busy { wait_ms }, Then::Wait(wait));
        }
        if let Err(reason) = judge(self.hall, &self.chain) {
            warn!("no longer accepted: {reason}");
            return refused(Refused::Certificate(reason), Then::End);
        }
        if let Question::Ask(Request::Grant { room: asked, .. }) = question {
            let certificate = self.caller.room;
            if asked != certificate {
                return refused(Refused::OtherRoom { certificate, asked }, Then::GoOn);
            }
        }
        let at = self.hall.clock.now();
        let answer = self.hall.keeper.ask(&self.caller.site, question, at).await;
        Ok((number, answer, Then::GoOn))
    }
}

/// What follows an answer.
enum Then {
    GoOn,
    Wait(Duration),
    End,
}

fn judge(hall: &Hall, chain: &[CertificateDer<'static>]) -> Result<Caller, String> {
    let (first, rest) = chain.split_first().ok_or("there is none")?;
    let now = hall.clock.current_time().ok_or("there is no clock")?;
    hall.rooms.judge(first, rest, now).map_err(|stranger| stranger.to_string())
}
