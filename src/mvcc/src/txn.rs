//! Transactions (etcd v3.5.16 `etcdserver/apply.go`, `Txn`). Start at [`State::txn`].
//!
//! As in etcd all conditions, those of nested transactions too, are judged first; then every step on
//! the way so chosen is checked; then they are done. So what could fail has failed before anything
//! is written, but for one case, which etcd answers by ending its process: see [`keeps_after_delete`].

use crate::write::Writer;
use crate::{
    Compare, CompareResult, CompareTarget, Effect, Error, KeyValue, RequestOp, ResponseOp, State,
    TxnRequest, TxnResponse,
};

/// Which branch each transaction takes: the outermost first, then those in its branch, in order.
type Way = Vec<bool>;

impl State {
    /// Does several steps at one revision, if conditions are met, or others if not.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::LeaseNotFound`], then [`Error::FutureRevision`],
    /// [`Error::Compacted`], and what the steps' own checks give; the state is unchanged then.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<(TxnResponse, Option<Effect>), Error> {
        let mut way = Way::new();
        self.choose(request, &mut way);
        walk(request, &mut way.iter(), &mut |op| self.check_write(op))?;
        walk(request, &mut way.iter(), &mut |op| self.check_read(op))?;
        let saved = keeps_after_delete(request).then(|| self.clone());
        let mut writer = Writer::new(self);
        match (writer.run(request, &mut way.iter()), saved) {
            (Ok(response), _) => Ok((response, writer.finish())),
            (Err(error), Some(saved)) => {
                *self = saved;
                Err(error)
            }
            (Err(error), None) => unreachable!("a checked step failed: {error}"),
        }
    }

    /// The same for a snapshot and a request that [`TxnRequest::is_read_only`].
    ///
    /// # Errors
    /// As [`State::txn`].
    pub fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        self.clone().txn(request).map(|(response, _)| response)
    }

    fn choose(&self, request: &TxnRequest, way: &mut Way) {
        let met = request.compare.iter().all(|compare| self.meets(compare));
        way.push(met);
        for op in branch(request, met) {
            if let RequestOp::Txn(nested) = op {
                self.choose(nested, way);
            }
        }
    }

    /// A key that is not there counts as one with all numbers 0, but holds no value at all.
    fn meets(&self, compare: &Compare) -> bool {
        let absent = || match compare.target {
            CompareTarget::Value(_) => false,
            CompareTarget::Version(number)
            | CompareTarget::Create(number)
            | CompareTarget::Mod(number)
            | CompareTarget::Lease(number) => holds(compare.result, &0, &number),
        };
        let meets = |kv: &KeyValue| match &compare.target {
            CompareTarget::Version(number) => holds(compare.result, &kv.version, number),
            CompareTarget::Create(number) => holds(compare.result, &kv.create_revision, number),
            CompareTarget::Mod(number) => holds(compare.result, &kv.mod_revision, number),
            CompareTarget::Value(value) => holds(compare.result, &kv.value, value),
            CompareTarget::Lease(number) => holds(compare.result, &kv.lease, number),
        };
        self.all_now(&compare.keys, absent, meets)
    }

    fn check_write(&self, op: &RequestOp) -> Result<(), Error> {
        match op {
            RequestOp::Put(put) => {
                put.check()?;
                if (put.ignore_value || put.ignore_lease)
                    && self.live(&crate::KeyRange::single(put.key.clone())).is_empty()
                {
                    return Err(Error::KeyNotFound);
                }
                if put.lease != 0 && !self.leases.contains(put.lease) {
                    return Err(Error::LeaseNotFound);
                }
                Ok(())
            }
            RequestOp::DeleteRange(delete) => delete.check(),
            RequestOp::Range(_) | RequestOp::Txn(_) => Ok(()),
        }
    }

    /// Unlike a range of its own, one in a transaction takes a revision below 0 at its word.
    fn check_read(&self, op: &RequestOp) -> Result<(), Error> {
        let RequestOp::Range(range) = op else { return Ok(()) };
        range.check()?;
        match range.revision {
            0 => Ok(()),
            revision if revision > self.revision => Err(Error::FutureRevision),
            revision if revision < self.compacted => Err(Error::Compacted),
            _ => Ok(()),
        }
    }
}

fn branch(request: &TxnRequest, met: bool) -> &[RequestOp] {
    if met { &request.success } else { &request.failure }
}

fn next(way: &mut std::slice::Iter<'_, bool>) -> bool {
    *way.next().expect("the way has a turn for each transaction on it")
}

/// Looks at each step on the way that is no transaction.
fn walk(
    request: &TxnRequest,
    way: &mut std::slice::Iter<'_, bool>,
    look: &mut impl FnMut(&RequestOp) -> Result<(), Error>,
) -> Result<(), Error> {
    for op in branch(request, next(way)) {
        match op {
            RequestOp::Txn(nested) => walk(nested, way, look)?,
            op => look(op)?,
        }
    }
    Ok(())
}

fn holds<T: Ord + ?Sized>(result: CompareResult, found: &T, wanted: &T) -> bool {
    match result {
        CompareResult::Equal => found == wanted,
        CompareResult::Greater => found > wanted,
        CompareResult::Less => found < wanted,
        CompareResult::NotEqual => found != wanted,
    }
}

/// Whether a put may be to keep what a deletion in the same transaction took away, which no check
/// before the steps sees: then, and only then, a step can fail after others were done. (The check
/// for duplicate keys lets it pass if the deletion has no end.)
fn keeps_after_delete(request: &TxnRequest) -> bool {
    fn any(request: &TxnRequest, is: fn(&RequestOp) -> bool) -> bool {
        request.success.iter().chain(&request.failure).any(|op| match op {
            RequestOp::Txn(nested) => any(nested, is),
            op => is(op),
        })
    }
    any(request, |op| matches!(op, RequestOp::Put(put) if put.ignore_value || put.ignore_lease))
        && any(request, |op| matches!(op, RequestOp::DeleteRange(_)))
}

impl Writer<'_> {
    fn run(
        &mut self,
        request: &TxnRequest,
        way: &mut std::slice::Iter<'_, bool>,
    ) -> Result<TxnResponse, Error> {
        let succeeded = next(way);
        let ops = branch(request, succeeded);
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            responses.push(match op {
                RequestOp::Range(range) => {
                    let current = self.current();
                    ResponseOp::Range(current, self.state.read(range, current)?)
                }
                RequestOp::Put(put) => {
                    let response = self.put(put)?;
                    ResponseOp::Put(self.current(), response)
                }
                RequestOp::DeleteRange(delete) => {
                    let response = self.delete_range(delete);
                    ResponseOp::DeleteRange(self.current(), response)
                }
                RequestOp::Txn(nested) => ResponseOp::Txn(0, self.run(nested, way)?),
            });
        }
        Ok(TxnResponse { succeeded, responses })
    }
}
