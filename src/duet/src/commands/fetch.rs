//! `duet fetch`

use std::path::Path;
use std::process::ExitCode;

use image::component::{Asked, choose};
use image::fetch::{Wanted, fetch_all};
use image::lock::{LockedPackage, Set};
use image::tools::Tools;
use image::tree::Tree;
use image::unpack::{Package, Store};
use site::Profile;
use site::profile::Need;

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
        let (mut locks, mut wanted, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for name in &names {
            let profile = load::profile(&folder, name)?;
            let lock = load::lock_of(&folder, profile.lock_name())?;
            wanted.extend(lock.wanted(Some(&profile)));
            files.extend(components(&folder, &profile, console)?);
            locks.push(lock);
        }
        let (store, options) = (Store::new(cache.folder()), self.jobs.options(false));
        let paths = store.fetch(&cache, &wanted, &options, console)?;
        fetch_all(&cache, &files, &options, console)?;
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

/// What the locked components of a profile are made of. One that has no hash yet cannot be fetched, which
/// is told: a build will want the file itself.
fn components(folder: &Path, profile: &Profile, console: &Console) -> miette::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for component in load::components(folder, profile)? {
        let lock = load::component_lock(folder, &component.name)?;
        match choose(&component, Need::Optional, lock.as_ref(), Asked::Nothing, Tree::default())? {
            part if part.is_present() => wanted.extend(part.wanted()),
            part => {
                let why = part.record().why.unwrap_or_default();
                console.warning(format!("{} is not fetched: {why}", component.name));
            }
        }
    }
    Ok(wanted)
}
