//! `duet lab power-off`

use std::process::ExitCode;
use std::time::Duration;

use lab::Switch;

use super::{Dir, Ended};
use crate::console::Console;

/// A shutdown stops services within 90 seconds each, systemd's default, and emulation is slow.
const PATIENCE: Duration = Duration::from_secs(180);

/// Switch a machine off by pulling its plug, as a power cut does
#[derive(Debug, clap::Args)]
pub(super) struct PowerOff {
    #[command(flatten)]
    dir: Dir,

    /// The machine, such as `a1`
    machine: String,

    /// Press the power button instead, and wait until the machine has shut itself down
    #[arg(long)]
    button: bool,
}

impl PowerOff {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let switch = if self.button { Switch::Button(PATIENCE) } else { Switch::Plug };
        self.dir.open()?.power_off(&self.machine, switch)?;
        console.note(format!("{} is off", self.machine));
        Ok(ExitCode::SUCCESS)
    }
}
