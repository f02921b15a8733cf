//! `duet cache size`

use std::process::ExitCode;

use serde::Serialize;

use super::{Ended, mib, sizes};
use crate::commands::options::CacheDir;
use crate::console::Console;

/// Say where the cache is and how much is in it
#[derive(Debug, clap::Args)]
pub(super) struct Size {
    #[command(flatten)]
    cache: CacheDir,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    folder: String,
    bytes: u64,
    parts: std::collections::BTreeMap<String, u64>,
}

impl Size {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let folder = self.cache.folder()?;
        let parts = sizes(&folder)?;
        let bytes = parts.values().sum();
        let folder = folder.display().to_string();
        if self.json {
            console.json(&Report { folder, bytes, parts })?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = format!("{folder}\n");
        for (name, bytes) in &parts {
            text.push_str(&format!("  {name:<12} {:>7} MiB\n", mib(*bytes)));
        }
        console.result(format!("{text}  {:<12} {:>7} MiB\n", "in all", mib(bytes)))?;
        Ok(ExitCode::SUCCESS)
    }
}
