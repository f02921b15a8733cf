//! What the clients do: puts, the transactions that Kubernetes makes, reads and lists.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tests::chance::Chance;
use tests::wire::{MAX_MESSAGE, etcdserverpb as pb, if_unchanged};
use tonic::Status;

use pb::kv_client::KvClient;
use pb::request_op::Request;
use pb::response_op::Response;

use crate::channel::Channel;
use crate::load::Work;

/// Bytes of a value of a plain put: those of etcd's own benchmark.
pub(crate) const VALUE: usize = 256;

/// Bytes of an object of Kubernetes: a small pod.
pub(crate) const OBJECT: usize = 1 << 10;

/// Objects of a page of a list: kubectl's.
pub(crate) const PAGE: i64 = 500;

/// Bytes that do not compress to nothing.
pub(crate) fn bytes(seed: u64, length: usize) -> Bytes {
    let mut chance = Chance::new(seed);
    (0..length.div_ceil(8)).flat_map(|_| chance.number().to_le_bytes()).take(length).collect()
}

pub(crate) fn client(channel: Channel) -> KvClient<Channel> {
    let origin = channel.origin.clone();
    KvClient::with_origin(channel, origin).max_decoding_message_size(MAX_MESSAGE)
}

/// Puts to keys of its own, in turn.
pub(crate) struct Puts {
    pub(crate) kv: KvClient<Channel>,
    pub(crate) keys: Vec<Bytes>,
    pub(crate) value: Bytes,
    pub(crate) next: usize,
}

impl Puts {
    pub(crate) fn new(id: usize, channel: Channel) -> Puts {
        let keys = (0..100).map(|key| format!("puts/{id:06}/{key:06}").into()).collect();
        Puts { kv: client(channel), keys, value: bytes(id as u64, VALUE), next: 0 }
    }
}

impl Work for Puts {
    async fn step(&mut self) -> Result<(), Status> {
        self.next = (self.next + 1) % self.keys.len();
        let (key, value) = (self.keys[self.next].clone(), self.value.clone());
        self.kv.put(pb::PutRequest { key, value, ..Default::default() }).await.map(drop)
    }
}

/// Creates an object, updates it three times, deletes it, as an API server does.
pub(crate) struct Objects {
    kv: KvClient<Channel>,
    id: usize,
    number: usize,
    stage: usize,
    revision: i64,
    value: Bytes,
}

impl Objects {
    /// A client that nobody was before: what an earlier run left does not stand in its way.
    pub(crate) fn new(_: usize, channel: Channel) -> Objects {
        static CLIENTS: AtomicUsize = AtomicUsize::new(0);
        let id = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let value = bytes(id as u64, OBJECT);
        Objects { kv: client(channel), id, number: 0, stage: 0, revision: 0, value }
    }
}

/// The transaction that creates a key.
pub(crate) fn create(key: &Bytes, value: &Bytes) -> pb::TxnRequest {
    let (key, value) = (key.clone(), value.clone());
    let put = pb::PutRequest { key: key.clone(), value, ..Default::default() };
    if_unchanged(&key, 0, Request::RequestPut(put))
}

impl Work for Objects {
    async fn step(&mut self) -> Result<(), Status> {
        let key = Bytes::from(format!("/registry/pods/{:06}/{:08}", self.id, self.number));
        let value = self.value.clone();
        let then = if self.stage < 4 {
            Request::RequestPut(pb::PutRequest { key: key.clone(), value, ..Default::default() })
        } else {
            let delete = pb::DeleteRangeRequest { key: key.clone(), ..Default::default() };
            Request::RequestDeleteRange(delete)
        };
        let revision = if self.stage == 0 { 0 } else { self.revision };
        let answer = self.kv.txn(if_unchanged(&key, revision, then)).await;
        let done = answer.and_then(|answer| {
            let answer = answer.into_inner();
            let lost = || Status::aborted("somebody else has changed the object");
            if answer.succeeded { Ok(answer) } else { Err(lost()) }
        });
        match done {
            Ok(answer) => {
                self.revision = written(&answer);
                self.stage = (self.stage + 1) % 5;
                self.number += usize::from(self.stage == 0);
                Ok(())
            }
            // Whether it was done is unknown: on to another object.
            Err(status) => {
                (self.stage, self.number) = (0, self.number + 1);
                Err(status)
            }
        }
    }
}

/// The revision of what a transaction wrote.
fn written(answer: &pb::TxnResponse) -> i64 {
    let header = match answer.responses.first().and_then(|one| one.response.as_ref()) {
        Some(Response::ResponsePut(put)) => put.header.as_ref().or(answer.header.as_ref()),
        _ => answer.header.as_ref(),
    };
    header.map_or(0, |header| header.revision)
}

/// Reads one key of many, linearizable.
pub(crate) struct Gets {
    kv: KvClient<Channel>,
    chance: Chance,
    keys: u64,
}

impl Gets {
    pub(crate) fn new(id: usize, channel: Channel, keys: u64) -> Gets {
        Gets { kv: client(channel), chance: Chance::new(id as u64), keys }
    }
}

/// The key of an object that is there to be read.
pub(crate) fn object(number: u64) -> Bytes {
    format!("/registry/minions/{number:08}").into()
}

impl Work for Gets {
    async fn step(&mut self) -> Result<(), Status> {
        let key = object(self.chance.number() % self.keys);
        let answer =
            self.kv.range(pb::RangeRequest { key, limit: 1, ..Default::default() }).await?;
        let found = answer.into_inner().kvs.len() == 1;
        if found { Ok(()) } else { Err(Status::not_found("the key is gone")) }
    }
}

/// Lists all objects, page after page at one revision; each page is a step.
pub(crate) struct Lists {
    kv: KvClient<Channel>,
    from: Bytes,
    revision: i64,
}

impl Lists {
    pub(crate) fn new(channel: Channel) -> Lists {
        Lists { kv: client(channel), from: Bytes::new(), revision: 0 }
    }
}

impl Work for Lists {
    async fn step(&mut self) -> Result<(), Status> {
        if self.from.is_empty() {
            (self.from, self.revision) = (Bytes::from_static(b"/registry/minions/"), 0);
        }
        let range = pb::RangeRequest {
            key: self.from.clone(),
            range_end: Bytes::from_static(b"/registry/minions0"),
            limit: PAGE,
            revision: self.revision,
            ..Default::default()
        };
        let answer = self.kv.range(range).await?.into_inner();
        if self.revision == 0 {
            self.revision = answer.header.map_or(0, |header| header.revision);
        }
        // A list goes on after the last key.
        self.from = match answer.kvs.last() {
            Some(last) if answer.more => [&last.key[..], b"\0"].concat().into(),
            _ => Bytes::new(),
        };
        Ok(())
    }
}
