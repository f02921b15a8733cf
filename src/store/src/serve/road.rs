//! How a call reaches who can answer it, where this store is one of two. Start at [`Server::answer`] and
//! [`Server::read_point`].
//!
//! ```text
//!  write, lease  ──► this room leads? ── yes ──► here
//!                         └── no ──► the other room; then wait until readers here see it
//!  linearizable read ──► how far is the leader? ──► wait until readers here are, too ──► read here
//!  serializable read, watch ──► here
//! ```
//!
//! While nobody leads, calls wait, as long as etcd lets them (`ReqTimeout`); what has never been begun is
//! tried again, what may have been done is not.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use super::body::Body;
use super::method::{self, Call};
use super::server::{Reply, Server, refused};
use crate::engine::paired::Seat;
use crate::engine::{Engine, Standing};
use crate::peer::{CallError, Handler, LinkStatus, Peer, SnapshotSink};
use crate::refusal::Refusal;
use crate::wire::request;

mod incoming;
mod points;

use incoming::Incoming;
use points::Points;

/// As long as etcd lets a request wait for a leader: 5 s and two election timeouts.
const PATIENCE: Duration = Duration::from_secs(7);

/// How often is looked whether the link is there, which tells nobody.
const LOOK: Duration = Duration::from_millis(20);

/// When this room leads, the other one's last answers come within so long: a hand-over may overtake them.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

const DO: u8 = 1;
const POINT: u8 = 2;

const DONE: u8 = 1;
const REFUSED: u8 = 2;
const NOT_HERE: u8 = 3;

/// The link to the other room, and what it reaches here.
#[derive(Clone)]
pub struct Road {
    peer: Peer,
    inward: Arc<Inward>,
    points: Arc<Points>,
}

/// What the other room reaches: the engine at once, and calls as soon as there is a server.
struct Inward {
    engine: Engine,
    server: OnceLock<Arc<Server>>,
}

impl Road {
    /// Begins to listen for the other room and to dial it, for an engine of a pair.
    ///
    /// # Errors
    /// If the place cannot be listened on, or the certificates cannot be used.
    pub async fn open(
        config: crate::peer::Config,
        engine: &Engine,
    ) -> Result<Road, crate::peer::PeerError> {
        let inward = Arc::new(Inward { engine: engine.clone(), server: OnceLock::new() });
        let peer = Peer::start(config, inward.clone()).await?;
        engine.link(Arc::new(peer.clone()));
        Ok(Road { peer, inward, points: Arc::default() })
    }

    /// The link.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn reaches(&self, server: &Arc<Server>) {
        // A second server of one engine would answer alike.
        let _ = self.inward.server.set(server.clone());
    }
}

impl crate::engine::Link for Peer {
    fn send(&self, packet: Bytes, urgent: bool) {
        Peer::send(self, packet.into(), urgent);
    }

    fn send_snapshot(&self, head: Bytes, chunks: Box<dyn Iterator<Item = Vec<u8>> + Send>) {
        Peer::send_snapshot(self, head, chunks);
    }
}

impl Handler for Inward {
    fn frame(&self, frame: Bytes) {
        self.engine.hear(&frame);
    }

    fn snapshot(&self, head: Bytes) -> Box<dyn SnapshotSink> {
        Box::new(Incoming::begin(self.engine.clone(), head))
    }

    fn call(&self, request: Bytes) -> std::pin::Pin<Box<dyn Future<Output = Bytes> + Send>> {
        let (server, engine) = (self.server.get().cloned(), self.engine.clone());
        Box::pin(async move { answer(server, &engine, request).await })
    }
}

/// Answers the other room.
async fn answer(server: Option<Arc<Server>>, engine: &Engine, mut request: Bytes) -> Bytes {
    let not_here = || Bytes::from_static(&[NOT_HERE]);
    let (Some(server), Some(seat)) = (server, engine.seat()) else { return not_here() };
    if request.is_empty() {
        return not_here();
    }
    match request.get_u8() {
        // In this order: what is published after this room was sure of its lease has all that anybody was
        // told before.
        POINT if seat.serves() => done(engine.index(), &[]),
        DO => {
            let Some((call, message)) = read_call(request) else { return not_here() };
            match server.here(call, message).await {
                Err(status) if is_elsewhere(&status) => not_here(),
                Err(status) => {
                    let code = u8::try_from(status.code() as i32).unwrap_or_default();
                    let mut out = vec![REFUSED, code];
                    out.extend(status.message().as_bytes());
                    out.into()
                }
                Ok(body) => match body.into_message() {
                    Some(message) => done(engine.index(), &message),
                    None => not_here(),
                },
            }
        }
        _ => not_here(),
    }
}

/// An answer, and the entry with which readers see what it tells.
fn done(index: u64, message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(9 + message.len());
    out.push(DONE);
    out.put_u64_le(index);
    out.extend(message);
    out.into()
}

/// A call as it goes over the link: the length of its path, the path, the message.
fn write_call(call: Call, message: &[u8]) -> Bytes {
    let path = method::METHODS[call as usize].path.as_bytes();
    let mut out = Vec::with_capacity(2 + path.len() + message.len());
    out.push(DO);
    out.push(u8::try_from(path.len()).expect("paths are short"));
    out.extend(path);
    out.extend(message);
    out.into()
}

