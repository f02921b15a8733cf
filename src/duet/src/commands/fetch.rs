//! `duet fetch`

use std::process::ExitCode;

use image::lock::{LockedPackage, Set};
use image::tools::Tools;
use image::unpack::{Package, Store};

use super::Ended;
use super::options::{CacheDir, Jobs, ProfilesDir};
use crate::console::Console;
use crate::load;

/// Fill the cache with what locked profiles need, for a later build with --offline
///
/// The packages are unpacked too, and the tools of builds laid out, so that a build need not. For a
/// closed network: fetch here, carry the cache there; `duet cache clean` makes it smaller for the way.
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
        let (mut locks, mut wanted) = (Vec::new(), Vec::new());
        for name in &names {
            let profile = load::profile(&folder, name)?;
            let lock = load::lock_of(&folder, name)?;
            wanted.extend(lock.wanted(Some(&profile)));
            locks.push(lock);
        }
        let (store, options) = (Store::new(cache.folder()), self.jobs.options(false));
        let paths = store.fetch(&cache, &wanted, &options, console)?;
        let package = |one: &LockedPackage| Package::locked(one, &cache);
        for lock in &locks {
            let all: Vec<_> = lock.packages.iter().map(package).collect();
            store.unpack(&all, options.jobs, console)?;
            let tools: Vec<_> = lock.set(Set::Tools).map(package).collect();
            Tools::prepare(cache.folder(), &tools, options.jobs, console)?;
        }
        console.note(format!("{} packages are in {}", paths.len(), cache.folder().display()));
        Ok(ExitCode::SUCCESS)
    }
}
