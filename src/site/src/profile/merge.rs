//! Makes one profile of a chain of them. Start at [`Chain`].

use super::component::{overlay_wishes, wishes};
use super::raw::{RawImage, RawProfile, RawRepository};
use super::{Image, Kernel, PackageRequest, Packages, Profile, Repository, System};

/// The most profiles that inherit from one another: nobody could follow more.
const LONGEST: usize = 8;

/// A profile and those that it inherits from, while they are being read:
///
/// ```
/// # use std::{collections::BTreeMap, path::PathBuf};
/// # use site::profile::{Chain, RawProfile};
/// # let repository = "uris = ['http://deb.example.org/debian']\nsuite = 'trixie'\n\
/// #     components = ['main']\nkeyring = 'debian.gpg'\n";
/// # let debian = format!("summary = 'packages'\n[repositories.debian]\n{repository}");
/// # let files = BTreeMap::from([
/// #     ("tools", "summary = 'tools'\ninherit = 'debian'\n".to_owned()), ("debian", debian)]);
/// let mut chain = Chain::default();
/// let mut next = Some("tools".to_owned());
/// while let Some(name) = next {
///     let text = &files[name.as_str()];
///     next = chain.push(RawProfile::parse(text, &PathBuf::from(format!("{name}.toml")))?)?;
/// }
/// let profile = chain.merge()?;
/// assert_eq!(profile.name, "tools");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Chain {
    /// The profile itself first, what it inherits from after it.
    profiles: Vec<RawProfile>,
}

/// Profiles that are good by themselves and make no whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum ProfileError {
    /// A profile that inherits from itself by way of others.
    #[error("the profiles inherit from one another in a circle: {}", .0.join(" -> "))]
    #[diagnostic(code(input::profile_circle), help("remove `inherit` from one of them"))]
    Circle(Vec<String>),
    /// More profiles in a row than anybody could follow.
    #[error("more than {LONGEST} profiles inherit from one another: {}", .0.join(" -> "))]
    #[diagnostic(code(input::profile_chain), help("bring some of them together in one file"))]
    Chain(Vec<String>),
    /// Neither the profile nor those that it inherits from say everything.
    #[error("the profile `{profile}` lacks {}", .keys.join(", "))]
    #[diagnostic(
        code(input::profile_incomplete),
        help("write it in {profile}.toml or in a profile that it inherits from")
    )]
    Incomplete {
        /// The profile.
        profile: String,
        /// What is missing, as it is written in the file.
        keys: Vec<String>,
    },
    /// Packages that are asked for and excluded.
    #[error("the profile `{profile}` asks for and excludes {}", .packages.join(", "))]
    #[diagnostic(
        code(input::profile_conflict),
        help(
            "remove them from `exclude` or from the lists of packages, also of the profiles that it inherits from"
        )
    )]
    Conflict {
        /// The profile.
        profile: String,
        /// The packages.
        packages: Vec<String>,
    },
    /// The partition for the hash tree does not hold the tree of a full root.
    #[error(
        "verity_mib = {verity_mib} is too small for root_mib = {root_mib} in the profile `{profile}`"
    )]
    #[diagnostic(
        code(input::profile_verity),
        help("the hash tree of a full root needs verity_mib = {needed}")
    )]
    Verity {
        /// The profile.
        profile: String,
        /// The size of the root's partition.
        root_mib: u32,
        /// The size of the hash tree's partition.
        verity_mib: u32,
        /// The smallest size that is enough.
        needed: u32,
    },
}

impl Chain {
    /// Adds a profile, and says which one must be read next; `None` if the chain is complete.
    pub fn push(&mut self, profile: RawProfile) -> Result<Option<String>, ProfileError> {
        let next = profile.inherit.clone();
        self.profiles.push(profile);
        let Some(next) = next else { return Ok(None) };
        let mut names: Vec<String> = self.profiles.iter().map(|p| p.name.clone()).collect();
        let circle = names.contains(&next);
        names.push(next.clone());
        if circle {
            Err(ProfileError::Circle(names))
        } else if names.len() > LONGEST {
            Err(ProfileError::Chain(names))
        } else {
            Ok(Some(next))
        }
    }

    /// One profile of them all: lists are joined, what comes from further up first; of single values
    /// the one that is nearest to the profile counts.
    pub fn merge(self) -> Result<Profile, ProfileError> {
        let mut upward = self.profiles.into_iter().rev();
        let empty = || ProfileError::Incomplete { profile: String::new(), keys: vec![] };
        let first = upward.next().ok_or_else(empty)?;
        finish(upward.fold(first, add))
    }
}

/// Lays `upper` over `base`.
fn add(mut base: RawProfile, upper: RawProfile) -> RawProfile {
    for repository in upper.repositories {
        match base.repositories.iter_mut().find(|known| known.name == repository.name) {
            Some(known) => overlay_repository(known, repository),
            None => base.repositories.push(repository),
        }
    }
    ask(&mut base.packages.root, upper.packages.root);
    ask(&mut base.packages.tools, upper.packages.tools);
    join(&mut base.packages.exclude, upper.packages.exclude);
    join(&mut base.cmdline, upper.cmdline);
    join(&mut base.microcode, upper.microcode);
    join(&mut base.initrd.load, upper.initrd.load);
    join(&mut base.initrd.drivers, upper.initrd.drivers);
    join(&mut base.overlays, upper.overlays);
    join(&mut base.enable, upper.enable);
    join(&mut base.files.remove, upper.files.remove);
    join(&mut base.files.keep, upper.files.keep);
    overlay_wishes(&mut base.components, upper.components);
    RawProfile {
        name: upper.name,
        inherit: upper.inherit,
        lock: upper.lock, // a lock is of one profile and of those that name it
        summary: upper.summary,
        role: upper.role.or(base.role),
        kernel: upper.kernel.or(base.kernel),
        image: RawImage {
            esp_mib: upper.image.esp_mib.or(base.image.esp_mib),
            root_mib: upper.image.root_mib.or(base.image.root_mib),
            verity_mib: upper.image.verity_mib.or(base.image.verity_mib),
            state_mib: upper.image.state_mib.or(base.image.state_mib),
            compression: upper.image.compression.or(base.image.compression),
            cluster: upper.image.cluster.or(base.image.cluster),
        },
        ..base
    }
}

