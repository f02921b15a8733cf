//! `duet lab cut-link`

use std::process::ExitCode;

use super::{CABLE, Dir, Ended};
use crate::console::Console;

/// Pull a cable, if not told otherwise the one between the rooms: machines see their link go
#[derive(Debug, clap::Args)]
pub(super) struct CutLink {
    #[command(flatten)]
    dir: Dir,

    /// The cable: `rooms`, that of a machine to the witness, such as `third-a1`, or that to this computer, such
    /// as `admin-a1`
    #[arg(default_value = CABLE)]
    cable: String,
}

impl CutLink {
    pub(super) fn run(&self, console: &Console) -> Ended {
        self.dir.open()?.cut_link(&self.cable)?;
        console.note(format!("the cable {} is cut", self.cable));
        console.hint("`duet lab mend-link` mends it");
        Ok(ExitCode::SUCCESS)
    }
}
