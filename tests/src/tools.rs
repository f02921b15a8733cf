//! Programs of Debian that the tests run: locked by a profile, unpacked beside the cache, never
//! installed.

use std::fs;

use image::fetch::{Cache, FetchOptions, fetch_all};
use image::lock::{Lock, Set};
use image::progress::Silent;
use image::tools::Tools;
use image::unpack::Package;

use crate::demo::cache;
use crate::programs::{checkout, hold};

/// Packages that are unpacked at a time.
const JOBS: usize = 2;

/// The tools of a locked profile, such as `lab-tools`; downloaded and unpacked if they are not there.
///
/// # Panics
/// If they cannot be.
#[must_use]
pub fn unpacked(profile: &str) -> Tools {
    let _one_unpacks = hold(profile);
    let path = checkout().join("profiles").join(format!("{profile}.lock"));
    let text = fs::read_to_string(&path).expect("the profile is locked");
    let lock = Lock::parse(&text, &path.display().to_string()).expect("the lock is one");
    let cache = Cache::open(cache()).expect("the cache can be written");
    fetch_all(&cache, &lock.wanted(None), &FetchOptions::default(), &Silent)
        .unwrap_or_else(|error| panic!("{error:?}"));
    let packages: Vec<_> = lock.set(Set::Tools).map(|one| Package::locked(one, &cache)).collect();
    let tools = Tools::prepare(cache.folder(), &packages, JOBS, &Silent);
    tools.unwrap_or_else(|error| panic!("{error:?}"))
}
