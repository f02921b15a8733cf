//! The site as its user meets it: the real images on machines with blank disks, switched on, and then
//! everything done to them that docs/failures.md speaks of. One lab runs the scenarios, to save boots; each
//! test asks what came of its own.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;
use tests::demo::{Built, Demo, build, demo, finish, new_site};
use tests::faults;
use tests::programs::peers;
use tests::scenarios::{outcomes, outcomes_of, told};

/// What came of the scenarios that two machines can carry within a quarter of an hour.
fn of_two() -> &'static Vec<Value> {
    static OUTCOMES: OnceLock<Vec<Value>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let names = [
            "first-boot",
            "lose-leader",
            "lose-follower",
            "both-off",
            "one-alone-a",
            "one-alone-b",
            "cut-link",
            "first-boot-cuts",
        ];
        outcomes(demo(), &names, None)
    })
}

/// What came of those that need a third machine, or one more.
fn of_more() -> &'static Vec<Value> {
    static OUTCOMES: OnceLock<Vec<Value>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let stranger = stranger(demo());
        outcomes(demo(), &["stranger", "new-machine"], Some(&stranger))
    })
}

/// What came of bad surroundings.
fn of_faults() -> &'static Vec<Value> {
    static OUTCOMES: OnceLock<Vec<Value>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        outcomes(demo(), &["clock-1970", "late-carrier", "no-dhcp", "small-disk"], None)
    })
}

/// The disk of a machine of another site, whose keys are its own.
fn stranger(demo: &Demo) -> PathBuf {
    let folder = demo.site.parent().unwrap().with_file_name("stranger");
    if !folder.join("site.toml").exists() {
        new_site(&folder);
    }
    let out = folder.join("build");
    let _ = finish(&mut build(&folder.join("site.toml"), "b", &out)).well();
    Built::read(&out).disk()
}

/// Everything that had to be true in this scenario was.
#[track_caller]
fn survived(name: &str) -> &'static Value {
    survived_in(of_two(), name)
}

#[track_caller]
fn survived_in<'a>(outcomes: &'a [Value], name: &str) -> &'a Value {
    let found = outcomes.iter().filter(|one| one["scenario"] == name).collect::<Vec<_>>();
    assert!(!found.is_empty(), "{name} was not run");
    for outcome in &found {
        assert_eq!(outcome["verdict"], "survived", "{name}:\n{}", told(outcome));
    }
    found[0]
}

#[test]
fn first_boot() {
    let measured = &survived("first-boot")["measured"];
    for what in ["status_screen_seconds", "peer_found_seconds", "in_sync_seconds"] {
        assert!(measured[what].as_f64().is_some(), "{what} was not measured: {measured}");
    }
}

#[test]
fn lose_leader() {
    assert!(survived("lose-leader")["measured"]["acknowledged_writes"].as_f64().unwrap() > 0.0);
}

#[test]
fn lose_follower() {
    assert!(survived("lose-follower")["measured"]["acknowledged_writes"].as_f64().unwrap() > 0.0);
}

#[test]
fn come_back() {
    survived("come-back");
}

#[test]
fn both_off() {
    survived("both-off");
}

#[test]
fn one_alone_a() {
    survived("one-alone-a");
}

#[test]
fn one_alone_b() {
    survived("one-alone-b");
}

#[test]
fn cut_link() {
    survived("cut-link");
}

#[test]
#[ignore = "a third machine makes all of them slow: `make soak`"]
fn stranger_is_ignored() {
    survived_in(of_more(), "stranger");
}

#[test]
#[ignore = "with the one before"]
fn new_machine() {
    survived_in(of_more(), "new-machine");
}

#[test]
fn first_boot_cuts() {
    survived("first-boot-cuts");
}

/// What came of Kubernetes in both rooms; nothing where there is no Go to build it.
fn of_kubernetes() -> Option<Vec<Value>> {
    let k3s = peers("k3s")?.join("k3s");
    let demo = demo();
    let image = |room: &str| {
        let out = demo.site.parent().unwrap().with_file_name("kubernetes").join(room);
        let mut command = build(&demo.site, room, &out);
        let _ = finish(command.arg("--component").arg(format!("k3s={}", k3s.display()))).well();
        Built::read(&out).disk()
    };
    let memory = ["--memory".as_ref(), "3072".as_ref()];
    Some(outcomes_of(demo, &[image("a"), image("b")], &["first-boot", "kubernetes"], &memory))
}

#[test]
#[ignore = "a k3s built from its sources, and ten minutes: `make soak`"]
fn kubernetes() {
    let Some(outcomes) = of_kubernetes() else { return };
    let measured = &survived_in(&outcomes, "kubernetes")["measured"];
    assert!(measured["until_a_write_seconds"].as_f64().is_some(), "{measured}");
}

#[test]
#[ignore = "bad surroundings take a quarter of an hour: `make soak`"]
fn clock_1970() {
    survived_in(of_faults(), "clock-1970");
}

#[test]
#[ignore = "with the one before"]
fn late_carrier() {
    survived_in(of_faults(), "late-carrier");
}

#[test]
#[ignore = "with the one before"]
fn no_dhcp() {
    survived_in(of_faults(), "no-dhcp");
}

#[test]
#[ignore = "a lab of its own: `make soak`"]
fn small_mtu() {
    let images = [demo().rooms[0].disk(), demo().rooms[1].disk()];
    let outcomes = outcomes_of(demo(), &images, &["small-mtu"], &["--switches".as_ref()]);
    let measured = &survived_in(&outcomes, "small-mtu")["measured"];
    // A connection that has to find out for itself which packets arrive takes a moment, once.
    for what in ["without_small_writes_seconds", "without_large_writes_seconds"] {
        let gap = measured[what].as_f64();
        assert!(gap.is_some_and(|gap| gap < 15.0), "{what}: {measured}");
    }
}

#[test]
#[ignore = "with the one before"]
fn small_disk() {
    survived_in(of_faults(), "small-disk");
}

#[test]
#[ignore = "images of its own: `make soak`"]
fn address_conflict() {
    let outcomes = outcomes_of(demo(), &faults::one_address(demo()), &["address-conflict"], &[]);
    survived_in(&outcomes, "address-conflict");
}
