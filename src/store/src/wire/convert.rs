//! Between the generated messages and mvcc's types, both ways: for clients of another store, for what
//! comes seldom, and for tests that hold one store against another.

use std::sync::Arc;

use bytes::Bytes;
use mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, Event,
    EventKind, KeyRange, KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp,
    ResponseOp, SortOrder, SortTarget, TxnRequest, TxnResponse,
};

use super::proto;
use super::response::Header;
use crate::engine::{WatchCreate, WatchMessage};

impl From<Header> for proto::ResponseHeader {
    fn from(header: Header) -> proto::ResponseHeader {
        let Header { cluster_id, member_id, revision, raft_term } = header;
        proto::ResponseHeader { cluster_id, member_id, revision, raft_term }
    }
}

impl From<KeyValue> for proto::KeyValue {
    fn from(kv: KeyValue) -> proto::KeyValue {
        let KeyValue { key, value, create_revision, mod_revision, version, lease } = kv;
        proto::KeyValue { key, create_revision, mod_revision, version, value, lease }
    }
}

impl From<proto::KeyValue> for KeyValue {
    fn from(kv: proto::KeyValue) -> KeyValue {
        let proto::KeyValue { key, create_revision, mod_revision, version, value, lease } = kv;
        KeyValue { key, value, create_revision, mod_revision, version, lease }
    }
}

fn shared(kv: proto::KeyValue) -> Arc<KeyValue> {
    Arc::new(kv.into())
}

impl From<proto::Event> for Event {
    fn from(event: proto::Event) -> Event {
        let kind = match event.r#type() {
            proto::event::EventType::Put => EventKind::Put,
            proto::event::EventType::Delete => EventKind::Delete,
        };
        let kv = shared(event.kv.unwrap_or_default());
        Event { kind, kv, prev_kv: event.prev_kv.map(shared) }
    }
}

impl From<RangeRequest> for proto::RangeRequest {
    fn from(request: RangeRequest) -> proto::RangeRequest {
        use proto::range_request::{SortOrder as Order, SortTarget as Target};
        let order = match request.sort_order {
            SortOrder::None => Order::None,
            SortOrder::Ascend => Order::Ascend,
            SortOrder::Descend => Order::Descend,
        };
        let target = match request.sort_target {
            SortTarget::Key => Target::Key,
            SortTarget::Version => Target::Version,
            SortTarget::Create => Target::Create,
            SortTarget::Mod => Target::Mod,
            SortTarget::Value => Target::Value,
        };
        proto::RangeRequest {
            key: request.keys.key,
            range_end: request.keys.end,
            limit: request.limit,
            revision: request.revision,
            sort_order: order.into(),
            sort_target: target.into(),
            serializable: false,
            keys_only: request.keys_only,
            count_only: request.count_only,
            min_mod_revision: request.min_mod_revision,
            max_mod_revision: request.max_mod_revision,
            min_create_revision: request.min_create_revision,
            max_create_revision: request.max_create_revision,
        }
    }
}

impl From<proto::RangeResponse> for RangeResponse {
    /// Whether the values were left out is not told by an answer.
    fn from(answer: proto::RangeResponse) -> RangeResponse {
        RangeResponse {
            kvs: answer.kvs.into_iter().map(shared).collect(),
            keys_only: false,
            more: answer.more,
            count: answer.count,
        }
    }
}

impl From<PutRequest> for proto::PutRequest {
    fn from(request: PutRequest) -> proto::PutRequest {
        let PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease } = request;
        proto::PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease }
    }
}

impl From<proto::PutResponse> for PutResponse {
    fn from(answer: proto::PutResponse) -> PutResponse {
        PutResponse { prev_kv: answer.prev_kv.map(shared) }
    }
}

impl From<DeleteRangeRequest> for proto::DeleteRangeRequest {
    fn from(request: DeleteRangeRequest) -> proto::DeleteRangeRequest {
        let DeleteRangeRequest { keys: KeyRange { key, end }, prev_kv } = request;
        proto::DeleteRangeRequest { key, range_end: end, prev_kv }
    }
}

impl From<proto::DeleteRangeResponse> for DeleteRangeResponse {
    fn from(answer: proto::DeleteRangeResponse) -> DeleteRangeResponse {
        DeleteRangeResponse {
            deleted: answer.deleted,
            prev_kvs: answer.prev_kvs.into_iter().map(shared).collect(),
        }
    }
}

impl From<Compare> for proto::Compare {
    fn from(compare: Compare) -> proto::Compare {
        use proto::compare::{
            CompareResult as Result, CompareTarget as Target, TargetUnion as Held,
        };
        let result = match compare.result {
            CompareResult::Equal => Result::Equal,
            CompareResult::Greater => Result::Greater,
            CompareResult::Less => Result::Less,
            CompareResult::NotEqual => Result::NotEqual,
        };
        let (target, held) = match compare.target {
            CompareTarget::Version(number) => (Target::Version, Held::Version(number)),
            CompareTarget::Create(number) => (Target::Create, Held::CreateRevision(number)),
            CompareTarget::Mod(number) => (Target::Mod, Held::ModRevision(number)),
            CompareTarget::Value(value) => (Target::Value, Held::Value(value)),
            CompareTarget::Lease(number) => (Target::Lease, Held::Lease(number)),
        };
        proto::Compare {
            result: result.into(),
            target: target.into(),
            key: compare.keys.key,
            range_end: compare.keys.end,
            target_union: Some(held),
        }
    }
}

