//! What happened when, and what it came to. Start at [`Outcome`]. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Scenario;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// The scenario.
    pub scenario: &'static str,
    /// Seconds since the machines were switched on first.
    pub seconds: f64,
    /// What it was.
    pub what: String,
}

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that had to be true was.
    Survived,
    /// What was not.
    Failed(String),
    /// It was not done, and why.
    LeftOut(String),
}

/// One scenario, done.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub scenario: &'static str,
    /// What it came to: `survived`, `failed: …` or `left out: …`.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
    /// What was measured, in seconds or as a number, by name.
    pub measured: BTreeMap<&'static str, f64>,
    /// What happened.
    pub events: Vec<Event>,
}

impl Outcome {
    pub(super) fn left_out(scenario: Scenario, failed: &str) -> Outcome {
        Outcome {
            scenario: scenario.name(),
            verdict: Verdict::LeftOut(format!("{failed} failed before it")),
            seconds: 0.0,
            measured: BTreeMap::new(),
            events: Vec::new(),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Survived => f.write_str("survived"),
            Verdict::Failed(why) => write!(f, "failed: {why}"),
            Verdict::LeftOut(why) => write!(f, "left out: {why}"),
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Seconds to a tenth.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// So many moments within a time, by seed, evenly spread: the same seed gives the same ones.
#[must_use]
pub fn moments(seed: u64, count: usize, within: Duration) -> Vec<Duration> {
    // SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count).map(|_| within.mul_f64((next() >> 11) as f64 / (1_u64 << 53) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_depend_on_the_seed_alone_and_lie_within() {
        let within = Duration::from_secs(40);
        let one = moments(1, 10, within);
        assert_eq!(one, moments(1, 10, within));
        assert_ne!(one, moments(2, 10, within));
        assert!(one.iter().all(|moment| *moment < within));
        let early = one.iter().filter(|moment| **moment < within / 2).count();
        assert!((1..10).contains(&early), "{one:?}");
    }

    #[test]
    fn a_verdict_is_one_line() {
        let verdict = Verdict::Failed("room b does not answer".into());
        assert_eq!(verdict.to_string(), "failed: room b does not answer");
        let json = serde_json::to_value(Verdict::Survived).unwrap_or_default();
        assert_eq!(json, "survived");
    }
}
