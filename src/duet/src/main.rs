//! The workstation's command line. Start at [`commands::Command`]; `main` only wires.
//!
//! One file per subcommand under `commands/`, named as typed. What a command decides is decided in
//! the libraries; what it says goes through [`console`], and the number it ends with comes from
//! [`exit`]. No other module prints.

mod cli;
mod commands;
mod console;
mod exit;
mod files;
mod interrupt;
mod load;
mod manual;
mod places;
mod report;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(stop) => return console::usage(&stop),
    };
    let console = console::Console::new(cli.loudness());
    let watched = interrupt::watch(&console).map_err(miette::Report::from);
    match watched.and_then(|()| cli.command.run(&console)) {
        Ok(code) => code,
        Err(failure) => {
            console.error(&failure);
            ExitCode::from(exit::code(failure.as_ref()))
        }
    }
}
