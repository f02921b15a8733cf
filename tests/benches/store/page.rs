//! The page that people read: tables of figures, each ratio beside its goal.

use std::fmt::Write as _;

use crate::large::Large;
use crate::load::Run;

/// Why a figure falls short of its goal: how the row's name begins, against whom, and the reason. A row
/// that falls short without one says so.
const REASONS: &[(&str, &str, &str)] = &[
    ("puts", "etcd", CLIENT),
    ("transactions", "etcd", CLIENT),
    (
        "transactions, 1 clients",
        "kine",
        "who waits for each answer waits for one sync of the disk, whoever does it",
    ),
    (
        "transactions",
        "kine",
        "so many clients share one sync at most, where kine needs one for each of them",
    ),
    ("linearizable gets", "kine", "most of a small read is gRPC, which kine has too"),
    ("a write told", "kine", "a write and its sync, then messages: most of that is the same work"),
];

const CLIENT: &str =
    "the client that measures shares the processors, and takes the same of them whomever it asks";

/// One measurement of all servers.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) etcd: Run,
    /// What kine does not know it is not asked.
    pub(crate) kine: Option<Run>,
    pub(crate) duet: Run,
    /// At least so many times as fast as etcd.
    pub(crate) goal: f64,
}

impl Row {
    /// How many times as fast as etcd.
    fn against_etcd(&self) -> f64 {
        self.duet.rate() / self.etcd.rate().max(1e-9)
    }

    /// How many times as fast as kine, if that was asked.
    fn against_kine(&self) -> Option<f64> {
        self.kine.as_ref().map(|kine| self.duet.rate() / kine.rate().max(1e-9))
    }
}

/// At least so many times as fast as kine, everywhere.
const GOAL_KINE: f64 = 10.0;

/// A section with its rows.
pub(crate) fn section(title: &str, words: &str, unit: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "\n## {title}\n\n{words}\n\n| | etcd {unit}/s | kine | Duet | Duet : etcd | goal | Duet : kine | \
         goal |\n|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | **{:.2}** | {:.0} | {} | {GOAL_KINE:.0} |",
            row.name,
            rate(&row.etcd),
            row.kine.as_ref().map_or("-".to_owned(), rate),
            rate(&row.duet),
            row.against_etcd(),
            row.goal,
            row.against_kine().map_or("-".to_owned(), |ratio| format!("**{ratio:.1}**")),
        );
    }
    text += "\nMilliseconds until the answer, as p50 / p99 / p99.9, and microseconds of processor time for \
             each request, as server + measuring client.\n\n| | etcd ms | kine ms | Duet ms | etcd µs | kine µs \
             | Duet µs |\n|---|---|---|---|---|---|---|\n";
    for row in rows {
        let kine = |show: fn(&Run) -> String| row.kine.as_ref().map_or("-".to_owned(), show);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            times(&row.etcd),
            kine(times),
            times(&row.duet),
            costs(&row.etcd),
            kine(costs),
            costs(&row.duet),
        );
    }
    text += &shortfalls(rows.iter().flat_map(|row| {
        let ratio = row.against_etcd();
        let alone = row.etcd.cpu_each().0 / row.duet.cpu_each().0.max(1e-9);
        let etcd = (ratio < row.goal).then(|| Shortfall {
            name: &row.name,
            against: "etcd",
            figure: format!("{ratio:.2} of etcd; by the servers' own processor time {alone:.1}"),
        });
        let kine = row.against_kine().filter(|ratio| *ratio < GOAL_KINE).map(|ratio| Shortfall {
            name: &row.name,
            against: "kine",
            figure: format!("{ratio:.1} of kine"),
        });
        [etcd, kine]
    }));
    text
}

/// A figure below its goal.
pub(crate) struct Shortfall<'a> {
    pub(crate) name: &'a str,
    pub(crate) against: &'static str,
    pub(crate) figure: String,
}

