//! The site as its user meets it: the real images on machines with blank disks, switched on, and then
//! everything done to them that docs/failures.md speaks of. One lab runs the scenarios, to save boots; each
//! test asks what came of its own.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;
use tests::demo::{Built, Demo, build, demo, finish, new_site};
use tests::scenarios::{outcomes, told};

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
