//! `duet inspect`

use std::path::PathBuf;
use std::process::ExitCode;

use super::Ended;
use crate::console::Console;

/// Show what is in an artefact: partitions, slots, versions, root hash, seed
///
/// Takes a disk image, a UKI, a netboot image, a root or its hash tree, a manifest, a seed.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The artefact
    file: PathBuf,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let report = image::inspect::inspect(&self.file)?;
        if self.json {
            console.json(&report)?;
        } else {
            console.result(&report)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
