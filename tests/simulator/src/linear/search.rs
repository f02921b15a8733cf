//! Judges the operations on one key without looking at revisions, by searching for an order in which
//! they could have taken place (Wing and Gong, 1993, with the memory of Lowe, 2017). Start at [`order`].
//!
//! Slow where many operations overlap, so it has a bound. It is the second opinion: it knows nothing of
//! how the store numbers things.

use std::collections::HashSet;

use crate::history::{Found, Operation, Outcome, Request, Value};
use crate::moment::Moment;

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Not,
    /// It took too many steps.
    TooLong,
}

/// One operation on the key.
struct Call {
    number: Value,
    request: Request,
    outcome: Outcome,
    invoked: Moment,
    /// The end of time, if nobody was told.
    returned: Moment,
}

/// Looks for an order of the operations, all on one key that did not exist before, in at most so many
/// steps. Each comes with its number, which is the value that it writes.
#[must_use]
pub fn order<'a>(
    operations: impl IntoIterator<Item = (Value, &'a Operation)>,
    steps: usize,
) -> Verdict {
    let calls = operations.into_iter().filter_map(|(number, operation)| {
        let Operation { request, outcome, invoked, returned, .. } = *operation;
        let never = Moment(u64::MAX);
        let returned = match (request, outcome) {
            (Request::Local, _) | (_, Outcome::Refused) => return None,
            (Request::Read, Outcome::Unknown) => return None,
            (_, Outcome::Unknown) => never,
            (_, Outcome::Done { .. }) => returned.unwrap_or(never),
        };
        Some(Call { number, request, outcome, invoked, returned })
    });
    let mut calls: Vec<Call> = calls.collect();
    calls.sort_by_key(|call| (call.invoked, call.number));
    let mut search = Search { seen: HashSet::new(), left: steps, calls: &calls };
    let done = vec![0_u64; calls.len().div_ceil(64)];
    if search.go(done, 0, None) {
        Verdict::Linearizable
    } else if search.left == 0 {
        Verdict::TooLong
    } else {
        Verdict::Not
    }
}

struct Search<'a> {
    /// What was tried to no avail: which operations were done, and what the key held then.
    seen: HashSet<(Vec<u64>, Option<Value>)>,
    left: usize,
    calls: &'a [Call],
}

impl Search<'_> {
    /// `first`: all before this place are done. Goes as deep as operations overlap the rest.
    fn go(&mut self, done: Vec<u64>, first: usize, holds: Option<Value>) -> bool {
        // A stack of its own: histories are longer than a thread's stack is deep.
        let mut stack = vec![(done, first, holds)];
        while let Some((done, first, holds)) = stack.pop() {
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
            let calls = self.calls;
            let is_done = |at: usize| done[at / 64] >> (at % 64) & 1 == 1;
            let first = (first..calls.len()).find(|at| !is_done(*at)).unwrap_or(calls.len());
            // Whatever is next was asked before the first answer that is still to come.
            let open = |at: &usize| !is_done(*at);
            let end = (first..calls.len()).filter(open).map(|at| calls[at].returned).min();
            let Some(end) = end.filter(|end| *end < Moment(u64::MAX)) else { return true };
            for at in (first..calls.len()).take_while(|at| calls[*at].invoked <= end).filter(open) {
                let Some(then) = calls[at].does(holds) else { continue };
                let mut next = done.clone();
                next[at / 64] |= 1 << (at % 64);
                if self.seen.insert((next.clone(), then)) {
                    stack.push((next, first, then));
                }
            }
        }
        false
    }
}

impl Call {
    /// What the key holds after this, if it could have been answered so; else none.
    fn does(&self, holds: Option<Value>) -> Option<Option<Value>> {
        let value = |found: Option<Found>| found.map(|found| found.value);
        match (self.request, self.outcome) {
            (Request::Put, _) => Some(Some(self.number)),
            (Request::Delete, Outcome::Done { changed, .. }) => {
                (changed == holds.is_some()).then_some(None)
            }
            (Request::Delete, _) => Some(None),
            (Request::Swap(expected), Outcome::Done { changed, found, .. }) => {
                let held = value(expected) == holds;
                match changed {
                    true => held.then_some(Some(self.number)),
                    false => (!held && value(found) == holds).then_some(holds),
                }
            }
            (Request::Swap(expected), _) => {
                Some(if value(expected) == holds { Some(self.number) } else { holds })
            }
            (Request::Read | Request::Local, Outcome::Done { found, .. }) => {
                (value(found) == holds).then_some(holds)
            }
            (Request::Read | Request::Local, _) => Some(holds),
        }
    }
}
