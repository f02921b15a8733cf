//! `duet lab mend-link`

use std::process::ExitCode;

use super::{CABLE, Dir, Ended};
use crate::console::Console;

/// Put the cable between the rooms back
#[derive(Debug, clap::Args)]
pub(super) struct MendLink {
    #[command(flatten)]
    dir: Dir,

    /// The cable
    #[arg(default_value = CABLE)]
    cable: String,
}

impl MendLink {
    pub(super) fn run(&self, console: &Console) -> Ended {
        self.dir.open()?.mend_link(&self.cable)?;
        console.note(format!("the cable {} is whole", self.cable));
        Ok(ExitCode::SUCCESS)
    }
}
