//! `duet lab run`: does to a lab what may happen to two rooms. The scenarios are in the crate `lab`; here
//! they are told to a person or a script.

use std::fmt::Write as _;
use std::process::ExitCode;

use lab::scenario::{self, Event, Outcome, Pace, Scenario, Verdict};
use lab::{Accelerator, Lab, LabError, Leave, Power};
use serde::Serialize;

use super::setup::Setup;
use super::{Dir, Ended, short};
use crate::console::Console;
use crate::{exit, interrupt};

/// The version of the JSON.
const FORMAT: u32 = 1;
/// What stands for many scenarios.
const GROUPS: [&str; 2] = ["all", "faults"];

/// Start a lab, do to it what may happen to two rooms, and judge what comes of it
///
/// What may happen to two rooms: first-boot, lose-leader, lose-follower, come-back, both-off, one-alone-a,
/// one-alone-b, cut-link, stranger, new-machine, first-boot-cuts and kubernetes; `all` is all of these. Bad
/// surroundings: clock-1970, late-carrier, no-dhcp, small-mtu, small-disk and address-conflict; `faults` is all
/// of these. They run one after the other on one lab, which is ended at last. Each event is told with the
/// seconds since the machines were switched on.
///
/// Exit status: 0 if everything that had to be true was, else 1.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The scenarios, in order
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,

    #[command(flatten)]
    dir: Dir,

    #[command(flatten)]
    setup: Setup,

    /// Chooses the moments of first-boot-cuts
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Leave the lab up
    #[arg(long)]
    keep: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The JSON document.
#[derive(Serialize)]
struct Report {
    format: u32,
    /// Whether everything that had to be true was.
    good: bool,
    seed: u64,
    accelerator: Accelerator,
    scenarios: Vec<Outcome>,
}

impl Run {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let scenarios = scenario::plan(&self.scenarios)?;
        let report = {
            let _down = self.down_at_last();
            let mut lab = self.setup.up(&self.dir, console)?;
            self.act(&mut lab, &scenarios, console)
        };
        if self.keep {
            console.hint("the lab is still up: `duet lab down` ends it");
        }
        if self.json {
            console.json(&report)?;
        } else {
            console.result(table(&report))?;
        }
        Ok(if report.good { ExitCode::SUCCESS } else { ExitCode::from(exit::OTHER) })
    }

    /// Sees to it that the lab is ended, whatever ends this command. One that somebody else started is not
    /// touched: starting ours will be refused.
    fn down_at_last(&self) -> Option<interrupt::Finally> {
        let on = |lab: &Lab| {
            let machines = lab.status().map(|status| status.machines).unwrap_or_default();
            machines.iter().any(|machine| matches!(machine.power, Power::On { .. }))
        };
        if self.keep || self.dir.open().is_ok_and(|lab| on(&lab)) {
            return None;
        }
        let dir = self.dir.dir.clone();
        Some(interrupt::finally(move || {
            let down = || -> Result<(), LabError> { Lab::open(&dir, &short())?.down(Leave::Logs) };
            // There is nobody to tell; `duet lab down` says what is wrong.
            let _ = down();
        }))
    }

    fn act(&self, lab: &mut Lab, scenarios: &[Scenario], console: &Console) -> Report {
        let accelerator = lab.probe().accelerator;
        let mut tell = |event: &Event| {
            let Event { scenario, seconds, what } = event;
            console.note(format!("{seconds:>8.1} s  {scenario:<15}  {what}"));
        };
        let outcomes = scenario::run(lab, scenarios, Pace::MACHINES, self.seed, &mut tell);
        let good =
            good(&outcomes, self.scenarios.iter().any(|name| GROUPS.contains(&name.as_str())));
        Report { format: FORMAT, good, seed: self.seed, accelerator, scenarios: outcomes }
    }
}

/// Whether nothing failed, and what was asked for was done; a group leaves out what the lab is not made for.
fn good(outcomes: &[Outcome], all: bool) -> bool {
    let fine = |outcome: &Outcome| match outcome.verdict {
        Verdict::Survived => true,
        Verdict::LeftOut(_) => all,
        Verdict::Failed(_) => false,
    };
    outcomes.iter().any(|one| one.verdict == Verdict::Survived) && outcomes.iter().all(fine)
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    for Outcome { scenario, verdict, seconds, measured, .. } in &report.scenarios {
        let _ = writeln!(text, "{scenario:<15}  {seconds:>7.1} s  {verdict}");
        for (name, value) in measured {
            let name = name.replace('_', " ");
            let _ = match name.strip_suffix(" seconds") {
                Some(name) => writeln!(text, "{:<15}  {value:>7.1} s  {name}", ""),
                None => writeln!(text, "{:<15}  {value:>7}    {name}", ""),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;

    use super::*;

    fn outcome(verdict: Verdict, measured: &[(&'static str, f64)]) -> Outcome {
        Outcome {
            scenario: "lose-leader",
            verdict,
            seconds: 92.44,
            measured: measured.iter().copied().collect::<BTreeMap<_, _>>(),
            events: Vec::new(),
        }
    }

    #[test]
    fn what_was_measured_stands_below_its_verdict() {
        let measured = [("without_writes_seconds", 3.4), ("acknowledged_writes", 512.0)];
        let scenarios = vec![
            outcome(Verdict::Survived, &measured),
            outcome(Verdict::Failed("room b does not answer".into()), &[]),
        ];
        let accelerator = Accelerator::Tcg;
        let report = Report { format: FORMAT, good: false, seed: 1, accelerator, scenarios };
        expect![[r#"
            lose-leader         92.4 s  survived
                                 512    acknowledged writes
                                 3.4 s  without writes
            lose-leader         92.4 s  failed: room b does not answer
        "#]]
        .assert_eq(&table(&report));
    }

    #[test]
    fn only_what_was_done_and_held_is_good() {
        let survived = || outcome(Verdict::Survived, &[]);
        let left_out = || outcome(Verdict::LeftOut("no stranger".into()), &[]);
        let failed = || outcome(Verdict::Failed("lost".into()), &[]);
        assert!(good(&[survived(), survived()], false));
        assert!(!good(&[survived(), left_out()], false));
        assert!(good(&[survived(), left_out()], true));
        assert!(!good(&[left_out()], true));
        assert!(!good(&[survived(), failed()], true));
    }
}
