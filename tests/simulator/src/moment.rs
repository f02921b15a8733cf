//! The true time of the simulated world, and the clocks that rooms have instead. Start at [`Moment`] and
//! [`Clock`]. No real clock is read anywhere in this crate but by the program that counts seconds.

use std::fmt;
use std::time::Duration;

use pair::Time;

/// A point of true time: microseconds since the run began. No room can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The beginning of the run.
    pub const ZERO: Moment = Moment(0);

    /// This moment, milliseconds after the beginning.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Moment {
        Moment(millis * 1000)
    }

    /// So many milliseconds later.
    #[must_use]
    pub const fn after_millis(self, millis: u64) -> Moment {
        Moment(self.0 + millis * 1000)
    }

    /// How long after `earlier` this is; nothing when it is before.
    #[must_use]
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, later: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(later.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// `t+12.345s`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{}.{:03}s", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}

/// A machine's `CLOCK_BOOTTIME`: it begins at its boot and goes at a speed of its own, never back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    booted: Moment,
    /// Its speed in millionths of the true one, above or below.
    ppm: i64,
}

impl Clock {
    /// The clock of a machine that boots now.
    #[must_use]
    pub fn new(booted: Moment, ppm: i64) -> Clock {
        assert!(ppm > -1_000_000, "a clock goes forward");
        Clock { booted, ppm }
    }

    /// What it shows.
    #[must_use]
    pub fn read(&self, now: Moment) -> Time {
        let true_micros = i128::from(now.0.saturating_sub(self.booted.0));
        let shown = true_micros * i128::from(1_000_000 + self.ppm) / 1_000_000;
        Time(Duration::from_micros(u64::try_from(shown).unwrap_or(u64::MAX)))
    }

    /// The first moment at which it shows at least `time`.
    #[must_use]
    pub fn when(&self, time: Time) -> Moment {
        let shown = i128::try_from(time.0.as_nanos()).unwrap_or(i128::MAX / 1000);
        let micros = shown.saturating_mul(1000) / i128::from(1_000_000 + self.ppm);
        let Ok(micros) = u64::try_from(micros) else { return Moment(u64::MAX) };
        // What the divisions dropped.
        let mut at = Moment(self.booted.0.saturating_add(micros));
        while self.read(at) < time {
            at.0 += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_its_own_time() {
        let slow = Clock::new(Moment::from_millis(500), -100_000);
        assert_eq!(slow.read(Moment::from_millis(400)), Time::ZERO);
        assert_eq!(slow.read(Moment::from_millis(1500)), Time::from_millis(900));
        for ppm in [-200_000, -45_001, 0, 1, 44_999, 150_000] {
            let clock = Clock::new(Moment(123_457), ppm);
            for micros in [0, 1, 999, 250_000, 1_800_001, 7_777_777_777] {
                let time = Time(Duration::from_micros(micros));
                let at = clock.when(time);
                assert!(clock.read(at) >= time, "{ppm} {micros}");
                assert!(at.0 == 123_457 || clock.read(Moment(at.0 - 1)) < time, "{ppm} {micros}");
            }
        }
    }

    #[test]
    fn a_moment_is_read_as_seconds() {
        assert_eq!(Moment(12_345_678).to_string(), "t+12.345s");
    }
}
