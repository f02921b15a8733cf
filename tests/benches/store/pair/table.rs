//! The tables of the page: each ratio beside its goal.

use std::fmt::Write as _;

use crate::load::Run;
use crate::page::{Shortfall, costs, rate, shortfalls, times};

/// One measurement of all.
pub(super) struct Row {
    pub(super) name: String,
    /// etcd with two members, and with three.
    pub(super) two: Run,
    pub(super) three: Run,
    pub(super) duet: Run,
    /// At least so many times as fast as either.
    pub(super) goal: f64,
}

/// A section with its rows.
pub(super) fn section(title: &str, words: &str, unit: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "\n## {title}\n\n{words}\n\n| | etcd, 2 members: {unit}/s | etcd, 3 members | Duet, 2 rooms | Duet : 2 members \
         | Duet : 3 members | goal |\n|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | **{:.2}** | **{:.2}** | {:.0} |",
            row.name,
            rate(&row.two),
            rate(&row.three),
            rate(&row.duet),
            ratio(&row.duet, &row.two),
            ratio(&row.duet, &row.three),
            row.goal,
        );
    }
    text += "\nMilliseconds until the answer, as p50 / p99 / p99.9, and microseconds of processor time for \
             each request, as all members + measuring client.\n\n| | 2 members ms | 3 members ms | Duet ms | 2 members \
             µs | 3 members µs | Duet µs |\n|---|---|---|---|---|---|---|\n";
    for row in rows {
        let [two, three, duet] =
            [&row.two, &row.three, &row.duet].map(|run| (times(run), costs(run)));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.name, two.0, three.0, duet.0, two.1, three.1, duet.1
        );
    }
    text += &shortfalls(rows.iter().flat_map(|row| {
        [(&row.two, "two members"), (&row.three, "three members")].map(|(etcd, against)| {
            let found = ratio(&row.duet, etcd);
            let alone = etcd.cpu_each().0 / row.duet.cpu_each().0.max(1e-9);
            (found < row.goal).then(|| Shortfall {
                name: &row.name,
                against,
                figure: format!(
                    "{found:.2} of {against}; by the members' own processor time {alone:.1}"
                ),
            })
        })
    }));
    text
}

fn ratio(one: &Run, other: &Run) -> f64 {
    one.rate() / other.rate().max(1e-9)
}
