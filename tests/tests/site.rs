//! The site as its user meets it: the real images on machines with blank disks, switched on, and then
//! everything done to them that docs/failures.md speaks of. One lab runs all scenarios, to save boots; each
//! test asks what came of its own.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;
use tests::demo::{Built, Demo, build, demo, finish, new_site};
use tests::scenarios::{outcomes, told};

/// What came of all scenarios.
fn all() -> &'static Vec<Value> {
    static OUTCOMES: OnceLock<Vec<Value>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let demo = demo();
        let stranger = stranger(demo);
        outcomes(demo, &["all"], Some(&stranger))
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
    let found = all().iter().filter(|one| one["scenario"] == name).collect::<Vec<_>>();
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
fn stranger_is_ignored() {
    survived("stranger");
}

#[test]
fn new_machine() {
    survived("new-machine");
}

#[test]
fn first_boot_cuts() {
    survived("first-boot-cuts");
}
