//! `duetd disks`: gives this site's mark to the disks that are to hold volumes. Start at [`apply`].
//!
//! ```text
//!  /sys ──► facts ──► content (reads) ──► plan (pure) ──► act ──► write ──► disks.json
//! ```
//!
//! Nothing that has data on it is ever written to, unless the site file names it by serial number; and a
//! disk that bears this site's mark is never erased, whatever the site file says. Makes no file system and
//! no volume.

mod content;
mod facts;
mod mark;
mod medium;
mod plan;
pub(crate) mod report;
mod signatures;
#[cfg(test)]
mod tests;
mod write;

use std::fs;
use std::io;
use std::process::ExitCode;

use site::Disks;

use self::content::Content;
use self::mark::Mark;
use self::medium::{Access, ThisMachine};
pub(crate) use self::plan::Settings;
use self::plan::{Decision, Disk, Step};
use self::report::{Entry, Report, State};
use self::write::Medium;
use crate::console;
use crate::durable;
use crate::node::Problem;
use crate::root::{DISKS, DISKS_SETTINGS, DISKS_TAKEN, Root};

/// Disks that this machine remembers: more than it has bays, and as many again that were replaced.
const MOST_TAKEN: usize = 1024;

/// What the machine does for `duetd disks`; a test has its own.
pub(crate) trait Machine {
    /// The disks, with nothing said of what is on them.
    fn disks(&self) -> Vec<Disk>;
    /// Opens a disk. [`io::ErrorKind::ResourceBusy`] if somebody else has it.
    fn open(&self, disk: &str, access: Access) -> io::Result<Box<dyn Medium + '_>>;
    /// Has the kernel read a disk's table anew, and returns when it shows the partition.
    fn show_partition(&self, disk: &str) -> Result<(), String>;
}

