//! Judges what clients were told. Start at [`check`].
//!
//! Answers carry revisions, and a store's revisions are an order of all its writes. So the judge needs no
//! search: it takes that order, and asks whether the clients could have seen it.
//!
//! - A write that was done is the change of its revision, and of no other.
//! - A write that was refused is nowhere. One of unknown outcome is somewhere once, or nowhere.
//! - Nothing is there that nobody asked for.
//! - A read of revision `r` found the key as the changes up to `r` left it.
//! - Whoever asked after an answer came has a revision that is not older, and for a write it is newer.
//!   That goes for all keys together, so more is asked than that each key be linearizable.
//!
//! If all of it holds, the order by revision, with the reads behind the write that they saw, is one in
//! which each operation took place at one moment between question and answer. [`search`] judges single
//! keys without looking at revisions, as Wing and Gong do; the two judge each other in the tests.

pub mod search;

use std::collections::{BTreeMap, BTreeSet};

use pair::Room;

use crate::history::{
    Change, Found, History, Key, Operation, Outcome, Request, Revision, Truth, Value,
};
use crate::moment::Moment;

/// What no client of a linearizable store can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the sentence says what the fields are")]
pub enum Lie {
    #[error("operation {0} was told that revision {1} is its write, and it is not: it is {2:?}")]
    NotWritten(Value, Revision, Option<Change>),
    #[error("operation {0} was refused, and revision {1} is its write")]
    RefusedButDone(Value, Revision),
    #[error("operation {0} was told that it changed nothing, and revision {1} is its write")]
    DeniedButDone(Value, Revision),
    #[error("revision {0} is a write of operation {1}, which never asked for it")]
    Invented(Revision, Value),
    #[error("revisions {0} and {1} are both the write of operation {2}")]
    Twice(Revision, Revision, Value),
    #[error("operations {0} and {1} were both told that revision {2} is their deletion")]
    BothDeleted(Value, Value, Revision),
    #[error("revision {0} deleted key {1}, and nobody can have asked for it")]
    DeletionInvented(Revision, Key),
    #[error("operation {number} read key {key} at revision {revision} as {read:?}; it was {was:?}")]
    WrongRead {
        number: Value,
        key: Key,
        revision: Revision,
        read: Option<Found>,
        was: Option<Found>,
    },
    #[error(
        "operation {0} changed key {1} at revision {2} on a condition that did not hold: it was {3:?}"
    )]
    WrongSwap(Value, Key, Revision, Option<Found>),
    #[error("operation {0} was told at revision {1} that its condition does not hold, and it did")]
    WrongDenial(Value, Revision),
    #[error(
        "operation {number} of revision {revision} was asked after an answer of revision {before}: \
         it saw the past"
    )]
    Past { number: Value, revision: Revision, before: Revision },
    #[error("client {client} read revision {revision} in room {room}, and {before} there before")]
    Backward { client: u32, room: Room, revision: Revision, before: Revision },
}

/// Whether all of it can have been told.
///
/// # Errors
/// The first lie that is found.
pub fn check(history: &History, truth: &Truth) -> Result<(), Lie> {
    let told = Told::new(history);
    let mut deletions = BTreeMap::new();
    for (number, operation) in numbered(history) {
        let Outcome::Done { revision, changed, found } = operation.outcome else { continue };
        answer(number, operation, (revision, changed, found), truth)?;
        if operation.request != Request::Local {
            let before = told.before(operation.invoked);
            if revision < before || (changed && revision == before) {
                return Err(Lie::Past { number, revision, before });
            }
        }
        if operation.request == Request::Delete && changed {
            if let Some(other) = deletions.insert(revision, number) {
                return Err(Lie::BothDeleted(number, other, revision));
            }
        }
    }
    puts(history, truth, &told)?;
    unasked_deletions(history, truth, &told, &deletions)?;
    local(history)
}

fn numbered(history: &History) -> impl Iterator<Item = (Value, &Operation)> {
    history.0.iter().enumerate().map(|(number, operation)| (number as Value, operation))
}

/// The newest revision of all linearizable answers up to a moment.
struct Told(Vec<(Moment, Revision)>);

impl Told {
    fn new(history: &History) -> Told {
        let answers = history.0.iter().filter_map(|operation| {
            let Outcome::Done { revision, .. } = operation.outcome else { return None };
            let returned = operation.returned.filter(|_| operation.request != Request::Local)?;
            Some((returned, revision))
        });
        let mut told: Vec<_> = answers.collect();
        told.sort_unstable();
        let mut newest = 0;
        for (_, revision) in &mut told {
            newest = newest.max(*revision);
            *revision = newest;
        }
        Told(told)
    }

