//! The lock of a profile: exactly which packages its images are made of, by hash.
//!
//! Start at [`lock_profile`], which makes one, and [`Lock::parse`], which reads one. A lock names
//! everything that a build fetches, so that a build decides nothing and asks no repository. It is
//! kept beside its profile and reviewed like source; [`changes`](Lock::changes) says what differs
//! between two.

mod change;
mod make;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use miette::{NamedSource, SourceSpan};
use serde::{Deserialize, Serialize};
use site::Timestamp;

pub use change::Change;
pub use make::{LockProfileError, lock_profile, request_hash, sources};

use crate::fetch::{Digest, Wanted};

/// The version of the format that this program writes and reads.
const FORMAT: u32 = 1;

/// What every lock file begins with.
const HEADER: &str = "\
# Written by `duet lock`; not to be edited by hand. Keep it under version control beside its profile:
# the same lock gives the same images, byte for byte.
";

/// Everything that the images of a profile are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    format: u32,
    /// The profile's name.
    pub profile: String,
    /// The packages' architecture, as Debian calls it.
    pub architecture: String,
    /// The hash of what the profile asked for; see [`is_for`](Lock::is_for).
    pub request: Digest,
    /// Where the packages come from.
    #[serde(rename = "repository")]
    pub repositories: Vec<LockedRepository>,
    /// Dependencies that stay unsatisfied because the profile excludes what would satisfy them.
    #[serde(rename = "dropped", default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<LockedDrop>,
    /// The packages, by name and version.
    #[serde(rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// One suite of a repository, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedRepository {
    /// The profile's name for it.
    pub name: String,
    /// Its mirrors, in order.
    pub uris: Vec<String>,
    /// The service that keeps its past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Such as `trixie-security`.
    pub suite: String,
    /// Such as `main`.
    pub components: Vec<String>,
    /// When the repository was in this state: the `Date` of its `Release`.
    pub date: Timestamp,
    /// The hash of its `InRelease`.
    pub in_release: Digest,
    /// The fingerprint of the key whose signature was believed.
    pub signed_by: String,
}

/// One package, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its own architecture: the lock's, or `all`.
    pub architecture: String,
    /// What it is for.
    pub sets: BTreeSet<Set>,
    /// The name of its repository.
    pub repository: String,
    /// Where it is below the repository's address.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The hash of the archive.
    pub sha256: Digest,
}

/// A dependency that stays unsatisfied because the profile excludes what would satisfy it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedDrop {
    /// In which set.
    pub set: Set,
    /// Whose dependency.
    pub package: String,
    /// The dependency as the package writes it.
    pub depends: String,
}

