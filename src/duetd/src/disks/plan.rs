//! Which disks are taken, and why the others are not. Start at [`plan`]. Pure.

use std::fmt;

use agent::picture::bytes;
use formats::gpt::SECTOR;
use serde::{Deserialize, Serialize};
use site::{Disks, Label, Serial};

use super::content::Content;
use super::mark::Identity;
use crate::node::Problem;

/// What the seed says, for `duetd disks`; left by `duetd boot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The site whose mark the disks get.
    pub site: Label,
    /// Whether the seed is this machine's alone. If several share it, each has some of the disks that it
    /// names.
    pub own_seed: bool,
    /// Which disks may be taken.
    pub rules: Disks,
}

/// A disk, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The kernel's name, such as `nvme0n1`.
    pub name: String,
    /// Its serial number, if it says one.
    pub serial: Option<Serial>,
    /// Its World Wide Identifier, likewise.
    pub wwid: Option<String>,
    /// Its maker's name for it.
    pub model: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// The size of a sector.
    pub sector_bytes: u64,
    /// Whether it can be taken out while the machine runs: a stick, a card, anything at USB.
    pub removable: bool,
    /// Whether it is reached over a network, so that other machines may reach it too.
    pub remote: bool,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether this system runs from it.
    pub system: bool,
    /// Who uses it, as in `vdb1 is mounted on /mnt`.
    pub uses: Vec<String>,
    /// What is on it.
    pub content: Content,
}

impl Disk {
    /// By what it is told from others, if by anything.
    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::of(self.serial.clone(), self.wwid.clone())
    }
}

/// What is done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Leave,
    /// Nothing: it is this site's already.
    Keep,
    /// The damaged copy of its table is written anew.
    Mend,
    /// It gets the site's mark; there is nothing on it.
    Claim,
    /// What is on it is wiped; then it gets the site's mark.
    Erase,
}

/// What is done to one disk, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// What is done.
    pub step: Step,
    /// Why, as the end of a sentence about the disk.
    pub why: String,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// For each disk, in the order in which they were given.
    pub decisions: Vec<Decision>,
    /// What somebody should know.
    pub problems: Vec<Problem>,
}

/// Why a disk is not taken, whatever is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    NoRule,
    System,
    InUse(String),
    ReadOnly,
    Removable,
    Remote,
    Nameless,
    Twin(String),
    Sectors(u64),
    Small { bytes: u64, min_gib: u32 },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoRule => f.write_str("no rule of the site file takes it"),
            Why::System => f.write_str("it is the disk that this system runs from"),
            Why::InUse(who) => write!(f, "it is in use: {who}"),
            Why::ReadOnly => f.write_str("it cannot be written"),
            Why::Removable => f.write_str("it is removable or at USB"),
            Why::Remote => f.write_str("it is reached over a network, perhaps by others too"),
            Why::Nameless => f.write_str("it says no serial number by which to know it again"),
            Why::Twin(other) => write!(f, "{other} says that it has the same serial number"),
            Why::Sectors(bytes) => write!(f, "its sectors have {bytes} bytes, and not {SECTOR}"),
            Why::Small { bytes: has, min_gib } => {
                write!(f, "it is too small: {} GiB of {min_gib} GiB", has >> 30)
            }
        }
    }
}

impl Why {
    /// What to do if the site file names the disk.
    fn cure(&self) -> &'static str {
        match self {
            Why::InUse(_) => {
                "End what uses it, then `systemctl restart duet-disks`; or take it out of `erase`."
            }
            Why::Small { .. } => {
                "Write a smaller min_gib for this machine, or take the disk out of `erase`."
            }
            Why::Sectors(_) => {
                "Most such disks can be switched to 512 bytes: `nvme format --lbaf`, `sg_format`."
            }
            _ => "Name another disk under `erase` in the site file, or none.",
        }
    }
}