    /// 0 if nobody was told anything.
    fn before(&self, moment: Moment) -> Revision {
        let answers = self.0.partition_point(|(returned, _)| *returned < moment);
        answers.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// One answer against the changes.
fn answer(
    number: Value,
    operation: &Operation,
    (revision, changed, found): (Revision, bool, Option<Found>),
    truth: &Truth,
) -> Result<(), Lie> {
    let key = operation.key;
    let here = truth.read(key, revision);
    let reads = |read| {
        let was = here;
        if read == was { Ok(()) } else { Err(Lie::WrongRead { number, key, revision, read, was }) }
    };
    let value = match operation.request {
        Request::Put | Request::Swap(_) => Some(number),
        _ => None,
    };
    let written = || {
        let change = truth.at(revision);
        let own = change == Some(Change { key, value });
        if own { Ok(()) } else { Err(Lie::NotWritten(number, revision, change)) }
    };
    match operation.request {
        Request::Put => written(),
        Request::Delete if changed => written(),
        Request::Delete => reads(None),
        // Its condition is looked at where the change is.
        Request::Swap(_) if changed => written(),
        Request::Swap(expected) if found == expected => Err(Lie::WrongDenial(number, revision)),
        Request::Swap(_) | Request::Read | Request::Local => reads(found),
    }
}

/// Every value that was written against who wrote it.
fn puts(history: &History, truth: &Truth, told: &Told) -> Result<(), Lie> {
    let mut seen = BTreeMap::new();
    for (revision, Change { key, value }) in truth.changes() {
        let Some(number) = value else { continue };
        let asked = history.0.get(usize::try_from(number).unwrap_or(usize::MAX));
        let Some(operation) = asked.filter(|operation| operation.key == key) else {
            return Err(Lie::Invented(revision, number));
        };
        match operation.request {
            Request::Put => {}
            Request::Swap(expected) => {
                let was = truth.read(key, revision - 1);
                if was != expected {
                    return Err(Lie::WrongSwap(number, key, revision, was));
                }
            }
            _ => return Err(Lie::Invented(revision, number)),
        }
        if let Some(first) = seen.insert(number, revision) {
            return Err(Lie::Twice(first, revision, number));
        }
        let before = told.before(operation.invoked);
        match operation.outcome {
            Outcome::Refused => return Err(Lie::RefusedButDone(number, revision)),
            Outcome::Done { changed: false, .. } => {
                return Err(Lie::DeniedButDone(number, revision));
            }
            Outcome::Unknown if revision <= before => {
                return Err(Lie::Past { number, revision, before });
            }
            Outcome::Unknown | Outcome::Done { .. } => {}
        }
    }
    Ok(())
}

/// A deletion names nobody. Each one that no client was told of must be the work of a deletion whose
/// outcome is unknown, one for each; an operation can have made any that is newer than all answers
/// before it, so the oldest that can is taken.
fn unasked_deletions(
    history: &History,
    truth: &Truth,
    told: &Told,
    known: &BTreeMap<Revision, Value>,
) -> Result<(), Lie> {
    let mut unknown: BTreeMap<Key, BTreeSet<(Revision, Value)>> = BTreeMap::new();
    for (number, operation) in numbered(history) {
        if (operation.request, operation.outcome) == (Request::Delete, Outcome::Unknown) {
            let from = told.before(operation.invoked);
            unknown.entry(operation.key).or_default().insert((from, number));
        }
    }
    for (revision, Change { key, value }) in truth.changes() {
        if value.is_some() || known.contains_key(&revision) {
            continue;
        }
        let first = unknown.get_mut(&key).and_then(|unknown| {
            let first = unknown.first().copied().filter(|(from, _)| *from < revision)?;
            unknown.remove(&first).then_some(first)
        });
        if first.is_none() {
            return Err(Lie::DeletionInvented(revision, key));
        }
    }
    Ok(())
}

/// What one client reads from one start of a room's store does not go back. A client asks one thing at a time, so the order
/// of its operations is that of its answers.
fn local(history: &History) -> Result<(), Lie> {
    let mut newest: BTreeMap<(u32, Room, u64), Revision> = BTreeMap::new();
    for operation in &history.0 {
        let Operation { client, room, life, .. } = *operation;
        let (Request::Local, Outcome::Done { revision, .. }) =
            (operation.request, operation.outcome)
        else {
            continue;
        };
        let before = newest.entry((client, room, life)).or_default();
        if revision < *before {
            return Err(Lie::Backward { client, room, revision, before: *before });
        }
        *before = revision;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
