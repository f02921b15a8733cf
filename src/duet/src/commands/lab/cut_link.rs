//! `duet lab cut-link`

use std::process::ExitCode;

use super::{CABLE, Dir, Ended};
use crate::console::Console;

/// Pull the cable between the rooms: both ends see their link go
#[derive(Debug, clap::Args)]
pub(super) struct CutLink {
    #[command(flatten)]
    dir: Dir,

    /// The cable
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
