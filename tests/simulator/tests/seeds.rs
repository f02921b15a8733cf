//! Whole clusters by seed: new ones, and all that ever failed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use simulator::plan::{Mix, Plan};
use simulator::report::run;
use simulator::sweep::sweep;

/// `DUET_SEEDS` tries more, from `DUET_SEED` on.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn seeds_keep_every_promise() {
    let (from, count) = (number("DUET_SEED", 0), number("DUET_SEEDS", 300));
    let swept = sweep(from..from + count, (None, &Mix::default(), None), &|_, _| true);
    let failed: Vec<String> = swept
        .failed
        .iter()
        .map(|(seed, broken)| {
            format!(
                "cargo run -p simulator --profile soak -- --seed {seed} --shrink\n    {broken}\n"
            )
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} seeds failed:\n{}",
        failed.len(),
        swept.seeds,
        failed.concat()
    );
    assert_eq!(swept.seeds, count);
    // Clusters that take no writes break no promise either.
    assert!(swept.totals.writes > 100 * count, "{:?}", swept.totals);
}

/// What once failed stays in tests/seeds, and must not fail again.
#[test]
fn kept_plans_keep_every_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("seeds");
    let mut tried = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let plan = Plan::from_text(&fs::read_to_string(&path).unwrap()).unwrap();
            let broken = run(&plan, None).broken;
            assert_eq!(broken, None, "cargo run -p simulator -- --plan {}", path.display());
            tried += 1;
        }
    }
    assert!(tried > 0, "the folder holds at least the first one that was found");
}

#[test]
fn a_run_is_the_same_each_time() {
    let plan = Plan::draw(11, None, &Mix::default());
    let lines = || run(&plan, None).timeline.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(lines(), lines());
}
