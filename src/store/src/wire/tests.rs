//! That reading and writing by hand is what the generated code does.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, Error, Event,
    EventKind, KeyRange, KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp,
    ResponseOp, SortOrder, SortTarget, TxnRequest, TxnResponse,
};
use proptest::prelude::*;
use prost::Message;

use super::field::Malformed;
use super::response::{Header, PREFIX, RangePieces};
use super::{proto, request, response, watch_create};
use crate::engine::{WatchCreate, WatchMessage};

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

/// Small, large, negative: every length on the wire.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![0..4i64, 100..200i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
}

prop_compose! {
    fn keys()(key in bytes(), end in bytes()) -> KeyRange { KeyRange { key, end } }
}

fn order() -> impl Strategy<Value = (SortOrder, SortTarget)> {
    let orders = vec![SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
    let targets = vec![
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ];
    (prop::sample::select(orders), prop::sample::select(targets))
}

prop_compose! {
    fn range_request()(
        keys in keys(),
        (limit, revision) in (number(), number()),
        (sort_order, sort_target) in order(),
        (keys_only, count_only) in any::<(bool, bool)>(),
        bounds in [number(), number(), number(), number()],
    ) -> RangeRequest {
        let [min_mod_revision, max_mod_revision, min_create_revision, max_create_revision] = bounds;
        RangeRequest {
            keys, limit, revision, sort_order, sort_target, keys_only, count_only,
            min_mod_revision, max_mod_revision, min_create_revision, max_create_revision,
        }
    }
}

prop_compose! {
    fn put_request()(
        (key, value, lease) in (bytes(), bytes(), number()),
        (prev_kv, ignore_value, ignore_lease) in any::<(bool, bool, bool)>(),
    ) -> PutRequest {
        PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease }
    }
}

prop_compose! {
    fn delete_request()(keys in keys(), prev_kv in any::<bool>()) -> DeleteRangeRequest {
        DeleteRangeRequest { keys, prev_kv }
    }
}

fn compare() -> impl Strategy<Value = Compare> {
    let results = vec![
        CompareResult::Equal,
        CompareResult::Greater,
        CompareResult::Less,
        CompareResult::NotEqual,
    ];
    let target = prop_oneof![
        number().prop_map(CompareTarget::Version),
        number().prop_map(CompareTarget::Create),
        number().prop_map(CompareTarget::Mod),
        bytes().prop_map(CompareTarget::Value),
        number().prop_map(CompareTarget::Lease),
    ];
    (keys(), prop::sample::select(results), target).prop_map(|(keys, result, target)| Compare {
        keys,
        result,
        target,
    })
}

fn txn_request() -> impl Strategy<Value = TxnRequest> {
    let leaf = prop_oneof![
        range_request().prop_map(RequestOp::Range),
        put_request().prop_map(RequestOp::Put),
        delete_request().prop_map(RequestOp::DeleteRange),
    ];
    let op = leaf.prop_recursive(3, 12, 3, |inner| {
        let ops = || proptest::collection::vec(inner.clone(), 0..3);
        (proptest::collection::vec(compare(), 0..2), ops(), ops()).prop_map(
            |(compare, success, failure)| RequestOp::Txn(TxnRequest { compare, success, failure }),
        )
    });
    let ops = || proptest::collection::vec(op.clone(), 0..4);
    (proptest::collection::vec(compare(), 0..4), ops(), ops())
        .prop_map(|(compare, success, failure)| TxnRequest { compare, success, failure })
}

prop_compose! {
    fn kv()(
        (key, value) in (bytes(), bytes()),
        [create_revision, mod_revision, version, lease] in [number(), number(), number(), number()],
    ) -> Arc<KeyValue> {
        Arc::new(KeyValue { key, value, create_revision, mod_revision, version, lease })
    }
}

fn kvs() -> impl Strategy<Value = Vec<Arc<KeyValue>>> {
    proptest::collection::vec(kv(), 0..4)
}

fn range_response() -> impl Strategy<Value = RangeResponse> {
    (kvs(), any::<bool>(), number()).prop_map(|(kvs, more, count)| RangeResponse {
        kvs,
        keys_only: false,
        more,
        count,
    })
}