/// What falls short, and why.
pub(crate) fn shortfalls<'a>(found: impl Iterator<Item = Option<Shortfall<'a>>>) -> String {
    let mut text = String::new();
    for Shortfall { name, against, figure } in found.flatten() {
        let known =
            REASONS.iter().find(|(start, whom, _)| name.starts_with(start) && *whom == against);
        let reason = known.map_or("no reason is known yet", |(.., reason)| reason);
        let _ = write!(text, "\n- **{name}** falls short ({figure}): {reason}.");
    }
    if text.is_empty() { text } else { format!("{text}\n") }
}

/// Requests a second, with the share that failed if any did.
pub(crate) fn rate(run: &Run) -> String {
    let all = run.done + run.failed;
    let failed = 100.0 * run.failed as f64 / (all.max(1) as f64);
    let mark = if run.failed > 0 { format!(" ({failed:.1} % failed)") } else { String::new() };
    format!("{}{mark}", thousands(run.rate()))
}

pub(crate) fn times(run: &Run) -> String {
    format!("{} / {} / {}", ms(run.per_mille(500)), ms(run.per_mille(990)), ms(run.per_mille(999)))
}

pub(crate) fn costs(run: &Run) -> String {
    let (server, client) = run.cpu_each();
    format!("{server:.0} + {client:.0}")
}

fn ms(time: f64) -> String {
    if time < 10.0 { format!("{time:.2}") } else { format!("{time:.0}") }
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 10.0 { format!("{number:.1}") } else { text }
}

/// The section of the large store.
pub(crate) fn large_section(keys: u64, etcd: &Large, duet: &Large) -> String {
    let mut text = format!(
        "\n## A store of {} keys\n\nValues of 256 bytes, written by 16 clients in transactions of 100 puts. Then \
         SIGKILL and a new start; then 16 clients write while everything is compacted, a fifth of the keys \
         having two versions. kine knows no such transactions and is left out.\n\n| | etcd | Duet | Duet : \
         etcd | goal |\n|---|---|---|---|---|\n",
        thousands(keys as f64)
    );
    let mut short = Vec::new();
    let mut row = |name: &'static str, unit: &str, etcd: f64, duet: f64, goal: Option<f64>| {
        let ratio = duet / etcd.max(1e-9);
        let show =
            |figure: f64| if figure < 10.0 { format!("{figure:.2}") } else { thousands(figure) };
        let wanted = goal.map_or("-".to_owned(), |goal| format!("at most {goal:.1}"));
        let _ = writeln!(
            text,
            "| {name} | {} {unit} | {} {unit} | **{ratio:.2}** | {wanted} |",
            show(etcd),
            show(duet)
        );
        if goal.is_some_and(|goal| ratio > goal) {
            let figure = format!("{ratio:.2} of etcd");
            short.push(Some(Shortfall { name, against: "etcd", figure }));
        }
    };
    let seconds = |large: &Large| large.loading.as_secs_f64();
    row("loading", "s", seconds(etcd), seconds(duet), Some(1.0));
    row("resident memory, loaded", "MiB", etcd.loaded.0 as f64, duet.loaded.0 as f64, Some(1.0));
    row("of it no copy of a file", "MiB", etcd.loaded.1 as f64, duet.loaded.1 as f64, None);
    row("resident memory, started", "MiB", etcd.started.0 as f64, duet.started.0 as f64, Some(1.0));
    row("of it no copy of a file", "MiB", etcd.started.1 as f64, duet.started.1 as f64, None);
    row("on the disk", "MB", etcd.disk as f64, duet.disk as f64, None);
    row(
        "start until healthy",
        "s",
        etcd.starting.as_secs_f64(),
        duet.starting.as_secs_f64(),
        Some(1.0),
    );
    row("put p99, quiet", "ms", etcd.quiet.per_mille(990), duet.quiet.per_mille(990), Some(1.0));
    let (one, other) = (&etcd.compacting, &duet.compacting);
    row("put p99 while compacting", "ms", one.per_mille(990), other.per_mille(990), Some(0.5));
    row("put p99.9 while compacting", "ms", one.per_mille(999), other.per_mille(999), None);
    row("longest put while compacting", "ms", one.longest(), other.longest(), None);
    row("compaction", "s", etcd.compaction.as_secs_f64(), duet.compaction.as_secs_f64(), None);
    text + &shortfalls(short.into_iter())
}
