//! Would the site survive the loss of a room now? Start at [`of`]. What the other room's own store says
//! counts; where it is silent, nothing is promised.

use site::Room;

use super::words::{ago, room as named, room_first, seen_from_outside};
use super::{Known, Tone};

/// An answer to the one question that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The other room would go on.
    Yes,
    /// It would not.
    No,
    /// There is no telling.
    NotKnown,
}

/// What would happen if a room were lost now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The room that is lost.
    pub lost: Room,
    /// Whether the other one goes on.
    pub answer: Answer,
    /// Why, in a sentence.
    pub because: String,
}

impl Verdict {
    /// Such as "Would we survive the loss of room A now?"
    #[must_use]
    pub fn question(&self) -> String {
        format!("Would we survive the loss of {} now?", named(self.lost))
    }
}

impl Answer {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Answer::Yes => "Yes",
            Answer::No => "No",
            Answer::NotKnown => "Not known",
        }
    }

    /// How it is to be read.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Answer::Yes => Tone::Good,
            Answer::No => Tone::Bad,
            Answer::NotKnown => Tone::Warning,
        }
    }
}

pub(super) fn of(known: &Known<'_>, lost: Room) -> Verdict {
    let left = lost.other();
    let verdict = |answer, because| Verdict { lost, answer, because };
    if let Some(pair) = known.pair(left) {
        let survival = &pair["survival"];
        let because = survival["because"].as_str().unwrap_or_default();
        return match survival["goes_on"].as_bool() {
            Some(true) => verdict(Answer::Yes, goes_on(because, left)),
            Some(false) => verdict(Answer::No, seen_from_outside(because, left)),
            None => verdict(Answer::NotKnown, format!("{} does not say.", room_first(left))),
        };
    }
    if known.in_sync(left) == Some(false) {
        let because =
            format!("{} is not in sync: it lacks what was written since.", room_first(left));
        return verdict(Answer::No, because);
    }
    let silent = match known.node(left) {
        Some((_, age)) if known.fresh(left).is_none() => {
            format!("{} has not answered for {}", room_first(left), ago(age))
        }
        Some(_) => format!("The store of {} does not answer", named(left)),
        None => format!("{} has not been heard yet", room_first(left)),
    };
    let last = match known.in_sync(left) {
        Some(true) => "; it was in sync by the newest decision.",
        _ => ".",
    };
    verdict(Answer::NotKnown, silent + last)
}

fn goes_on(because: &str, left: Room) -> String {
    match because.strip_prefix("it ") {
        Some(rest) => seen_from_outside(&format!("{} {rest}", named(left)), left),
        None => seen_from_outside(because, left),
    }
}