fn response_op() -> impl Strategy<Value = ResponseOp> {
    let put = proptest::option::of(kv()).prop_map(|prev_kv| PutResponse { prev_kv });
    let delete =
        (number(), kvs()).prop_map(|(deleted, prev_kvs)| DeleteRangeResponse { deleted, prev_kvs });
    let leaf = prop_oneof![
        (number(), range_response()).prop_map(|(at, answer)| ResponseOp::Range(at, answer)),
        (number(), put).prop_map(|(at, answer)| ResponseOp::Put(at, answer)),
        (number(), delete).prop_map(|(at, answer)| ResponseOp::DeleteRange(at, answer)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (number(), any::<bool>(), proptest::collection::vec(inner, 0..3)).prop_map(
            |(at, succeeded, responses)| ResponseOp::Txn(at, TxnResponse { succeeded, responses }),
        )
    })
}

prop_compose! {
    fn header()(cluster_id in any::<u64>(), member_id in any::<u64>(), revision in number(), raft_term in 0..9u64)
        -> Header { Header { cluster_id, member_id, revision, raft_term } }
}

prop_compose! {
    fn event()(delete in any::<bool>(), kv in kv(), prev_kv in proptest::option::of(kv())) -> Event {
        let kind = if delete { EventKind::Delete } else { EventKind::Put };
        Event { kind, kv, prev_kv }
    }
}

fn wire(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// What is written by hand is what the generated code reads, and would write.
fn same<M: Message + Default + PartialEq>(by_hand: &[u8]) -> M {
    let (prefix, message) = by_hand.split_at(PREFIX);
    assert_eq!(prefix[0], 0);
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
    let read = M::decode(message).unwrap();
    assert_eq!(read.encode_to_vec(), message, "the generated code writes other bytes");
    read
}

fn pieces(mut pieces: RangePieces) -> Vec<u8> {
    let total = pieces.left();
    let mut all = Vec::new();
    while let Some(piece) = pieces.next() {
        all.extend_from_slice(&piece);
        assert_eq!(all.len() + pieces.left(), total);
    }
    assert_eq!(pieces.left(), 0);
    all
}

proptest! {
    #[test]
    fn requests_are_read_as_they_were_meant(
        range in range_request(),
        put in put_request(),
        delete in delete_request(),
        txn in txn_request(),
        serializable in any::<bool>(),
    ) {
        let mut sent = proto::RangeRequest::from(range.clone());
        sent.serializable = serializable;
        let (read, told) = request::range(&wire(&sent)).unwrap();
        prop_assert_eq!((read.request, read.flaw, told), (range, None, serializable));
        let sent = proto::PutRequest::from(put.clone());
        prop_assert_eq!(request::put(&wire(&sent)).unwrap(), put);
        let sent = proto::DeleteRangeRequest::from(delete.clone());
        prop_assert_eq!(request::delete_range(&wire(&sent)).unwrap(), delete);
        let sent = proto::TxnRequest::from(txn.clone());
        let read = request::txn(&wire(&sent)).unwrap();
        prop_assert_eq!((read.request, read.flaw), (txn, None));
    }

    #[test]
    fn nothing_that_comes_makes_it_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..64),
        txn in txn_request(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let noise = Bytes::from(noise);
        let _ = (request::range(&noise), request::put(&noise), request::delete_range(&noise));
        let _ = request::txn(&noise);
        let mut damaged = proto::TxnRequest::from(txn).encode_to_vec();
        damaged.truncate(cut.index(damaged.len() + 1));
        if !damaged.is_empty() {
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
        }
        let damaged = Bytes::from(damaged);
        // The generated code is stricter about the numbers of unknown fields only.
        if proto::TxnRequest::decode(damaged.clone()).is_ok() {
            prop_assert!(request::txn(&damaged).is_ok());
        }
    }

    #[test]
    fn answers_are_what_the_generated_code_reads(
        header in header(),
        range in range_response(),
        put in proptest::option::of(kv()).prop_map(|prev_kv| PutResponse { prev_kv }),
        delete in (number(), kvs()),
        responses in proptest::collection::vec(response_op(), 0..4),
        succeeded in any::<bool>(),
    ) {
        let expected = Some(proto::ResponseHeader::from(header));
        let read: proto::RangeResponse = same(&pieces(RangePieces::new(&header, range.clone())));
        prop_assert_eq!(&read.header, &expected);
        prop_assert_eq!(RangeResponse::from(read), range);
        let read: proto::PutResponse = same(&response::put(&header, &put));
        prop_assert_eq!(&read.header, &expected);
        prop_assert_eq!(PutResponse::from(read), put);
        let delete = DeleteRangeResponse { deleted: delete.0, prev_kvs: delete.1 };
        let read: proto::DeleteRangeResponse = same(&response::delete_range(&header, &delete));
        prop_assert_eq!(&read.header, &expected);
        prop_assert_eq!(DeleteRangeResponse::from(read), delete);
        let txn = TxnResponse { succeeded, responses };
        let read: proto::TxnResponse = same(&response::txn(&header, &txn));
        prop_assert_eq!(&read.header, &expected);
        prop_assert_eq!(TxnResponse::from(read), txn);
    }

    #[test]
    fn watches_are_told_in_as_many_parts_as_needed(
        header in header(),
        events in proptest::collection::vec(event(), 0..6),
        (watch_id, compact_revision) in (number(), number()),
        (created, canceled, fragment) in any::<(bool, bool, bool)>(),
        limit in 100..2000usize,
    ) {
        let message = WatchMessage {
            revision: header.revision,
            watch_id,
            created,
            canceled,
            compact_revision,
            cancel_reason: "why",
            fragment,
            events,
        };
        let mut out = Vec::new();
        response::watch(&mut out, &header, &message, limit);
        let mut rest = out.as_slice();
        let mut told = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[1..PREFIX].try_into().unwrap()) as usize;
            let (one, after) = rest.split_at(PREFIX + length);
            let read: proto::WatchResponse = same(one);
            // Too large only if it is a single event, or the client does not want it in parts.
            prop_assert!(!fragment || read.events.len() < 2 || length < limit);
            prop_assert_eq!(read.fragment, !after.is_empty());
            prop_assert_eq!(read.header, Some(header.into()));
            let whole = proto::WatchResponse {
                header: read.header, fragment, events: read.events.clone(), ..(&message).into()
            };
            prop_assert_eq!(proto::WatchResponse { fragment, ..read.clone() }, whole);
            told.extend(read.events.into_iter().map(Event::from));
            rest = after;
        }
        prop_assert_eq!(told, message.events);
    }

    #[test]
    fn a_wish_to_watch_survives(
        (id, start_revision) in (number(), number()),
        key in proptest::collection::vec(any::<u8>(), 1..9),
        end in bytes(),
        (prev_kv, progress_notify, fragment) in any::<(bool, bool, bool)>(),
        (no_put, no_delete) in any::<(bool, bool)>(),
    ) {
        let keys = KeyRange { key: key.into(), end };
        let create = WatchCreate {
            id, keys, start_revision, prev_kv, progress_notify, fragment, no_put, no_delete,
        };
        prop_assert_eq!(watch_create(create.clone().into()), create);
    }
}

