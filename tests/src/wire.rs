//! etcd's messages and the generated clients, as the store compiles them from its own .proto files.
//!
//! They carry every field, and are compared as they came: nothing between the socket and a test
//! decides what a field means. [`MAX_MESSAGE`] is above what any server here sends.

use bytes::Bytes;
use etcdserverpb as pb;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request;

pub use store::wire::proto::{etcdserverpb, mvccpb};

/// The largest message that a test's client takes: tonic's own 4 MiB are less than a page of 10,000
/// objects.
pub const MAX_MESSAGE: usize = 256 << 20;

/// The transaction of an API server, and all that kine knows: if nobody has changed the key since this
/// revision (0: if it is not there), do `then`; else read it.
#[must_use]
pub fn if_unchanged(key: &Bytes, revision: i64, then: Request) -> pb::TxnRequest {
    let compare = pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Default::default()
    };
    let read = Request::RequestRange(pb::RangeRequest { key: key.clone(), ..Default::default() });
    let op = |request| pb::RequestOp { request: Some(request) };
    // A creation reads nothing if it fails.
    let failure = if revision == 0 { vec![] } else { vec![op(read)] };
    pb::TxnRequest { compare: vec![compare], success: vec![op(then)], failure }
}
