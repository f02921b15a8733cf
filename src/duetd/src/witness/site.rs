//! `duetd witness site`: adds, removes and lists. The running witness notices within a second.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use ::site::{Label, Timestamp};
use ::witness::disk::Use;
use ::witness::edit::{self, EditError, Listed, State};
use clap::Subcommand;
use serde::Serialize;

use super::{Folder, generation, text_of};
use crate::{console, exit};

/// What is typed after `duetd witness site`.
#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    /// Make a site known
    ///
    /// From then on its rooms may ask: those whose certificate its authority signed, with the name
    /// room-a.NAME.duet.internal or room-b.NAME.duet.internal.
    Add {
        /// The site's name, as in its site.toml
        name: Label,
        /// Who signs its rooms' certificates: a certificate in PEM
        #[arg(long, value_name = "FILE")]
        ca: PathBuf,
        #[command(flatten)]
        folder: Folder,
    },

    /// Forget a site, with what is held for it
    ///
    /// Its rooms can then no longer go on alone when they lose each other. Asks for the name to be
    /// typed again.
    Remove {
        /// The site's name
        name: Label,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        folder: Folder,
    },

    /// Show the sites, what is held for each, and when it last asked
    ///
    /// Exit status: 0 if all are in order, 5 if one is damaged.
    List {
        /// Print JSON for a script
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        folder: Folder,
    },
}

impl Site {
    /// Carries out what was typed.
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        match self {
            Site::Add { name, ca, folder } => {
                let authority = text_of(&ca, "the certificate in")?;
                let generation = generation();
                edit::add(&folder.open(Use::Edit)?, &name, &authority, generation)?;
                console::answer(&format!("added {name}, generation {generation}\n"))?;
                Ok(ExitCode::SUCCESS)
            }
            Site::Remove { name, yes, folder } => {
                let disk = folder.open(Use::Edit)?;
                let there = edit::look(&disk, &name)?;
                if !yes {
                    console::note(&question(&there));
                    let mut typed = String::new();
                    // A line that cannot be read is no consent.
                    let _ = std::io::stdin().lock().read_line(&mut typed);
                    if typed.trim() != name.as_str() {
                        return Err(miette::miette!(
                            code = "usage::consent",
                            help = "type the name, or give --yes",
                            "{name} was not removed: its name was not typed"
                        ));
                    }
                }
                edit::remove(&disk, &name)?;
                console::answer(&format!("removed {name}\n"))?;
                Ok(ExitCode::SUCCESS)
            }
            Site::List { json, folder } => list(&folder, json),
        }
    }
}

fn question(there: &Listed) -> String {
    let held = match &there.state {
        Ok(State { held: Some(register), .. }) => format!("it holds {register}"),
        Ok(_) => "it holds nothing yet".to_owned(),
        Err(reason) => format!("it is damaged: {reason}"),
    };
    let name = &there.site;
    format!(
        "{name}: {held}.\nIts rooms can no longer go on alone when they lose each other. \
         Type {name} to remove it:"
    )
}

/// The JSON of format 1.
#[derive(Serialize)]
struct List {
    format: u32,
    sites: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    site: String,
    /// 16 hexadecimal digits.
    generation: Option<String>,
    held: Option<Held>,
    /// RFC 3339.
    changed: Option<String>,
    /// RFC 3339, to the minute.
    asked: Option<String>,
    disk_bytes: u64,
    damaged: Option<String>,
}

#[derive(Serialize)]
struct Held {
    /// 32 hexadecimal digits.
    cluster: String,
    epoch: u64,
    leader: String,
    in_sync: String,
    granted_by: String,
    generation: String,
}

fn list(folder: &Folder, json: bool) -> Result<ExitCode, miette::Report> {
    let disk = folder.open(Use::Look)?;
    let mut lines = Vec::new();
    for site in edit::names(&disk).map_err(EditError::from)? {
        match edit::look(&disk, &site) {
            Ok(listed) => lines.push(line(listed)),
            // Removed since the names were read.
            Err(EditError::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let damaged = lines.iter().any(|line| line.damaged.is_some());
    if json {
        console::json(&List { format: 1, sites: lines })?;
    } else {
        let mut printed = console::Lines::new();
        for text in table(&lines) {
            if !printed.line(&text)? {
                break;
            }
        }
        printed.finish()?;
    }
    Ok(if damaged { ExitCode::from(exit::INTEGRITY) } else { ExitCode::SUCCESS })
}

fn line(listed: Listed) -> Line {
    let Listed { site, state, disk_bytes, asked } = listed;
    let (state, damaged) = match state {
        Ok(state) => (Some(state), None),
        Err(reason) => (None, Some(reason)),
    };
    let held = state.as_ref().and_then(|state| state.held).map(|held| Held {
        cluster: format!("{:032x}", held.cluster),
        epoch: held.epoch,
        leader: held.leader.to_string(),
        in_sync: held.in_sync.to_string(),
        granted_by: held.granted_by.to_string(),
        generation: format!("{:016x}", held.witness),
    });
    let changed_ms = state.as_ref().and_then(|state| state.changed_ms);
    // A clock may have shown anything.
    let time = |ms: u64| Timestamp::from_unix(ms / 1000).map(|time| time.to_string());
    let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).ok().map(|t| t.as_millis() as u64);
    Line {
        site: site.to_string(),
        generation: state.map(|state| format!("{:016x}", state.generation)),
        held,
        changed: changed_ms.and_then(time),
        asked: asked.and_then(since).and_then(time),
        disk_bytes,
        damaged,
    }
}

/// For a person: one line for each site, under a head.
fn table(lines: &[Line]) -> Vec<String> {
    let width = lines.iter().map(|line| line.site.len()).max().unwrap_or(0).max(4);
    let head = format!(
        "{:<width$}  {:<16}  {:<20}  {:<20}  {:>5}  HELD",
        "SITE", "GENERATION", "CHANGED", "LAST ASKED", "BYTES"
    );
    let row = |line: &Line| {
        let held = match (&line.damaged, &line.held) {
            (Some(reason), _) => format!("DAMAGED: {reason}"),
            (None, None) => "nothing yet".to_owned(),
            (None, Some(held)) => {
                let Held { epoch, leader, in_sync, granted_by, .. } = held;
                format!("epoch {epoch}: {leader} leads, in sync {in_sync}, by {granted_by}")
            }
        };
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        format!(
            "{:<width$}  {:<16}  {:<20}  {:<20}  {:>5}  {held}",
            line.site,
            or(&line.generation),
            or(&line.changed),
            or(&line.asked),
            line.disk_bytes,
        )
    };
    std::iter::once(head).chain(lines.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use expect_test::expect;

    use super::*;

    fn listed(site: &str, state: Result<State, String>) -> Line {
        let asked = state.is_ok().then(|| UNIX_EPOCH + std::time::Duration::from_secs(60));
        line(Listed { site: site.parse().unwrap(), state, disk_bytes: 812, asked })
    }

    #[test]
    fn a_person_sees_what_is_held_and_what_is_damaged() {
        let new = State { generation: 0x2a, held: None, changed_ms: Some(1_795_000_000_123) };
        let lines = [
            listed("harbour", Ok(new)),
            listed("x", Err("registers/x: its checksum does not hold".into())),
        ];
        expect![[r#"
            SITE     GENERATION        CHANGED               LAST ASKED            BYTES  HELD
            harbour  000000000000002a  2026-11-18T11:06:40Z  1970-01-01T00:01:00Z    812  nothing yet
            x        -                 -                     -                       812  DAMAGED: registers/x: its checksum does not hold"#]]
        .assert_eq(&table(&lines).join("\n"));
    }
}
