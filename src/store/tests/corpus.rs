//! The fuzz targets on the stable compiler: every file of the kept corpus, and mutations of it by a
//! fixed seed. How many is bounded by number (`DUET_CASES`), never by the clock.
//!
//! A failure prints the input as a file that a test or a fuzzer takes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use mvcc::{Change, Effect, State};
use store::checkpoint::{Stamp, chunks};
use store::disk::Disk;
use store::disk::sim::{Dice, SimDisk};
use store::record::Record;
use store::recover::{self, Ids, Opened};

#[allow(unreachable_pub, dead_code)] // of the fuzzers' own workspace
#[path = "../../../tests/fuzz/src/store.rs"]
mod targets;

/// Mutations of all the files of a target together.
const MUTATIONS: usize = 3000;

#[test]
fn log() {
    replay("log", targets::log);
}

#[test]
fn checkpoint() {
    replay("checkpoint", targets::checkpoint);
}

#[test]
fn record() {
    replay("record", targets::record);
}

/// What this crate itself contributes to the corpus; `UPDATE_CORPUS=1` writes it.
#[test]
fn own_files_are_current() {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    for (target, name, bytes) in own_files() {
        let file = folder(target).join(name);
        if update {
            fs::write(&file, bytes).unwrap();
        } else {
            let kept = fs::read(&file).unwrap_or_default();
            assert!(kept == bytes, "{target}/{name} is old: run with UPDATE_CORPUS=1");
        }
    }
}

fn put(key: &str, value: &[u8], lease: i64) -> Change {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Change::Put { key, value: Bytes::copy_from_slice(value), lease }
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
    files
}

fn replay(name: &str, target: fn(&[u8]) -> bool) {
    let corpus = load(name);
    // What a fuzzer finds is seldom sound; what it starts from must be, or it finds nothing.
    let sound = corpus
        .iter()
        .filter(|(path, bytes)| feed(target, bytes, &path.display().to_string()))
        .count();
    assert!(sound >= 2, "only {sound} files of the corpus of {name} are sound");
    let cases = std::env::var("DUET_CASES").ok().and_then(|text| text.parse().ok());
    let mut dice = Dice::new(0x5eed_0000 + name.len() as u64);
    let mut behind = 0;
    for number in 0..cases.unwrap_or(MUTATIONS) {
        let (_, bytes) = &corpus[number % corpus.len()];
        let (_, other) = &corpus[dice.below(corpus.len())];
        let mut bytes = bytes.clone();
        for _ in 0..1 + dice.below(4) {
            mutate(&mut bytes, other, &mut dice);
        }
        behind += usize::from(feed(target, &bytes, &format!("{name}, mutation {number}")));
    }
    assert!(behind > 50, "only {behind} mutations of {name} came past the checks");
    for bytes in [&b""[..], b"\0", &[0xff; 600]] {
        feed(target, bytes, "next to nothing");
    }
}

fn feed(target: fn(&[u8]) -> bool, bytes: &[u8], what: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).unwrap_or_else(|_| {
        let file = std::env::temp_dir().join(format!("duet-corpus-{}", std::process::id()));
        fs::write(&file, bytes).unwrap();
        panic!("{what}: the input is kept in {}", file.display());
    })
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name)
}

/// The files of a target, by name, so that the same seed gives the same mutations.
fn load(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Changes that formats are weak against: lengths, ends, and parts in two places. Most of a segment is
/// zeros, so places are chosen among the bytes that say something.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    const ODD: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff];
    if bytes.is_empty() {
        bytes.push(dice.roll() as u8);
    }
    let mut at = dice.below(bytes.len());
    while bytes[at] == 0 && !dice.one_in(64) {
        at = dice.below(bytes.len());
    }
    let length = 1 + dice.below(64.min(bytes.len() - at));
    match dice.below(8) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.roll() as u8,
        3 => {
            let number = ODD[dice.below(ODD.len())].to_le_bytes();
            let width = [1, 2, 4][dice.below(3)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..at + length)),
        6 => {
            let part = bytes[at..at + length].to_vec();
            let to = dice.below(bytes.len());
            bytes.splice(to..to, part);
        }
        _ => {
            let from = dice.below(other.len().max(1)).min(other.len());
            let part = &other[from..other.len().min(from + length)];
            let to = at..bytes.len().min(at + part.len());
            bytes.splice(to, part.iter().copied());
        }
    }
}
