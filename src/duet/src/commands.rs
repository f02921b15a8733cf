//! Every subcommand, each in a file named as it is typed.

mod build;
mod cache;
mod completions;
mod components;
mod diff;
mod exit_codes;
mod fetch;
mod inspect;
mod lab;
mod lock;
mod logs;
mod man;
mod nodes;
mod options;
mod site;
mod status;
mod witness_package;

use std::process::ExitCode;

use ::site::Room;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::console::Console;

/// How a command ends: with the exit code of a success, or with what went wrong.
pub(crate) type Ended = miette::Result<ExitCode>;

/// What can be typed after `duet`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Site(site::SiteCommand),
    Lock(lock::LockCommand),
    Fetch(fetch::Fetch),
    Build(build::Build),
    Inspect(inspect::Inspect),
    Diff(diff::Diff),
    Lab(lab::LabCommand),
    Status(status::Status),
    Logs(logs::Logs),
    WitnessPackage(witness_package::WitnessPackage),
    Cache(cache::CacheCommand),
    Completions(completions::Completions),
    Man(man::Man),
    ExitCodes(exit_codes::ExitCodes),
}

impl Command {
    /// Does what was typed.
    pub(crate) fn run(&self, console: &Console) -> Ended {
        match self {
            Command::Site(command) => command.run(console),
            Command::Lock(command) => command.run(console),
            Command::Fetch(command) => command.run(console),
            Command::Build(command) => command.run(console),
            Command::Inspect(command) => command.run(console),
            Command::Diff(command) => command.run(console),
            Command::Lab(command) => command.run(console),
            Command::Status(command) => command.run(console),
            Command::Logs(command) => command.run(console),
            Command::WitnessPackage(command) => command.run(console),
            Command::Cache(command) => command.run(console),
            Command::Completions(command) => command.run(console),
            Command::Man(command) => command.run(console),
            Command::ExitCodes(command) => command.run(console),
        }
    }
}

/// Reads a room, and tells help and completions which there are.
fn rooms() -> impl TypedValueParser<Value = Room> {
    PossibleValuesParser::new(["a", "b"]).try_map(|word| word.parse::<Room>())
}
