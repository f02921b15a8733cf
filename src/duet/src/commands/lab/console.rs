//! `duet lab console`

use std::io;
use std::process::ExitCode;

use lab::Left;

use super::{Dir, Ended};
use crate::console::Console;

/// Join this terminal to a machine's serial line; Ctrl-] leaves
#[derive(Debug, clap::Args)]
pub(super) struct ConsoleCommand {
    #[command(flatten)]
    dir: Dir,

    /// The machine, such as `a1`
    machine: String,
}

impl ConsoleCommand {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let lab = self.dir.open()?;
        console.note(format!("the serial line of {}; Ctrl-] leaves", self.machine));
        match lab.console(&self.machine, io::stdin(), io::stdout())? {
            Left::ByPerson => console.note("\nleft; the machine runs on"),
            Left::ByMachine => console.note(format!("\n{} went off", self.machine)),
        }
        Ok(ExitCode::SUCCESS)
    }
}
