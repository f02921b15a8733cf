//! What every call is answered from, and who answers it. Start at [`Server::call`].

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tower::ServiceExt;

use super::body::Body;
use super::count::{Counters, Running};
use super::end::Ending;
use super::grpc::{self, Messages};
use super::method::{self, Call, Kind, Method};
use super::road::Road;
use super::{
    auth, cluster, health, http as pages, kv, lease, maintenance, pair, reflection, watches,
};
use crate::config::Config;
use crate::engine::{Answer, Engine};
use crate::refusal::Refusal;
use crate::wire::response::Header;

/// What a message may have beyond the largest request (etcd's `grpcOverheadBytes`).
const OVERHEAD_BYTES: usize = 512 << 10;

/// What etcd's log entry adds to a request when it is held against the largest: the entry's header with
/// a request number, and the tag and length of the request itself (measured with 3.5.16).
const ENTRY_BYTES: usize = 17;

/// A running server.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) counters: Arc<Counters>,
    pub(crate) advertise_client_urls: Vec<String>,
    /// The way to the other room, where this store is one of two.
    pub(super) road: Option<Road>,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_txn_ops: usize,
    pub(crate) started: SystemTime,
    /// True when the server ends.
    pub(crate) closing: watch::Receiver<bool>,
    /// Why the store cannot go on, once it cannot.
    pub(crate) broken: watch::Receiver<Option<String>>,
    budget: Arc<Semaphore>,
    reflection: reflection::Both,
}

/// One message in answer, or a range's pieces.
pub(crate) type Reply = Result<Body, Status>;

/// The status that a refusal is on the wire.
pub(crate) fn refused(refusal: &Refusal) -> Status {
    Status::new(tonic::Code::from_i32(refusal.code() as i32), refusal.to_string())
}

impl Server {
    pub(crate) fn new(
        engine: Engine,
        config: &Config,
        road: Option<Road>,
        closing: watch::Receiver<bool>,
        broken: watch::Receiver<Option<String>>,
    ) -> Server {
        Server {
            engine,
            counters: Arc::new(Counters::new()),
            advertise_client_urls: config.advertise_client_urls.clone(),
            road,
            max_request_bytes: config.max_request_bytes as usize,
            max_txn_ops: config.max_txn_ops,
            started: SystemTime::now(),
            closing,
            broken,
            budget: grpc::budget(),
            reflection: reflection::Both::new(),
        }
    }

    /// How large a message may be.
    pub(crate) fn max_message_bytes(&self) -> usize {
        self.max_request_bytes + OVERHEAD_BYTES
    }

    /// The header of an answer.
    pub(crate) fn header<T>(&self, answer: &Answer<T>) -> Header {
        let (cluster_id, member_id) = self.ids();
        Header { cluster_id, member_id, revision: answer.revision, raft_term: answer.term }
    }

    /// The cluster and this member of it, as clients know them.
    pub(crate) fn ids(&self) -> (u64, u64) {
        let own = self.engine.identity();
        self.engine.seat().map_or((own.cluster_id, own.member_id), |seat| {
            (seat.cluster_id(), seat.member_id(seat.place.room))
        })
    }

    /// Refuses what would be too large for etcd's log; reads are not held against that.
    pub(crate) fn fits(&self, message: &Bytes) -> Result<(), Status> {
        if message.len() + ENTRY_BYTES > self.max_request_bytes {
            return Err(refused(&Refusal::TooLarge));
        }
        Ok(())
    }

    /// Answers on a metrics URL: how the store is, and how the pair is.
    pub(crate) async fn tell<B>(&self, request: &Request<B>) -> Response<Body> {
        if request.uri().path().starts_with(pair::PATH) {
            return Box::pin(pair::answer(self, request, false)).await;
        }
        pages::metrics_only(self, request)
    }

