//! Answers of the KV and Watch services, from mvcc's types to bytes. Start at [`Header`], and at
//! [`put`], [`delete_range`], [`txn`], [`watch`]; a range's answer may be large and is written in pieces,
//! as the client takes them: [`RangePieces`].
//!
//! Every function writes a whole gRPC message: its five bytes of prefix and the message itself.

use std::sync::Arc;
use std::vec::IntoIter;

use bytes::Bytes;
use mvcc::{
    DeleteRangeResponse, Event, EventKind, KeyValue, PutResponse, RangeResponse, ResponseOp,
    TxnResponse,
};

use super::field::{bytes_len, nested_len, number_len, put_bytes, put_nested, put_number};
use crate::engine::WatchMessage;

/// gRPC's prefix: a flag (not compressed) and four bytes of length.
pub(crate) const PREFIX: usize = 5;

/// How much of a range's answer is written ahead of the client: a few frames.
const PIECE: usize = 64 << 10;

/// What stands before every answer (etcd's `ResponseHeader`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    pub(crate) revision: i64,
    pub(crate) raft_term: u64,
}

impl Header {
    fn len(&self) -> usize {
        number_len(self.cluster_id)
            + number_len(self.member_id)
            + number_len(self.revision as u64)
            + number_len(self.raft_term)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_nested(out, 1, self.len());
        put_number(out, 1, self.cluster_id);
        put_number(out, 2, self.member_id);
        put_number(out, 3, self.revision as u64);
        put_number(out, 4, self.raft_term);
    }

    /// The header within a transaction: only the revision is set.
    fn inner(revision: i64) -> Header {
        Header { revision, ..Header::default() }
    }
}

/// Appends the prefix of a message of this length.
pub(crate) fn prefix(out: &mut Vec<u8>, length: usize) {
    out.push(0);
    let length = u32::try_from(length).expect("an answer is much smaller than 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
}

fn whole(length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(PREFIX + length);
    prefix(&mut out, length);
    write(&mut out);
    debug_assert_eq!(out.len(), PREFIX + length);
    out.into()
}

fn kv_len(kv: &KeyValue, keys_only: bool) -> usize {
    bytes_len(&kv.key)
        + number_len(kv.create_revision as u64)
        + number_len(kv.mod_revision as u64)
        + number_len(kv.version as u64)
        + if keys_only { 0 } else { bytes_len(&kv.value) }
        + number_len(kv.lease as u64)
}

fn put_kv(out: &mut Vec<u8>, field: u8, kv: &KeyValue, keys_only: bool) {
    put_nested(out, field, kv_len(kv, keys_only));
    put_bytes(out, 1, &kv.key);
    put_number(out, 2, kv.create_revision as u64);
    put_number(out, 3, kv.mod_revision as u64);
    put_number(out, 4, kv.version as u64);
    if !keys_only {
        put_bytes(out, 5, &kv.value);
    }
    put_number(out, 6, kv.lease as u64);
}

fn kvs_len<'a>(kvs: impl IntoIterator<Item = &'a Arc<KeyValue>>, keys_only: bool) -> usize {
    kvs.into_iter().map(|kv| nested_len(kv_len(kv, keys_only))).sum()
}

/// The answer to a range, in pieces.
#[derive(Debug)]
pub(crate) struct RangePieces {
    /// Written, and not given away.
    ready: Vec<u8>,
    kvs: IntoIter<Arc<KeyValue>>,
    keys_only: bool,
    /// `more` and `count`, which come last.
    tail: Option<(bool, i64)>,
    left: usize,
}

impl RangePieces {
    pub(crate) fn new(header: &Header, answer: RangeResponse) -> RangePieces {
        let tail = (answer.more, answer.count);
        let length = range_len(header, &answer);
        let total = PREFIX + length;
        let mut ready = Vec::with_capacity(total.min(PIECE));
        prefix(&mut ready, length);
        header.put(&mut ready);
        RangePieces {
            ready,
            kvs: answer.kvs.into_iter(),
            keys_only: answer.keys_only,
            tail: Some(tail),
            left: total,
        }
    }

    /// The next bytes of the message; none at its end.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let mut out = std::mem::take(&mut self.ready);
        while out.len() < PIECE {
            let Some(kv) = self.kvs.next() else {
                if let Some((more, count)) = self.tail.take() {
                    put_number(&mut out, 3, more.into());
                    put_number(&mut out, 4, count as u64);
                }
                break;
            };
            put_kv(&mut out, 2, &kv, self.keys_only);
        }
        self.left -= out.len();
        if self.left > 0 {
            // A value may be larger than a piece; its memory is not needed again.
            self.ready = Vec::with_capacity(self.left.min(PIECE));
        }
        (!out.is_empty()).then(|| out.into())
    }

    /// How many bytes there are still to come.
    pub(crate) fn left(&self) -> usize {
        self.left
    }
}

fn range_len(header: &Header, answer: &RangeResponse) -> usize {
    nested_len(header.len())
        + kvs_len(&answer.kvs, answer.keys_only)
        + number_len(answer.more.into())
        + number_len(answer.count as u64)
}

fn put_range(out: &mut Vec<u8>, header: &Header, answer: &RangeResponse) {
    header.put(out);
    for kv in &answer.kvs {
        put_kv(out, 2, kv, answer.keys_only);
    }
    put_number(out, 3, answer.more.into());
    put_number(out, 4, answer.count as u64);
}

fn put_len(header: &Header, answer: &PutResponse) -> usize {
    nested_len(header.len()) + kvs_len(&answer.prev_kv, false)
}

