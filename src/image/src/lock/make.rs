//! From a profile and the repositories' indexes to a lock.

use std::collections::{BTreeMap, BTreeSet};

use site::Profile;

use super::{FORMAT, Lock, LockedDrop, LockedPackage, LockedRepository, Set};
use crate::fetch::Digest;
use crate::repository::{Index, Indexes, Package, Source};
use crate::resolve::{Request, Resolution, ResolveError, Universe};

/// Why a profile cannot be locked.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LockProfileError {
    /// Its packages cannot be had together.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Resolve(#[from] ResolveError),
}

/// The profile's repositories, ready to be loaded.
///
/// # Errors
/// Whatever `keyring` says, which gets a repository's `keyring` path and returns the file's bytes.
pub fn sources<E>(
    profile: &Profile,
    mut keyring: impl FnMut(&str) -> Result<Vec<u8>, E>,
) -> Result<Vec<Source>, E> {
    let source = |one: &site::profile::Repository| {
        Ok(Source {
            name: one.name.clone(),
            uris: one.uris.clone(),
            snapshot: one.snapshot.clone(),
            suite: one.suite.clone(),
            components: one.components.clone(),
            keyring: keyring(&one.keyring)?,
        })
    };
    profile.repositories.iter().map(source).collect()
}

/// Decides on every package of the profile's images, and of the tools that build them.
///
/// Root and tools are resolved apart from one another. The initrd gets the root's own kernel
/// packages and the microcode packages, without what they depend on: only files are taken from them.
///
/// # Errors
/// If a set's packages cannot be had together.
pub fn lock_profile(profile: &Profile, indexes: &Indexes) -> Result<Lock, LockProfileError> {
    let universe = Universe::new(indexes);
    let (root_request, tools_request) = (root_request(profile), tools_request(profile));
    let root = universe.resolve(&root_request)?;
    let tools = universe.resolve(&tools_request)?;
    let microcode_request = microcode_request(profile);
    let microcode = microcode(&universe, &microcode_request)?;
    let kernel = root.packages.iter().copied().filter(|package| is_kernel(profile, package));
    let initrd: Vec<Package<'_>> = kernel.chain(microcode).collect();

    let mut packages: BTreeMap<(&str, &str), LockedPackage> = BTreeMap::new();
    for (set, members) in
        [(Set::Root, &root.packages), (Set::Initrd, &initrd), (Set::Tools, &tools.packages)]
    {
        for package in members {
            let key = (package.name(), package.version().0);
            let locked = packages.entry(key).or_insert_with(|| locked(package, indexes));
            locked.sets.insert(set);
        }
    }
    Ok(Lock {
        format: FORMAT,
        profile: profile.lock_name().to_owned(),
        architecture: indexes.architecture.clone(),
        request: request_hash(profile, &indexes.architecture),
        repositories: indexes.repositories.iter().map(locked_repository).collect(),
        dropped: dropped(Set::Root, &root).chain(dropped(Set::Tools, &tools)).collect(),
        packages: packages.into_values().collect(),
    })
}

fn root_request(profile: &Profile) -> Request {
    let kernel = profile.system.as_ref().map(|system| system.kernel.package.clone());
    Request {
        label: profile.name.clone(),
        install: profile.packages.root.iter().map(ToString::to_string).chain(kernel).collect(),
        essential: profile.system.is_some(),
        exclude: profile.packages.exclude.clone(),
    }
}

fn tools_request(profile: &Profile) -> Request {
    let asked: BTreeSet<&str> =
        profile.packages.tools.iter().map(|one| one.name.as_str()).collect();
    let exclude = profile.packages.exclude.iter().filter(|name| !asked.contains(name.as_str()));
    Request {
        label: format!("{}'s tools", profile.name),
        install: profile.packages.tools.iter().map(ToString::to_string).collect(),
        essential: false, // they run from a folder of their own, in no system
        exclude: exclude.cloned().collect(),
    }
}

fn microcode_request(profile: &Profile) -> Request {
    let names = profile.system.iter().flat_map(|system| system.kernel.microcode.iter().cloned());
    Request {
        label: format!("{}'s initrd", profile.name),
        install: names.collect(),
        essential: false,
        exclude: Vec::new(),
    }
}

/// The microcode packages alone.
fn microcode<'a>(
    universe: &'a Universe<'a>,
    request: &'a Request,
) -> Result<Vec<Package<'a>>, ResolveError> {
    // The full resolution proves that they are there; their dependencies serve installed systems.
    let mut packages = universe.resolve(request)?.packages;
    packages.retain(|package| request.install.iter().any(|name| name == package.name()));
    Ok(packages)
}

/// Whether a package of the root is the kernel, or one of those that make it up.
fn is_kernel(profile: &Profile, package: &Package<'_>) -> bool {
    let named =
        |name: &str| profile.system.as_ref().is_some_and(|system| system.kernel.package == name);
    named(package.name())
        || ["linux-image-", "linux-modules-"].iter().any(|start| package.name().starts_with(start))
}

fn locked(package: &Package<'_>, indexes: &Indexes) -> LockedPackage {
    LockedPackage {
        name: package.name().to_owned(),
        version: package.version().0.to_owned(),
        architecture: package.architecture().to_owned(),
        sets: BTreeSet::new(),
        repository: indexes.repositories[package.repository].name.clone(),
        path: package.path().to_owned(),
        size: package.size(),
        sha256: package.sha256(),
    }
}

fn locked_repository(index: &Index) -> LockedRepository {
    LockedRepository {
        name: index.name.clone(),
        uris: index.uris.clone(),
        snapshot: index.snapshot.clone(),
        suite: index.suite.clone(),
        components: index.components.clone(),
        date: index.date,
        in_release: index.in_release,
        signed_by: index.signer.clone(),
    }
}

fn dropped(set: Set, resolution: &Resolution<'_>) -> impl Iterator<Item = LockedDrop> {
    let drops = resolution.dropped.clone().into_iter();
    drops.map(move |one| LockedDrop { set, package: one.package, depends: one.depends })
}

/// The hash of what a profile asks for; mirrors and snapshot services do not count.
pub fn request_hash(profile: &Profile, architecture: &str) -> Digest {
    let repositories: Vec<_> = profile
        .repositories
        .iter()
        .map(|one| (&one.name, &one.suite, &one.components, &one.keyring))
        .collect();
    let kernel =
        profile.system.as_ref().map(|system| (&system.kernel.package, &system.kernel.microcode));
    let request = (FORMAT, architecture, repositories, &profile.packages, kernel);
    Digest::of(&serde_json::to_vec(&request).expect("a profile is plain data"))
}
