//! What etcd's gRPC layer refuses before it looks at the store (etcd v3.5.16
//! `etcdserver/api/v3rpc/key.go`). Judges requests alone; sees no state.

use std::collections::{BTreeMap, HashSet};

use crate::{DeleteRangeRequest, Error, KeyRange, PutRequest, RangeRequest, RequestOp, TxnRequest};

/// The steps that a transaction may have if nothing else is configured (etcd's `--max-txn-ops`).
pub const DEFAULT_MAX_TXN_OPS: usize = 128;

impl RangeRequest {
    /// Whether it can be asked at all.
    ///
    /// # Errors
    /// [`Error::EmptyKey`].
    pub fn check(&self) -> Result<(), Error> {
        not_empty(&self.keys.key)
    }
}

impl PutRequest {
    /// Whether it can be asked at all.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], [`Error::ValueProvided`], [`Error::LeaseProvided`].
    pub fn check(&self) -> Result<(), Error> {
        not_empty(&self.key)?;
        if self.ignore_value && !self.value.is_empty() {
            return Err(Error::ValueProvided);
        }
        if self.ignore_lease && self.lease != 0 {
            return Err(Error::LeaseProvided);
        }
        Ok(())
    }
}

impl DeleteRangeRequest {
    /// Whether it can be asked at all.
    ///
    /// # Errors
    /// [`Error::EmptyKey`].
    pub fn check(&self) -> Result<(), Error> {
        not_empty(&self.keys.key)
    }
}

impl TxnRequest {
    /// Whether it can be asked at all. `max_ops` bounds the conditions, and each branch's steps; what
    /// the largest of them leaves over bounds nested transactions, and so their depth.
    ///
    /// # Errors
    /// [`Error::TooManyOps`], whatever a step's own check gives, [`Error::DuplicateKey`].
    pub fn check(&self, max_ops: usize) -> Result<(), Error> {
        check_txn(self, max_ops)?;
        for ops in [&self.success, &self.failure] {
            // What Kubernetes sends; one step cannot be in another's way.
            if !matches!(ops[..], [] | [RequestOp::Put(_) | RequestOp::Range(_)]) {
                check_intervals(ops)?;
            }
        }
        Ok(())
    }

    /// Whether nothing in it can write, so that a snapshot can answer it. A nested transaction counts
    /// as a write, as in etcd.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let mut ops = self.success.iter().chain(&self.failure);
        ops.all(|op| matches!(op, RequestOp::Range(_)))
    }
}

fn not_empty(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_txn(request: &TxnRequest, max_ops: usize) -> Result<(), Error> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(left) = max_ops.checked_sub(ops) else { return Err(Error::TooManyOps) };
    for compare in &request.compare {
        not_empty(&compare.keys.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        match op {
            RequestOp::Range(range) => range.check()?,
            RequestOp::Put(put) => put.check()?,
            RequestOp::DeleteRange(delete) => delete.check()?,
            RequestOp::Txn(txn) => check_txn(txn, left)?,
        }
    }
    Ok(())
}

/// The keys that steps put, and the spans that they delete.
#[derive(Default)]
struct Touched<'a> {
    puts: HashSet<&'a [u8]>,
    deletes: Spans<'a>,
}

/// No key may be put twice, nor be put and deleted, with two exceptions that are etcd's: the two
/// branches of a nested transaction may put the same key, and a nested transaction may delete what an
/// earlier one puts.
fn check_intervals(ops: &[RequestOp]) -> Result<Touched<'_>, Error> {
    let mut touched = Touched::default();
    for op in ops {
        if let RequestOp::DeleteRange(delete) = op {
            touched.deletes.insert(&delete.keys);
        }
    }
    for op in ops {
        let RequestOp::Txn(txn) = op else { continue };
        let (success, failure) = (check_intervals(&txn.success)?, check_intervals(&txn.failure)?);
        let twice = |key: &&[u8]| touched.puts.contains(key) || touched.deletes.contains(key);
        if success.puts.iter().chain(&failure.puts).any(twice) {
            return Err(Error::DuplicateKey);
        }
        touched.puts.extend(success.puts);
        touched.puts.extend(failure.puts);
        touched.deletes.extend(success.deletes);
        touched.deletes.extend(failure.deletes);
    }
    for op in ops {
        let RequestOp::Put(put) = op else { continue };
        if touched.deletes.contains(&put.key) || !touched.puts.insert(&put.key) {
            return Err(Error::DuplicateKey);
        }
    }
    Ok(touched)
}

/// Spans of keys, merged where they touch: by first key, where they end.
#[derive(Default)]
struct Spans<'a>(BTreeMap<&'a [u8], End<'a>>);

/// Before this key, or (true) just behind it.
type End<'a> = (&'a [u8], bool);

impl<'a> Spans<'a> {
    /// A span whose end is not above its key holds nothing. So does etcd treat the end of one zero
    /// byte, though elsewhere that means every key from there on; a put beside such a deletion passes.
    fn insert(&mut self, keys: &'a KeyRange) {
        if keys.end.is_empty() {
            self.add(&keys.key, (&keys.key, true));
        } else if keys.key < keys.end {
            self.add(&keys.key, (&keys.end, false));
        }
    }

    fn add(&mut self, mut from: &'a [u8], mut end: End<'a>) {
        while let Some((&start, &stop)) = self.0.range(..=end.0).next_back() {
            if stop < (from, false) {
                break;
            }
            self.0.remove(start);
            from = from.min(start);
            end = end.max(stop);
        }
        self.0.insert(from, end);
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.0.range(..=key).next_back().is_some_and(|(_, &end)| end > (key, false))
    }

    fn extend(&mut self, other: Spans<'a>) {
        for (from, end) in other.0 {
            self.add(from, end);
        }
    }
}
