//! `duet lab ssh`

use std::os::unix::process::CommandExt;
use std::process;

use super::{Dir, Ended};
use crate::console::Console;

/// The host's ssh could not be started.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot start ssh")]
#[diagnostic(code(lab::ssh), help("install it: apt-get install openssh-client"))]
struct SshError(#[source] std::io::Error);

/// Log in to a machine, or carry out a command there
///
/// Ends with the number that ssh ends with.
#[derive(Debug, clap::Args)]
pub(super) struct Ssh {
    #[command(flatten)]
    dir: Dir,

    /// The machine, such as `a1`
    machine: String,

    /// What to carry out there, after `--`
    #[arg(last = true)]
    command: Vec<String>,
}

impl Ssh {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let lab = self.dir.open()?;
        let key = &lab.plan().login.key;
        if !key.exists() {
            console.warning(format!("the lab's ssh key {} is not there", key.display()));
            console.hint("start the lab with --key and the private key that belongs to site.toml");
        }
        let command = lab.ssh(&self.machine, &self.command)?;
        let (program, arguments) = command.split_first().expect("a command line has a program");
        // Ssh takes the place of this process, so that terminal and signals are its own.
        Err(SshError(process::Command::new(program).args(arguments).exec()).into())
    }
}