fn join(list: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// Joins requests; of two for the same package the later one counts.
fn ask(list: &mut Vec<PackageRequest>, more: Vec<PackageRequest>) {
    for request in more {
        match list.iter_mut().find(|known| known.name == request.name) {
            Some(known) => *known = request,
            None => list.push(request),
        }
    }
}

fn overlay_repository(base: &mut RawRepository, upper: RawRepository) {
    let RawRepository { name: _, uris, snapshot, suite, components, keyring, architectures } =
        upper;
    base.uris = uris.or(base.uris.take());
    base.snapshot = snapshot.or(base.snapshot.take());
    base.suite = suite.or(base.suite.take());
    base.components = components.or(base.components.take());
    base.keyring = keyring.or(base.keyring.take());
    base.architectures = architectures.or(base.architectures.take());
}

/// Keys that are missing, noted while values are taken.
#[derive(Default)]
struct Missing(Vec<String>);

impl Missing {
    /// The value, or a note that it is missing and any value in its place.
    fn take<T: Default>(&mut self, value: Option<T>, key: impl FnOnce() -> String) -> T {
        value.unwrap_or_else(|| {
            self.0.push(key());
            T::default()
        })
    }
}

fn finish(raw: RawProfile) -> Result<Profile, ProfileError> {
    let profile = raw.name.clone();
    let mut missing = Missing::default();
    let repositories: Vec<Repository> = raw
        .repositories
        .into_iter()
        .map(|repository| finish_repository(repository, &mut missing))
        .collect();
    if repositories.is_empty() {
        missing.0.push("[repositories.NAME]".into());
    }
    let system = raw.role.map(|role| System {
        role,
        kernel: Kernel {
            package: missing.take(raw.kernel, || "`package` in [kernel]".into()),
            cmdline: raw.cmdline,
            microcode: raw.microcode,
        },
        initrd: raw.initrd,
        image: finish_image(raw.image, &mut missing),
        overlays: raw.overlays,
        enable: raw.enable,
        files: raw.files,
    });
    if !missing.0.is_empty() {
        return Err(ProfileError::Incomplete { profile, keys: missing.0 });
    }
    check_packages(&profile, &raw.packages, system.as_ref())?;
    if let Some(system) = &system {
        check_verity(&profile, &system.image)?;
    }
    Ok(Profile {
        name: profile,
        summary: raw.summary,
        repositories,
        packages: raw.packages,
        system,
        lock: raw.lock,
        components: wishes(raw.components),
    })
}

fn finish_repository(raw: RawRepository, missing: &mut Missing) -> Repository {
    let place = |key: &str| format!("`{key}` in [repositories.{}]", raw.name);
    Repository {
        uris: missing.take(raw.uris, || place("uris")),
        suite: missing.take(raw.suite, || place("suite")),
        components: missing.take(raw.components, || place("components")),
        keyring: missing.take(raw.keyring, || place("keyring")),
        snapshot: raw.snapshot,
        architectures: raw.architectures.unwrap_or_else(|| vec!["amd64".into()]),
        name: raw.name,
    }
}

fn finish_image(raw: RawImage, missing: &mut Missing) -> Image {
    let place = |key: &str| format!("`{key}` in [image]");
    Image {
        esp_mib: missing.take(raw.esp_mib, || place("esp_mib")),
        root_mib: missing.take(raw.root_mib, || place("root_mib")),
        verity_mib: missing.take(raw.verity_mib, || place("verity_mib")),
        state_mib: missing.take(raw.state_mib, || place("state_mib")),
        compression: missing.take(raw.compression, || place("compression")),
        cluster: missing.take(raw.cluster, || place("cluster")),
    }
}

fn check_packages(
    profile: &str,
    packages: &Packages,
    system: Option<&System>,
) -> Result<(), ProfileError> {
    let asked = packages.root.iter().chain(&packages.tools).map(|request| &request.name);
    let kernel = system.iter().flat_map(|s| s.kernel.microcode.iter().chain([&s.kernel.package]));
    let both: Vec<String> =
        asked.chain(kernel).filter(|name| packages.exclude.contains(name)).cloned().collect();
    if both.is_empty() {
        return Ok(());
    }
    Err(ProfileError::Conflict { profile: profile.to_owned(), packages: both })
}

/// A hash tree has a superblock and, for each 128 blocks of a level, one block of the next, until a
/// level has a single block (the kernel's admin-guide/device-mapper/verity.rst; blocks of 4096
/// bytes, hashes of 32).
fn check_verity(profile: &str, image: &Image) -> Result<(), ProfileError> {
    const BLOCKS_PER_MIB: u64 = 256;
    let mut level = u64::from(image.root_mib) * BLOCKS_PER_MIB;
    let mut blocks = 1;
    while level > 1 {
        level = level.div_ceil(128);
        blocks += level;
    }
    let needed = u32::try_from(blocks.div_ceil(BLOCKS_PER_MIB)).unwrap_or(u32::MAX);
    if image.verity_mib >= needed {
        return Ok(());
    }
    let Image { root_mib, verity_mib, .. } = *image;
    Err(ProfileError::Verity { profile: profile.to_owned(), root_mib, verity_mib, needed })
}
