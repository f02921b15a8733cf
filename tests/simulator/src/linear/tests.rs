//! Histories that are known to be good or bad; and the two judges against each other.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::search::{Verdict, order};
use super::*;

/// A history by hand: times in milliseconds.
#[derive(Default)]
struct Story(History, Truth);

impl Story {
    fn ask(&mut self, request: Request, from: u64) -> Value {
        let client = self.0.0.len() as u32;
        self.0.invoke((client, Room::A), (request, 0), Moment::from_millis(from))
    }

    fn told(&mut self, request: Request, (from, to): (u64, u64), answer: Answer) -> Value {
        let number = self.ask(request, from);
        let Answer(revision, changed, found) = answer;
        let found = found.map(|(value, revision)| Found { value, revision });
        let outcome = Outcome::Done { revision, changed, found };
        self.0.answer(number, outcome, Moment::from_millis(to));
        number
    }

    fn refused(&mut self, request: Request, (from, to): (u64, u64)) -> Value {
        let number = self.ask(request, from);
        self.0.answer(number, Outcome::Refused, Moment::from_millis(to));
        number
    }

    fn happened(&mut self, revision: Revision, value: Option<Value>) {
        assert!(self.1.see(revision, Change { key: 0, value }));
    }

    #[track_caller]
    fn good(&self) {
        assert_eq!(check(&self.0, &self.1), Ok(()));
        assert_eq!(order(numbered(&self.0), 10_000), Verdict::Linearizable);
    }

    #[track_caller]
    fn bad(&self, text: &str) {
        let lie = check(&self.0, &self.1).unwrap_err().to_string();
        assert!(lie.contains(text), "{lie}");
    }

    #[track_caller]
    fn bad_also_to_a_search(&self, text: &str) {
        self.bad(text);
        assert_eq!(order(numbered(&self.0), 10_000), Verdict::Not);
    }
}

struct Answer(Revision, bool, Option<(Value, Revision)>);

#[test]
fn an_ordinary_day() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.told(Request::Read, (5, 20), Answer(2, false, Some((one, 2))));
    let held = Found { value: one, revision: 2 };
    let two = story.told(Request::Swap(Some(held)), (25, 30), Answer(3, true, None));
    story.told(Request::Swap(Some(held)), (26, 40), Answer(3, false, Some((two, 3))));
    story.told(Request::Local, (50, 51), Answer(2, false, Some((one, 2))));
    story.told(Request::Delete, (60, 70), Answer(4, true, None));
    story.told(Request::Delete, (71, 75), Answer(4, false, None));
    story.refused(Request::Put, (80, 90));
    story.happened(2, Some(one));
    story.happened(3, Some(two));
    story.happened(4, None);
    story.good();
}

#[test]
fn nobody_knows_and_it_was_or_was_not() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.happened(2, Some(one));
    story.ask(Request::Put, 11);
    let late = story.ask(Request::Put, 12);
    story.ask(Request::Delete, 13);
    story.told(Request::Read, (20, 30), Answer(2, false, Some((one, 2))));
    story.good();
    story.told(Request::Read, (40, 50), Answer(3, false, Some((late, 3))));
    story.happened(3, Some(late));
    story.told(Request::Read, (60, 70), Answer(4, false, None));
    story.happened(4, None);
    story.good();
}

#[test]
fn a_stale_read() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    let two = story.told(Request::Put, (20, 30), Answer(3, true, None));
    story.happened(2, Some(one));
    story.happened(3, Some(two));
    story.told(Request::Read, (31, 40), Answer(2, false, Some((one, 2))));
    story.bad_also_to_a_search("it saw the past");
}

#[test]
fn an_acknowledged_write_that_is_gone() {
    let mut story = Story::default();
    story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.told(Request::Read, (20, 30), Answer(2, false, None));
    story.bad_also_to_a_search("is its write, and it is not: it is None");
}

#[test]
fn one_revision_for_two_writes() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.happened(2, Some(one));
    story.bad("operation 1 was told that revision 2 is its write, and it is not");
    let change = Change { key: 0, value: Some(1) };
    assert!(!story.1.see(2, change), "the truth has one change for each revision");
}

#[test]
fn two_deletions_of_one_version() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.told(Request::Delete, (20, 30), Answer(3, true, None));
    story.told(Request::Delete, (20, 30), Answer(3, true, None));
    story.happened(2, Some(one));
    story.happened(3, None);
    story.bad_also_to_a_search("both told that revision 3 is their deletion");
}

#[test]
fn two_swaps_of_one_version() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    let held = Request::Swap(Some(Found { value: one, revision: 2 }));
    let two = story.told(held, (20, 30), Answer(3, true, None));
    let three = story.told(held, (20, 30), Answer(4, true, None));
    story.happened(2, Some(one));
    story.happened(3, Some(two));
    story.happened(4, Some(three));
    story.bad_also_to_a_search("on a condition that did not hold");
}

