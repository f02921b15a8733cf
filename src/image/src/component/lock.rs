//! The lock of a component: the hash and the size of each of its files. Start at [`ComponentLock::parse`]
//! and [`lock_component`].
//!
//! It is a file of its own beside the component's, not part of a profile's lock: that one answers what
//! Debian's repositories were asked, and a component is one release for all profiles that want it.

use serde::{Deserialize, Serialize};
use site::profile::{Component, ComponentFile};

use super::ComponentError;
use crate::fetch::{Digest, FetchOptions, Transport, document};
use crate::lock::LockError;

/// The version of the format that this program writes and reads.
const FORMAT: u32 = 1;

/// What every lock of a component begins with.
const HEADER: &str = "\
# Written by `duet lock`; not to be edited by hand. A file without its sha256 was never locked: no image
# that requires it is built until it is.
";

/// The largest file of a component, in bytes: several times the largest one known.
pub(super) const MOST_BYTES: u64 = 1 << 30;

/// The largest list of sums, in bytes: a release has some dozens of files.
const MOST_SUMS: u64 = 1 << 20;

/// What a release consists of, by hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentLock {
    format: u32,
    /// The component's name.
    pub component: String,
    /// The release.
    pub version: String,
    /// Its files, in the order of the component's.
    #[serde(rename = "file")]
    pub files: Vec<LockedFile>,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Where it is.
    pub url: String,
    /// Its hash, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Its size in bytes, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl ComponentLock {
    /// Reads the text of the lock `file`.
    ///
    /// # Errors
    /// If it is no lock of a component, one of another format, or one that cannot be true.
    pub fn parse(text: &str, file: &str) -> Result<ComponentLock, LockError> {
        let lock: ComponentLock =
            toml::from_str(text).map_err(|error| LockError::syntax(file, text, &error))?;
        if lock.format != FORMAT {
            return Err(LockError::Format { file: file.to_owned(), found: lock.format });
        }
        let odd = |file: &LockedFile| {
            file.sha256.is_some() != file.size.is_some()
                || file.size.is_some_and(|size| size == 0 || size > MOST_BYTES)
        };
        match lock.files.iter().find(|file| odd(file)) {
            None => Ok(lock),
            Some(odd) => Err(LockError::Contradiction {
                file: file.to_owned(),
                reason: format!("{} has a hash or a possible size only", odd.url),
            }),
        }
    }

    /// The text of the lock file.
    pub fn encode(&self) -> String {
        let body = toml::to_string(self).expect("a lock has nothing that TOML cannot say");
        format!("{HEADER}\n{body}")
    }

    /// A lock of the component that knows no hash yet.
    pub fn unknown(component: &Component) -> ComponentLock {
        let file =
            |file: &ComponentFile| LockedFile { url: file.url.clone(), sha256: None, size: None };
        ComponentLock {
            format: FORMAT,
            component: component.name.clone(),
            version: component.version.clone(),
            files: component.files.iter().map(file).collect(),
        }
    }

    /// Whether it is of the release that the component names.
    pub fn is_for(&self, component: &Component) -> bool {
        self.component == component.name
            && self.version == component.version
            && self.files.iter().map(|file| &file.url).eq(component.files.iter().map(|f| &f.url))
    }

    /// Hash and size of each file, if all are known.
    pub fn hashes(&self) -> Option<Vec<(Digest, u64)>> {
        self.files.iter().map(|file| Some((file.sha256?, file.size?))).collect()
    }
}

/// Asks the release for the hash and the size of each of the component's files.
///
/// The hash is what the release's own list of sums says. It is believed because the connection is
/// (HTTPS), once: from then on the lock decides, and a person has reviewed it.
///
/// # Errors
/// If the release cannot be reached, or does not say what it should.
pub fn lock_component(
    component: &Component,
    options: &FetchOptions,
) -> Result<ComponentLock, ComponentError> {
    let transport = Transport::new(options);
    let failed = |file: &ComponentFile, source| ComponentError::Release {
        name: component.name.clone(),
        version: component.version.clone(),
        host: super::host(file).to_owned(),
        source: Box::new(source),
    };
    let mut lock = ComponentLock::unknown(component);
    for (file, locked) in component.files.iter().zip(&mut lock.files) {
        let sums = document(&transport, &file.sums, MOST_SUMS, options)
            .map_err(|source| failed(file, source))?;
        let name = file.released_name();
        let sum = sum_of(&String::from_utf8_lossy(&sums), name);
        locked.sha256 = Some(sum.ok_or_else(|| ComponentError::NoSum {
            name: component.name.clone(),
            url: file.sums.clone(),
            file: name.to_owned(),
        })?);
        let size = transport.size(&file.url).map_err(|source| failed(file, source))?;
        let size = size.filter(|size| (1..=MOST_BYTES).contains(size));
        let unknown =
            || ComponentError::Size { name: component.name.clone(), url: file.url.clone() };
        locked.size = Some(size.ok_or_else(unknown)?);
    }
    Ok(lock)
}

/// The hash of a file in a list as sha256sum(1) writes it: the hash, a space, a space or `*`, the name.
pub(super) fn sum_of(list: &str, name: &str) -> Option<Digest> {
    list.lines().find_map(|line| {
        let (sum, file) = line.split_once(' ')?;
        let file = file.trim_start_matches([' ', '*']);
        (file == name).then(|| sum.parse().ok())?
    })
}
