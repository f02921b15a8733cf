//! `duetd witness renew`. What a generation is, is said in docs/witness.md.

use std::process::ExitCode;

use ::site::Label;
use ::witness::disk::Use;
use ::witness::edit;
use clap::Args;

use super::{Folder, generation};
use crate::console;

#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// The site
    #[arg(long, value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    site: Option<Label>,

    /// Every site: what a witness needs that was restored as a whole
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    folder: Folder,
}

impl Renew {
    /// Renews; a site that cannot be does not keep the others from it.
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let disk = self.folder.open(Use::Edit)?;
        let sites = match self.site {
            Some(site) => vec![site],
            None => edit::names(&disk).map_err(edit::EditError::from)?,
        };
        let mut lines = console::Lines::new();
        let mut failed = None;
        for site in &sites {
            let generation = generation();
            match edit::renew(&disk, site, generation) {
                Ok(()) => {
                    lines.line(&format!("{site}: generation {generation}"))?;
                }
                Err(error) => {
                    if let Some(before) = failed.replace(error) {
                        console::error(&before);
                    }
                }
            }
        }
        lines.finish()?;
        failed.map_or(Ok(ExitCode::SUCCESS), |error| Err(error.into()))
    }
}
