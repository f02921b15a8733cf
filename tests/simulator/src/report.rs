//! What came of a run. Start at [`run`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::history::History;
use crate::moment::Moment;
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::timeline::{Place, Timeline, What};
use crate::world::World;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// The first promise that was broken; none if all were kept.
    pub broken: Option<String>,
    /// What happened.
    pub timeline: Timeline,
    /// What clients asked and were told.
    pub history: History,
    /// Counts.
    pub totals: Totals,
}

/// Counts of a run, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Virtual time.
    pub lasted: Duration,
    /// Events.
    pub events: u64,
    /// What clients asked.
    pub operations: u64,
    /// What they were told.
    pub told: u64,
    /// Writes that clients know to be done.
    pub writes: u64,
    /// The longest time without one.
    pub longest_gap: Duration,
}

impl Totals {
    /// Both together.
    pub fn add(&mut self, other: &Totals) {
        self.lasted += other.lasted;
        self.events += other.events;
        self.operations += other.operations;
        self.told += other.told;
        self.writes += other.writes;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }
}

/// Runs a plan to its end or to the first promise that is broken. A panic of the store breaks one, too.
#[must_use]
pub fn run(plan: &Plan, mutant: Option<Mutant>) -> Report {
    let world = AssertUnwindSafe(|| World::new(plan, mutant).run());
    catch_unwind(world).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        let text = format!("the store panicked: {text}");
        let mut timeline = Timeline::default();
        timeline.add(Moment::ZERO, Place::Run, What::Broken(text.clone()));
        Report { broken: Some(text), timeline, ..Report::default() }
    })
}