/// Prepares this machine's disks, or only says what would be done.
pub(crate) fn disks(root: &Root, json: bool, dry_run: bool) -> Result<ExitCode, miette::Report> {
    let settings = settings(root)?;
    let taken = taken(root)?;
    let machine = ThisMachine::new(root.clone());
    let report = apply(&machine, settings.as_ref(), &taken, dry_run);
    if !dry_run {
        // First what must not be forgotten.
        remember(root, &taken, &report)?;
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| miette::miette!("cannot write the report as JSON: {error}"))?;
        durable::write(&root.path(DISKS), text.as_bytes(), 0o644)
            .map_err(|error| miette::miette!("cannot write {DISKS}: {error}"))?;
    }
    if json {
        console::json(&report)?;
    } else {
        console::answer(&report.text())?;
    }
    let failed = report.disks.iter().any(|one| one.state == State::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What `duetd boot` left; nothing on a machine without a good seed.
fn settings(root: &Root) -> Result<Option<Settings>, miette::Report> {
    match fs::read_to_string(root.path(DISKS_SETTINGS)) {
        Ok(text) => toml::from_str(&text)
            .map(Some)
            .map_err(|error| miette::miette!("cannot understand {DISKS_SETTINGS}: {error}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(miette::miette!("cannot read {DISKS_SETTINGS}: {error}")),
    }
}

/// The disks on which this machine has seen its site's mark. Without knowing them nothing is done: one
/// whose table was damaged would be taken for a new one.
fn taken(root: &Root) -> Result<Vec<String>, miette::Report> {
    match fs::read_to_string(root.path(DISKS_TAKEN)) {
        Ok(text) => Ok(text.lines().take(MOST_TAKEN).map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(miette::miette!(
            help = "look at the state partition; no disk was touched",
            "cannot read {DISKS_TAKEN}: {error}"
        )),
    }
}

/// Adds the disks that are this site's now to those that were.
fn remember(root: &Root, taken: &[String], report: &Report) -> Result<(), miette::Report> {
    let mut all = taken.to_vec();
    let ours = report.disks.iter().filter(|one| one.state.is_ours());
    for known in ours.filter_map(Entry::identity) {
        if !all.contains(&known) && all.len() < MOST_TAKEN {
            all.push(known);
        }
    }
    if all == taken {
        return Ok(());
    }
    let text: String = all.iter().map(|one| format!("{one}\n")).collect();
    durable::write(&root.path(DISKS_TAKEN), text.as_bytes(), 0o644)
        .map_err(|error| miette::miette!("cannot write {DISKS_TAKEN}: {error}"))
}

/// Looks, decides and acts; with `dry_run` it does not act. `taken` are the disks that this machine
/// remembers.
pub(crate) fn apply(
    machine: &dyn Machine,
    settings: Option<&Settings>,
    taken: &[String],
    dry_run: bool,
) -> Report {
    let disks = examine(machine, settings);
    let nothing = Settings {
        // No disk gets its mark, and none is recognised by it.
        site: "none".parse().unwrap_or_else(|_| unreachable!("this is a label")),
        own_seed: false,
        rules: Disks::default(),
    };
    let plan = plan::plan(settings.unwrap_or(&nothing), &disks, taken);
    let mut report =
        Report { format: report::FORMAT, dry_run, disks: Vec::new(), problems: plan.problems };
    for (disk, decision) in disks.iter().zip(plan.decisions) {
        let mark = mark_of(settings, disk);
        let entry =
            carry_out(machine, disk, decision, mark.as_ref(), dry_run, &mut report.problems);
        report.disks.push(entry);
    }
    report
}

fn mark_of(settings: Option<&Settings>, disk: &Disk) -> Option<Mark> {
    Some(Mark::of(&settings?.site, &disk.identity()?))
}

/// The disks, with what is on those that may be taken.
fn examine(machine: &dyn Machine, settings: Option<&Settings>) -> Vec<Disk> {
    let mut disks = machine.disks();
    for disk in &mut disks {
        // What cannot be opened is found out below, if it matters.
        if let Ok(open) = machine.open(&disk.name, Access::Look) {
            disk.content = content::whose(&*open, mark_of(settings, disk).as_ref());
        }
    }
    let Some(settings) = settings else { return disks };
    let all = disks.clone();
    for disk in &mut disks {
        let is_open = matches!(disk.content, Content::NotRead);
        if !is_open || plan::why_not(&settings.rules, disk, &all).is_some() {
            continue;
        }
        match machine.open(&disk.name, Access::Alone) {
            Ok(open) => {
                disk.content = content::content(&*open, mark_of(Some(settings), disk).as_ref());
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                disk.uses.push("another program has it for itself".to_owned());
            }
            Err(error) => disk.content = Content::Unreadable(error.to_string()),
        }
    }
    disks
}

/// Does what was decided for one disk.
fn carry_out(
    machine: &dyn Machine,
    disk: &Disk,
    Decision { step, why }: Decision,
    mark: Option<&Mark>,
    dry_run: bool,
    problems: &mut Vec<Problem>,
) -> Entry {
    let state = match step {
        Step::Leave => State::Left,
        Step::Keep => State::Ours,
        Step::Mend => State::Mended,
        Step::Claim => State::Taken,
        Step::Erase => State::Erased,
    };
    let mut entry = Entry::of(disk, state, why);
    let writes = matches!(step, Step::Mend | Step::Claim | Step::Erase);
    if writes && !dry_run {
        let done = match mark {
            Some(mark) => act(machine, &disk.name, step, mark),
            None => Err("it has no identity".to_owned()),
        };
        match done {
            Ok(()) => problems.extend(unseen(machine, disk)),
            Err(why) => {
                problems.push(failed(disk, &why));
                entry.state = State::Failed;
                entry.why = why;
            }
        }
    }
    let is_there = entry.state.is_ours() && !(dry_run && writes);
    entry.partition = mark.filter(|_| is_there).map(|mark| write::link(mark.partition));
    entry
}

/// Writes to a disk, once it is known for sure that it is still as it was when that was decided: the disk
/// is opened so that nobody else can mount it or build on it meanwhile.
fn act(machine: &dyn Machine, disk: &str, step: Step, mark: &Mark) -> Result<(), String> {
    let open = machine.open(disk, Access::Write);
    let open = open.map_err(|error| format!("it could not be opened: {error}"))?;
    let found = content::content(&*open, Some(mark));
    let done = match (step, found) {
        (Step::Mend, Content::Ours { sound: false }) => write::mend(&*open),
        (Step::Claim | Step::Erase, Content::Blank | Content::Begun) => write::claim(&*open, mark),
        (Step::Erase, Content::Data(_) | Content::OtherSite) => {
            write::erase(&*open).and_then(|()| write::claim(&*open, mark))
        }
        _ => return Err("it changed after it was looked at, and was left as it is".to_owned()),
    };
    done.map_err(|error| format!("it could not be written: {error}"))
}

fn unseen(machine: &dyn Machine, disk: &Disk) -> Option<Problem> {
    let why = machine.show_partition(&disk.name).err()?;
    Some(Problem::new(
        "disks.unseen",
        format!("The disk {} is taken, but its partition is not shown: {why}.", disk.name),
        "Restart this machine.",
    ))
}

fn failed(disk: &Disk, why: &str) -> Problem {
    Problem::new(
        "disks.failed",
        format!("The disk {} could not be taken for volumes: {why}.", disk.name),
        "`dmesg` and `smartctl` may tell why. `systemctl restart duet-disks` tries again.",
    )
}
