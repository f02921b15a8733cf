//! SIGKILL under load, again and again: what was acknowledged is there, and nothing else but what was
//! under way. (That the disk itself keeps its word is the crash simulator's subject, in the store.)
//!
//! `DUET_ROUNDS` is the number of kills (10).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tests::chance::Chance;
use tests::server::{Plan, Server};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::Runtime;
use tokio::time::sleep;
use tonic::transport::Channel;

use pb::kv_client::KvClient;
use pb::request_op::Request;
use pb::response_op::Response;

use crate::client::channel;
use crate::differential::judged;
use crate::stream::{Stream, Word};
use crate::{number, scratch};

const ROUNDS: u64 = 10;

/// Clients that write at the same time, each to keys of its own.
const CLIENTS: usize = 48;

/// What a client knows of its keys.
#[derive(Clone, Debug, Default)]
struct Writer {
    /// The number that was written last and acknowledged; 0 for none.
    acknowledged: u64,
    /// The number of a write whose fate is unknown; 0 for none.
    under_way: u64,
}

/// Acknowledged writes by revision: the writer, and its number.
type History = BTreeMap<i64, (usize, u64)>;

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let rounds = number("DUET_ROUNDS", ROUNDS);
    let seed = number("DUET_SEED", 7);
    let mut chance = Chance::new(seed);
    let runtime = Runtime::new().unwrap();
    let folder = scratch("etcd-crash");
    let mut server = Server::start(Plan::new(judged(), folder.path()));
    let mut writers = vec![Writer::default(); CLIENTS];
    let mut history = History::new();
    for round in 0..rounds {
        let endpoint = server.endpoint();
        let load = async {
            let channels = join_all((0..4).map(|_| channel(&endpoint))).await;
            let channels: Vec<Channel> = channels.into_iter().map(Result::unwrap).collect();
            let writing: Vec<_> = writers
                .iter()
                .enumerate()
                .map(|(id, writer)| {
                    let kv = KvClient::new(channels[id % channels.len()].clone());
                    tokio::spawn(write(id, writer.clone(), kv))
                })
                .collect();
            sleep(Duration::from_millis(u64::try_from(chance.between(20, 900)).unwrap())).await;
            writing
        };
        let writing = runtime.block_on(load);
        server.kill();
        for (writer, written) in writers.iter_mut().zip(runtime.block_on(join_all(writing))) {
            let (known, acknowledged) = written.unwrap();
            *writer = known;
            for (revision, what) in acknowledged {
                let before = history.insert(revision, what);
                assert!(before.is_none(), "revision {revision} was given twice");
            }
        }
        let took = server.start_again();
        assert!(took < Duration::from_secs(20), "starting took {took:?}");
        let endpoint = server.endpoint();
        let judge = judge(&endpoint, &mut writers, &history);
        runtime.block_on(judge).unwrap_or_else(|lost| panic!("seed {seed}, round {round}: {lost}"));
    }
    assert!(history.len() > CLIENTS, "only {} writes were acknowledged", history.len());
}

/// Writes its two keys in one transaction, number after number, until the server is gone. Every
/// seventh deletes the second key instead.
async fn write(
    id: usize,
    mut writer: Writer,
    mut kv: KvClient<Channel>,
) -> (Writer, Vec<(i64, (usize, u64))>) {
    let mut acknowledged = Vec::new();
    loop {
        let number = writer.acknowledged.max(writer.under_way) + 1;
        writer.under_way = number;
        let Ok(answer) = kv.txn(step(id, number)).await else { return (writer, acknowledged) };
        let revision = answer.into_inner().header.map_or(0, |header| header.revision);
        (writer.acknowledged, writer.under_way) = (number, 0);
        acknowledged.push((revision, (id, number)));
    }
}

fn deletes(number: u64) -> bool {
    number % 7 == 0
}

fn value(number: u64) -> Bytes {
    Bytes::from(format!("{number:0100}"))
}

fn keys(id: usize) -> [Bytes; 2] {
    ["one", "two"].map(|name| Bytes::from(format!("{name}/{id:03}")))
}

