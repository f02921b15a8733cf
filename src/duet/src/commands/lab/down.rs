//! `duet lab down`

use std::process::ExitCode;

use lab::Leave;

use super::{Dir, Ended};
use crate::console::Console;

/// Switch all machines off and end the lab; disks go, logs stay
#[derive(Debug, clap::Args)]
pub(super) struct Down {
    #[command(flatten)]
    dir: Dir,

    /// Remove the logs too
    #[arg(long)]
    all: bool,
}

impl Down {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let leave = if self.all { Leave::Nothing } else { Leave::Logs };
        self.dir.open()?.down(leave)?;
        console.note("the lab is down");
        if !self.all {
            console.detail(format!("logs are in {}", self.dir.dir.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