fn read_call(mut request: Bytes) -> Option<(Call, Bytes)> {
    let length = usize::from(request.try_get_u8().ok()?);
    if request.len() < length {
        return None;
    }
    let path = request.split_to(length);
    let call = method::find(std::str::from_utf8(&path).ok()?)?.call;
    is_leaders(call).then_some((call, request))
}

/// Whether only the leader can answer it. A transaction that only reads is answered anywhere.
fn is_leaders(call: Call) -> bool {
    matches!(
        call,
        Call::Put
            | Call::Txn
            | Call::DeleteRange
            | Call::Compact
            | Call::LeaseGrant
            | Call::LeaseRevoke
            | Call::LeaseKeepAlive
            | Call::LeaseTimeToLive
    )
}

fn is_elsewhere(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message() == Refusal::NotLeading.to_string()
}

impl Server {
    /// Answers a call of a client, here or by the other room.
    pub(super) async fn answer(&self, call: Call, message: Bytes) -> Reply {
        let Some((road, seat)) = self.road() else { return self.here(call, message).await };
        let reads = || request::txn(&message).is_ok_and(|read| read.request.is_read_only());
        if !is_leaders(call) || (call == Call::Txn && reads()) {
            return self.here(call, message).await;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let mut changes = seat.changes();
            let standing = *changes.borrow_and_update();
            let tried = match standing {
                Standing::Leads => match self.here(call, message.clone()).await {
                    Err(status) if is_elsewhere(&status) => None,
                    reply => Some(reply),
                },
                Standing::Follows => there(road, seat, write_call(call, &message), end).await,
                Standing::Apart => None,
            };
            if let Some(reply) = tried {
                return reply;
            }
            pause(&mut changes, end).await?;
        }
    }

    /// Returns when readers here see everything that anybody was told before the call: at once for a
    /// single store, and for a leader that is sure to be one.
    pub(super) async fn read_point(&self) -> Result<(), Status> {
        let Some((road, seat)) = self.road() else { return Ok(()) };
        let end = Instant::now() + PATIENCE;
        loop {
            let mut changes = seat.changes();
            if seat.serves() {
                return Ok(());
            }
            if *changes.borrow_and_update() == Standing::Follows {
                let asked = road.points.answered(end, || level(road, seat, end));
                let level = tokio::select! {
                    level = asked => level,
                    // A read may be asked again, and somebody else may know now.
                    _ = changes.changed() => continue,
                };
                if level {
                    return Ok(());
                }
            }
            pause(&mut changes, end).await?;
        }
    }

    /// How the link to the other room is, where there is one.
    pub(super) fn link(&self) -> Option<LinkStatus> {
        self.road.as_ref().map(|road| road.peer.status())
    }

    fn road(&self) -> Option<(&Road, &Seat)> {
        self.road.as_ref().zip(self.engine.seat())
    }
}

/// Waits for something to change, or a moment.
async fn pause(
    changes: &mut tokio::sync::watch::Receiver<Standing>,
    end: Instant,
) -> Result<(), Status> {
    let now = Instant::now();
    if now >= end {
        return Err(refused(&Refusal::NoLeader));
    }
    tokio::select! {
        _ = changes.changed() => {}
        () = sleep(LOOK.min(end - now)) => {}
    }
    Ok(())
}

/// Asks how far the leader is; true once readers here are, too.
async fn level(road: &Road, seat: &Seat, end: Instant) -> bool {
    let left = end.saturating_duration_since(Instant::now()).max(LOOK);
    let Ok(mut answer) = road.peer.call(Bytes::from_static(&[POINT]), left).await else {
        return false;
    };
    match (answer.try_get_u8(), answer.try_get_u64_le()) {
        (Ok(DONE), Ok(index)) => timeout_at(end, seat.reach(index)).await.is_ok(),
        _ => false,
    }
}

/// Has the other room answer; none if it has not even begun.
async fn there(road: &Road, seat: &Seat, request: Bytes, end: Instant) -> Option<Reply> {
    let left = end.saturating_duration_since(Instant::now()).max(LOOK);
    let mut changes = seat.changes();
    if *changes.borrow_and_update() == Standing::Leads {
        return None;
    }
    // A leader that stands still never answers, and its connection does not break.
    let taken_over = async {
        let _ = changes.wait_for(|standing| *standing == Standing::Leads).await;
        sleep(LAST_ANSWERS).await;
    };
    let answer = tokio::select! {
        biased;
        answer = road.peer.call(request, left) => answer,
        () = taken_over => Err(CallError::BrokeOff),
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(CallError::NoConnection | CallError::TooManyWaiting) => return None,
        Err(_) => return Some(Err(refused(&Refusal::LeaderLost))),
    };
    match answer.try_get_u8() {
        Ok(DONE) if answer.len() >= 8 => {
            let index = answer.get_u64_le();
            // Whoever reads here next is to see what was answered. It is done in any case.
            let _ = timeout_at(end, seat.reach(index)).await;
            Some(Ok(Body::message(answer)))
        }
        Ok(REFUSED) if !answer.is_empty() => {
            let code = Code::from_i32(answer.get_u8().into());
            Some(Err(Status::new(code, String::from_utf8_lossy(&answer))))
        }
        _ => None,
    }
}
