//! What became of a probe's writes. Start at [`Record::take`]. Pure: times are told, as spans since the
//! probe began.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the store said to one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is there.
    Acknowledged,
    /// It is not, and why.
    Refused(String),
    /// There was no answer in time, or the connection broke: it may be there or not.
    None(String),
}

/// How writes fare, from one moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// Since the probe began, in milliseconds.
    pub(super) at_ms: u64,
    /// `acknowledged`, `refused` or `silent`.
    pub(super) state: &'static str,
    /// The store's reason, or the network's.
    pub(super) why: Option<String>,
    /// The number of the first write of which this is so.
    pub(super) write: u64,
}

/// Numbers of writes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// All answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// Ascending, with gaps between them: as many as there were changes.
    spans: Vec<Span>,
    acknowledged: u64,
    refused: u64,
    silent: u64,
    state: Option<&'static str>,
    last_acknowledged: Duration,
    /// The longest time without an acknowledgement, and when it began.
    gap: (Duration, Duration),
}

impl Record {
    /// Takes the next write's answer, which came at `at`. A change is worth telling.
    pub(super) fn take(&mut self, write: u64, at: Duration, answer: &Answer) -> Option<Change> {
        let (state, why) = match answer {
            Answer::Acknowledged => {
                self.acknowledged += 1;
                self.note_gap(at);
                self.last_acknowledged = at;
                match self.spans.last_mut() {
                    Some(span) if span.last + 1 == write => span.last = write,
                    _ => self.spans.push(Span { first: write, last: write }),
                }
                ("acknowledged", None)
            }
            Answer::Refused(why) => {
                self.refused += 1;
                ("refused", Some(why.clone()))
            }
            Answer::None(why) => {
                self.silent += 1;
                ("silent", Some(why.clone()))
            }
        };
        let changed = self.state.replace(state) != Some(state);
        changed.then(|| Change { at_ms: millis(at), state, why, write })
    }

    fn note_gap(&mut self, now: Duration) {
        let gap = now.saturating_sub(self.last_acknowledged);
        if gap > self.gap.0 {
            self.gap = (gap, self.last_acknowledged);
        }
    }

    /// The writes end.
    pub(super) fn end(&mut self, at: Duration) {
        self.note_gap(at);
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn silent(&self) -> u64 {
        self.silent
    }

    /// How long the longest gap is, and when it began, in milliseconds.
    pub(super) fn longest_gap_ms(&self) -> (u64, u64) {
        (millis(self.gap.0), millis(self.gap.1))
    }
}

/// How many numbers of the spans are not among `found`, which ascends.
pub(super) fn missing(spans: &[Span], found: impl Iterator<Item = u64>) -> u64 {
    let mut found = found.peekable();
    let mut missing = 0;
    for number in spans.iter().flat_map(|span| span.first..=span.last) {
        while found.next_if(|there| *there < number).is_some() {}
        if found.next_if_eq(&number).is_none() {
            missing += 1;
        }
    }
    missing
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn changes_are_told_once_and_gaps_are_measured_between_acknowledgements() {
        let mut record = Record::default();
        let refused = Answer::Refused("no leader".into());
        let told: Vec<_> = [
            (1, 10, Answer::Acknowledged),
            (2, 110, Answer::Acknowledged),
            (3, 400, Answer::None("no answer in 200 ms".into())),
            (4, 500, refused.clone()),
            (5, 600, refused),
            (6, 900, Answer::Acknowledged),
            (7, 1000, Answer::Acknowledged),
        ]
        .into_iter()
        .filter_map(|(write, at, answer)| record.take(write, ms(at), &answer))
        .map(|change| (change.at_ms, change.state, change.write))
        .collect();
        let expected = [
            (10, "acknowledged", 1),
            (400, "silent", 3),
            (500, "refused", 4),
            (900, "acknowledged", 6),
        ];
        assert_eq!(told, expected);
        record.end(ms(1050));
        assert_eq!(record.longest_gap_ms(), (790, 110));
        assert_eq!(record.spans(), [Span { first: 1, last: 2 }, Span { first: 6, last: 7 }]);
        assert_eq!((record.acknowledged(), record.refused(), record.silent()), (4, 2, 1));
    }

    #[test]
    fn silence_until_the_end_is_a_gap() {
        let mut record = Record::default();
        let _ = record.take(1, ms(10), &Answer::Acknowledged);
        let _ = record.take(2, ms(3000), &Answer::None("gone".into()));
        record.end(ms(5000));
        assert_eq!(record.longest_gap_ms(), (4990, 10));
    }

    #[test]
    fn what_is_missing_is_counted() {
        let spans = [Span { first: 1, last: 3 }, Span { first: 6, last: 7 }];
        let check = |found: &[u64], expected| {
            assert_eq!(missing(&spans, found.iter().copied()), expected, "{found:?}");
        };
        check(&[1, 2, 3, 4, 6, 7], 0);
        check(&[1, 3, 4, 5, 7, 8], 2);
        check(&[], 5);
    }
}