fn step(id: usize, number: u64) -> pb::TxnRequest {
    let [one, two] = keys(id);
    let put = |key: Bytes| {
        Request::RequestPut(pb::PutRequest { key, value: value(number), ..Default::default() })
    };
    let second = if deletes(number) {
        Request::RequestDeleteRange(pb::DeleteRangeRequest { key: two, ..Default::default() })
    } else {
        put(two)
    };
    let op = |request| pb::RequestOp { request: Some(request) };
    pb::TxnRequest { success: vec![op(put(one)), op(second)], ..Default::default() }
}

/// Holds what the store has against what was acknowledged.
async fn judge(endpoint: &str, writers: &mut [Writer], history: &History) -> Result<(), String> {
    let channel = channel(endpoint).await?;
    let mut kv = KvClient::new(channel.clone());
    let mut revision = 0;
    for (id, writer) in writers.iter_mut().enumerate() {
        let read = |key: Bytes| {
            let range = pb::RangeRequest { key, ..Default::default() };
            pb::RequestOp { request: Some(Request::RequestRange(range)) }
        };
        // Both keys at one revision.
        let both = pb::TxnRequest { success: keys(id).map(read).into(), ..Default::default() };
        let answer = kv.txn(both).await.map_err(|status| status.to_string())?.into_inner();
        let found: Vec<Option<Bytes>> = answer.responses.iter().map(found).collect();
        let fits = |number: u64| {
            let one = (number > 0).then(|| value(number));
            let two = one.clone().filter(|_| !deletes(number));
            found == [one, two]
        };
        let (acknowledged, under_way) = (writer.acknowledged, writer.under_way);
        if under_way > 0 && fits(under_way) {
            writer.acknowledged = under_way;
        } else if !fits(acknowledged) {
            return Err(format!("writer {id} has {writer:?}, the store {found:?}"));
        }
        // One that came to nothing is not tried again under its number.
        writer.under_way = under_way.max(writer.acknowledged);
        revision = answer.header.map_or(0, |header| header.revision);
    }
    let newest = history.keys().next_back().copied().unwrap_or(0);
    if revision < newest {
        return Err(format!("the store is at {revision}, and {newest} was acknowledged"));
    }
    told(channel, history, revision).await
}

fn found(step: &pb::ResponseOp) -> Option<Bytes> {
    match &step.response {
        Some(Response::ResponseRange(range)) => range.kvs.first().map(|kv| kv.value.clone()),
        _ => None,
    }
}

/// A watch from the beginning is told every acknowledged write at its revision.
async fn told(channel: Channel, history: &History, revision: i64) -> Result<(), String> {
    let stream = Stream::open(pb::watch_client::WatchClient::new(channel)).await?;
    let create = pb::WatchCreateRequest {
        key: Bytes::from_static(b"one/"),
        range_end: Bytes::from_static(b"one0"),
        start_revision: 1,
        ..Default::default()
    };
    stream.create(create).await.map_err(|status| status.to_string())?;
    stream.settle(revision).await?;
    let heard = stream.heard();
    if let Some(fault) = heard.faults.first() {
        return Err(fault.clone());
    }
    let events: BTreeMap<i64, (Bytes, Bytes)> = heard
        .words
        .values()
        .flatten()
        .filter_map(|word| match word {
            Word::Event(event) => event.kv.as_ref(),
            Word::Compacted { .. } => None,
        })
        .map(|kv| (kv.mod_revision, (kv.key.clone(), kv.value.clone())))
        .collect();
    for (revision, (id, number)) in history {
        let [key, _] = keys(*id);
        let wanted = (key, value(*number));
        if events.get(revision) != Some(&wanted) {
            let told = events.get(revision);
            return Err(format!("revision {revision} was {wanted:?} and is told as {told:?}"));
        }
    }
    Ok(())
}

#[test]
fn a_writer_deletes_now_and_then() {
    assert!((1..=7).filter(|number| deletes(*number)).eq([7]));
    assert_eq!(step(3, 7).success.len(), 2);
}
