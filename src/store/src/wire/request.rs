//! Requests of the KV service, from bytes to mvcc's types. Start at [`range`], [`put`], [`delete_range`]
//! and [`txn`].
//!
//! Keys and values that may enter the store are copied, each into memory of its own size: as parts of the
//! connection's buffer they would keep all of it for as long as they live. What is only looked at shares
//! the buffer.

use bytes::Bytes;
use mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, Error, KeyRange, PutRequest,
    RangeRequest, RequestOp, SortOrder, SortTarget, TxnRequest,
};

use super::field::{Malformed, Value, fields};

/// A request, and what is wrong with it that mvcc's type cannot hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Read<T> {
    pub(crate) request: T,
    /// The first such thing; what mvcc's own checks find comes before it.
    pub(crate) flaw: Option<Error>,
}

/// Transactions within transactions. etcd has no bound of its own here, but each level takes one of the
/// allowed operations; deeper than this is answered as too many of them.
const DEEPEST: usize = 128;

/// Where the bytes of a message lie, so that its parts can share them.
#[derive(Clone, Copy)]
struct Source<'a> {
    whole: &'a Bytes,
}

impl Source<'_> {
    /// The bytes, in the message's memory.
    fn share(self, part: &[u8]) -> Bytes {
        // An empty part would keep the buffer for nothing.
        if part.is_empty() { Bytes::new() } else { self.whole.slice_ref(part) }
    }
}

/// The bytes, in their own memory.
fn own(part: &[u8]) -> Bytes {
    Bytes::copy_from_slice(part)
}

/// Reads a `RangeRequest`, and whether it is to be serializable.
pub(crate) fn range(message: &Bytes) -> Result<(Read<RangeRequest>, bool), Malformed> {
    let mut serializable = false;
    let read = range_in(Source { whole: message }, message, &mut serializable)?;
    Ok((read, serializable))
}

fn range_in(
    source: Source<'_>,
    message: &[u8],
    serializable: &mut bool,
) -> Result<Read<RangeRequest>, Malformed> {
    let mut request = RangeRequest::default();
    let mut flaw = None;
    let mut sorted = true;
    for field in fields(message) {
        let (number, value) = field?;
        match number {
            1 => request.keys.key = source.share(value.bytes()?),
            2 => request.keys.end = source.share(value.bytes()?),
            3 => request.limit = value.int64()?,
            4 => request.revision = value.int64()?,
            5 => match value.number()? {
                0 => request.sort_order = SortOrder::None,
                1 => request.sort_order = SortOrder::Ascend,
                2 => request.sort_order = SortOrder::Descend,
                // As etcd 3.5.16: an unknown order sorts by nothing, not even by the target.
                _ => sorted = false,
            },
            6 => match value.number()? {
                0 => request.sort_target = SortTarget::Key,
                1 => request.sort_target = SortTarget::Version,
                2 => request.sort_target = SortTarget::Create,
                3 => request.sort_target = SortTarget::Mod,
                4 => request.sort_target = SortTarget::Value,
                // etcd 3.5.16 dies of this; later ones refuse it.
                _ => flaw = Some(Error::InvalidSortOption),
            },
            7 => *serializable = value.bool()?,
            8 => request.keys_only = value.bool()?,
            9 => request.count_only = value.bool()?,
            10 => request.min_mod_revision = value.int64()?,
            11 => request.max_mod_revision = value.int64()?,
            12 => request.min_create_revision = value.int64()?,
            13 => request.max_create_revision = value.int64()?,
            _ => {}
        }
    }
    if !sorted {
        (request.sort_order, request.sort_target) = (SortOrder::None, SortTarget::Key);
    }
    Ok(Read { request, flaw })
}

/// Reads a `PutRequest`.
pub(crate) fn put(message: &[u8]) -> Result<PutRequest, Malformed> {
    let mut request = PutRequest::default();
    for field in fields(message) {
        let (number, value) = field?;
        match number {
            1 => request.key = own(value.bytes()?),
            2 => request.value = own(value.bytes()?),
            3 => request.lease = value.int64()?,
            4 => request.prev_kv = value.bool()?,
            5 => request.ignore_value = value.bool()?,
            6 => request.ignore_lease = value.bool()?,
            _ => {}
        }
    }
    Ok(request)
}

/// Reads a `DeleteRangeRequest`.
pub(crate) fn delete_range(message: &[u8]) -> Result<DeleteRangeRequest, Malformed> {
    let mut request = DeleteRangeRequest::default();
    for field in fields(message) {
        let (number, value) = field?;
        match number {
            1 => request.keys.key = own(value.bytes()?),
            2 => request.keys.end = own(value.bytes()?),
            3 => request.prev_kv = value.bool()?,
            _ => {}
        }
    }
    Ok(request)
}

