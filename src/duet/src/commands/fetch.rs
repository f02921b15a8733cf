//! `duet fetch`

use std::process::ExitCode;

use image::fetch::fetch_all;

use super::Ended;
use super::options::{CacheDir, Jobs, ProfilesDir};
use crate::console::Console;
use crate::load;

/// Fill the cache with what locked profiles need, for a later build with --offline
///
/// For a closed network: fetch here, carry the cache there.
#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// The profiles; without any, all that are locked
    #[arg(value_name = "PROFILE")]
    names: Vec<String>,

    #[command(flatten)]
    jobs: Jobs,

    #[command(flatten)]
    profiles_dir: ProfilesDir,

    #[command(flatten)]
    cache: CacheDir,
}

impl Fetch {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let folder = self.profiles_dir.find()?;
        let names = match self.names.as_slice() {
            [] => load::lockable(&folder)?,
            names => names.to_vec(),
        };
        let cache = self.cache.find()?;
        let mut wanted = Vec::new();
        for name in &names {
            let profile = load::profile(&folder, name)?;
            wanted.extend(load::lock_of(&folder, name)?.wanted(Some(&profile)));
        }
        let paths = fetch_all(&cache, &wanted, &self.jobs.options(false), console)?;
        console.note(format!("{} packages are in {}", paths.len(), cache.folder().display()));
        Ok(ExitCode::SUCCESS)
    }
}
