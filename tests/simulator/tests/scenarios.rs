//! The scenarios with a name: each keeps every promise, and writes go on in time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use simulator::plan::Authority;
use simulator::report::{Report, run};
use simulator::scenario::{ALL, Scenario};
use simulator::timeline::{What, seconds};

/// Seeds of each scenario: what is by chance differs.
const SEEDS: u64 = 5;

#[test]
fn writes_go_on_in_time() {
    let mut late = String::new();
    for scenario in ALL {
        let mut gaps: Vec<Duration> = Vec::new();
        for seed in 0..SEEDS {
            let report = run(&scenario.plan(None, seed), None);
            let replay = format!("--scenario {} --seed {seed}", scenario.name);
            assert_eq!(report.broken, None, "cargo run -p simulator -- {replay}");
            gaps.push(report.totals.longest_gap);
        }
        gaps.sort_unstable();
        let worst = gaps[gaps.len() - 1];
        if worst > Duration::from_millis(scenario.gap_ms) {
            late += &format!("{} took {}\n", scenario.name, seconds(worst));
        }
    }
    assert!(late.is_empty(), "{late}");
}

/// Under another authority a scenario may take a person, and breaks nothing all the same.
#[test]
fn every_authority_keeps_every_promise() {
    for scenario in ALL {
        for authority in Authority::ALL {
            let report = run(&scenario.plan(Some(authority), 1), None);
            let replay = format!("--scenario {} --authority {authority:?} --seed 1", scenario.name);
            assert_eq!(report.broken, None, "{replay}");
        }
    }
}

fn told(report: &Report) -> String {
    let lines = report.timeline.0.iter().filter(|line| matches!(line.what, What::Told(_)));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_timeline_says_who_and_why() {
    let report = run(&Scenario::find("leader-lost").unwrap().plan(None, 0), None);
    let told = told(&report);
    for text in ["room b     asks the witness", "room b     leads, by the witness", "in sync {b}"] {
        assert!(told.contains(text), "{text:?} is not in\n{told}");
    }
    let gaps = report.timeline.0.iter().filter(|line| matches!(line.what, What::Gap(_)));
    assert_eq!(gaps.count(), 1);
}

/// Leases look at the clock that never jumps, so the time of day makes no difference to anything.
#[test]
fn a_jump_of_the_time_of_day_changes_nothing() {
    let with = Scenario::find("clock-jump").unwrap().plan(None, 3);
    let mut without = with.clone();
    without.faults.clear();
    let (with, without) = (run(&with, None), run(&without, None));
    assert_eq!(told(&with), told(&without));
    assert_eq!(with.history.0, without.history.0);
}

/// Clocks that differ by more than the margin are outside of what is promised: the judge sees it.
#[test]
fn clocks_beyond_the_margin_break_the_promises() {
    let broken = (0..40).any(|seed| {
        let mut plan = Scenario::find("leader-isolated").unwrap().plan(None, seed);
        plan.clocks_ppm = [-400_000, 400_000];
        run(&plan, None).broken.is_some()
    });
    assert!(broken, "the margin is there for a reason");
}
