//! `duet man`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use miette::IntoDiagnostic;

use super::Ended;
use crate::cli::Cli;
use crate::console::Console;
use crate::{files, manual};

/// Print or write the manual
///
/// Without an option, prints the first man page: `duet man | man -l -`.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write all man pages to this folder, such as `~/.local/share/man/man1`
    #[arg(long, value_name = "DIR", conflicts_with = "markdown")]
    dir: Option<PathBuf>,

    /// Print all commands as one page of Markdown
    #[arg(long)]
    markdown: bool,
}

impl Man {
    pub(super) fn run(&self, console: &Console) -> Ended {
        if self.markdown {
            console.result(manual::markdown(&Cli::command()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let pages = manual::pages(&Cli::command()).into_diagnostic()?;
        if let Some(dir) = &self.dir {
            files::make_folder("the folder for man pages", dir)?;
            for (name, page) in &pages {
                files::write("the man page", &dir.join(name), page)?;
            }
            console.note(format!("{} man pages written to {}", pages.len(), dir.display()));
        } else {
            console.bytes(&pages[0].1)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
