//! `duet lab switch`: started by the lab for a wire of more than two ends.

use std::path::PathBuf;
use std::process::ExitCode;

use lab::Switching;

use super::Ended;
use crate::console::Console;

/// Be the switches of a wire; the lab starts it, and ends it
#[derive(Debug, clap::Args)]
pub(super) struct Switch {
    /// Where room a's machines are plugged in
    a: PathBuf,
    /// Where room b's machines are plugged in
    b: PathBuf,
    /// Where the cable between the rooms is cut and mended
    control: PathBuf,
}

impl Switch {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let switching = Switching::bind(&[self.a.clone(), self.b.clone()], &self.control)?;
        // The lab waits for this word.
        console.result("ready")?;
        switching.run();
        Ok(ExitCode::SUCCESS)
    }
}