#[test]
fn a_large_range_comes_in_pieces() {
    let kv = |number: i64| KeyValue {
        key: format!("key-{number}").into(),
        value: vec![7; 10_000].into(),
        create_revision: number,
        mod_revision: number,
        version: 1,
        lease: 0,
    };
    let kvs: Vec<_> = (1..=100).map(|number| Arc::new(kv(number))).collect();
    let header = Header { cluster_id: 1, member_id: 2, revision: 100, raft_term: 3 };
    for keys_only in [false, true] {
        let answer = RangeResponse { kvs: kvs.clone(), keys_only, more: true, count: 1000 };
        let mut writer = RangePieces::new(&header, answer);
        let first = writer.next().unwrap();
        assert_eq!(writer.left() == 0, keys_only, "a megabyte is not written at once");
        let mut all = first.to_vec();
        all.extend(pieces(writer));
        let read: proto::RangeResponse = same(&all);
        assert_eq!(read.kvs.len(), 100);
        assert_eq!((read.more, read.count), (true, 1000));
        assert!(read.kvs.iter().all(|kv| kv.value.is_empty() == keys_only));
    }
}

#[test]
fn what_is_stored_does_not_hold_the_buffer() {
    let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
    let message = wire(&proto::PutRequest::from(put.clone()));
    let inside = |part: &Bytes| message.as_ptr_range().contains(&part.as_ptr());
    let read = request::put(&message).unwrap();
    assert!(!inside(&read.key) && !inside(&read.value));
    let compare = Compare {
        keys: KeyRange { key: "k".into(), end: Bytes::new() },
        result: CompareResult::Equal,
        target: CompareTarget::Mod(0),
    };
    let txn = TxnRequest {
        compare: vec![compare],
        success: vec![RequestOp::Put(put)],
        failure: Vec::new(),
    };
    let message = wire(&proto::TxnRequest::from(txn));
    let inside = |part: &Bytes| message.as_ptr_range().contains(&part.as_ptr());
    let read = request::txn(&message).unwrap().request;
    let [RequestOp::Put(put)] = &read.success[..] else { panic!("{read:?}") };
    assert!(!inside(&put.key) && !inside(&put.value));
    assert!(inside(&read.compare[0].keys.key), "what is only looked at is not copied");
}

