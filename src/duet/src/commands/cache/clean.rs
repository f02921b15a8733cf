//! `duet cache clean`

use std::fs;
use std::process::ExitCode;

use super::{CacheError, DOWNLOADS, Ended, mib, sizes};
use crate::commands::options::CacheDir;
use crate::console::Console;

/// Remove from the cache what can be made again without the network
///
/// Not while another command builds: it would have to begin again.
#[derive(Debug, clap::Args)]
pub(super) struct Clean {
    #[command(flatten)]
    cache: CacheDir,

    /// Remove the downloads too
    #[arg(long)]
    all: bool,
}

impl Clean {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let cache = self.cache.folder()?;
        let before: u64 = sizes(&cache)?.values().sum();
        for name in sizes(&cache)?.into_keys() {
            if self.all || !DOWNLOADS.contains(&name.as_str()) {
                let path = cache.join(name);
                fs::remove_dir_all(&path).map_err(|source| CacheError::Folder { path, source })?;
            }
        }
        let left: u64 = sizes(&cache)?.values().sum();
        let freed = mib(before.saturating_sub(left));
        console.result(format!(
            "{freed} MiB freed, {} MiB left in {}",
            mib(left),
            cache.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
