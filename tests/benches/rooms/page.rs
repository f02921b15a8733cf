//! The page of figures. Start at [`page`].

use std::fmt::Write as _;
use std::time::Duration;

use crate::case::Case;

/// What was measured of a case.
pub(crate) struct Row {
    pub(crate) case: Case,
    /// Sorted.
    pub(crate) pauses: Vec<Duration>,
}

impl Row {
    /// The pause that so many of a hundred runs did not exceed: the nearest rank.
    fn percentile(&self, percent: usize) -> u128 {
        let rank = (self.pauses.len() * percent).div_ceil(100).max(1);
        self.pauses[rank - 1].as_millis()
    }
}

/// The page as it is written.
pub(crate) fn page(machine: &str, runs: usize, rows: &[Row]) -> String {
    let mut text = format!(
        "# Two rooms: how long writes stand still\n\nMeasured and written by `make bench`, on {machine}. Both \
         rooms, the witness and the clients are processes on that one computer, each room in a network of its \
         own; {runs} runs each. A client in each room writes, waits for the answer, and writes again; what \
         counts is the longest time without an acknowledged write at the store of the room that goes on (of a \
         hand-over: of either). All times are those that are set if nothing is (docs/two-rooms.md).\n\n\
         | | p50 ms | p99 ms | longest ms | bar for p99 ms |\n|---|---|---|---|---|\n"
    );
    let mut missed = String::new();
    for row in rows {
        let Case { name, bar_ms, .. } = row.case;
        let (p50, p99, longest) = (row.percentile(50), row.percentile(99), row.percentile(100));
        let bar = bar_ms.map_or("-".to_owned(), |bar| bar.to_string());
        let _ = writeln!(text, "| {name} | {p50} | {p99} | {longest} | {bar} |");
        if bar_ms.is_some_and(|bar| p99 > bar.into()) {
            let _ = writeln!(missed, "- {name}: **the bar is missed**.");
        }
    }
    if !missed.is_empty() {
        text += "\n";
        text += &missed;
    }
    text
}
