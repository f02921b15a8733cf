//! Options that several commands share, each with its variable and the place it falls back to.

use std::path::PathBuf;

use image::fetch::{Cache, FetchError, FetchOptions};

use crate::places::{PlaceError, Places};

/// Where profiles are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProfilesDir {
    /// The folder of the profiles
    #[arg(long, value_name = "DIR", env = "DUET_PROFILES", hide_env_values = true)]
    profiles: Option<PathBuf>,
}

impl ProfilesDir {
    /// What was given, or the nearest.
    pub(crate) fn find(&self) -> Result<PathBuf, PlaceError> {
        self.profiles.clone().map_or_else(|| Places::now().profiles(), Ok)
    }
}

/// Where downloads are kept.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CacheDir {
    /// The folder of what was downloaded and unpacked
    #[arg(long, value_name = "DIR", env = "DUET_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
}

impl CacheDir {
    /// What was given, or the user's.
    pub(crate) fn folder(&self) -> Result<PathBuf, PlaceError> {
        self.cache.clone().map_or_else(|| Places::now().cache(), Ok)
    }

    /// The cache, made if it is missing.
    pub(crate) fn find(&self) -> miette::Result<Cache> {
        let folder = self.folder()?;
        let opened: Result<Cache, FetchError> = Cache::open(folder);
        Ok(opened?)
    }
}

/// How much is done at the same time.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Jobs {
    /// How many downloads, and how many packages to unpack, at a time
    #[arg(long, short, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
}

impl Jobs {
    /// How to fetch.
    pub(crate) fn options(self, offline: bool) -> FetchOptions {
        FetchOptions { offline, jobs: self.jobs.into(), ..FetchOptions::default() }
    }
}

/// Whether the network may be used.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Offline {
    /// Do not use the network: what the cache lacks is an error
    #[arg(long)]
    pub(crate) offline: bool,
}