fn put_put(out: &mut Vec<u8>, header: &Header, answer: &PutResponse) {
    header.put(out);
    if let Some(kv) = &answer.prev_kv {
        put_kv(out, 2, kv, false);
    }
}

/// Writes a `PutResponse`.
pub(crate) fn put(header: &Header, answer: &PutResponse) -> Bytes {
    whole(put_len(header, answer), |out| put_put(out, header, answer))
}

fn delete_len(header: &Header, answer: &DeleteRangeResponse) -> usize {
    nested_len(header.len()) + number_len(answer.deleted as u64) + kvs_len(&answer.prev_kvs, false)
}

fn put_delete(out: &mut Vec<u8>, header: &Header, answer: &DeleteRangeResponse) {
    header.put(out);
    put_number(out, 2, answer.deleted as u64);
    for kv in &answer.prev_kvs {
        put_kv(out, 3, kv, false);
    }
}

/// Writes a `DeleteRangeResponse`.
pub(crate) fn delete_range(header: &Header, answer: &DeleteRangeResponse) -> Bytes {
    whole(delete_len(header, answer), |out| put_delete(out, header, answer))
}

fn txn_len(header: &Header, answer: &TxnResponse) -> usize {
    nested_len(header.len())
        + number_len(answer.succeeded.into())
        + answer.responses.iter().map(|op| nested_len(op_len(op).1)).sum::<usize>()
}

/// The length of what is answered to one operation, and of the `ResponseOp` around it.
fn op_len(op: &ResponseOp) -> (usize, usize) {
    let inner = match op {
        ResponseOp::Range(revision, answer) => range_len(&Header::inner(*revision), answer),
        ResponseOp::Put(revision, answer) => put_len(&Header::inner(*revision), answer),
        ResponseOp::DeleteRange(revision, answer) => delete_len(&Header::inner(*revision), answer),
        ResponseOp::Txn(revision, answer) => txn_len(&Header::inner(*revision), answer),
    };
    (inner, nested_len(inner))
}

fn put_txn(out: &mut Vec<u8>, header: &Header, answer: &TxnResponse) {
    header.put(out);
    put_number(out, 2, answer.succeeded.into());
    for op in &answer.responses {
        let (inner, outer) = op_len(op);
        put_nested(out, 3, outer);
        match op {
            ResponseOp::Range(revision, answer) => {
                put_nested(out, 1, inner);
                put_range(out, &Header::inner(*revision), answer);
            }
            ResponseOp::Put(revision, answer) => {
                put_nested(out, 2, inner);
                put_put(out, &Header::inner(*revision), answer);
            }
            ResponseOp::DeleteRange(revision, answer) => {
                put_nested(out, 3, inner);
                put_delete(out, &Header::inner(*revision), answer);
            }
            ResponseOp::Txn(revision, answer) => {
                put_nested(out, 4, inner);
                put_txn(out, &Header::inner(*revision), answer);
            }
        }
    }
}

/// Writes a `TxnResponse`.
pub(crate) fn txn(header: &Header, answer: &TxnResponse) -> Bytes {
    whole(txn_len(header, answer), |out| put_txn(out, header, answer))
}

fn event_len(event: &Event) -> usize {
    let kind = matches!(event.kind, EventKind::Delete);
    number_len(kind.into()) + nested_len(kv_len(&event.kv, false)) + kvs_len(&event.prev_kv, false)
}

fn put_event(out: &mut Vec<u8>, event: &Event) {
    put_nested(out, 11, event_len(event));
    put_number(out, 1, matches!(event.kind, EventKind::Delete).into());
    put_kv(out, 2, &event.kv, false);
    if let Some(kv) = &event.prev_kv {
        put_kv(out, 3, kv, false);
    }
}

/// The length of a `WatchResponse` but for its events.
fn watch_base(header: &Header, message: &WatchMessage) -> usize {
    nested_len(header.len())
        + number_len(message.watch_id as u64)
        + number_len(message.created.into())
        + number_len(message.canceled.into())
        + number_len(message.compact_revision as u64)
        + bytes_len(message.cancel_reason.as_bytes())
}

/// Appends a message to a watch: one `WatchResponse`, or several if the client allows it and one would
/// reach `limit` bytes (etcd v3.5 `server/etcdserver/api/v3rpc/watch.go`, `sendFragments`).
pub(crate) fn watch(out: &mut Vec<u8>, header: &Header, message: &WatchMessage, limit: usize) {
    let base = watch_base(header, message);
    let nested = |events: &[Event]| -> usize {
        events.iter().map(|event| nested_len(event_len(event))).sum()
    };
    let mut one = |events: &[Event], more: bool| {
        let length = base + number_len(more.into()) + nested(events);
        out.reserve(PREFIX + length);
        prefix(out, length);
        header.put(out);
        put_number(out, 2, message.watch_id as u64);
        put_number(out, 3, message.created.into());
        put_number(out, 4, message.canceled.into());
        put_number(out, 5, message.compact_revision as u64);
        put_bytes(out, 6, message.cancel_reason.as_bytes());
        put_number(out, 7, more.into());
        events.iter().for_each(|event| put_event(out, event));
    };
    let mut rest = message.events.as_slice();
    if !message.fragment || rest.len() < 2 || base + nested(rest) < limit {
        return one(rest, false);
    }
    while !rest.is_empty() {
        // The mark of a fragment counts, too.
        let mut size = base + number_len(1);
        let full = rest.iter().position(|event| {
            size += nested_len(event_len(event));
            size >= limit
        });
        // One event goes out whatever its size.
        let (part, after) = rest.split_at(full.unwrap_or(rest.len()).max(1));
        one(part, !after.is_empty());
        rest = after;
    }
}
