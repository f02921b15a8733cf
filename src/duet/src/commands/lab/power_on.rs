//! `duet lab power-on`

use std::process::ExitCode;

use super::{Dir, Ended};
use crate::console::Console;

/// Switch a machine on, with the disk that it had
#[derive(Debug, clap::Args)]
pub(super) struct PowerOn {
    #[command(flatten)]
    dir: Dir,

    /// The machine, such as `a1`
    machine: String,
}

impl PowerOn {
    pub(super) fn run(&self, console: &Console) -> Ended {
        self.dir.open()?.power_on(&self.machine)?;
        console.note(format!("{} is on", self.machine));
        console.hint(format!("`duet lab screen {}` shows how far it has come", self.machine));
        Ok(ExitCode::SUCCESS)
    }
}
