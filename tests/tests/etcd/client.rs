//! A client of one server: carries out an [`Op`] and gives the whole [`Answer`], refusals by code and
//! text.
//!
//! What no two servers have in common is checked here and then blanked out: the numbers of cluster and
//! member (never 0, always the same), the term, the seconds that a lease has left (never more than
//! granted), and the order of what etcd lists in the order of a Go map or of its clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::wire::{MAX_MESSAGE, etcdserverpb as pb};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::watch_client::WatchClient;

use crate::program::{Op, STREAMS};
use crate::stream::Stream;

/// A server that does not answer for so long has failed; a stall of the disk lasts a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a server said to a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Range(pb::RangeResponse),
    Put(pb::PutResponse),
    Delete(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compact(pb::CompactionResponse),
    Grant(pb::LeaseGrantResponse),
    Revoke(pb::LeaseRevokeResponse),
    KeepAlive(pb::LeaseKeepAliveResponse),
    TimeToLive(pb::LeaseTimeToLiveResponse),
    Leases(pb::LeaseLeasesResponse),
    HashKv(pb::HashKvResponse),
    Watch(pb::WatchResponse),
    /// To a step that asks more than once.
    All(Vec<Answer>),
    /// Nothing was asked.
    Nothing,
    Refused(Code, String),
}

impl Answer {
    /// Its kind, in a word.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Answer::Range(_) => "range",
            Answer::Put(_) => "put",
            Answer::Delete(_) => "delete",
            Answer::Txn(answer) if answer.succeeded => "txn, then",
            Answer::Txn(_) => "txn, else",
            Answer::Compact(_) => "compact",
            Answer::Grant(_) => "grant",
            Answer::Revoke(_) => "revoke",
            Answer::KeepAlive(_) => "keep alive",
            Answer::TimeToLive(_) => "time to live",
            Answer::Leases(_) => "leases",
            Answer::HashKv(_) => "hash",
            Answer::Watch(answer) if answer.canceled => "no watch",
            Answer::Watch(_) => "watch",
            Answer::All(_) => "several",
            Answer::Nothing => "nothing",
            Answer::Refused(..) => "refused",
        }
    }

    /// The store's revision, if the answer has one.
    pub(crate) fn revision(&self) -> Option<i64> {
        let header = match self {
            Answer::Put(answer) => &answer.header,
            Answer::Delete(answer) => &answer.header,
            Answer::Txn(answer) => &answer.header,
            Answer::Revoke(answer) => &answer.header,
            Answer::Range(answer) => &answer.header,
            _ => return None,
        };
        header.as_ref().map(|header| header.revision)
    }
}

/// Who the server says it is; from one connection to the next.
#[derive(Debug)]
pub(crate) struct Identity {
    /// How many members a cluster has.
    members: usize,
    known: Mutex<(u64, BTreeSet<u64>)>,
}

impl Default for Identity {
    fn default() -> Identity {
        Identity::of(1)
    }
}

impl Identity {
    /// That of a cluster with so many members, of whom any may answer.
    pub(crate) fn of(members: usize) -> Identity {
        Identity { members, known: Mutex::default() }
    }

    /// Checks a header and blanks out what differs between servers.
    fn check(&self, header: &mut Option<pb::ResponseHeader>) -> Result<(), String> {
        let Some(header) = header else { return Err("an answer without a header".into()) };
        let mut known = self.known.lock().expect("no holder panics");
        if known.1.is_empty() {
            known.0 = header.cluster_id;
        }
        known.1.insert(header.member_id);
        let named = header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0;
        if !named || header.cluster_id != known.0 || known.1.len() > self.members {
            return Err(format!("known as {known:?}, and now {header:?}"));
        }
        (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
        Ok(())
    }
}

type Alive =
    (mpsc::UnboundedSender<pb::LeaseKeepAliveRequest>, Streaming<pb::LeaseKeepAliveResponse>);

/// A connection to one server, with its watch streams.
pub(crate) struct Client {
    pub(crate) kv: KvClient<Channel>,
    pub(crate) watch: WatchClient<Channel>,
    lease: LeaseClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
    alive: AsyncMutex<Option<Alive>>,
    granted: Mutex<BTreeMap<i64, (Instant, i64)>>,
    identity: std::sync::Arc<Identity>,
    pub(crate) streams: Vec<Stream>,
}

impl Client {
    /// Connects; with as many watch streams as the programs use.
    pub(crate) async fn connect(
        endpoint: &str,
        identity: std::sync::Arc<Identity>,
    ) -> Result<Client, String> {
        let channel = channel(endpoint).await?;
        let mut client = Client {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            lease: LeaseClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            maintenance: MaintenanceClient::new(channel),
            alive: AsyncMutex::new(None),
            granted: Mutex::default(),
            identity,
            streams: Vec::new(),
        };
        for _ in 0..STREAMS {
            client.streams.push(Stream::open(client.watch.clone()).await?);
        }
        Ok(client)
    }

