//! Judges what a watch told, and what a list holds, by what was written. Start at [`untold`] and
//! [`unkept`]. Pure: it takes records and gives complaints, and an empty answer is praise.

use std::collections::BTreeMap;

/// What can be done to an object, and what a watch calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// `ADDED`
    Create,
    /// `MODIFIED`
    Update,
    /// `DELETED`
    Delete,
}

/// One write, by the only writer of that name.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) name: String,
    pub(crate) op: Op,
    /// What was written; for a delete, what stood there before.
    pub(crate) number: u64,
    pub(crate) outcome: Outcome,
}

/// What the writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done, at this revision if the answer names one.
    Done(Option<u64>),
    /// No answer, or one that leaves it open. The writer does not touch that name again.
    Unknown,
}

/// One event of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) number: u64,
    pub(crate) revision: u64,
}

/// What an object holds, and the revision that it got it at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) revision: u64,
}

/// How a watch that ran all along fails to tell exactly what was written: each done write once, in
/// its order, at its revision; an unknown one once or not at all; and nothing else.
pub(crate) fn untold(writes: &[Write], changes: &[Change]) -> Vec<String> {
    let mut complaints = out_of_order(changes);
    let mut told: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        told.entry(&change.name).or_default().push(change);
    }
    for (name, writes) in by_name(writes) {
        let mut left = told.remove(name).unwrap_or_default().into_iter().peekable();
        for write in writes {
            let fits = |change: &&Change| {
                change.op == write.op
                    && change.number == write.number
                    && match write.outcome {
                        Outcome::Done(Some(revision)) => revision == change.revision,
                        Outcome::Done(None) | Outcome::Unknown => true,
                    }
            };
            if left.next_if(|change| fits(change)).is_none() && write.outcome != Outcome::Unknown {
                complaints.push(format!("{write:?} was not told; next is {:?}", left.peek()));
            }
        }
        complaints.extend(left.map(|change| format!("told, but not written then: {change:?}")));
    }
    complaints.extend(told.into_values().flatten().map(|change| format!("nobody's: {change:?}")));
    complaints
}

/// Events of one resource whose revisions do not rise: Kubernetes writes one key at a time.
fn out_of_order(changes: &[Change]) -> Vec<String> {
    let pairs = changes.iter().zip(changes.iter().skip(1));
    pairs
        .filter(|(before, after)| after.revision <= before.revision)
        .map(|(before, after)| format!("out of order: {before:?}, then {after:?}"))
        .collect()
}

/// How a list fails to hold exactly what was written: all that is done, and an unknown write or not.
pub(crate) fn unkept(writes: &[Write], held: &BTreeMap<String, Held>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut left: BTreeMap<&str, Held> = held.iter().map(|(name, held)| (&**name, *held)).collect();
    for (name, writes) in by_name(writes) {
        let held = left.remove(name);
        let mut allowed: Vec<(Option<u64>, Option<u64>)> = vec![(None, None)];
        for write in writes {
            let now = match (write.op, write.outcome) {
                (Op::Delete, _) => (None, None),
                (_, Outcome::Done(revision)) => (Some(write.number), revision),
                (_, Outcome::Unknown) => (Some(write.number), None),
            };
            match write.outcome {
                Outcome::Done(_) => allowed = vec![now],
                Outcome::Unknown => allowed.push(now),
            }
        }
        let fits = allowed.iter().any(|(number, revision)| match held {
            None => number.is_none(),
            Some(held) => {
                *number == Some(held.number) && revision.is_none_or(|at| at == held.revision)
            }
        });
        if !fits {
            complaints
                .push(format!("{name} holds {held:?}, allowed (number, revision): {allowed:?}"));
        }
    }
    complaints.extend(left.into_iter().map(|(name, held)| format!("nobody's: {name} {held:?}")));
    complaints
}

fn by_name(writes: &[Write]) -> BTreeMap<&str, Vec<&Write>> {
    let mut names: BTreeMap<&str, Vec<&Write>> = BTreeMap::new();
    for write in writes {
        names.entry(&write.name).or_default().push(write);
    }
    names
}

/// Panics with the first complaints, if there are any.
#[track_caller]
pub(crate) fn none(what: &str, complaints: &[String]) {
    let some = &complaints[..complaints.len().min(10)];
    assert!(some.is_empty(), "{what}: {} complaints\n  {}", complaints.len(), some.join("\n  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(op: Op, number: u64, outcome: Outcome) -> Write {
        Write { name: "a".to_owned(), op, number, outcome }
    }

    fn told(op: Op, number: u64, revision: u64) -> Change {
        Change { name: "a".to_owned(), op, number, revision }
    }

    fn life() -> (Vec<Write>, Vec<Change>) {
        let writes = vec![
            wrote(Op::Create, 1, Outcome::Done(Some(5))),
            wrote(Op::Update, 2, Outcome::Done(Some(7))),
            wrote(Op::Delete, 2, Outcome::Unknown),
        ];
        (writes, vec![told(Op::Create, 1, 5), told(Op::Update, 2, 7), told(Op::Delete, 2, 9)])
    }

    #[test]
    fn an_exact_watch_is_praised() {
        let (writes, changes) = life();
        assert_eq!(untold(&writes, &changes), [""; 0]);
        assert_eq!(
            untold(&writes, &changes[..2]),
            [""; 0],
            "the last write may not have been done"
        );
    }

    #[test]
    fn a_watch_that_loses_repeats_or_invents_is_found() {
        let (writes, changes) = life();
        let mut repeated = changes.clone();
        repeated.insert(1, repeated[0].clone());
        let mut swapped = changes.clone();
        swapped.swap(0, 1);
        let mut elsewhere = changes.clone();
        elsewhere[1].revision = 8;
        let mut invented = changes.clone();
        invented.push(Change { name: "b".to_owned(), ..told(Op::Create, 1, 11) });
        let mut other = changes.clone();
        other[1].number = 3;
        for wrong in
            [&changes[1..], &changes[..1], &repeated, &swapped, &elsewhere, &invented, &other]
        {
            assert!(!untold(&writes, wrong).is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn a_list_holds_what_is_done_and_perhaps_what_is_unknown() {
        let held = |held: &[(u64, u64)]| -> BTreeMap<String, Held> {
            let one =
                |(number, revision): &(u64, u64)| Held { number: *number, revision: *revision };
            held.iter().map(|pair| ("a".to_owned(), one(pair))).collect()
        };
        let (mut writes, _) = life();
        assert_eq!(unkept(&writes, &held(&[(2, 7)])), [""; 0]);
        assert_eq!(unkept(&writes, &held(&[])), [""; 0], "the delete may have been done");
        assert!(!unkept(&writes, &held(&[(1, 5)])).is_empty(), "an acknowledged update is lost");
        assert!(!unkept(&writes, &held(&[(2, 6)])).is_empty(), "at another revision");

        writes.pop();
        assert!(!unkept(&writes, &held(&[])).is_empty(), "an acknowledged object is lost");
        writes.push(wrote(Op::Delete, 2, Outcome::Done(None)));
        assert!(!unkept(&writes, &held(&[(2, 7)])).is_empty(), "a deleted object came back");
        assert!(!unkept(&[], &held(&[(2, 7)])).is_empty(), "an object that nobody wrote");
    }
}
