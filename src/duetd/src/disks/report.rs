//! What came of each disk: [`Report`], which `duetd disks` leaves in `/run/duet/disks.json` and the status
//! shows. Reads and writes no file.

use std::fmt;

use agent::picture::bytes;
use serde::{Deserialize, Serialize};

use super::mark::Identity;
use super::plan::Disk;
use crate::node::Problem;

/// The version of the JSON.
pub(crate) const FORMAT: u32 = 1;

/// What the JSON holds, for people who write scripts.
pub(crate) const SCHEMA: &str = "\
The JSON of format 1. Later releases may add keys; what is here stays.

  format      1
  dry_run     whether this is only what would be done
  disks       [{name, serial, wwid, model, bytes, state, why, partition}]
                state      \"taken\": it had no data and is this site's now; \"erased\": likewise, and what was
                           on it is lost; \"mended\": a damaged copy of its partition table was written anew;
                           \"ours\": it is this site's, nothing was done; \"left\": it is not this site's,
                           nothing was done; \"failed\": it could not be written
                partition  the link that leads to the partition for volumes, or null if there is none
  problems    [{code, what, cure}]";

/// What came of each disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Whether nothing was done.
    #[serde(default)]
    pub dry_run: bool,
    /// The disks, sorted by name.
    pub disks: Vec<Entry>,
    /// What somebody should know.
    pub problems: Vec<Problem>,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The kernel's name, such as `nvme0n1`.
    pub name: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its World Wide Identifier.
    pub wwid: Option<String>,
    /// Its maker's name for it.
    pub model: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// What came of it.
    pub state: State,
    /// Why.
    pub why: String,
    /// The link to the partition for volumes.
    pub partition: Option<String>,
}

/// What came of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It had no data, and is this site's now.
    Taken,
    /// It is this site's now, and what was on it is lost.
    Erased,
    /// It was this site's, and a damaged copy of its table was written anew.
    Mended,
    /// It was this site's.
    Ours,
    /// It is not this site's.
    Left,
    /// It could not be written.
    Failed,
}

impl State {
    /// Whether the disk is this site's now.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, State::Taken | State::Erased | State::Mended | State::Ours)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Taken => "taken",
            State::Erased => "erased",
            State::Mended => "mended",
            State::Ours => "ours",
            State::Left => "left",
            State::Failed => "failed",
        })
    }
}

impl Entry {
    /// A disk to which nothing was done yet.
    pub(crate) fn of(disk: &Disk, state: State, why: String) -> Entry {
        Entry {
            name: disk.name.clone(),
            serial: disk.serial.as_ref().map(ToString::to_string),
            wwid: disk.wwid.clone(),
            model: disk.model.clone(),
            bytes: disk.bytes,
            state,
            why,
            partition: None,
        }
    }

    /// As [`Identity::text`](super::mark::Identity::text).
    pub(crate) fn identity(&self) -> Option<String> {
        let serial = self.serial.as_ref().and_then(|text| text.parse().ok());
        Identity::of(serial, self.wwid.clone()).map(|identity| identity.text())
    }
}

impl Report {
    /// For a person.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.dry_run {
            text.push_str("Nothing was done. This is what would be:\n\n");
        }
        let head = ["disk", "size", "serial number", "is", "why"].map(str::to_owned);
        let rows = self.disks.iter().map(|one| {
            let serial = one.serial.clone().unwrap_or_else(|| "none".to_owned());
            [one.name.clone(), bytes(one.bytes), serial, one.state.to_string(), one.why.clone()]
        });
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths = [0, 1, 2, 3].map(width);
        for row in rows.iter().filter(|_| !self.disks.is_empty()) {
            for (cell, width) in row.iter().zip(widths) {
                text.push_str(&format!("{cell:<width$}  "));
            }
            text.push_str(&row[4]);
            text.push('\n');
        }
        if self.disks.is_empty() {
            text.push_str("This machine has no disks.\n");
        }
        for problem in &self.problems {
            text.push_str(&format!("\n{}\n  Cure: {}\n", problem.what, problem.cure));
        }
        text
    }
}
