//! Shows one simulated run as a timeline, or looks through many seeds for one that fails. Wiring only.
//!
//! ```text
//! cargo run -p simulator -- --seed 7                    one run, as a timeline
//! cargo run -p simulator -- --scenario leader-lost      one with a name; `list` shows them
//! cargo run -p simulator --profile soak -- --seeds 0..10000
//! cargo run -p simulator -- --seed 7 --shrink           what of it makes it fail, as a file
//! cargo run -p simulator -- --plan tests/seeds/7.toml   that file again
//! ```

mod console;

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use simulator::mutant::Mutant;
use simulator::plan::{Authority, Mix, Plan};
use simulator::report::{Report, run};
use simulator::scenario::{self, Scenario};
use simulator::shrink::shrink;
use simulator::sweep::sweep;
use simulator::timeline::seconds;

use console::Console;

/// Clusters of two rooms in virtual time, by seed.
#[derive(Parser)]
struct Arguments {
    /// Run the plan of this seed, and show its timeline
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run all of these seeds, on all cores: `0..1000`
    #[arg(long, value_parser = range, conflicts_with_all = ["scenario", "plan"])]
    seeds: Option<Range<u64>>,
    /// Run what has this name; `list` shows all
    #[arg(long, conflicts_with = "plan")]
    scenario: Option<String>,
    /// Run the plan in this file
    #[arg(long)]
    plan: Option<PathBuf>,
    /// With this authority; drawn from the seed otherwise
    #[arg(long)]
    authority: Option<Authority>,
    /// Faults and clients go on for so many virtual hours instead of some minutes
    #[arg(long)]
    hours: Option<f64>,
    /// Leave out of a plan that fails what it does not take, and show it as a file
    #[arg(long)]
    shrink: bool,
    /// With a driver that is wrong on purpose
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Lines for programs: one JSON object each
    #[arg(long)]
    json: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").ok_or("two numbers with `..` between them are wanted")?;
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    Ok(number(ends.0)?..number(ends.1)?)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new(arguments.json);
    let mut mix = Mix::default();
    if let Some(hours) = arguments.hours {
        mix.seconds = (hours * 3600.0) as u64;
    }
    if let Some(seeds) = arguments.seeds.clone() {
        return many(&console, &arguments, seeds, &mix);
    }
    if arguments.scenario.as_deref() == Some("list") {
        for scenario in scenario::ALL {
            console.say(&format!("{:<24} {}", scenario.name, scenario.what));
        }
        return ExitCode::SUCCESS;
    }
    match plan(&arguments, &mix) {
        Ok(plan) => one(&console, &arguments, &plan),
        Err((text, hint)) => {
            console.error(&text, Some(hint));
            ExitCode::from(2)
        }
    }
}

fn plan(arguments: &Arguments, mix: &Mix) -> Result<Plan, (String, &'static str)> {
    if let Some(name) = &arguments.scenario {
        let Some(scenario) = Scenario::find(name) else {
            return Err((format!("there is no scenario {name}"), "`--scenario list` shows all"));
        };
        return Ok(scenario.plan(arguments.authority, arguments.seed));
    }
    if let Some(path) = &arguments.plan {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            (format!("cannot read {shown}: {error}"), "name a file that is there")
        })?;
        let hint = "`--shrink` shows how such a file looks";
        return Plan::from_text(&text)
            .map_err(|error| (format!("cannot read {shown}: {error}"), hint));
    }
    Ok(Plan::draw(arguments.seed, arguments.authority, mix))
}

fn one(console: &Console, arguments: &Arguments, plan: &Plan) -> ExitCode {
    let (plan, report) = if arguments.shrink {
        let mut told = |plan: &Plan| {
            console.progress(&format!("{} faults are left", plan.faults.len()));
        };
        let shrunk = shrink(plan, arguments.mutant, &mut told);
        console.clear();
        let Some((plan, report)) = shrunk else {
            console.say("it does not fail, so there is nothing to leave out");
            return ExitCode::SUCCESS;
        };
        console.say(&plan.to_text());
        (plan, report)
    } else {
        (plan.clone(), run(plan, arguments.mutant))
    };
    report.timeline.0.iter().for_each(|line| console.line(line));
    console.say(&sum_up(&plan, &report));
    if report.broken.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn sum_up(plan: &Plan, report: &Report) -> String {
    let totals = &report.totals;
    format!(
        "\nseed {}, authority {:?}: {} virtual, {} events; {} of {} operations answered, {} writes; longest \
         time without a write {}; {}",
        plan.seed,
        plan.authority,
        seconds(totals.lasted),
        totals.events,
        totals.told,
        totals.operations,
        totals.writes,
        seconds(totals.longest_gap),
        report.broken.as_deref().unwrap_or("every promise was kept"),
    )
}

fn many(console: &Console, arguments: &Arguments, seeds: Range<u64>, mix: &Mix) -> ExitCode {
    let start = Instant::now();
    let count = seeds.end.saturating_sub(seeds.start);
    let done = std::sync::atomic::AtomicU64::new(0);
    let authority = arguments.authority;
    let swept = sweep(seeds, (authority, mix, arguments.mutant), &|seed, report| {
        let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        if let Some(broken) = &report.broken {
            console.clear();
            console.say(&format!("seed {seed}: {broken}"));
        } else if done % 20 == 0 {
            let per_second = done as f64 / start.elapsed().as_secs_f64();
            console.progress(&format!("{done} of {count} seeds, {per_second:.1} per second"));
        }
        true
    });
    console.clear();
    let hours = swept.totals.lasted.as_secs_f64() / 3600.0;
    console.say(&format!(
        "{} seeds, {hours:.1} virtual hours in {:.0} s; {} events, {} operations, {} writes; {} failed",
        swept.seeds,
        start.elapsed().as_secs_f64(),
        swept.totals.events,
        swept.totals.operations,
        swept.totals.writes,
        swept.failed.len()
    ));
    let Some((seed, _)) = swept.failed.first() else { return ExitCode::SUCCESS };
    let authority = authority.map_or(String::new(), |authority| {
        format!(" --authority {}", format!("{authority:?}").to_lowercase())
    });
    let hours = arguments.hours.map_or(String::new(), |hours| format!(" --hours {hours}"));
    let hint = format!(
        "cargo run -p simulator --profile soak -- --seed {seed}{authority}{hours} --shrink\n      shows what \
         it takes; keep that as tests/seeds/NAME.toml, and it is tried in every test run"
    );
    console.error("a promise was broken", Some(&hint));
    ExitCode::FAILURE
}
