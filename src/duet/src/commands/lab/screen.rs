//! `duet lab screen`

use std::path::PathBuf;
use std::process::ExitCode;

use site::Room;

use super::{Dir, Ended};
use crate::commands::rooms;
use crate::console::Console;

/// Show what a machine's serial console shows, or showed last
///
/// Without a machine: all of them.
#[derive(Debug, clap::Args)]
pub(super) struct Screen {
    #[command(flatten)]
    dir: Dir,

    /// The machine, such as `a1`
    machine: Option<String>,

    /// All machines of this room
    #[arg(long, conflicts_with = "machine", value_parser = rooms())]
    room: Option<Room>,

    /// Write what the machine's video card shows to a PNG file instead
    #[arg(long, value_name = "FILE", requires = "machine")]
    png: Option<PathBuf>,
}

impl Screen {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let lab = self.dir.open()?;
        if let Some(name) = &self.machine {
            match &self.png {
                Some(file) => lab.screendump(name, file)?,
                None => console.result(lab.screen(name)?)?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        let machines = lab.plan().machines.iter();
        for machine in machines.filter(|one| self.room.is_none_or(|room| one.room == room)) {
            let screen = lab.screen(machine.name.as_str())?;
            console.result(format!("--- {} ---\n{screen}\n", machine.name))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