#[test]
fn what_mvcc_cannot_hold_is_a_flaw() {
    let range = |sort_order, sort_target| proto::RangeRequest {
        key: "k".into(),
        sort_order,
        sort_target,
        ..proto::RangeRequest::default()
    };
    let flaw = |range| request::range(&wire(&range)).unwrap().0.flaw;
    assert_eq!(flaw(range(2, 4)), None);
    assert_eq!(flaw(range(0, 5)), Some(Error::InvalidSortOption));
    assert_eq!(flaw(range(1, -1)), Some(Error::InvalidSortOption));
    for order in [3, -1] {
        let unsorted = request::range(&wire(&range(order, 4))).unwrap().0;
        assert_eq!(unsorted.flaw, None, "etcd 3.5.16 takes it");
        let request = unsorted.request;
        assert_eq!((request.sort_order, request.sort_target), (SortOrder::None, SortTarget::Key));
    }
    let op = |request| proto::RequestOp { request };
    let txn = |success| proto::TxnRequest { success, ..proto::TxnRequest::default() };
    let flaw = |txn| request::txn(&wire(&txn)).unwrap().flaw;
    assert_eq!(flaw(txn(vec![op(None)])), Some(Error::KeyNotFound));
    let bad = op(Some(proto::request_op::Request::RequestRange(range(9, 9))));
    assert_eq!(flaw(txn(vec![bad, op(None)])), Some(Error::InvalidSortOption));
}

#[test]
fn transactions_within_transactions_have_a_bottom() {
    let mut txn = Vec::new();
    for _ in 0..10_000 {
        // A success operation that holds a transaction.
        let mut op = vec![4 << 3 | 2];
        super::field::put_varint(&mut op, txn.len() as u64);
        op.extend_from_slice(&txn);
        let mut outer = vec![2 << 3 | 2];
        super::field::put_varint(&mut outer, op.len() as u64);
        outer.extend_from_slice(&op);
        txn = outer;
    }
    let read = request::txn(&txn.into()).unwrap();
    assert_eq!(read.flaw, Some(Error::TooManyOps));
    assert_eq!(read.request.check(128), Err(Error::TooManyOps));
}

#[test]
fn unknown_comparisons_are_as_etcd_has_them() {
    let there = KeyRange { key: "there".into(), end: Bytes::new() };
    let gone = KeyRange { key: "gone".into(), end: Bytes::new() };
    let mut state = mvcc::State::new();
    let put = PutRequest { key: there.key.clone(), value: "v".into(), ..PutRequest::default() };
    state.put(&put).unwrap();
    let mut met = |result, target, keys: &KeyRange| {
        let compare =
            proto::Compare { result, target, key: keys.key.clone(), ..proto::Compare::default() };
        let txn = proto::TxnRequest { compare: vec![compare], ..proto::TxnRequest::default() };
        let read = request::txn(&wire(&txn)).unwrap();
        state.txn(&read.request).unwrap().0.succeeded
    };
    const VALUE: i32 = 3;
    for keys in [&there, &gone] {
        assert!(met(0, 77, keys), "an unknown target counts as equal");
        assert!(!met(1, 77, keys) && !met(2, 77, keys) && !met(3, 77, keys));
        assert!(met(77, 0, keys), "an unknown way to compare counts as met");
    }
    assert!(met(77, VALUE, &there));
    assert!(!met(77, VALUE, &gone), "a value that is not there never meets anything");
}

#[test]
fn bad_fields_are_malformed() {
    let cases: [(&str, &[u8]); 7] = [
        ("a length beyond the end", &[0x0a, 5, 1]),
        ("a tag without a value", &[0x0a]),
        (
            "a number that never ends",
            &[0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
        ),
        ("field number 0", &[0x02, 0]),
        ("a group", &[0x0b]),
        ("a number where bytes are meant", &[0x08, 1]),
        ("bytes where a number is meant", &[0x1a, 1, 1]),
    ];
    for (what, bytes) in cases {
        let bytes = Bytes::from_static(bytes);
        assert_eq!(request::put(&bytes), Err(Malformed), "{what}");
        assert!(proto::PutRequest::decode(bytes).is_err(), "{what}");
    }
    let unknown = Bytes::from_static(&[0x7a, 1, 9, 0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(request::put(&unknown), Ok(PutRequest::default()), "unknown fields are passed over");
}

#[test]
fn the_description_names_every_service() {
    let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTION).unwrap();
    let services: Vec<_> = set
        .file
        .iter()
        .flat_map(|file| {
            file.service.iter().map(|service| format!("{}.{}", file.package(), service.name()))
        })
        .collect();
    let expected = ["KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth"];
    assert_eq!(services, expected.map(|name| format!("etcdserverpb.{name}")));
}
