//! The scenarios of `duet lab run` with real stores, a real witness and real certificates, but without
//! machines: power is a process, a cable a wire on the loopback ([`site::Loopback`]). What only a machine has
//! (disks, firmware, the status screen) is the lab's own tests' matter.

#![allow(clippy::unwrap_used)]

mod site;

use std::time::Duration;

use lab::scenario::{self, Outcome, Pace, Verdict};

use site::Loopback;

/// Stores on the loopback are quick; the limits are for a computer that is busy.
const PACE: Pace = Pace {
    boot: Duration::from_secs(90),
    decision: Duration::from_secs(60),
    stays: Duration::from_secs(3),
    run_up: Duration::from_secs(1),
    load: Duration::from_secs(12),
    recent: Duration::from_secs(10),
};

fn run(site: &mut Loopback, names: &str, pace: Pace) -> Vec<Outcome> {
    let names: Vec<String> = names.split(' ').map(str::to_owned).collect();
    let scenarios = scenario::plan(&names).unwrap();
    // What is told is in the outcomes, too, and in the message of a failure.
    scenario::run(site, &scenarios, pace, 1, &mut |_| {})
}

fn outcome<'a>(outcomes: &'a [Outcome], name: &str) -> &'a Outcome {
    outcomes.iter().find(|outcome| outcome.scenario == name).unwrap()
}

/// What was told of a scenario, as one text.
fn told(outcomes: &[Outcome], name: &str) -> String {
    outcome(outcomes, name).events.iter().map(|event| event.what.clone() + "\n").collect()
}

#[track_caller]
fn all_survived(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(
            outcome.verdict,
            Verdict::Survived,
            "{}: {:#?}",
            outcome.scenario,
            outcome.events
        );
    }
}

#[test]
#[ignore = "two minutes; the site's test does the same with machines, and `make soak` this"]
fn with_a_witness_everything_is_survived() {
    let mut site = Loopback::start("witness");
    let outcomes = run(&mut site, "all", PACE);
    all_survived(&outcomes);
    for loss in ["lose-leader", "lose-follower"] {
        let measured = &outcome(&outcomes, loss).measured;
        assert!(measured["acknowledged_writes"] > 10.0, "{loss}: {measured:?}");
        assert!(measured["without_writes_seconds"] < 11.0, "{loss}: {measured:?}");
    }
    assert!(told(&outcomes, "come-back").contains("that were acknowledged without it"));
    let cut = told(&outcomes, "cut-link");
    assert!(cut.contains("nobody goes on, and both say why"), "{cut}");
    assert!(cut.contains("room a alone goes on") && cut.contains("room b alone goes on"), "{cut}");
    assert_eq!(told(&outcomes, "first-boot-cuts").matches(" s into its boot").count(), 10);
}

#[test]
fn without_an_authority_rooms_wait_and_say_why() {
    let mut site = Loopback::start("operator");
    let names = "first-boot lose-leader lose-follower both-off one-alone-a one-alone-b cut-link";
    let outcomes = run(&mut site, names, PACE);
    all_survived(&outcomes);
    for name in ["lose-leader", "one-alone-a", "cut-link"] {
        let told = told(&outcomes, name);
        assert!(told.contains("waits: this site has no automatic authority"), "{name}: {told}");
    }
    let outcomes = run(&mut site, "new-machine", PACE);
    assert!(matches!(outcomes[0].verdict, Verdict::LeftOut(_)), "{:?}", outcomes[0].verdict);
}

#[test]
fn the_preferred_room_goes_on_and_the_other_one_waits() {
    let mut site = Loopback::start("preferred:a");
    let outcomes = run(&mut site, "lose-leader lose-follower cut-link one-alone-b", PACE);
    all_survived(&outcomes);
    assert!(told(&outcomes, "cut-link").contains("room a alone goes on"));
}

#[test]
fn a_room_that_does_not_come_back_is_a_failure_and_ends_the_run() {
    let mut site = Loopback::start("witness");
    site.stays_off = true;
    let pace = Pace { boot: Duration::from_secs(8), ..PACE };
    let outcomes = run(&mut site, "lose-follower both-off", pace);
    assert_eq!(outcomes[0].verdict, Verdict::Survived, "{:?}", outcomes[0].events);
    let Verdict::Failed(why) = &outcomes[1].verdict else { panic!("{:?}", outcomes[1].verdict) };
    assert!(why.contains("does not answer, after 8 s"), "{why}");
    let left = &outcomes[2].verdict;
    assert_eq!(*left, Verdict::LeftOut("come-back failed before it".into()));
}
