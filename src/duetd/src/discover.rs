//! `duetd discover`: who is on the wire, for a person and for tests. Start at [`Discover::run`]. The work is
//! the crate `agent`'s; here it becomes a table.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use agent::Settings;
use agent::discovery::{self, Id, Places, Report};
use clap::Args;
use tokio::sync::mpsc;

use crate::console;
use crate::journal::{self, Loudness};
use crate::service::{SystemError, told_to_end};

/// More than any file of settings has.
const LONGEST_FILE: u64 = 64 << 10;

/// The longest time to listen in one go: who wants more runs it again.
const LONGEST_S: u64 = 3600;

#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// How long to listen
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=LONGEST_S), conflicts_with = "settings")]
    seconds: u64,

    /// Print JSON for a script
    #[arg(long, conflicts_with = "settings")]
    json: bool,

    /// Announce a machine, too, as this file of the agent's settings says, and write what is heard into the
    /// folder of --into, until the command is told to end
    #[arg(long, value_name = "FILE", requires = "into")]
    settings: Option<PathBuf>,

    /// The folder for `peers` and `neighbours.json`
    #[arg(long, value_name = "DIR", requires = "settings")]
    into: Option<PathBuf>,

    /// Speak and listen on the loopback, too (for tests)
    #[arg(long, hide = true)]
    loopback: bool,

    /// Be this machine, as 16 hexadecimal digits (for tests)
    #[arg(long, value_name = "ID", hide = true, value_parser = id, requires = "settings")]
    id: Option<Id>,
}

/// Why nobody is looked for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum DiscoverError {
    /// The settings cannot be read.
    #[error("cannot read the agent's settings in {path}")]
    #[diagnostic(code(input::agent), help("see that the file is there and may be read"))]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// They are none.
    #[error("cannot use the agent's settings in {path}")]
    #[diagnostic(code(input::agent), help("`duetd boot` writes them; compare with a node's"))]
    Text {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
}

fn id(text: &str) -> Result<Id, String> {
    text.parse().map_err(|()| "write 16 hexadecimal digits".to_owned())
}

impl Discover {
    /// Listens and prints; or announces and writes, until it is told to end.
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let settings = self.settings.as_deref().map(load).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| SystemError { action: "start a thread", source })?;
        runtime.block_on(async {
            match (settings, &self.into) {
                (Some(settings), Some(into)) => self.announce(&settings, into).await?,
                _ => self.look().await?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    async fn announce(&self, settings: &Settings, into: &Path) -> Result<(), miette::Report> {
        journal::begin(Loudness::Info);
        let places = Places {
            peers: into.join("peers"),
            neighbours: into.join("neighbours.json"),
            loopback: self.loopback,
            id: self.id,
        };
        let end = told_to_end()?;
        // Nobody here knows where the store is connected.
        let (_sender, confirmed) = mpsc::channel(1);
        discovery::run(settings, &places, confirmed, end).await;
        Ok(())
    }

    async fn look(&self) -> Result<(), miette::Report> {
        let report = discovery::look(Duration::from_secs(self.seconds), self.loopback).await;
        if self.json {
            console::answer(&report.json(Instant::now(), SystemTime::now()))
        } else {
            console::answer(&table(&report))
        }
    }
}

fn load(path: &Path) -> Result<Settings, DiscoverError> {
    use std::io::Read as _;
    let failed = |source| DiscoverError::File { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LONGEST_FILE).read_to_string(&mut text).map_err(failed)?;
    toml::from_str(&text).map_err(|source| DiscoverError::Text { path: path.to_owned(), source })
}

/// One line for each address; the columns are as wide as what is in them.
fn table(report: &Report) -> String {
    let head = ["SITE", "ROOM", "ROLE", "NODE", "STORE", "PAGE", "ADDRESSES"].map(str::to_owned);
    let mut rows = vec![head];
    for one in &report.neighbours {
        let mut row = [
            one.site.to_string(),
            one.room.to_string(),
            one.role.to_string(),
            one.node.to_string(),
            one.store_port.to_string(),
            one.page_port.to_string(),
            String::new(),
        ];
        for address in &one.addresses {
            row[6].clone_from(address);
            rows.push(std::mem::take(&mut row));
        }
    }
    let mut text = String::new();
    if report.neighbours.is_empty() {
        text.push_str("nobody announces anything on this wire\n");
    } else {
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths);
            let line: String = cells.map(|(cell, width)| format!("{cell:<width$}  ")).collect();
            text.push_str(&format!("{line}{}\n", row[6]));
        }
    }
    for problem in &report.problems {
        text.push_str(&format!("\n{}: {}\nhint: {}\n", problem.code, problem.what, problem.cure));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use agent::discovery::{Level, Neighbour, Problem};
    use expect_test::expect;
    use site::{Role, Room};

    use super::*;

    #[test]
    fn who_is_there_is_a_table() {
        let one = |node: &str, addresses: &[&str]| Neighbour {
            site: "demo".parse().unwrap(),
            room: Room::B,
            role: Role::Control,
            node: node.parse().unwrap(),
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            store_port: 2380,
            page_port: 80,
            heard: Instant::now(),
            kind: None,
        };
        let mut report = Report::default();
        assert_eq!(table(&report), "nobody announces anything on this wire\n");
        report.neighbours =
            vec![one("b1", &["10.0.0.2", "fe80::2%eth0"]), one("long-name", &["10.0.0.3"])];
        report.problems.push(Problem {
            code: "neighbour.flood",
            level: Level::Warning,
            what: "too many".to_owned(),
            cure: "look",
        });
        expect![[r#"
            SITE  ROOM  ROLE     NODE       STORE  PAGE  ADDRESSES
            demo  b     control  b1         2380   80    10.0.0.2
                                                         fe80::2%eth0
            demo  b     control  long-name  2380   80    10.0.0.3

            neighbour.flood: too many
            hint: look
        "#]]
        .assert_eq(&table(&report));
    }

    #[test]
    fn settings_that_are_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        assert!(matches!(load(&path), Err(DiscoverError::File { .. })));
        std::fs::write(&path, "site = 'demo'\n").unwrap();
        assert!(matches!(load(&path), Err(DiscoverError::Text { .. })));
    }
}
