//! The command line as a whole: what is typed before and after every command.

use clap::{ArgAction, Parser};

use crate::commands::Command;
use crate::console::Loudness;
use crate::exit;

/// Builds, inspects and tries out the operating system of a site with two rooms
///
/// A site's two control planes boot the same verified image; a small signed file, the seed, tells
/// one room from the other. This program makes both from Debian packages, without root, and runs
/// them as virtual machines on this computer.
#[derive(Debug, Parser)]
#[command(name = "duet", version, after_help = exit::summary(), max_term_width = 100)]
pub(crate) struct Cli {
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Everywhere")]
    quiet: bool,

    /// Say more: which folders and files are used, and how long each stage takes
    #[arg(short, long, global = true, action = ArgAction::SetTrue, help_heading = "Everywhere")]
    verbose: bool,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// How much is wanted on the console.
    pub(crate) fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// Clap checks its own rules: names that clash, defaults that do not parse.
    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
