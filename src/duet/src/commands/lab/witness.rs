//! `duet lab witness`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Dir, Ended};
use crate::console::Console;

/// Stop the witness of the lab, or start it again
#[derive(Debug, clap::Args)]
pub(super) struct Witness {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// End the witness at once; what it holds stays
    Stop(Dir),
    /// Start the witness again, with what it held
    Start(Dir),
}

impl Witness {
    pub(super) fn run(&self, console: &Console) -> Ended {
        match &self.command {
            Command::Stop(dir) => {
                dir.open()?.witness_stop()?;
                console.note("the witness is off");
                console.hint("`duet lab witness start` starts it again");
            }
            Command::Start(dir) => {
                dir.open()?.witness_start()?;
                console.note("the witness is on");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