/// Reads a `TxnRequest`.
pub(crate) fn txn(message: &Bytes) -> Result<Read<TxnRequest>, Malformed> {
    let mut flaw = None;
    let request = txn_in(Source { whole: message }, message, 0, &mut flaw)?;
    Ok(Read { request, flaw })
}

fn txn_in(
    source: Source<'_>,
    message: &[u8],
    depth: usize,
    flaw: &mut Option<Error>,
) -> Result<TxnRequest, Malformed> {
    let mut request = TxnRequest::default();
    if depth > DEEPEST {
        flaw.get_or_insert(Error::TooManyOps);
        return Ok(request);
    }
    for field in fields(message) {
        let (number, value) = field?;
        match number {
            1 => request.compare.push(compare(source, value.bytes()?)?),
            2 => request.success.extend(op(source, value.bytes()?, depth, flaw)?),
            3 => request.failure.extend(op(source, value.bytes()?, depth, flaw)?),
            _ => {}
        }
    }
    Ok(request)
}

/// Reads one operation; none if it is empty or of an unknown kind, for which etcd says "key not found".
fn op(
    source: Source<'_>,
    message: &[u8],
    depth: usize,
    flaw: &mut Option<Error>,
) -> Result<Option<RequestOp>, Malformed> {
    let mut op = None;
    for field in fields(message) {
        let (number, value) = field?;
        op = match number {
            1 => {
                let read = range_in(source, value.bytes()?, &mut false)?;
                if let Some(found) = read.flaw {
                    flaw.get_or_insert(found);
                }
                Some(RequestOp::Range(read.request))
            }
            2 => Some(RequestOp::Put(put(value.bytes()?)?)),
            3 => Some(RequestOp::DeleteRange(delete_range(value.bytes()?)?)),
            4 => Some(RequestOp::Txn(txn_in(source, value.bytes()?, depth + 1, flaw)?)),
            _ => op,
        };
    }
    if op.is_none() {
        flaw.get_or_insert(Error::KeyNotFound);
    }
    Ok(op)
}

/// What a `Compare` holds its target against.
enum Held<'a> {
    None,
    Number(u32, i64),
    Value(&'a [u8]),
}

fn compare(source: Source<'_>, message: &[u8]) -> Result<Compare, Malformed> {
    let mut keys = KeyRange::default();
    let (mut result, mut target) = (0, 0);
    let mut held = Held::None;
    for field in fields(message) {
        let (number, value) = field?;
        match (number, value) {
            (1, value) => result = value.number()?,
            (2, value) => target = value.number()?,
            (3, value) => keys.key = source.share(value.bytes()?),
            (4 | 5 | 6 | 8, value) => held = Held::Number(number, value.int64()?),
            (7, value) => held = Held::Value(value.bytes()?),
            (64, value) => keys.end = source.share(value.bytes()?),
            (_, Value::Varint(_) | Value::Bytes(_) | Value::Fixed) => {}
        }
    }
    // A value of another kind than the target's counts as none: zero, or empty.
    let number = |field: u32| match held {
        Held::Number(number, value) if number == field => value,
        _ => 0,
    };
    let target = match target {
        0 => Some(CompareTarget::Version(number(4))),
        1 => Some(CompareTarget::Create(number(5))),
        2 => Some(CompareTarget::Mod(number(6))),
        3 => Some(CompareTarget::Value(match held {
            Held::Value(value) => source.share(value),
            _ => Bytes::new(),
        })),
        4 => Some(CompareTarget::Lease(number(8))),
        _ => None,
    };
    let result = match result {
        0 => Some(CompareResult::Equal),
        1 => Some(CompareResult::Greater),
        2 => Some(CompareResult::Less),
        3 => Some(CompareResult::NotEqual),
        _ => None,
    };
    let (result, target) = known(result, target);
    Ok(Compare { keys, result, target })
}

/// What etcd makes of numbers that it does not know (etcd v3.5 `server/etcdserver/apply.go`,
/// `compareKV`): an unknown target counts as equal, an unknown way to compare as met, except that a value
/// that is not there never meets anything. Said in comparisons that mvcc has.
fn known(
    result: Option<CompareResult>,
    target: Option<CompareTarget>,
) -> (CompareResult, CompareTarget) {
    const MET: (CompareResult, CompareTarget) =
        (CompareResult::Greater, CompareTarget::Version(-1));
    const UNMET: (CompareResult, CompareTarget) =
        (CompareResult::Less, CompareTarget::Version(i64::MIN));
    const THERE: (CompareResult, CompareTarget) =
        (CompareResult::Greater, CompareTarget::Version(0));
    match (result, target) {
        (Some(result), Some(target)) => (result, target),
        (Some(CompareResult::Equal), None) => MET,
        (Some(_), None) => UNMET,
        (None, Some(CompareTarget::Value(_))) => THERE,
        (None, _) => MET,
    }
}
