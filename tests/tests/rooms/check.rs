//! Judges what clients were told by what both stores hold in the end. Start at [`check`]. A pure function, which
//! its own tests show to find what it should.

use std::time::Duration;

use super::book::{Book, Lease, List, Outcome, Read, Write};
use super::history::{Event, History};
use super::load::OBJECTS;

/// What a watcher saw, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(pub(crate) Vec<(Duration, Event)>);

impl Seen {
    /// The same up to a revision.
    pub(crate) fn upto(mut self, revision: i64) -> Seen {
        self.0.retain(|(_, event)| event.revision <= revision);
        self
    }
}

/// Findings beyond these say nothing new.
const MOST: usize = 20;

/// Everything that is wrong; empty if all is well.
pub(crate) fn check(book: &Book, stores: [&History; 2], watchers: &[Seen]) -> Vec<String> {
    let mut wrong = Vec::new();
    let history = stores[0];
    if history.events != stores[1].events {
        let parts = history.events.iter().zip(&stores[1].events).find(|(a, b)| a != b);
        let lengths = (history.events.len(), stores[1].events.len());
        wrong.push(format!("the rooms' histories differ: {lengths:?} events, first at {parts:?}"));
    }
    let (writes, reads) = (book.writes.lock().unwrap(), book.reads.lock().unwrap());
    let (lists, leases) = (book.lists.lock().unwrap(), book.leases.lock().unwrap());
    writes.iter().for_each(|write| wrong.extend(of_write(write, history)));
    reads.iter().for_each(|read| wrong.extend(of_read(read, history)));
    lists.iter().for_each(|list| wrong.extend(of_list(list, history)));
    wrong.extend(order(&writes, &reads, &lists, history));
    for (number, seen) in watchers.iter().enumerate() {
        wrong.extend(of_watcher(number, seen, history));
        leases.iter().for_each(|lease| wrong.extend(of_lease(lease, seen)));
    }
    wrong.truncate(MOST);
    wrong
}

/// An acknowledged write is there where it was said, one that was refused is not, and none is twice.
fn of_write(write: &Write, history: &History) -> Option<String> {
    let places = history.of_value(&write.value);
    let wrong = |what: &str| Some(format!("{what}: {write:?}, and in the history {places:?}"));
    match (&write.outcome, &places[..]) {
        (_, [_, _, ..]) => return wrong("written twice"),
        (Outcome::Done(_), []) => return wrong("acknowledged and lost"),
        (Outcome::Done(revision), [place]) if place.revision != *revision => {
            return wrong("acknowledged at another revision");
        }
        (Outcome::Undone(_) | Outcome::Differs(_), [_]) => return wrong("refused and done"),
        _ => {}
    }
    let [place] = places[..] else { return None };
    if place.key != write.key {
        return wrong("at another key");
    }
    let conditional = write.deletes.as_ref().unwrap_or(&write.key);
    if let Some(expected) = write.if_at {
        let before = history.at(conditional, place.revision - 1);
        let before = before.filter(|event| event.value.is_some()).map_or(0, |event| event.revision);
        if before != expected {
            return wrong(&format!("its condition did not hold: the key was at {before}"));
        }
    }
    if let Some(deleted) = &write.deletes {
        let then = history.at(deleted, place.revision);
        if then.is_none_or(|event| event.value.is_some() || event.revision != place.revision) {
            return wrong("what it deletes is not deleted with it");
        }
    }
    None
}

/// A read tells what was there at the revision that it names.
fn of_read(read: &Read, history: &History) -> Option<String> {
    let there = history.at(&read.key, read.revision);
    let there = there.and_then(|event| Some((event.revision, event.value.clone()?)));
    (there != read.found).then(|| format!("{read:?}, and in the history {there:?}"))
}

fn of_list(list: &List, history: &History) -> Option<String> {
    let there = history.list(OBJECTS, list.revision);
    (there != list.found).then(|| format!("{list:?}, and in the history {there:?}"))
}

