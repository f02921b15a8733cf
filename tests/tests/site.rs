//! The site as its user meets it: the real images on machines with blank disks, switched on, and then
//! everything done to them that docs/failures.md speaks of. One lab runs all scenarios, to save boots; each
//! test asks what came of its own.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tests::demo::{Demo, build, cache, demo, finish, new_site};
use tests::programs::{duet, hold, kept};
use tests::run::run;

/// All scenarios take ten minutes of software emulation on a quiet computer with two cores.
const LIMIT: Duration = Duration::from_secs(2400);

/// What came of all scenarios.
fn outcomes() -> &'static Vec<Value> {
    static OUTCOMES: OnceLock<Vec<Value>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let demo = demo();
        let stranger = stranger(demo);
        let _alone = hold("machines");
        let mut command = duet();
        command.args(["lab", "run", "all", "--json", "--dir"]).arg(kept("labs").join("site"));
        command.arg("--image-a").arg(demo.rooms[0].disk());
        command.arg("--image-b").arg(demo.rooms[1].disk());
        command.arg("--stranger").arg(stranger);
        command.arg("--site").arg(&demo.site).arg("--witness").arg(demo.witness());
        command.env("DUET_CACHE", cache());
        let said = run(&mut command, LIMIT);
        let report: Value = serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("no report: {error}\n{}\n{}", said.out, said.err));
        report["scenarios"].as_array().unwrap().clone()
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
    tests::demo::Built::read(&out).disk()
}

/// Everything that had to be true in this scenario was.
#[track_caller]
fn survived(name: &str) -> &'static Value {
    let found = outcomes().iter().filter(|one| one["scenario"] == name).collect::<Vec<_>>();
    assert!(!found.is_empty(), "{name} was not run");
    for outcome in &found {
        let events = outcome["events"].as_array().unwrap().iter();
        let told: Vec<String> = events.map(|event| format!("{} {}", event["seconds"], event["what"])).collect();
        assert_eq!(outcome["verdict"], "survived", "{name}:\n{}", told.join("\n"));
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
