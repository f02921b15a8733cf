//! Measures for how long clients cannot write when a room is lost, cut off, handed over or ended. Writes
//! docs/bench-rooms.md.
//!
//! Run it with `make bench`. `--quick` (or `DUET_BENCH=quick`) makes five runs of each and says less; words
//! after `--` choose cases ([`Case::word`]), and then the page is only printed. Each run is real: processes
//! of `duetd store` in networks of their own, a witness, and a client in each room that writes, waits for
//! the answer, and writes again.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the workstation"
)]

mod case;
mod page;
mod writer;

use std::fs;
use std::time::{Duration, Instant};

use tests::machine::machine;
use tests::programs::checkout;
use tests::server::duetd;
use tests::two_rooms::{Grants, Site, in_a_world_of_its_own};

use case::{CASES, Case};
use page::Row;
use writer::Writers;

/// Of each case: the p99 of fewer would be the longest.
const RUNS: usize = 50;
const QUICK: usize = 5;

fn main() {
    // `cargo test --benches` passes this word; measuring is not testing.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    in_a_world_of_its_own();
    println!("measures {}", duetd().display());
    let quick = std::env::args().any(|word| word == "--quick")
        || std::env::var("DUET_BENCH").is_ok_and(|word| word == "quick");
    let runs = if quick { QUICK } else { RUNS };
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |case: &&Case| words.is_empty() || words.iter().any(|word| word == case.word);
    let machine = machine();
    let rows: Vec<Row> = CASES.iter().filter(wanted).map(|case| measure(case, runs)).collect();
    let text = page::page(&machine, runs, &rows);
    println!("{text}");
    if !quick && words.is_empty() {
        let path = checkout().join("docs/bench-rooms.md");
        fs::write(&path, &text).unwrap();
        println!("written to {}", path.display());
    }
}

/// All runs of a case, with one site that is whole again before each.
fn measure(case: &Case, runs: usize) -> Row {
    let mut site = Site::start(Grants::Witness);
    let mut writers = Writers::start(&site);
    let mut pauses = Vec::new();
    for run in 1..=runs {
        let begun = Instant::now();
        site.in_sync();
        writers.write_well(&site);
        // Not always at the same place between two heartbeats.
        std::thread::sleep(Duration::from_millis(37 * (run as u64 % 8)));
        let pause = case.run(&mut site, &mut writers);
        let took = begun.elapsed().as_secs_f64();
        println!("{} {run}/{runs}: {} ms (the run took {took:.1} s)", case.word, pause.as_millis());
        pauses.push(pause);
    }
    pauses.sort_unstable();
    Row { case: *case, pauses }
}