/// Why the disk is not taken whatever is on it; nothing if it depends on that.
pub(crate) fn why_not(rules: &Disks, disk: &Disk, all: &[Disk]) -> Option<Why> {
    if !rules.empty && !is_named(rules, disk) {
        return Some(Why::NoRule);
    }
    let Some(identity) = disk.identity() else { return Some(Why::Nameless) };
    // Two paths to one disk, or two namespaces of it: what is done to one may be done to the other.
    let twin = |other: &&Disk| {
        other.name != disk.name
            && (other.identity().as_ref() == Some(&identity)
                || (disk.wwid.is_some() && other.wwid == disk.wwid))
    };
    let min = u64::from(rules.min_gib) << 30;
    let all_reasons = [
        disk.system.then_some(Why::System),
        disk.uses.first().map(|who| Why::InUse(who.clone())),
        disk.removable.then_some(Why::Removable),
        disk.remote.then_some(Why::Remote),
        disk.read_only.then_some(Why::ReadOnly),
        all.iter().find(twin).map(|other| Why::Twin(other.name.clone())),
        (disk.sector_bytes != SECTOR).then_some(Why::Sectors(disk.sector_bytes)),
        (disk.bytes < min).then_some(Why::Small { bytes: disk.bytes, min_gib: rules.min_gib }),
    ];
    all_reasons.into_iter().flatten().next()
}

fn is_named(rules: &Disks, disk: &Disk) -> bool {
    disk.serial.as_ref().is_some_and(|serial| rules.erase.contains(serial))
}

/// Decides. `taken` are the disks on which this machine has seen the site's mark before, by
/// [`Identity::text`].
pub(crate) fn plan(settings: &Settings, disks: &[Disk], taken: &[String]) -> Plan {
    let rules = &settings.rules;
    let mut problems = Vec::new();
    let decisions: Vec<Decision> =
        disks.iter().map(|disk| decide(rules, disk, disks, taken, &mut problems)).collect();
    if settings.own_seed {
        problems.extend(missing(rules, disks));
    }
    problems.extend(gone(disks, taken));
    let all_left = decisions.iter().all(|decision| decision.step == Step::Leave);
    if rules.wants_any() && all_left && problems.is_empty() {
        problems.push(none(disks, &decisions));
    }
    Plan { decisions, problems }
}

fn decide(
    rules: &Disks,
    disk: &Disk,
    all: &[Disk],
    taken: &[String],
    problems: &mut Vec<Problem>,
) -> Decision {
    if let Content::Ours { sound } = disk.content {
        return keep(disk, sound);
    }
    let decision = |step, why: String| Decision { step, why };
    let named = is_named(rules, disk);
    let known = disk.identity().is_some_and(|identity| taken.contains(&identity.text()));
    if let Content::Changed = disk.content {
        let why =
            "it is this site's, but its partition duet-data was removed or changed".to_owned();
        problems.push(lost(disk, &why));
        return decision(Step::Leave, why);
    }
    if let Some(why) = why_not(rules, disk, all) {
        if known {
            problems.push(lost(disk, "does not bear this site's mark any more"));
        } else if named {
            problems.push(refused(disk, &why.to_string(), why.cure()));
        }
        return decision(Step::Leave, why.to_string());
    }
    let holds = match &disk.content {
        Content::Blank => return decision(Step::Claim, "it has no data on it".to_owned()),
        Content::Begun => {
            return decision(Step::Claim, "it was begun to be taken before".to_owned());
        }
        Content::OtherSite => "it belongs to another site".to_owned(),
        Content::Data(Some(what)) => format!("it holds {what}"),
        Content::Data(None) => "it has data on it: bytes that are not zero".to_owned(),
        Content::Unreadable(error) => {
            let why = format!("it cannot be read: {error}");
            let cure = "`dmesg` and `smartctl` may tell why. Replace the disk if it is worn out.";
            if known {
                problems.push(lost(disk, "it cannot be read"));
            } else if named {
                problems.push(refused(disk, &why, cure));
            }
            return decision(Step::Leave, why);
        }
        Content::NotRead | Content::Ours { .. } | Content::Changed => {
            "it was not looked at".to_owned()
        }
    };
    if known {
        problems.push(lost(disk, &holds));
        let why = format!("it was this site's, and is not erased a second time: {holds}");
        decision(Step::Leave, why)
    } else if named && disk.content != Content::NotRead {
        decision(Step::Erase, format!("the site file names its serial number; {holds}"))
    } else {
        decision(Step::Leave, holds)
    }
}

