//! `duet site`: the file that describes a site, and its keys.

mod check;
mod new;

use clap::Subcommand;

use super::Ended;
use crate::console::Console;

/// Make a site's file and keys, or check them
#[derive(Debug, clap::Args)]
pub(crate) struct SiteCommand {
    #[command(subcommand)]
    command: Command,
}

/// What can be done with a site.
#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Check(check::Check),
}

impl SiteCommand {
    pub(super) fn run(&self, console: &Console) -> Ended {
        match &self.command {
            Command::New(command) => command.run(console),
            Command::Check(command) => command.run(console),
        }
    }
}
