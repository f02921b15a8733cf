//! How often a site may ask. Start at [`Bucket::take`].
//!
//! A bucket fills steadily and each question takes a token, so a burst is fine and a flood is not. The
//! time comes in.

use std::time::{Duration, Instant};

/// How fast and how far a bucket fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: f64,
    /// How many a full bucket has.
    pub burst: f64,
}

impl Default for Rate {
    /// Two rooms that ask every quarter of a second are below it for as long as they like.
    fn default() -> Rate {
        Rate { per_second: 10.0, burst: 30.0 }
    }
}

/// What a site may still ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Bucket {
        Bucket { tokens: rate.burst, filled: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        self.filled = now;
    }

    /// Takes a token, or says in how long there will be one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate.per_second))
    }

    /// Whether it is as good as new, so that it can be forgotten.
    pub(crate) fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= rate.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_waits() {
        let rate = Rate { per_second: 2.0, burst: 3.0 };
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::full(rate, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(rate, at(0)), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(rate, at(250)), Err(Duration::from_millis(250)));
        assert_eq!(bucket.take(rate, at(500)), Ok(()));
        // A clock that goes back gives nothing.
        assert!(bucket.take(rate, at(0)).is_err());
        assert!(!bucket.is_full(rate, at(1000)));
        assert!(bucket.is_full(rate, at(60_000)));
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, at(60_000)), Ok(()));
        }
        assert!(bucket.take(rate, at(60_000)).is_err());
    }
}