    /// Begins a stream anew, without the watches that it had.
    pub(crate) async fn reopen(&mut self, stream: usize) -> Result<(), String> {
        self.streams[stream] = Stream::open(self.watch.clone()).await?;
        Ok(())
    }

    /// Carries out a step, except those that are about the server or about both.
    pub(crate) async fn run(&self, op: &Op) -> Answer {
        let answer = timeout(PATIENCE, self.ask(op)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
        let mut answer = answer
            .unwrap_or_else(|status| Answer::Refused(status.code(), status.message().to_owned()));
        if let Err(fault) = self.blank(&mut answer) {
            // No server says this, so the other one's answer differs.
            answer = Answer::Refused(Code::Internal, format!("the test found {fault}"));
        }
        answer
    }

    async fn ask(&self, op: &Op) -> Result<Answer, Status> {
        let (mut kv, mut lease) = (self.kv.clone(), self.lease.clone());
        Ok(match op.clone() {
            Op::Range(range) => Answer::Range(kv.range(range).await?.into_inner()),
            Op::Put(put) => Answer::Put(kv.put(put).await?.into_inner()),
            Op::Delete(delete) => Answer::Delete(kv.delete_range(delete).await?.into_inner()),
            Op::Txn(txn) => Answer::Txn(kv.txn(txn).await?.into_inner()),
            Op::Compact(compact) => Answer::Compact(kv.compact(compact).await?.into_inner()),
            Op::Grant(grant) => {
                let granted = lease.lease_grant(grant).await?.into_inner();
                let mut known = self.granted.lock().expect("no holder panics");
                known.insert(granted.id, (Instant::now(), granted.ttl));
                Answer::Grant(granted)
            }
            Op::GrantBriefly(grant) => self.grant_briefly(grant).await?,
            Op::Revoke(id) => {
                let request = pb::LeaseRevokeRequest { id };
                Answer::Revoke(lease.lease_revoke(request).await?.into_inner())
            }
            Op::KeepAlive(id) => Answer::KeepAlive(self.keep_alive(id).await?),
            Op::TimeToLive(request) => {
                Answer::TimeToLive(lease.lease_time_to_live(request).await?.into_inner())
            }
            Op::Leases => {
                let request = pb::LeaseLeasesRequest {};
                Answer::Leases(lease.lease_leases(request).await?.into_inner())
            }
            Op::HashKv(revision) => {
                let request = pb::HashKvRequest { revision };
                Answer::HashKv(self.maintenance.clone().hash_kv(request).await?.into_inner())
            }
            Op::Watch(stream, create) => Answer::Watch(self.streams[stream].create(create).await?),
            // These are no one server's.
            Op::Cancel(..) | Op::Settle | Op::Restart { .. } | Op::Fault(_) => Answer::Nothing,
        })
    }

    /// A lease that lives for a few answers. Its number may be the store's own choice, so it is held
    /// against what the next answers say, and blanked out.
    async fn grant_briefly(&self, grant: pb::LeaseGrantRequest) -> Result<Answer, Status> {
        let mut lease = self.lease.clone();
        let mut granted = lease.lease_grant(grant).await?.into_inner();
        let id = granted.id;
        let ask = pb::LeaseTimeToLiveRequest { id, keys: true };
        let mut left = lease.lease_time_to_live(ask).await?.into_inner();
        let alive = self.keep_alive(id).await?.ttl;
        let revoked = lease.lease_revoke(pb::LeaseRevokeRequest { id }).await?.into_inner();
        let known = granted.id > 0 && granted.id == left.id && alive == granted.ttl;
        if !known || left.ttl > granted.ttl || left.ttl < granted.ttl - 1 {
            return Err(Status::internal(format!("{granted:?}, then {left:?}, then {alive}")));
        }
        if grant.id == 0 {
            (granted.id, left.id) = (0, 0);
        }
        left.ttl = left.granted_ttl;
        let all = [Answer::Grant(granted), Answer::TimeToLive(left), Answer::Revoke(revoked)];
        Ok(Answer::All(all.into()))
    }

    async fn keep_alive(&self, id: i64) -> Result<pb::LeaseKeepAliveResponse, Status> {
        let mut alive = self.alive.lock().await;
        let request = pb::LeaseKeepAliveRequest { id };
        let (send, receive) = match &mut *alive {
            Some(open) => {
                let _ = open.0.send(request);
                (&open.0, &mut open.1)
            }
            none => {
                // etcd opens the stream with its first answer, so the first question goes before.
                let (send, questions) = mpsc::unbounded_channel();
                let _ = send.send(request);
                let questions = UnboundedReceiverStream::new(questions);
                let answers = self.lease.clone().lease_keep_alive(questions).await?.into_inner();
                let open = none.insert((send, answers));
                (&open.0, &mut open.1)
            }
        };
        debug_assert!(!send.is_closed());
        receive.message().await?.ok_or_else(|| Status::unavailable("the stream ended"))
    }

    /// Checks and blanks out what is a server's own.
    fn blank(&self, answer: &mut Answer) -> Result<(), String> {
        let header = match answer {
            Answer::Range(answer) => &mut answer.header,
            Answer::Put(answer) => &mut answer.header,
            Answer::Delete(answer) => &mut answer.header,
            Answer::Txn(answer) => &mut answer.header,
            Answer::Compact(answer) => &mut answer.header,
            Answer::Grant(answer) => &mut answer.header,
            Answer::Revoke(answer) => &mut answer.header,
            Answer::KeepAlive(answer) => &mut answer.header,
            Answer::HashKv(answer) => &mut answer.header,
            Answer::Watch(answer) => &mut answer.header,
            Answer::TimeToLive(answer) => {
                // In the order of a Go map.
                answer.keys.sort();
                if answer.ttl > 0 {
                    self.check_time(answer)?;
                    answer.ttl = answer.granted_ttl;
                }
                &mut answer.header
            }
            Answer::Leases(answer) => {
                // In the order of the time that is left.
                answer.leases.sort_by_key(|lease| lease.id);
                &mut answer.header
            }
            Answer::All(answers) => {
                return answers.iter_mut().try_for_each(|answer| self.blank(answer));
            }
            Answer::Nothing | Answer::Refused(..) => return Ok(()),
        };
        self.identity.check(header)
    }

    /// A lease has no more time left than it was granted, and has lost no more than has gone by.
    fn check_time(&self, left: &pb::LeaseTimeToLiveResponse) -> Result<(), String> {
        let known = self.granted.lock().expect("no holder panics").get(&left.id).copied();
        // One of before a restart; both servers begin it anew.
        let Some((since, _)) = known else { return Ok(()) };
        let gone = i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX);
        let sound = left.ttl <= left.granted_ttl && left.ttl >= left.granted_ttl - gone - 2;
        if sound { Ok(()) } else { Err(format!("{left:?} {gone} s after the grant")) }
    }

    /// A step, for tests that know what they ask.
    pub(crate) async fn put(&self, key: &[u8], value: &[u8], lease: i64) -> Answer {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.run(&Op::Put(pb::PutRequest { key, value, lease, ..Default::default() })).await
    }
}

/// A channel to an endpoint that listens already.
pub(crate) async fn channel(endpoint: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| error.to_string())?;
    let endpoint = endpoint.tcp_nodelay(true).connect_timeout(PATIENCE);
    endpoint.connect().await.map_err(|error| format!("cannot connect: {error:?}"))
}
