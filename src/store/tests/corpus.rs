//! The fuzz targets of the log, its records, the checkpoints and the link on the stable compiler; see
//! `tests/fuzz/src/replay.rs`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use mvcc::{Change, Effect, State};
use replay::{keep_current, replay};
use store::checkpoint::{Stamp, chunks};
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::peer::Refusal;
use store::peer::calls::{Ask, End, Reply};
use store::peer::hello::{Hello, Purpose, Verdict};
use store::peer::packet::{Header, Kind};
use store::record::Record;
use store::recover::{self, Ids, Opened};

#[allow(unreachable_pub)] // of the fuzzers' own workspace
#[path = "../../../tests/fuzz/src/peer.rs"]
mod peer_target;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[allow(unreachable_pub, dead_code)] // of the fuzzers' own workspace
#[path = "../../../tests/fuzz/src/store.rs"]
mod targets;

/// Mutations of all the files of a target together.
const MUTATIONS: usize = 3000;

#[test]
fn log() {
    check("log", targets::log);
}

#[test]
fn checkpoint() {
    check("checkpoint", targets::checkpoint);
}

#[test]
fn record() {
    check("record", targets::record);
}

#[test]
fn peer() {
    check("peer", peer_target::peer);
}

fn check(name: &str, target: fn(&[u8]) -> bool) {
    let behind = replay(name, MUTATIONS, target);
    assert!(behind > 50, "only {behind} mutations of {name} came past the checks");
}

/// What this crate itself contributes to the corpus; `UPDATE_CORPUS=1` writes it.
#[test]
fn own_files_are_current() {
    keep_current(own_files());
}

fn put(key: &str, value: &[u8], lease: i64) -> Change {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Change::Put { key, value: Bytes::copy_from_slice(value), lease }
}

/// What one room says to the other, up to its end.
fn said(verdict: &Verdict, packets: &[u8]) -> Vec<u8> {
    let hello = Hello {
        versions: (1, 1),
        site: "north".to_owned(),
        room: pair::Room::B,
        purpose: Some(Purpose::Frames),
        release: "0.1.0".to_owned(),
        clock: 1_800_000_000,
        terms: "operator, lease 2s".to_owned(),
    };
    let mut bytes = Vec::new();
    for text in [hello.encode(), verdict.encode()] {
        bytes.extend(u16::to_le_bytes(text.len() as u16));
        bytes.extend(text);
    }
    bytes.extend(packets);
    bytes
}

fn packet(kind: Kind, payload: &[u8]) -> Vec<u8> {
    [&Header { kind, length: payload.len() }.encode()[..], payload].concat()
}

/// A message in three pieces with others between them.
fn frames() -> Vec<u8> {
    [
        packet(Kind::End, b"an entry of the log"),
        packet(Kind::Part, &[b'x'; 700]),
        packet(Kind::Urgent, b"heartbeat"),
        packet(Kind::Part, b""),
        packet(Kind::Ping, &7_u64.to_le_bytes()),
        packet(Kind::End, b"the end"),
        packet(Kind::Pong, &7_u64.to_le_bytes()),
    ]
    .concat()
}

/// A request, and what may come back.
fn calls() -> Vec<u8> {
    let ask = Ask { number: 1, timeout_ms: 250 }.encode();
    let answer = Reply { number: 1, end: End::Answered }.encode();
    let late = Reply { number: 1, end: End::Late }.encode();
    [
        packet(Kind::End, &[&ask[..], b"a request"].concat()),
        packet(Kind::End, &[&answer[..], b"an answer"].concat()),
        packet(Kind::Urgent, &late),
    ]
    .concat()
}

/// Some of everything that a log holds.
fn history() -> Vec<Effect> {
    let key = Bytes::from_static(b"b");
    vec![
        Effect::Grant { id: 7, ttl: 60 },
        Effect::Write { revision: 2, changes: vec![put("a", b"one", 0), put("b", b"", 7)] },
        Effect::Write { revision: 3, changes: vec![put("a", &[0; 700], 0)] },
        Effect::Write { revision: 4, changes: vec![Change::Delete { key }, put("c", b"x", 7)] },
        Effect::Compact { revision: 3 },
        Effect::Revoke { id: 7, revision: 5 },
    ]
}

fn own_files() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let history = history().into_iter().zip(1..);
    let records: Vec<Record> =
        history.map(|(effect, index)| Record { index, term: 1, effect }).collect();
    let encoded = |record: &Record| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes
    };
    let names = ["grant", "puts", "zeros", "delete", "compact", "revoke"];
    let mut files: Vec<_> =
        names.into_iter().zip(&records).map(|(name, one)| ("record", name, encoded(one))).collect();

    let mut state = State::new();
    let stamp = Stamp { index: 6, term: 1, cluster_id: 1, member_id: 1 };
    files.push(("checkpoint", "empty", chunks(state.clone(), stamp.clone()).flatten().collect()));
    for record in &records[..5] {
        state.apply(&record.effect).unwrap();
    }
    files.push(("checkpoint", "small", chunks(state.clone(), stamp.clone()).flatten().collect()));
    let value = vec![b'x'; 70_000];
    state.apply(&Effect::Write { revision: 5, changes: vec![put("large", &value, 0)] }).unwrap();
    files.push(("checkpoint", "two-blocks", chunks(state, stamp).flatten().collect()));

    let disk = SimDisk::new(1);
    let ids = Ids { cluster_id: 1, member_id: 1 };
    let opened = recover::open_sized(Arc::new(disk.clone()), ids, 1 << 13, &|_| ());
    let Opened { mut log, .. } = opened.unwrap();
    let segment = || {
        let file = disk.open("log-00000000000000000001").unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes.truncate(end);
        bytes
    };
    files.push(("log", "empty", segment()));
    log.append(&records[..2]).unwrap();
    for record in &records[2..] {
        log.append(std::slice::from_ref(record)).unwrap();
    }
    let bytes = segment();
    files.push(("log", "torn", bytes[..bytes.len() - 50].to_vec()));
    files.push(("log", "groups", bytes));

    files.push(("peer", "frames", said(&Verdict::Welcome, &frames())));
    files.push(("peer", "calls", said(&Verdict::Welcome, &calls())));
    let refusal = Refusal::Versions { a: (1, 1), b: (3, 4) };
    files.push(("peer", "refused", said(&Verdict::of(Some(&refusal)), &[])));
    files
}