impl From<RequestOp> for proto::RequestOp {
    fn from(op: RequestOp) -> proto::RequestOp {
        use proto::request_op::Request;
        let request = match op {
            RequestOp::Range(request) => Request::RequestRange(request.into()),
            RequestOp::Put(request) => Request::RequestPut(request.into()),
            RequestOp::DeleteRange(request) => Request::RequestDeleteRange(request.into()),
            RequestOp::Txn(request) => Request::RequestTxn(request.into()),
        };
        proto::RequestOp { request: Some(request) }
    }
}

impl From<TxnRequest> for proto::TxnRequest {
    fn from(request: TxnRequest) -> proto::TxnRequest {
        proto::TxnRequest {
            compare: request.compare.into_iter().map(Into::into).collect(),
            success: request.success.into_iter().map(Into::into).collect(),
            failure: request.failure.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<proto::TxnResponse> for TxnResponse {
    /// An operation's answer of an unknown kind is left out.
    fn from(answer: proto::TxnResponse) -> TxnResponse {
        use proto::response_op::Response;
        let at = |header: &Option<proto::ResponseHeader>| header.as_ref().map_or(0, |h| h.revision);
        let op = |op: proto::ResponseOp| {
            Some(match op.response? {
                Response::ResponseRange(one) => ResponseOp::Range(at(&one.header), one.into()),
                Response::ResponsePut(one) => ResponseOp::Put(at(&one.header), one.into()),
                Response::ResponseDeleteRange(one) => {
                    ResponseOp::DeleteRange(at(&one.header), one.into())
                }
                Response::ResponseTxn(one) => ResponseOp::Txn(at(&one.header), one.into()),
            })
        };
        TxnResponse {
            succeeded: answer.succeeded,
            responses: answer.responses.into_iter().filter_map(op).collect(),
        }
    }
}

/// What a client asks to watch. As etcd: no key means from the smallest on.
pub(crate) fn watch_create(request: proto::WatchCreateRequest) -> WatchCreate {
    use proto::watch_create_request::FilterType;
    let left_out = |kind: FilterType| request.filters.contains(&kind.into());
    // Copied, since a watch lives long and would keep the connection's buffer.
    let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let key = if request.key.is_empty() { Bytes::from_static(&[0]) } else { own(&request.key) };
    WatchCreate {
        id: request.watch_id,
        keys: KeyRange { key, end: own(&request.range_end) },
        start_revision: request.start_revision,
        prev_kv: request.prev_kv,
        progress_notify: request.progress_notify,
        fragment: request.fragment,
        no_put: left_out(FilterType::Noput),
        no_delete: left_out(FilterType::Nodelete),
    }
}

impl From<WatchCreate> for proto::WatchCreateRequest {
    fn from(create: WatchCreate) -> proto::WatchCreateRequest {
        use proto::watch_create_request::FilterType;
        let filters =
            [(create.no_put, FilterType::Noput), (create.no_delete, FilterType::Nodelete)];
        proto::WatchCreateRequest {
            key: create.keys.key,
            range_end: create.keys.end,
            start_revision: create.start_revision,
            progress_notify: create.progress_notify,
            filters: filters.iter().filter(|(on, _)| *on).map(|(_, kind)| (*kind).into()).collect(),
            prev_kv: create.prev_kv,
            watch_id: create.id,
            fragment: create.fragment,
        }
    }
}

/// A message to a watch, whole; the header holds the revision only.
impl From<&WatchMessage> for proto::WatchResponse {
    fn from(message: &WatchMessage) -> proto::WatchResponse {
        let kv = |kv: &Arc<KeyValue>| proto::KeyValue::from(KeyValue::clone(kv));
        let event = |event: &Event| proto::Event {
            r#type: match event.kind {
                EventKind::Put => proto::event::EventType::Put.into(),
                EventKind::Delete => proto::event::EventType::Delete.into(),
            },
            kv: Some(kv(&event.kv)),
            prev_kv: event.prev_kv.as_ref().map(kv),
        };
        proto::WatchResponse {
            header: Some(proto::ResponseHeader {
                revision: message.revision,
                ..proto::ResponseHeader::default()
            }),
            watch_id: message.watch_id,
            created: message.created,
            canceled: message.canceled,
            compact_revision: message.compact_revision,
            cancel_reason: message.cancel_reason.to_owned(),
            fragment: message.fragment,
            events: message.events.iter().map(event).collect(),
        }
    }
}
