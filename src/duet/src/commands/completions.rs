//! `duet completions`

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Ended;
use crate::cli::Cli;
use crate::console::Console;

/// Print what makes a shell complete this program's commands
///
/// For bash: `duet completions bash > ~/.local/share/bash-completion/completions/duet`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "duet", &mut script);
        console.bytes(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
