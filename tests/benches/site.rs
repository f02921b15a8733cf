//! Measures how long a site takes to stand and to go on, with the real images on machines, and writes
//! docs/bench-site.md. Run it with `make bench`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use tests::demo::demo;
use tests::machine::machine;
use tests::programs::checkout;
use tests::scenarios::{outcomes, told};

/// How often each is done if `DUET_RUNS` does not say: the middle one of three tells of a computer that was
/// busy for once.
const RUNS: usize = 3;

/// The rows: a scenario, what it measures, and what that is.
const ROWS: [(&str, &str, &str); 7] = [
    ("first-boot", "status_screen_seconds", "power on to both status screens"),
    ("first-boot", "peer_found_seconds", "power on to the rooms having found each other"),
    ("first-boot", "in_sync_seconds", "power on, with blank disks, to both rooms in sync"),
    ("lose-leader", "without_writes_seconds", "the leading room loses its power: without writes"),
    (
        "lose-follower",
        "without_writes_seconds",
        "the following room loses its power: without writes",
    ),
    ("come-back", "in_sync_seconds", "the lost room gets its power back: to both in sync"),
    ("both-off", "in_sync_seconds", "both lose their power and get it back: to both in sync"),
];

fn main() {
    // `cargo test --benches` passes this word; measuring is not testing.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    let head = machine();
    let names = ["first-boot", "lose-leader", "lose-follower", "both-off"];
    let count =
        std::env::var("DUET_RUNS").ok().and_then(|count| count.parse().ok()).unwrap_or(RUNS);
    let runs: Vec<Vec<Value>> = (0..count).map(|_| outcomes(demo(), &names, None)).collect();
    let page = page(&head, &runs);
    let path = checkout().join("docs/bench-site.md");
    fs::write(&path, &page).unwrap();
    println!("{page}\nwritten to {}", path.display());
}

fn page(head: &str, runs: &[Vec<Value>]) -> String {
    let mut page = format!(
        "# A site of real images\n\nMeasured and written by `make bench`, on {head}. Both rooms are virtual \
         machines on that one computer, with the images of the profile `lab` and a witness beside them; {} \
         runs. Where the machines are emulated in software, a boot takes ten times as long as on a real one: \
         what counts then is the order of things, and that nothing had to be touched. For how long writes stand \
         still on real processes is in [bench-rooms.md](bench-rooms.md).\n\n| | middle s | longest s |\n|---|---|---|\n",
        runs.len()
    );
    for (scenario, measured, what) in ROWS {
        let mut seconds: Vec<f64> = runs
            .iter()
            .flatten()
            .filter(|outcome| outcome["scenario"] == scenario)
            .map(|outcome| {
                assert_eq!(outcome["verdict"], "survived", "{scenario}:\n{}", told(outcome));
                outcome["measured"][measured].as_f64().unwrap()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let (middle, longest) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
        let _ = writeln!(page, "| {what} | {middle:.1} | {longest:.1} |");
    }
    page
}
