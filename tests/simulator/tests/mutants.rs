//! Drivers that are wrong on purpose are found by the seeds, or the seeds would not find a real mistake.

use std::sync::atomic::{AtomicBool, Ordering};

use simulator::mutant::Mutant;
use simulator::plan::{Authority, Mix, Plan};
use simulator::shrink::shrink;
use simulator::sweep::{Swept, sweep};

/// Seeds that are tried at most: several times what it takes today.
const SEEDS: u64 = 1000;

/// Runs seeds until one fails.
fn search(mutant: Mutant, authority: Option<Authority>) -> Swept {
    let found = AtomicBool::new(false);
    sweep(0..SEEDS, (authority, &Mix::default(), Some(mutant)), &|_, report| {
        found.fetch_or(report.broken.is_some(), Ordering::Relaxed);
        !found.load(Ordering::Relaxed)
    })
}

#[track_caller]
fn is_found(mutant: Mutant, authority: Option<Authority>) {
    let swept = search(mutant, authority);
    assert!(!swept.failed.is_empty(), "{mutant:?} was not found by {} seeds", swept.seeds);
}

#[test]
fn a_write_that_is_said_to_be_on_the_disk_too_early() {
    is_found(Mutant::WrittenTooEarly, None);
}

#[test]
fn a_register_that_is_not_persisted() {
    is_found(Mutant::RegisterForgotten, None);
}

#[test]
fn a_word_that_is_said_before_it_is_persisted() {
    is_found(Mutant::SpeaksTooEarly, None);
}

#[test]
fn entries_that_are_not_cut_off() {
    is_found(Mutant::TailKept, None);
}

#[test]
fn a_read_after_the_lease() {
    is_found(Mutant::LeaseIgnored, Some(Authority::Witness));
}

/// What is left of a plan still fails, and nothing more can be left out.
#[test]
fn what_fails_is_shrunk() {
    let swept = search(Mutant::TailKept, None);
    let seed = swept.failed.first().map(|(seed, _)| *seed);
    let plan = Plan::draw(seed.expect("it is found"), None, &Mix::default());
    let mutant = Some(Mutant::TailKept);
    let (small, report) = shrink(&plan, mutant, &mut |_| ()).expect("it fails");
    assert!(report.broken.is_some() && small.faults.len() < plan.faults.len());
    for fault in 0..small.faults.len() {
        let less = simulator::report::run(&small.without(fault), mutant);
        assert!(less.broken.is_none() || small.faults.len() <= 1, "fault {fault} is not needed");
    }
}
