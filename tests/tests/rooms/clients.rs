//! What the clients do: what API servers do, with values that tell them apart. Start at [`Asker`].
//!
//! A client is at one room's store and stays there: an API server uses the one on its own machine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store::client::Client;
use tests::chance::Chance;
use tests::two_rooms::Side;
use tests::wire::{etcdserverpb as pb, if_unchanged};
use tokio::time::{sleep, timeout};
use tonic::Status;

use pb::request_op::Request;

use super::book::{Book, Lease, List, Outcome, Read, Write};
use super::load::{ENDS, KEYS, OBJECTS, SHARED, WRITERS};

/// Longer than a store lets anything wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a failure, as a client backs off.
const PAUSE: Duration = Duration::from_millis(20);

/// Few, so that lists have several pages.
const PAGE: i64 = 5;

/// A client of one room.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) book: Arc<Book>,
    pub(crate) side: Side,
    /// Which of the room's.
    pub(crate) number: usize,
    pub(crate) client: Client,
}

impl Asker {
    /// The key of an object that this client alone writes.
    fn key(&self, number: usize) -> Bytes {
        key(self.side, self.number, number)
    }

    /// Does and writes down one write; returns the revision that the key has now if that is known.
    async fn write(
        &mut self,
        key: Bytes,
        value: Bytes,
        deletes: Option<Bytes>,
        if_at: i64,
    ) -> Option<i64> {
        let put = pb::PutRequest { key: key.clone(), value: value.clone(), ..Default::default() };
        let conditional = deletes.clone().unwrap_or_else(|| key.clone());
        let mut txn = if_unchanged(&conditional, if_at, Request::RequestPut(put));
        if let Some(key) = deletes.clone() {
            let delete = pb::DeleteRangeRequest { key, ..Default::default() };
            txn.success.push(pb::RequestOp { request: Some(Request::RequestDeleteRange(delete)) });
        }
        let begun = self.book.now();
        let answer = timeout(PATIENCE, self.client.kv.txn(txn)).await;
        let ended = self.book.now();
        let outcome = match answer {
            Err(_) => Outcome::Unknown("no answer".to_owned()),
            Ok(Err(status)) => Outcome::of(&status),
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                let revision = answer.header.map_or(0, |header| header.revision);
                if answer.succeeded { Outcome::Done(revision) } else { Outcome::Differs(revision) }
            }
        };
        let known = match outcome {
            Outcome::Done(_) if deletes.is_some() => Some(0),
            Outcome::Done(revision) => Some(revision),
            _ => None,
        };
        if matches!(outcome, Outcome::Undone(_) | Outcome::Unknown(_)) {
            sleep(PAUSE).await;
        }
        let side = self.side;
        let if_at = Some(if_at);
        let write = Write { side, key, value, deletes, if_at, begun, ended, outcome };
        self.book.writes.lock().unwrap().push(write);
        known
    }

    /// Reads and writes down one key; none if that failed, or the key's revision.
    async fn read(&mut self, key: Bytes, linearizable: bool) -> Option<i64> {
        let range = pb::RangeRequest {
            key: key.clone(),
            serializable: !linearizable,
            ..Default::default()
        };
        let begun = self.book.now();
        let answer = timeout(PATIENCE, self.client.kv.range(range)).await;
        let ended = self.book.now();
        let Ok(Ok(answer)) = answer else {
            sleep(PAUSE).await;
            return None;
        };
        let answer = answer.into_inner();
        let revision = answer.header.map_or(0, |header| header.revision);
        let found = answer.kvs.into_iter().next().map(|kv| (kv.mod_revision, kv.value));
        let at = found.as_ref().map_or(0, |(at, _)| *at);
        let side = self.side;
        let read = Read { side, key, linearizable, begun, ended, revision, found };
        self.book.reads.lock().unwrap().push(read);
        Some(at)
    }

    /// Creates objects of its own, changes each three times, deletes it.
    pub(crate) async fn writes_objects(mut self) {
        for count in 0_usize.. {
            let key = self.key(count % KEYS);
            let mut at = None;
            for step in 0..5 {
                // What it does not know any more it reads.
                let known = match at {
                    Some(at) => at,
                    None => match self.read(key.clone(), true).await {
                        Some(at) => at,
                        None => continue,
                    },
                };
                let value = format!("{}{} {count} {step}", self.side.letter(), self.number);
                let ends = step == 4 && known > 0;
                at = if ends {
                    let end = format!("{ENDS}{}/{}", self.side.letter(), self.number);
                    self.write(end.into(), value.into(), Some(key.clone()), known).await
                } else {
                    self.write(key.clone(), value.into(), None, known).await
                };
            }
        }
    }

    /// Changes what clients of both rooms change: it reads, then writes if nobody else did meanwhile.
    pub(crate) async fn writes_shared(mut self) {
        let mut chance = Chance::new(self.side as u64 * 100 + self.number as u64);
        for count in 0_usize.. {
            let key = Bytes::from(format!("{SHARED}{}", chance.below(2)));
            if let Some(at) = self.read(key.clone(), true).await {
                let value = format!("{}{} shared {count}", self.side.letter(), self.number);
                let _ = self.write(key, value.into(), None, at).await;
            }
        }
    }

    /// Reads keys that others write.
    pub(crate) async fn reads(mut self) {
        let mut chance = Chance::new(self.side as u64 * 100 + self.number as u64);
        loop {
            let key = key(chance.pick(&Side::BOTH), chance.below(WRITERS), chance.below(KEYS));
            let linearizable = chance.percent(80);
            let _ = self.read(key, linearizable).await;
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Reads one of them.
    pub(crate) async fn reads_once(mut self) {
        let key = key(self.side.other(), self.number % WRITERS, self.number % KEYS);
        let _ = self.read(key, true).await;
    }

    /// Lists all objects, page after page at one revision.
    pub(crate) async fn lists(mut self) {
        loop {
            // A list that breaks off is begun anew, as clients do.
            if self.list().await.is_err() {
                sleep(PAUSE).await;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn list(&mut self) -> Result<(), Status> {
        let begun = self.book.now();
        let (mut chosen, mut revision, mut found) = (begun, 0, Vec::new());
        let mut from = Bytes::from_static(OBJECTS.as_bytes());
        let mut end = OBJECTS.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        loop {
            let range = pb::RangeRequest {
                key: from.clone(),
                range_end: end.clone().into(),
                limit: PAGE,
                revision,
                ..Default::default()
            };
            let answer = timeout(PATIENCE, self.client.kv.range(range)).await;
            let answer = answer.map_err(|_| Status::deadline_exceeded("no answer"))??.into_inner();
            if revision == 0 {
                revision = answer.header.map_or(0, |header| header.revision);
                chosen = self.book.now();
            }
            found.extend(answer.kvs.iter().map(|kv| (kv.key.clone(), kv.mod_revision)));
            match answer.kvs.last() {
                Some(last) if answer.more => from = [&last.key[..], b"\0"].concat().into(),
                _ => break,
            }
        }
        let list = List { side: self.side, begun, chosen, revision, found };
        self.book.lists.lock().unwrap().push(list);
        Ok(())
    }

    /// Holds a key by a lease, and renews it every so often; for ever if `renews`.
    pub(crate) async fn leases(mut self, ttl: Duration, renews: bool) {
        let place = loop {
            if let Some(place) = self.lease(ttl, renews).await {
                break place;
            }
            sleep(PAUSE).await;
        };
        let (id, number) = place;
        if !renews {
            return;
        }
        loop {
            sleep(ttl / 8).await;
            let begun = self.book.now();
            let answer = timeout(PATIENCE, self.renew(id)).await;
            let mut leases = self.book.leases.lock().unwrap();
            match answer {
                Ok(Ok(left)) if left > 0 => leases[number].renewed.push(begun),
                Ok(Ok(_)) => {
                    leases[number].lost = Some(self.book.now());
                    return;
                }
                _ => {}
            }
        }
    }

    /// Grants a lease and attaches a key to it; its number here.
    async fn lease(&mut self, ttl: Duration, renews: bool) -> Option<(i64, usize)> {
        let begun = self.book.now();
        let seconds = i64::try_from(ttl.as_secs()).unwrap();
        let grant = pb::LeaseGrantRequest { ttl: seconds, id: 0 };
        let granted = self.client.lease.lease_grant(grant).await.ok()?.into_inner();
        let word = if renews { "held" } else { "left" };
        let key = format!("leased/{word}/{}/{}", self.side.letter(), granted.id);
        let put =
            pb::PutRequest { key: key.clone().into(), lease: granted.id, ..Default::default() };
        let _ = self.client.kv.put(put).await.ok()?;
        let lease = Lease { key: key.into(), ttl, renewed: vec![begun], lost: None };
        let mut leases = self.book.leases.lock().unwrap();
        leases.push(lease);
        Some((granted.id, leases.len() - 1))
    }

    /// How long it lasts, in seconds; 0 if there is none.
    async fn renew(&mut self, id: i64) -> Result<i64, Status> {
        let request = pb::LeaseKeepAliveRequest { id };
        let requests = tokio_stream::once(request);
        let mut answers = self.client.lease.lease_keep_alive(requests).await?.into_inner();
        let answer = answers.message().await?;
        answer.map(|answer| answer.ttl).ok_or_else(|| Status::unavailable("no answer"))
    }
}

fn key(side: Side, writer: usize, number: usize) -> Bytes {
    format!("{OBJECTS}{}/{writer}/{number}", side.letter()).into()
}
