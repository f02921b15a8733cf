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

    /// What its clock says at this start and each later one, in UTC; `utc` for the right time
    #[arg(long, value_name = "1970-01-01T00:00:00")]
    clock: Option<String>,
}

impl PowerOn {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let mut lab = self.dir.open()?;
        if let Some(clock) = &self.clock {
            lab.set_clock(&self.machine, Some(clock.as_str()).filter(|clock| *clock != "utc"))?;
        }
        lab.power_on(&self.machine)?;
        console.note(format!("{} is on", self.machine));
        console.hint(format!("`duet lab screen {}` shows how far it has come", self.machine));
        Ok(ExitCode::SUCCESS)
    }
}