/// A disk that is this site's already is written to only to mend its table, and only while nobody uses it.
fn keep(disk: &Disk, sound: bool) -> Decision {
    let can_be_written = !disk.system && disk.uses.is_empty() && !disk.read_only;
    let (step, why) = match (sound, can_be_written) {
        (true, _) => (Step::Keep, "it is this site's already"),
        (false, true) => {
            (Step::Mend, "it is this site's already, with one damaged copy of its partition table")
        }
        (false, false) => {
            (Step::Keep, "it is this site's already; one copy of its partition table is damaged")
        }
    };
    Decision { step, why: why.to_owned() }
}

/// The name and the serial number of a disk.
fn called(disk: &Disk) -> String {
    match &disk.serial {
        Some(serial) => format!("{} ({serial})", disk.name),
        None => disk.name.clone(),
    }
}

fn refused(disk: &Disk, why: &str, cure: &str) -> Problem {
    let what = format!(
        "The disk {} is not taken for volumes, though the site file names it: {why}.",
        called(disk)
    );
    Problem::new("disks.refused", what, cure)
}

fn lost(disk: &Disk, why: &str) -> Problem {
    let what = format!("The disk {} was taken for volumes, and now {why}.", called(disk));
    let cure = format!(
        "Nothing was done to it. Look whether its volumes can be saved. To give it up, wipe it \
         (`wipefs --all /dev/{}`), remove its line from {}, and restart.",
        disk.name,
        crate::root::DISKS_TAKEN
    );
    Problem::new("disks.lost", what, cure)
}

/// Disks that the site file names and that are not there.
fn missing(rules: &Disks, disks: &[Disk]) -> Option<Problem> {
    let there = |serial: &&Serial| disks.iter().any(|disk| disk.serial.as_ref() == Some(*serial));
    let missing: Vec<&str> =
        rules.erase.iter().filter(|serial| !there(serial)).map(Serial::as_str).collect();
    let what = match missing.as_slice() {
        [] => return None,
        [one] => format!("The disk {one} that the site file names is not in this machine."),
        more => format!(
            "{} disks that the site file names are not in this machine: {}.",
            more.len(),
            more.join(", ")
        ),
    };
    let cure = "Is it plugged in? `duetd disks --dry-run` shows all disks with their serial numbers. \
                Correct `erase` in the site file if it means another one.";
    Some(Problem::new("disks.missing", what, cure))
}

/// Disks that were taken and are not there.
fn gone(disks: &[Disk], taken: &[String]) -> Option<Problem> {
    let there: Vec<String> =
        disks.iter().filter_map(|disk| Some(disk.identity()?.text())).collect();
    let gone: Vec<&str> =
        taken.iter().filter(|one| !there.contains(one)).map(String::as_str).collect();
    if gone.is_empty() {
        return None;
    }
    let what = format!("A disk that was taken for volumes is not there: {}.", gone.join(", "));
    let cure = format!(
        "Is it plugged in, does it still work? If it is gone for good, remove its line from {}.",
        crate::root::DISKS_TAKEN
    );
    Some(Problem::new("disks.gone", what, cure))
}

fn none(disks: &[Disk], decisions: &[Decision]) -> Problem {
    /// As many as a person takes in on a screen.
    const SHOWN: usize = 3;
    let others = disks.iter().zip(decisions).filter(|(disk, _)| !disk.system);
    let all: Vec<String> = others
        .map(|(disk, decision)| format!("{}, {}: {}", disk.name, bytes(disk.bytes), decision.why))
        .collect();
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let what = match all.len() {
        0 => "This machine has no disk for volumes: there is none but its own.".to_owned(),
        _ => format!("This machine has no disk for volumes. {shown}{more}."),
    };
    let cure = "Put a disk without data in, name one under `erase` in the site file, or write \
                empty = false for this machine.";
    Problem::new("disks.none", what, cure)
}
