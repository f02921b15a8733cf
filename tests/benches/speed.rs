//! Measures builds and a boot on this computer, and writes docs/bench.md.
//!
//! Run it with `make bench`. Figures of one table come from one run, so that their ratios mean
//! something; a busy computer is told in the table's first line.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::Stage;
use serde_json::Value;
use tests::demo::{Built, PROFILE, build, cache, demo, login_key};
use tests::machine::machine;
use tests::programs::{checkout, duet, kept, plain};
use tests::rooms::{BOOT, Machines};
use tests::run::run;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

fn main() {
    // `cargo test --benches` passes this word; measuring is not testing.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    let page = [head(), builds(), boot()].concat();
    let path = checkout().join("docs/bench.md");
    fs::write(&path, &page).unwrap();
    println!("{page}\nwritten to {}", path.display());
}

fn head() -> String {
    format!("# Measurements\n\nMeasured and written by `make bench`, on {}.\n", machine())
}

/// Builds of room a's control node in a place of their own: with a cache that has the packages as they
/// were downloaded and nothing else, then with one that `duet fetch` has filled.
fn builds() -> String {
    let demo = demo();
    let place = kept("bench");
    fs::remove_dir_all(&place).unwrap();
    fs::create_dir_all(&place).unwrap();
    let copy = |option: &str, from: &Path, to: &Path| {
        let mut command = plain("cp");
        let _ = run(command.arg(option).arg(from).arg(to), Duration::from_secs(120)).well();
    };
    for folder in ["profiles", "overlays", "firmware"] {
        copy("-r", &checkout().join(folder), &place);
    }
    let out = place.join("out");
    let with_packages = |name: &str| {
        let folder = place.join(name);
        fs::create_dir(&folder).unwrap();
        copy("-rl", &cache().join("objects"), &folder);
        folder
    };
    let once = |cache: &Path| {
        let mut command = build(&demo.site, "a", &out);
        command.current_dir(&place).env("DUET_CACHE", cache).arg("--offline");
        measure(&mut command)
    };
    let fetched = with_packages("fetched");
    let mut fetch = duet();
    fetch.args(["fetch", PROFILE]).current_dir(&place).env("DUET_CACHE", &fetched);
    let _ = run(&mut fetch, Duration::from_secs(10 * 60)).well();
    let after_fetch = once(&fetched);
    fs::remove_dir_all(&out).unwrap();
    let packages_only = with_packages("cache");
    let first = once(&packages_only);
    let unchanged = once(&packages_only);
    let motd = place.join("overlays/duet/etc/motd");
    fs::write(&motd, "changed\n").unwrap();
    let overlay = once(&packages_only);

    let built = Built::read(&out);
    let megabytes = |ending: &str| fs::metadata(built.artefact(ending)).unwrap().len() as f64 / 1e6;
    let (root, uki) = (megabytes(".root.erofs") + megabytes(".root.verity"), megabytes(".efi"));
    let packages = built.manifest["packages"].as_array().unwrap();
    let mut text = format!(
        "\n## Builds\n\nThe control node's image, {} packages, all of them in the cache: for a first build as \
         they were downloaded, and nothing else; after `duet fetch` unpacked too, as a build that downloads \
         them itself unpacks them meanwhile. Peak memory is that of `duet` and all that it runs.\n\n| | seconds | bar | peak MiB | bar |\n|---|---|---|---|---|\n",
        packages.len()
    );
    let bars = [
        ("first build", first, 25),
        ("first build after `duet fetch`", after_fetch, 25),
        ("one file of an overlay changed", overlay, 8),
        ("nothing changed", unchanged, 1),
    ];
    for (what, (seconds, mib), bar) in bars {
        let _ = writeln!(text, "| {what} | {seconds:.1} | {bar} | {mib} | 1024 |");
    }
    let _ = writeln!(text, "\nRoot with its hash tree {root:.0} MB, UKI {uki:.0} MB.");
    text += &against_mkosi(packages, first.0, overlay.0, root);
    fs::remove_dir_all(&place).unwrap();
    text
}

/// The same packages with mkosi, if this computer lets it run.
fn against_mkosi(packages: &[Value], first: f64, overlay: f64, root: f64) -> String {
    let names = packages.iter().filter_map(|package| package["name"].as_str());
    let mut script = plain(checkout().join(".ci/mkosi"));
    let said = run(script.args(names), Duration::from_secs(60 * 60));
    if said.code == Some(77) {
        eprintln!("the comparison with mkosi was left out: it needs root");
        return "\nThe comparison with mkosi needs root and was left out in this run.\n".to_owned();
    }
    let said = said.well().out;
    let number = |key: &str| -> f64 {
        let line = said.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in {said}")).trim().parse().unwrap()
    };
    let version = said.lines().next().unwrap_or("mkosi");
    let (clean, again, bytes) = (number("clean "), number("again "), number("bytes "));
    format!(
        "\nThe same packages with {version}, as EROFS with verity and the same compression, its packages cached too (but for \
         drbd-utils, which it cannot unpack: `.ci/mkosi` says why):\n\n\
         | | {version} | Duet | ratio |\n|---|---|---|---|\n\
         | first build | {clean:.1} s | {first:.1} s | {:.1} |\n\
         | one file added, incremental | {again:.1} s | {overlay:.1} s | {:.1} |\n\
         | root with hash tree | {:.0} MB | {root:.0} MB | {:.2} |\n",
        clean / first,
        again / overlay,
        bytes / 1e6,
        bytes / 1e6 / root
    )
}

/// The stages of a first boot and of a second.
fn boot() -> String {
    let demo = demo();
    let mut machines = Machines::one("bench", &demo.rooms[0].disk(), &login_key(demo));
    let stages = |machines: &Machines| {
        let sight = machines.wait("a1", "the status screen", BOOT, |sight| {
            sight.stages.reached(Stage::StatusScreen).is_some()
        });
        Stage::ALL.map(|stage| sight.stages.reached(stage).map(|at| at.as_secs_f64()))
    };
    let first = stages(&machines);
    machines.pull_plug("a1");
    machines.switch_on("a1");
    let second = stages(&machines);
    let accelerator = machines.lab().probe().accelerator;
    let mut text = format!(
        "\n## Boot\n\nOne virtual machine with one processor and 512 MiB, by {accelerator}; seconds from \
         power-on to the first sign of each stage. The first boot makes the state partition and the ssh \
         host key.\n\n| stage | first boot | second |\n|---|---|---|\n"
    );
    for ((stage, first), second) in Stage::ALL.iter().zip(first).zip(second) {
        let show = |at: Option<f64>| at.map_or("-".to_owned(), |at| format!("{at:.1}"));
        let _ = writeln!(text, "| {stage} | {} | {} |", show(first), show(second));
    }
    text
}

/// Seconds, and the peak of memory (MiB) of the process and its descendants together.
fn measure(command: &mut Command) -> (f64, u64) {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(memory(child.id()));
        thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}: {status}");
    (seconds, peak >> 10)
}

/// Resident KiB of a process and its descendants. What two of them share is counted twice.
fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children =
        tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let below: u64 = children
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|child| child.parse().ok())
        .map(memory)
        .sum();
    kib.unwrap_or_default() + below
}
