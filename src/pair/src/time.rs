//! A point on one machine's own clock. Start at [`Time`]. Two machines' times are never compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since the machine started, suspended time included (`CLOCK_BOOTTIME`): it never jumps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub Duration);

impl Time {
    /// The moment the machine started.
    pub const ZERO: Time = Time(Duration::ZERO);

    /// This moment, milliseconds after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Time {
        Time(Duration::from_millis(millis))
    }

    /// How long after `earlier` this is; nothing when it is before.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, later: Duration) -> Time {
        Time(self.0.saturating_add(later))
    }
}