#[test]
fn refused_and_done() {
    let mut story = Story::default();
    let one = story.refused(Request::Put, (0, 10));
    story.happened(2, Some(one));
    story.told(Request::Read, (20, 30), Answer(2, false, Some((one, 2))));
    story.bad_also_to_a_search("was refused, and revision 2 is its write");
}

#[test]
fn done_twice() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.happened(2, Some(one));
    story.happened(3, Some(one));
    story.bad("are both the write of operation 0");
}

#[test]
fn written_by_nobody() {
    let mut story = Story::default();
    story.happened(2, Some(7));
    story.bad("which never asked for it");
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.happened(2, Some(one));
    story.ask(Request::Delete, 20);
    story.happened(3, None);
    story.good();
    story.happened(4, None);
    story.bad("revision 4 deleted key 0, and nobody can have asked for it");
}

#[test]
fn an_unknown_write_before_it_was_asked_for() {
    let mut story = Story::default();
    let late = story.ask(Request::Put, 50);
    let one = story.told(Request::Put, (0, 10), Answer(3, true, None));
    story.happened(2, Some(late));
    story.happened(3, Some(one));
    story.bad("it saw the past");
}

#[test]
fn a_room_that_goes_back() {
    let mut story = Story::default();
    let one = story.told(Request::Put, (0, 10), Answer(2, true, None));
    story.happened(2, Some(one));
    for (revision, found) in [(2, Some((one, 2))), (1, None)] {
        story.told(Request::Local, (20, 30), Answer(revision, false, found));
        story.0.0.last_mut().unwrap().client = 9;
    }
    story.bad("client 9 read revision 1 in room a, and 2 there before");
}

/// What a store that is right answers to operations with these times and moments of effect.
fn run(script: &[(u8, u8, u8, u8)]) -> (History, Truth) {
    let mut history = History::default();
    let mut truth = Truth::default();
    let mut effects = Vec::new();
    for (at, &(kind, key, length, effect)) in script.iter().enumerate() {
        let from = at as u64 * 10;
        let to = from + 1 + u64::from(length);
        let effect = from + u64::from(effect) * (to - from) / 255;
        effects.push((effect, at, kind, key % 2, from, to));
        let request = [Request::Put, Request::Read, Request::Delete, Request::Swap(None)];
        let request = request[usize::from(kind) % 4];
        history.invoke((at as u32, Room::A), (request, key % 2), Moment::from_millis(from));
    }
    effects.sort_unstable();
    let mut revision = 1;
    let mut last = [None, None];
    for (_, number, kind, key, _, to) in effects {
        let found = truth.read(key, revision);
        if kind % 4 == 3 && kind > 100 {
            // Sometimes it expects what was there when the one before took effect.
            history.0[number].request = Request::Swap(last[usize::from(key)]);
        }
        last[usize::from(key)] = found;
        let value = match history.0[number].request {
            Request::Put => Some(Some(number as Value)),
            Request::Delete => found.map(|_| None),
            Request::Swap(expected) => (found == expected).then_some(Some(number as Value)),
            Request::Read | Request::Local => None,
        };
        if let Some(value) = value {
            revision += 1;
            assert!(truth.see(revision, Change { key, value }));
        }
        let reads = matches!(history.0[number].request, Request::Read | Request::Swap(_));
        let found = found.filter(|_| reads && value.is_none());
        let outcome = Outcome::Done { revision, changed: value.is_some(), found };
        if kind < 230 {
            history.answer(number as Value, outcome, Moment::from_millis(to));
        }
    }
    (history, truth)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// A store that is right is judged right; and whatever is done to its answers, what the judge by
    /// revisions accepts has an order that the search finds.
    #[test]
    fn the_judges_agree(
        script in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..40),
        spoil in prop::collection::vec((any::<usize>(), any::<usize>(), 0..5), 0..3),
    ) {
        let (mut history, truth) = run(&script);
        prop_assert_eq!(check(&history, &truth), Ok(()));
        let count = history.0.len();
        for (one, other, how) in spoil {
            let (one, other) = (one % count, other % count);
            match how {
                0 => history.0[one].outcome = history.0[other].outcome,
                1 => history.0[one].outcome = Outcome::Refused,
                2 => history.0[one].outcome = Outcome::Unknown,
                3 => history.0[one].invoked = history.0[one].invoked.min(history.0[other].invoked),
                _ => history.0[one].returned = history.0[other].returned.max(Some(history.0[one].invoked)),
            }
        }
        if check(&history, &truth).is_ok() {
            for key in 0..2 {
                let of_key = numbered(&history).filter(|(_, operation)| operation.key == key);
                prop_assert_eq!(order(of_key, 200_000), Verdict::Linearizable);
            }
        }
    }
}
