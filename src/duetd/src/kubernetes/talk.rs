//! [`Talk`]: how often something that waits says why. Pure: the time comes in.

use std::time::Duration;

/// What waits may change its reason as often as it looks; this often it is said at most.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// A reason that stays is repeated after this long, so that the journal's end shows it.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// What was said last, and when.
#[derive(Debug, Default)]
pub(super) struct Talk(Option<(Duration, String)>);

impl Talk {
    /// Whether `why` is to be said now, at `waited` after the beginning; if so it is taken as said.
    pub(super) fn says(&mut self, waited: Duration, why: &str) -> bool {
        let say = match &self.0 {
            None => true,
            Some((then, last)) => {
                let silent = waited.saturating_sub(*then);
                silent >= if last == why { AGAIN_AFTER } else { AT_MOST_EVERY }
            }
        };
        if say {
            self.0 = Some((waited, why.to_owned()));
        }
        say
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_and_again_after_a_while() {
        let mut talk = Talk::default();
        let mut says = |second, why| talk.says(Duration::from_secs(second), why);
        assert!(says(0, "a"));
        assert!(!says(1, "a"));
        assert!(!says(1, "b"), "too soon");
        assert!(says(5, "b"));
        assert!(!says(304, "b"));
        assert!(says(305, "b"));
    }

    #[test]
    fn an_hour_of_changing_reasons_is_a_bounded_number_of_lines() {
        let mut talk = Talk::default();
        let reasons = ["a", "b"].iter().cycle();
        let lines = (0..3600)
            .zip(reasons)
            .filter(|(second, why)| talk.says(Duration::from_secs(*second), why));
        assert!(lines.count() <= 3600 / 5);
    }
}
