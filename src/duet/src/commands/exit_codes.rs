//! `duet exit-codes`

use std::process::ExitCode;

use super::Ended;
use crate::console::Console;
use crate::exit;

/// Say what the number that a command ends with means
#[derive(Debug, clap::Args)]
pub(crate) struct ExitCodes {}

impl ExitCodes {
    pub(super) fn run(&self, console: &Console) -> Ended {
        console.result(exit::table())?;
        Ok(ExitCode::SUCCESS)
    }
}
