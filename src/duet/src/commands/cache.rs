//! `duet cache`: what was downloaded and unpacked.

mod clean;
mod size;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Ended;
use crate::console::Console;

/// What was downloaded: the only part that needs the network to be had again.
const DOWNLOADS: [&str; 3] = ["objects", "partial", "names"];
/// What every cache folder has, so that no other folder is ever emptied (<https://bford.info/cachedir/>).
const TAG: &str = "CACHEDIR.TAG";

/// Say how large the cache is, or empty it
#[derive(Debug, clap::Args)]
pub(crate) struct CacheCommand {
    #[command(subcommand)]
    command: Command,
}

/// What can be done with the cache.
#[derive(Debug, Subcommand)]
enum Command {
    Size(size::Size),
    Clean(clean::Clean),
}

impl CacheCommand {
    pub(super) fn run(&self, console: &Console) -> Ended {
        match &self.command {
            Command::Size(command) => command.run(console),
            Command::Clean(command) => command.run(console),
        }
    }
}

/// A folder that is no cache, or cannot be looked through.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum CacheError {
    #[error("{} is not a cache of duet: it has no {TAG}", .0.display())]
    #[diagnostic(code(usage::cache), help("give the cache's folder with --cache or DUET_CACHE"))]
    None(PathBuf),
    #[error("cannot look through or change the cache at {}", path.display())]
    #[diagnostic(code(output::cache), help("see that you own the folder: ls -ld"))]
    Folder { path: PathBuf, source: io::Error },
}

/// Bytes on disk of each folder of the cache. A file with several names counts where it comes first,
/// which is where it was downloaded to.
fn sizes(cache: &Path) -> Result<BTreeMap<String, u64>, CacheError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CacheError::Folder { path, source }
    };
    if !cache.join(TAG).is_file() {
        return Err(CacheError::None(cache.into()));
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(cache).map_err(failed(cache))? {
        let entry = entry.map_err(failed(cache))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    folders.sort_by_key(|name| (!DOWNLOADS.contains(&name.as_str()), name.clone()));
    let mut seen = HashSet::new();
    let mut sizes = BTreeMap::new();
    for name in folders {
        let mut bytes = 0;
        let mut open = vec![cache.join(&name)];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
                let path = entry.map_err(failed(&folder))?.path();
                // What another command has just removed is not there to be counted.
                let Ok(meta) = fs::symlink_metadata(&path) else { continue };
                if meta.is_dir() {
                    open.push(path);
                } else if meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino())) {
                    bytes += meta.blocks() * 512;
                }
            }
        }
        sizes.insert(name, bytes);
    }
    Ok(sizes)
}

/// Mebibytes, rounded up.
fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
