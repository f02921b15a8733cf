//! `duet lab narrow-link`

use std::process::ExitCode;

use super::{CABLE, Dir, Ended};
use crate::console::Console;

/// Have the cable between the rooms lose long packets without a word, until it is mended
///
/// The lab must have been started with --switches, or have more than two machines.
#[derive(Debug, clap::Args)]
pub(super) struct NarrowLink {
    #[command(flatten)]
    dir: Dir,

    /// The longest packet that it still carries, in bytes
    #[arg(value_parser = clap::value_parser!(u16).range(68..=9216))]
    mtu: u16,

    /// The cable
    #[arg(default_value = CABLE)]
    cable: String,
}

impl NarrowLink {
    pub(super) fn run(&self, console: &Console) -> Ended {
        self.dir.open()?.narrow_link(&self.cable, self.mtu)?;
        console.note(format!(
            "the cable {} carries packets of at most {} bytes",
            self.cable, self.mtu
        ));
        console.hint("`duet lab mend-link` mends it");
        Ok(ExitCode::SUCCESS)
    }
}
