//! The crate's tests: rules one by one as data, and random programs against a naive model.
#![allow(clippy::unwrap_used)]

mod check;
mod checkpoint;
mod compaction;
mod hash;
mod leap;
mod lease;
mod memory;
mod model;
mod programs;
mod range;
mod txn;
mod write;

use std::fmt::Write as _;

use bytes::Bytes;

use crate::*;

/// How many cases a property is tried with: `DUET_CASES` times as many as usual for a long run.
pub(crate) fn cases(usual: u32) -> u32 {
    let times = std::env::var("DUET_CASES").ok().and_then(|times| times.parse().ok());
    usual * times.unwrap_or(1)
}

/// As people write ranges: `a`, `a..c`, `a..` for all from there on.
fn keys(text: &str) -> KeyRange {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    match text.split_once("..") {
        None => KeyRange::single(bytes(text)),
        Some((key, "")) => KeyRange { key: bytes(key), end: Bytes::from_static(b"\0") },
        Some((key, end)) => KeyRange { key: bytes(key), end: bytes(end) },
    }
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: keys(key).key, value: keys(value).key, ..PutRequest::default() }
}

fn delete(range: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { keys: keys(range), prev_kv: false }
}

fn range(range: &str) -> RangeRequest {
    RangeRequest { keys: keys(range), ..RangeRequest::default() }
}

/// A state made by a script: `a=1` puts, `a=1@7` puts with lease 7, `-a..c` deletes, `+7` grants lease
/// 7, `~7` revokes it, `!5` compacts at 5. What lies between `;` is one revision each.
fn script(text: &str) -> State {
    let mut state = State::new();
    run(&mut state, text);
    state
}

fn run(state: &mut State, text: &str) {
    for step in text.split(';').map(str::trim).filter(|step| !step.is_empty()) {
        let ops: Vec<RequestOp> = step.split_whitespace().filter_map(|op| one(state, op)).collect();
        match &ops[..] {
            [] => {}
            [RequestOp::Put(put)] => drop(state.put(put).unwrap()),
            [RequestOp::DeleteRange(delete)] => drop(state.delete_range(delete).unwrap()),
            _ => drop(state.txn(&TxnRequest { success: ops, ..Default::default() }).unwrap()),
        }
    }
}

fn one(state: &mut State, op: &str) -> Option<RequestOp> {
    let number = |text: &str| text.parse().unwrap();
    match op.split_at(1) {
        ("-", rest) => return Some(RequestOp::DeleteRange(delete(rest))),
        ("+", rest) => drop(state.grant(number(rest), 60).unwrap()),
        ("~", rest) => drop(state.revoke(number(rest)).unwrap()),
        ("!", rest) => drop(state.compact(number(rest)).unwrap()),
        _ => {
            let (key, value) = op.split_once('=').unwrap();
            let (value, lease) = value.split_once('@').unwrap_or((value, "0"));
            return Some(RequestOp::Put(PutRequest { lease: number(lease), ..put(key, value) }));
        }
    }
    None
}

fn show_kv(kv: &KeyValue) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let lease = if kv.lease == 0 { String::new() } else { format!(" lease {}", kv.lease) };
    if kv.version == 0 {
        return format!("{} @{}", text(&kv.key), kv.mod_revision);
    }
    let (key, value) = (text(&kv.key), text(&kv.value));
    let (create, revision, version) = (kv.create_revision, kv.mod_revision, kv.version);
    format!("{key}={value} @{revision} from {create} v{version}{lease}")
}

fn show_event(event: &Event) -> String {
    let kind = if event.kind == EventKind::Put { "put" } else { "delete" };
    let prev =
        event.prev_kv.as_ref().map_or(String::new(), |prev| format!(", was {}", show_kv(prev)));
    format!("{kind} {}{prev}", show_kv(&event.kv))
}

/// What is held, as checkpoints see it, and what watches from the compaction revision on see.
fn show(state: &State) -> String {
    let mut out = String::new();
    for item in state.items() {
        match item {
            Item::Head { revision, compacted, .. } => {
                writeln!(out, "revision {revision}, compacted {compacted}").unwrap();
            }
            Item::Lease { id, ttl } => {
                let keys: Vec<_> = state.lease(id).unwrap().keys.iter().collect();
                writeln!(out, "lease {id} of {ttl} s: {keys:?}").unwrap();
            }
            Item::Version { sub, kv, .. } => writeln!(out, "{} .{sub}", show_kv(&kv)).unwrap(),
        }
    }
    for event in state.events(state.compacted(), i64::MAX, &keys("\0..")).unwrap() {
        writeln!(out, "  {}", show_event(&event)).unwrap();
    }
    out
}

/// Sweeps all there is to sweep.
fn sweep(state: &mut State) {
    while state.sweeping() {
        state.sweep(1);
    }
}