/// What a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// Installed into the root file system.
    Root,
    /// Its files go into the initrd or beside it: the kernel with its modules, microcode.
    Initrd,
    /// Unpacked to build and check images with.
    Tools,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Set::Root => "root",
            Set::Initrd => "initrd",
            Set::Tools => "tools",
        })
    }
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LockError {
    /// Not TOML, or not the keys of a lock.
    #[error("cannot read the lock {file}: {reason}")]
    #[diagnostic(
        code(input::lock),
        help(
            "a lock is not edited by hand: restore it from version control, or make it anew with `duet lock`"
        )
    )]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
        /// Its text.
        #[source_code]
        text: Arc<NamedSource<String>>,
        /// Where.
        #[label("here")]
        span: Option<SourceSpan>,
    },
    /// Written by another version of the program.
    #[error("the lock {file} has the format {found}, and this program reads {FORMAT}")]
    #[diagnostic(
        code(input::lock_format),
        help("make it anew with `duet lock`, or use the duet that wrote it")
    )]
    Format {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
    },
    /// Something that no lock says.
    #[error("the lock {file} contradicts itself: {reason}")]
    #[diagnostic(
        code(input::lock),
        help(
            "a lock is not edited by hand: restore it from version control, or make it anew with `duet lock`"
        )
    )]
    Contradiction {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl LockError {
    pub(crate) fn syntax(file: &str, text: &str, error: &toml::de::Error) -> LockError {
        LockError::Syntax {
            file: file.to_owned(),
            reason: error.message().to_owned(),
            text: Arc::new(NamedSource::new(file, text.to_owned()).with_language("toml")),
            span: error.span().map(SourceSpan::from),
        }
    }
}

impl Lock {
    /// Reads the text of the lock `file`.
    ///
    /// # Errors
    /// If it is no lock, one of another format, or one that cannot be true.
    pub fn parse(text: &str, file: &str) -> Result<Lock, LockError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        if let Ok(Head { format }) = toml::from_str(text) {
            if format != FORMAT {
                return Err(LockError::Format { file: file.to_owned(), found: format });
            }
        }
        let lock: Lock =
            toml::from_str(text).map_err(|error| LockError::syntax(file, text, &error))?;
        match lock.contradiction() {
            None => Ok(lock),
            Some(reason) => Err(LockError::Contradiction { file: file.to_owned(), reason }),
        }
    }

    /// What cannot be true about it.
    fn contradiction(&self) -> Option<String> {
        let repositories: HashSet<&str> =
            self.repositories.iter().map(|one| one.name.as_str()).collect();
        if repositories.len() != self.repositories.len() || repositories.is_empty() {
            return Some("it has no repository, or two of one name".to_owned());
        }
        let mut seen = HashSet::new();
        for package in &self.packages {
            let name = &package.name;
            let unsafe_part = |part: &str| part.is_empty() || part == "..";
            if !repositories.contains(package.repository.as_str()) {
                return Some(format!(
                    "{name} comes from the unknown repository `{}`",
                    package.repository
                ));
            } else if package.path.split('/').any(unsafe_part) {
                return Some(format!("the path of {name} leads out of its repository"));
            } else if package.sets.is_empty() || package.size == 0 {
                return Some(format!("{name} belongs to nothing, or is empty"));
            } else if package.sets.iter().any(|set| !seen.insert((*set, name))) {
                return Some(format!("{name} is in one set twice"));
            }
        }
        None
    }

    /// The text of the lock file.
    pub fn encode(&self) -> String {
        let body = toml::to_string(self).expect("a lock has nothing that TOML cannot say");
        format!("{HEADER}{body}")
    }

    /// The time that images built from this lock claim (SOURCE_DATE_EPOCH), seconds since 1970: that
    /// of its newest repository.
    pub fn source_date(&self) -> u64 {
        self.repositories.iter().map(|repository| repository.date.unix()).max().unwrap_or_default()
    }

    /// The packages of a set, by name.
    pub fn set(&self, set: Set) -> impl Iterator<Item = &LockedPackage> {
        self.packages.iter().filter(move |package| package.sets.contains(&set))
    }

    /// Whether the profile still asks for what this lock answers. Mirrors and snapshot services may
    /// differ: they change where bytes come from, never which.
    pub fn is_for(&self, profile: &site::Profile) -> bool {
        self.profile == profile.lock_name()
            && self.request == make::request_hash(profile, &self.architecture)
    }

    /// Everything to be fetched, with the addresses that the profile names today; where it no longer
    /// has a repository of that name, with those of the lock.
    pub fn wanted(&self, profile: Option<&site::Profile>) -> Vec<Wanted> {
        let repositories: HashMap<&str, (&LockedRepository, &[String], Option<&str>)> = self
            .repositories
            .iter()
            .map(|locked| {
                let now =
                    profile.and_then(|p| p.repositories.iter().find(|one| one.name == locked.name));
                let (uris, snapshot) = match now {
                    Some(now) => (&now.uris, now.snapshot.as_deref()),
                    None => (&locked.uris, locked.snapshot.as_deref()),
                };
                (locked.name.as_str(), (locked, uris.as_slice(), snapshot))
            })
            .collect();
        let wanted = |package: &LockedPackage| {
            let (locked, uris, snapshot) = repositories.get(package.repository.as_str())?;
            let below = |base: &str| format!("{}/{}", base.trim_end_matches('/'), package.path);
            Some(Wanted {
                label: format!("{} {}", package.name, package.version),
                sha256: package.sha256,
                size: package.size,
                mirrors: uris.iter().map(|uri| below(uri)).collect(),
                archives: snapshot
                    .iter()
                    .flat_map(|base| {
                        snapshot_times(locked.date).map(|time| below(&format!("{base}/{time}")))
                    })
                    .collect(),
            })
        };
        self.packages.iter().filter_map(wanted).collect()
    }
}

/// The states of a snapshot service that have what was in the repository at `date`. Such a service
/// answers with the newest state up to the time asked for, and takes in a state only some hours
/// after its date: so a day later is asked for as well.
fn snapshot_times(date: Timestamp) -> [String; 2] {
    // 2026-11-21T09:15:44Z is 20261121T091544Z there.
    [date, date.plus_days(1)].map(|time| time.to_string().replace(['-', ':'], ""))
}