/// What began after something had ended comes after it: writes later, linearizable reads not earlier.
fn order(writes: &[Write], reads: &[Read], lists: &[List], history: &History) -> Vec<String> {
    struct Step<'a> {
        begun: Duration,
        /// None if nobody was told an end.
        ended: Option<Duration>,
        revision: i64,
        writes: bool,
        what: &'a dyn std::fmt::Debug,
    }
    let of_write = |write| {
        let Write { begun, ended, outcome, value, .. }: &Write = write;
        let step = |ended, revision, writes| Step {
            begun: *begun,
            ended,
            revision,
            writes,
            what: write as &dyn std::fmt::Debug,
        };
        match outcome {
            Outcome::Done(revision) => Some(step(Some(*ended), *revision, true)),
            Outcome::Differs(revision) => Some(step(Some(*ended), *revision, false)),
            Outcome::Undone(_) => None,
            Outcome::Unknown(_) => {
                let place = history.of_value(value).first().map(|event| event.revision)?;
                Some(step(None, place, true))
            }
        }
    };
    let of_read = |read| {
        let Read { begun, ended, revision, .. }: &Read = read;
        Step { begun: *begun, ended: Some(*ended), revision: *revision, writes: false, what: read }
    };
    let of_list = |list| {
        let List { begun, chosen, revision, .. }: &List = list;
        Step { begun: *begun, ended: Some(*chosen), revision: *revision, writes: false, what: list }
    };
    let sure = reads.iter().filter(|read| read.linearizable);
    let mut steps: Vec<Step<'_>> = writes.iter().filter_map(of_write).collect();
    steps.extend(sure.map(of_read));
    steps.extend(lists.iter().map(of_list));
    let mut by_end: Vec<&Step<'_>> = steps.iter().filter(|step| step.ended.is_some()).collect();
    by_end.sort_by_key(|step| step.ended);
    let mut by_begin: Vec<&Step<'_>> = steps.iter().collect();
    by_begin.sort_by_key(|step| step.begun);
    let (mut wrong, mut ended) = (Vec::new(), by_end.into_iter().peekable());
    let mut newest: Option<&Step<'_>> = None;
    for step in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < Some(step.begun)) {
            if newest.is_none_or(|newest| before.revision > newest.revision) {
                newest = Some(before);
            }
        }
        let Some(newest) = newest else { continue };
        let fits = if step.writes {
            step.revision > newest.revision
        } else {
            step.revision >= newest.revision
        };
        if !fits {
            wrong.push(format!(
                "{:?} at {} began after the end of {:?} at {}",
                step.what, step.revision, newest.what, newest.revision
            ));
        }
    }
    wrong
}

/// A watcher sees everything once, in order, whatever store it is at.
fn of_watcher(number: usize, seen: &Seen, history: &History) -> Option<String> {
    let events = || seen.0.iter().map(|(_, event)| event);
    if events().eq(&history.events) {
        return None;
    }
    let parts = events().zip(&history.events).position(|(seen, there)| seen != there);
    let at = parts.unwrap_or(seen.0.len().min(history.events.len()));
    let there = history.events.get(at);
    Some(format!("watcher {number} sees {:?} as event {at}, which is {there:?}", seen.0.get(at)))
}

/// What a lease holds goes only when nobody has renewed it for as long as it lasts.
fn of_lease(lease: &Lease, seen: &Seen) -> Option<String> {
    let gone = seen.0.iter().find(|(_, event)| event.key == lease.key && event.value.is_none());
    let gone = gone.map(|(when, _)| *when).into_iter().chain(lease.lost).min()?;
    let early = lease.renewed.iter().find(|renewed| {
        // Only what was acknowledged before counts, and that was not later than it began.
        **renewed < gone && gone < **renewed + lease.ttl
    });
    early.map(|renewed| format!("gone after {gone:?}, although renewed at {renewed:?}: {lease:?}"))
}

#[cfg(test)]
mod tests {
    use ::tests::two_rooms::Side;
    use bytes::Bytes;

    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn put(revision: i64, key: &'static str, value: &'static str) -> Event {
        Event { revision, key: Bytes::from_static(key.as_bytes()), value: Some(value.into()) }
    }

    fn write(value: &'static str, times: (u64, u64), outcome: Outcome) -> Write {
        Write {
            side: Side::A,
            key: "k".into(),
            value: value.into(),
            deletes: None,
            if_at: None,
            begun: ms(times.0),
            ended: ms(times.1),
            outcome,
        }
    }