    /// Answers any request of a client; `local` if it came over a unix socket.
    pub(crate) async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        local: bool,
    ) -> Response<Body> {
        if request.uri().path().starts_with(pair::PATH) {
            return Box::pin(pair::answer(&self, &request, local)).await;
        }
        if !grpc::is_grpc(request.headers()) || request.version() != Version::HTTP_2 {
            return pages::client(&self, &request);
        }
        let Some(method) = method::find(request.uri().path()) else {
            return self.unlisted(request).await;
        };
        let deadline = grpc::timeout(request.headers()).map(|left| Instant::now() + left);
        let running = Running::start(&self.counters, method.call);
        let limit = self.max_message_bytes();
        let messages = Messages::new(request.into_body(), limit, self.budget.clone());
        match method.kind {
            Kind::Unary => self.unary(method.call, messages, running, deadline).await,
            _ => self.stream(method, messages, running, deadline).await,
        }
    }

    /// Reflection, or nothing that is known.
    async fn unlisted(&self, request: Request<Incoming>) -> Response<Body> {
        match self.reflection.find(request.uri().path()) {
            Some(service) => match service.oneshot(request).await {
                Ok(response) => response.map(Body::foreign),
                Err(never) => match never {},
            },
            None => Status::unimplemented(method::unknown(request.uri().path())).into_http(),
        }
    }

    async fn unary(
        &self,
        call: Call,
        mut messages: Messages<Incoming>,
        mut running: Running,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let work = async {
            let message = messages.only().await?;
            self.counters.received(call, message.len());
            self.answer(call, message).await
        };
        let reply = match deadline {
            None => work.await,
            Some(deadline) => timeout_at(deadline, work)
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded"))),
        };
        match reply {
            Ok(body) => {
                running.end(tonic::Code::Ok);
                self.counters.sent(call, body.weight());
                grpc::answer(body)
            }
            Err(status) => {
                running.end(status.code());
                status.into_http()
            }
        }
    }

    /// Answers from what is here, or refuses as one who does not lead.
    pub(super) async fn here(&self, call: Call, message: Bytes) -> Reply {
        match call {
            Call::Range => kv::range(self, &message).await,
            Call::Put => kv::put(self, message).await,
            Call::Txn => kv::txn(self, message).await,
            // Boxed, so that the calls above do not carry the others' state about.
            _ => Box::pin(self.seldom(call, message)).await,
        }
    }

    async fn seldom(&self, call: Call, message: Bytes) -> Reply {
        match call {
            Call::DeleteRange => kv::delete_range(self, message).await,
            Call::Compact => kv::compact(self, message).await,
            Call::LeaseGrant | Call::LeaseRevoke | Call::LeaseTimeToLive | Call::LeaseLeases => {
                lease::unary(self, call, message).await
            }
            Call::Status
            | Call::Alarm
            | Call::Defragment
            | Call::Hash
            | Call::HashKv
            | Call::MoveLeader
            | Call::Downgrade => maintenance::unary(self, call, message).await,
            Call::LeaseKeepAlive => lease::renew(self, message).await,
            Call::MemberList
            | Call::MemberAdd
            | Call::MemberRemove
            | Call::MemberUpdate
            | Call::MemberPromote => cluster::unary(self, call, message),
            Call::HealthCheck => health::check(self, message),
            _ => auth::unary(self, call, message),
        }
    }

    async fn stream(
        self: Arc<Self>,
        method: &'static Method,
        messages: Messages<Incoming>,
        mut running: Running,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let opened = match method.call {
            Call::Watch => watches::open(&self, messages),
            Call::LeaseKeepAlive => Ok(lease::keep_alive(self.clone(), messages)),
            Call::Snapshot => maintenance::snapshot(self.clone(), messages).await,
            _ => health::watch(&self, messages).await,
        };
        match opened {
            Ok(answers) => {
                let answers = Ending::new(answers, self.closing.clone(), deadline);
                grpc::answer(Body::stream(Box::pin(answers), running))
            }
            Err(status) => {
                running.end(status.code());
                status.into_http()
            }
        }
    }
}
