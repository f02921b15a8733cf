//! [`Timestamp`]: a moment, to the second, in UTC.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::text::text_serde;

/// A moment in UTC with a resolution of one second, written as RFC 3339 (`2026-11-23T08:00:00Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

/// A text that is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is not a time")]
#[diagnostic(code(input::time), help("write it as RFC 3339 says, such as 2026-11-23T08:00:00Z"))]
pub struct TimestampError(pub String);

impl Timestamp {
    /// The moment that lies `seconds` after the start of 1970, as far as four-digit years go.
    pub fn from_unix(seconds: u64) -> Option<Timestamp> {
        OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok().map(Timestamp)
    }

    /// Seconds since the start of 1970; zero for a moment before that.
    pub fn unix(self) -> u64 {
        u64::try_from(self.0.unix_timestamp()).unwrap_or(0)
    }

    /// The same moment as the type of the `time` crate.
    pub(crate) fn date_time(self) -> OffsetDateTime {
        self.0
    }

    /// This moment and `days` more; the last possible moment if there is no such day.
    pub fn plus_days(self, days: u32) -> Timestamp {
        let later = self.0.checked_add(time::Duration::days(days.into()));
        Timestamp(later.unwrap_or(time::PrimitiveDateTime::MAX.assume_utc()).truncated())
    }
}

/// Dropping what is finer than a second.
trait Truncated {
    fn truncated(self) -> Self;
}

impl Truncated for OffsetDateTime {
    fn truncated(self) -> Self {
        self.replace_nanosecond(0).unwrap_or(self)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Timestamp(OffsetDateTime::from(time).to_offset(UtcOffset::UTC).truncated())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|moment| moment.checked_to_offset(UtcOffset::UTC))
            .map(|moment| Timestamp(moment.truncated()))
            .ok_or_else(|| TimestampError(text.to_owned()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

text_serde!(Timestamp);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_moment_has_one_spelling() {
        for (written, kept) in [
            ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z"),
            ("2026-11-23T09:00:00+01:00", "2026-11-23T08:00:00Z"),
            ("2026-11-23T08:00:00.999Z", "2026-11-23T08:00:00Z"),
        ] {
            assert_eq!(written.parse::<Timestamp>().unwrap().to_string(), kept);
        }
        assert_eq!(Timestamp::from_unix(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
        let moment: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        assert_eq!(Timestamp::from_unix(moment.unix()), Some(moment));
        assert_eq!(moment.plus_days(10).to_string(), "2026-12-03T08:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "2026-11-23", "2026-13-01T00:00:00Z", "now"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert_eq!(Timestamp::from_unix(u64::MAX), None);
    }
}