    fn read(times: (u64, u64), revision: i64, found: Option<(i64, &'static str)>) -> Read {
        Read {
            side: Side::B,
            key: "k".into(),
            linearizable: true,
            begun: ms(times.0),
            ended: ms(times.1),
            revision,
            found: found.map(|(at, value)| (at, value.into())),
        }
    }

    #[track_caller]
    fn finds(writes: Vec<Write>, reads: Vec<Read>, events: &[Event], expected: &str) {
        let book = Book::new();
        *book.writes.lock().unwrap() = writes;
        *book.reads.lock().unwrap() = reads;
        let history = History::new(events.to_vec());
        let seen = Seen(events.iter().map(|event| (ms(0), event.clone())).collect());
        let wrong = check(&book, [&history, &history], &[seen]);
        match expected {
            "" => assert!(wrong.is_empty(), "{wrong:#?}"),
            _ => assert!(wrong.iter().any(|one| one.contains(expected)), "{wrong:#?}"),
        }
    }

    #[test]
    fn what_is_well_is_well() {
        let done = write("x", (0, 10), Outcome::Done(2));
        let unknown = write("y", (20, 30), Outcome::Unknown("late".into()));
        let lost = write("z", (20, 30), Outcome::Unknown("late".into()));
        let reads = vec![read((11, 12), 2, Some((2, "x"))), read((31, 40), 3, Some((3, "y")))];
        finds(vec![done, unknown, lost], reads, &[put(2, "k", "x"), put(3, "k", "y")], "");
    }

    #[test]
    fn what_was_lost_or_done_twice_is_found() {
        let done = || write("x", (0, 10), Outcome::Done(2));
        finds(vec![done()], vec![], &[], "acknowledged and lost");
        finds(vec![done()], vec![], &[put(3, "k", "x")], "another revision");
        finds(vec![done()], vec![], &[put(2, "k", "x"), put(3, "k", "x")], "written twice");
        finds(vec![done()], vec![], &[put(2, "j", "x")], "another key");
        let undone = write("x", (0, 10), Outcome::Undone("no leader".into()));
        finds(vec![undone], vec![], &[put(2, "k", "x")], "refused and done");
        let late = Write { if_at: Some(2), ..write("y", (0, 10), Outcome::Done(4)) };
        let events = [put(2, "k", "x"), put(3, "k", "z"), put(4, "k", "y")];
        finds(vec![late], vec![], &events, "did not hold: the key was at 3");
    }

    #[test]
    fn a_stale_read_is_found() {
        let events = [put(2, "k", "x"), put(3, "k", "y")];
        let done = || write("y", (0, 10), Outcome::Done(3));
        finds(vec![done()], vec![read((11, 12), 2, Some((2, "x")))], &events, "began after");
        // Begun before the write was acknowledged, it may tell either.
        finds(vec![done()], vec![read((9, 12), 2, Some((2, "x")))], &events, "");
        finds(vec![done()], vec![read((11, 12), 3, Some((2, "x")))], &events, "in the history");
        // A write that took a revision from before.
        let first = write("y", (0, 10), Outcome::Done(3));
        let second = write("x", (20, 30), Outcome::Done(2));
        finds(vec![first, second], vec![], &events, "began after");
    }

    #[test]
    fn a_watcher_that_misses_or_repeats_is_found() {
        let events = [put(2, "k", "x"), put(3, "k", "y")];
        let history = History::new(events.to_vec());
        let seen =
            |which: &[usize]| Seen(which.iter().map(|at| (ms(0), events[*at].clone())).collect());
        for wrong in [&[1][..], &[0], &[0, 0, 1], &[1, 0]] {
            assert_eq!(check(&Book::new(), [&history; 2], &[seen(wrong)]).len(), 1, "{wrong:?}");
        }
        assert_eq!(check(&Book::new(), [&history; 2], &[seen(&[0, 1])]).len(), 0);
        let other = History::new(events[..1].to_vec());
        assert_eq!(check(&Book::new(), [&history, &other], &[]).len(), 1);
    }

    #[test]
    fn a_lease_that_ends_early_is_found() {
        let deleted = Event { value: None, ..put(3, "k", "") };
        let history = History::new(vec![put(2, "k", "x"), deleted]);
        let seen = Seen(history.events.iter().map(|event| (ms(5000), event.clone())).collect());
        let lease = |renewed| Lease {
            key: "k".into(),
            ttl: ms(2000),
            renewed: vec![ms(0), ms(renewed)],
            lost: None,
        };
        for (renewed, findings) in [(2900, 0), (3100, 1)] {
            let book = Book::new();
            book.leases.lock().unwrap().push(lease(renewed));
            let wrong = check(&book, [&history; 2], std::slice::from_ref(&seen));
            assert_eq!(wrong.len(), findings, "{wrong:?}");
        }
    }
}
