//! `duet diff`

use std::path::PathBuf;
use std::process::ExitCode;

use image::diff::Account;

use super::Ended;
use crate::console::Console;
use crate::exit;

/// Say what differs between two builds, package by package and file by file
///
/// Ends with 0 if nothing does, and with 1 if something does.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The first build: its folder, its manifest, or one of its artefacts
    a: PathBuf,

    /// The second build
    b: PathBuf,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let difference = image::diff::diff(&Account::load(&self.a)?, &Account::load(&self.b)?);
        if self.json {
            console.json(&difference)?;
        } else {
            console.result(&difference)?;
        }
        Ok(if difference.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::OTHER) })
    }
}
