//! Many seeds, on all cores. Start at [`sweep`]. Which core runs which seed makes no difference.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::mutant::Mutant;
use crate::plan::{Authority, Mix, Plan};
use crate::report::{Report, Totals, run};

/// Failures after which nothing more is tried: they are most likely all the same.
const ENOUGH: usize = 10;

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Swept {
    /// Seeds that were run.
    pub seeds: u64,
    /// All of them together.
    pub totals: Totals,
    /// Those that failed, by rising seed, with the promise that was broken.
    pub failed: Vec<(u64, String)>,
}

/// Runs the plans of the seeds, and tells of each run, from whichever thread it was done on. Stops early
/// after a few failures, or when `told` says so.
pub fn sweep(
    seeds: Range<u64>,
    (authority, mix, mutant): (Option<Authority>, &Mix, Option<Mutant>),
    told: &(dyn Fn(u64, &Report) -> bool + Sync),
) -> Swept {
    let next = AtomicU64::new(seeds.start);
    let swept = Mutex::new(Swept::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run(&Plan::draw(seed, authority, mix), mutant);
            let goes_on = told(seed, &report);
            let mut swept = swept.lock().expect("no run panics outside of its own bounds");
            swept.seeds += 1;
            swept.totals.add(&report.totals);
            swept.failed.extend(report.broken.map(|broken| (seed, broken)));
            if !goes_on || swept.failed.len() >= ENOUGH {
                next.store(seeds.end, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut swept = swept.into_inner().expect("no run panics outside of its own bounds");
    swept.failed.sort_unstable();
    swept
}
