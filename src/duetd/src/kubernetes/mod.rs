//! `duetd kubernetes`: what has to be so before k3s starts. One file per subcommand; k3s' units run them
//! (overlays/k3s). Start at [`Kubernetes::run`].
//!
//! Starts no k3s and writes no setting but the control machine that a worker joins through.

mod join;
mod talk;
mod wait;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::exit;
use crate::root::Root;

/// What is typed after `duetd kubernetes`.
#[derive(Debug, Args)]
pub(crate) struct Kubernetes {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Wait until this control machine may start its Kubernetes server (k3s.service)
    ///
    /// It may once this room's store answers, and this room leads or the first server of the site has left
    /// its certificates in the store. So one room makes them, and the other one takes them.
    ///
    /// Exit status: 0 when it may, 4 if --timeout passed.
    Wait(wait::Wait),

    /// Choose the control machine that this worker joins through (k3s-agent.service)
    ///
    /// Takes the first one that answers of those that `duetd boot` wrote down, those of the own room
    /// first, and waits until one does.
    ///
    /// Exit status: 0 when one is chosen, 3 if none was written down, 4 if --timeout passed.
    Join(join::Join),
}

/// How long something is waited for.
#[derive(Debug, Args)]
struct Patience {
    /// Give up after so many seconds, instead of never
    #[arg(long = "timeout", value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32))]
    seconds: Option<u32>,
}

impl Patience {
    /// Whether it is over after `waited`.
    fn is_over(&self, waited: Duration) -> bool {
        self.seconds.is_some_and(|seconds| waited >= Duration::from_secs(seconds.into()))
    }
}

/// Nothing came of waiting.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("given up after {seconds} s: {why}")]
#[diagnostic(code(network::kubernetes), help("{cure}"))]
struct GivenUp {
    seconds: u64,
    why: String,
    cure: &'static str,
}

impl Kubernetes {
    /// Carries out what was typed, and says what went wrong.
    pub(crate) fn run(self, root: &Root) -> ExitCode {
        exit::end(match self.command {
            Command::Wait(wait) => wait.run(),
            Command::Join(join) => join.run(root),
        })
    }
}
