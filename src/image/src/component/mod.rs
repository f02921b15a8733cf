//! Components of an image that are no Debian packages: which bytes of them go in, and what is said of
//! those that are left out.
//!
//! Start at [`choose`], which decides and touches nothing. A component is never silently absent: what a
//! build leaves out is in its manifest, and in the image itself as [`FILE`]. Nothing here asks the network
//! but [`lock_component`].

mod lock;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use site::profile::{Component, ComponentFile, Need};

pub use lock::{ComponentLock, LockedFile, lock_component};

use crate::digest::{Hasher, sha256};
use crate::fetch::{Cache, Digest, FetchError, Wanted};
use crate::tree::{Content, Kind, Node, PathError, Tree};

/// What the image says of its components: a JSON list of objects with `name`, `version`, `present`,
/// `source` and `why`.
pub const FILE: &str = "usr/lib/duet/components.json";

/// What stands as the source of a component whose bytes came from a file of the person who built. The
/// file's place is not said: two builds of the same bytes are equal.
const LOCAL: &str = "a local file";

/// Why a component cannot be had as it was asked for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ComponentError {
    /// Nobody has said which bytes the release has.
    #[error("the profile requires {name} {version}, and {why}")]
    #[diagnostic(
        code(input::component),
        help(
            "run `duet lock {name}` on a machine that reaches {host}, or give the file: --component {name}=PATH"
        )
    )]
    Missing {
        /// The component.
        name: String,
        /// Its release.
        version: String,
        /// What is missing.
        why: String,
        /// Who has the release.
        host: String,
    },
    /// A file was given for what the profile does not want.
    #[error("the profile {profile} has no component `{name}`")]
    #[diagnostic(code(usage::component), help("{known}"))]
    Unwanted {
        /// What was named.
        name: String,
        /// The profile.
        profile: String,
        /// Those that it has.
        known: String,
    },
    /// To leave out what must be there.
    #[error("the profile requires {name}, so it cannot be left out")]
    #[diagnostic(
        code(usage::component),
        help("write {name} = \"optional\" in a profile of your own that inherits from it")
    )]
    Needed {
        /// The component.
        name: String,
    },
    /// One file cannot stand for several.
    #[error("{name} has {count} files, and --component gives one")]
    #[diagnostic(code(usage::component), help("lock its release instead: `duet lock {name}`"))]
    Several {
        /// The component.
        name: String,
        /// How many files it has.
        count: usize,
    },
    /// An empty file.
    #[error("the file given for {name} is empty")]
    #[diagnostic(code(input::component), help("give the file that the release has"))]
    Empty {
        /// The component.
        name: String,
    },
    /// The kernel of the image has no such module.
    #[error("{name} needs the kernel module {module}, which the image does not have")]
    #[diagnostic(
        code(input::component),
        help("see that no pattern of the profile's [files] removes it")
    )]
    NoModule {
        /// The component.
        name: String,
        /// The module.
        module: String,
    },
    /// The release's list of sums does not have the file.
    #[error("{url} says no SHA-256 of {file}")]
    #[diagnostic(code(input::component), help("correct `url` and `sums` of {name}"))]
    NoSum {
        /// The component.
        name: String,
        /// The list.
        url: String,
        /// The file's name in the release.
        file: String,
    },
    /// Larger than a component is, or of unknown size.
    #[error("{url} does not say its size, or more than {} MiB", lock::MOST_BYTES >> 20)]
    #[diagnostic(code(input::component), help("correct `url` of {name}"))]
    Size {
        /// The component.
        name: String,
        /// The file.
        url: String,
    },
    /// The release cannot be reached.
    #[error("cannot lock {name} {version}")]
    #[diagnostic(
        code(network::component),
        help(
            "run `duet lock {name}` on a machine that reaches {host}; until then build with --component {name}=PATH"
        )
    )]
    Release {
        /// The component.
        name: String,
        /// Its release.
        version: String,
        /// Who has it.
        host: String,
        /// The cause.
        #[source]
        source: Box<FetchError>,
    },
    /// A path of a component.
    #[error("cannot lay {name} into the root")]
    #[diagnostic(code(input::component), help("correct the paths of its files"))]
    Path {
        /// The component.
        name: String,
        /// The cause.
        #[source]
        source: PathError,
    },
}

/// What a person asked of one component on the command line.
#[derive(Clone, Debug, Default)]
pub enum Asked {
    /// Nothing.
    #[default]
    Nothing,
    /// To take these bytes for its only file.
    Local(Arc<[u8]>),
    /// To leave it out.
    Without,
}

/// Where the bytes of a present component are.
#[derive(Clone, Debug)]
enum Bytes {
    Local(Arc<[u8]>),
    Locked(Vec<(Digest, u64)>),
}

/// A component of one build, decided.
#[derive(Clone, Debug)]
pub struct Part {
    component: Component,
    overlay: Tree,
    bytes: Result<Bytes, String>,
}

/// What a manifest says of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// The release that the profile asks for. Whether a local file is that release is not known.
    pub version: String,
    /// Whether it is in the image.
    pub present: bool,
    /// Where its bytes came from: an address, or "a local file"; null for what is left out.
    pub source: Option<String>,
    /// Why it is left out; null for what is present.
    pub why: Option<String>,
    /// Its licence, as SPDX names it.
    pub licence: String,
    /// The address of its project.
    pub homepage: String,
    /// Its files in the root; none if it is left out.
    pub files: Vec<RecordFile>,
}

/// A component's file in the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFile {
    /// Where it lies.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Digest,
}

/// Decides whether and from where a component comes in. `lock` is what its lock says, `overlay` the tree
/// that is laid in with it.
///
/// # Errors
/// If a required one cannot be had or is to be left out, or the local file does not fit.
pub fn choose(
    component: &Component,
    need: Need,
    lock: Option<&ComponentLock>,
    asked: Asked,
    overlay: Tree,
) -> Result<Part, ComponentError> {
    let name = || component.name.clone();
    let part = |bytes| Part { component: component.clone(), overlay, bytes };
    match asked {
        Asked::Local(bytes) => {
            if component.files.len() != 1 {
                return Err(ComponentError::Several { name: name(), count: component.files.len() });
            }
            if bytes.is_empty() {
                return Err(ComponentError::Empty { name: name() });
            }
            Ok(part(Ok(Bytes::Local(bytes))))
        }
        Asked::Without if need == Need::Required => Err(ComponentError::Needed { name: name() }),
        Asked::Without => Ok(part(Err("the build was told to leave it out".to_owned()))),
        Asked::Nothing => match locked(component, lock) {
            Ok(files) => Ok(part(Ok(Bytes::Locked(files)))),
            Err(why) if need == Need::Required => Err(ComponentError::Missing {
                name: name(),
                version: component.version.clone(),
                why,
                host: component.files.first().map_or("", host).to_owned(),
            }),
            Err(why) => Ok(part(Err(why))),
        },
    }
}

fn host(file: &ComponentFile) -> &str {
    file.url.split('/').nth(2).unwrap_or_default()
}

/// Hash and size of each file, or why they are not known.
fn locked(
    component: &Component,
    lock: Option<&ComponentLock>,
) -> Result<Vec<(Digest, u64)>, String> {
    let Some(lock) = lock else { return Err("it has no lock".to_owned()) };
    if !lock.is_for(component) {
        return Err("its lock is of another release".to_owned());
    }
    lock.hashes().ok_or_else(|| "its lock does not say the SHA-256 of the release".to_owned())
}

impl Part {
    /// Whether it is in the image.
    pub fn is_present(&self) -> bool {
        self.bytes.is_ok()
    }

    /// Units that are started at boot because of it.
    pub fn enable(&self) -> &[String] {
        if self.is_present() { &self.component.enable } else { &[] }
    }

    /// What is to be in the cache before [`tree`](Part::tree) is asked for.
    pub fn wanted(&self) -> Vec<Wanted> {
        let Ok(Bytes::Locked(hashes)) = &self.bytes else { return Vec::new() };
        let Component { name, version, .. } = &self.component;
        let wanted = |(file, (sha256, size)): (&ComponentFile, &(Digest, u64))| Wanted {
            label: format!("{name} {version}"),
            sha256: *sha256,
            size: *size,
            mirrors: vec![file.url.clone()],
            archives: Vec::new(),
        };
        self.component.files.iter().zip(hashes).map(wanted).collect()
    }

    /// What is laid over the root: the overlay, the files, and what loads the kernel modules
    /// (modules-load.d(5)). Empty for what is left out.
    ///
    /// # Errors
    /// If a path has no place in a tree.
    pub fn tree(&self, cache: &Cache) -> Result<Tree, ComponentError> {
        let Component { name, files, modules, .. } = &self.component;
        let failed = |source| ComponentError::Path { name: name.clone(), source };
        let Ok(bytes) = &self.bytes else { return Ok(Tree::default()) };
        let mut tree = self.overlay.clone();
        for (at, file) in files.iter().enumerate() {
            let node = match bytes {
                Bytes::Local(bytes) => Node::file(bytes.clone(), file.mode),
                Bytes::Locked(hashes) => {
                    let (Digest(sha256), size) = hashes[at];
                    let path = cache.object(&Digest(sha256)).into();
                    let content = Content::Stored { path, size, sha256 };
                    Node { kind: Kind::File(content), mode: file.mode, uid: 0, gid: 0 }
                }
            };
            tree.put(file.path.trim_start_matches('/'), node).map_err(failed)?;
        }
        if !modules.is_empty() {
            let text = format!("# What {name} needs.\n{}\n", modules.join("\n"));
            let path = format!("usr/lib/modules-load.d/{name}.conf");
            tree.put(&path, Node::file(text.into_bytes(), 0o644)).map_err(failed)?;
        }
        Ok(tree)
    }

    /// Says whether the root has the kernel modules that a present component needs, as files or in the
    /// kernel itself.
    ///
    /// # Errors
    /// If one is missing.
    pub fn check_modules(&self, root: &Tree) -> Result<(), ComponentError> {
        if !self.is_present() {
            return Ok(());
        }
        let there = |module: &str| {
            root.below("usr/lib/modules").any(|(path, node)| {
                let name = path.rsplit('/').next().unwrap_or_default();
                if name == "modules.builtin" {
                    let Kind::File(content) = &node.kind else { return false };
                    let text = content.read().unwrap_or_else(|_| Arc::from([]));
                    return String::from_utf8_lossy(&text).lines().any(|line| is(module, line));
                }
                is(module, name)
            })
        };
        match self.component.modules.iter().find(|module| !there(module)) {
            None => Ok(()),
            Some(module) => Err(ComponentError::NoModule {
                name: self.component.name.clone(),
                module: module.clone(),
            }),
        }
    }

    /// What the manifest says of it.
    pub fn record(&self) -> Record {
        let Component { name, version, licence, homepage, files, .. } = &self.component;
        let source = match &self.bytes {
            Ok(Bytes::Local(_)) => Some(LOCAL.to_owned()),
            Ok(Bytes::Locked(_)) => files.first().map(|file| file.url.clone()),
            Err(_) => None,
        };
        let hashes = match &self.bytes {
            Ok(Bytes::Local(bytes)) => vec![(Digest(sha256(bytes)), bytes.len() as u64)],
            Ok(Bytes::Locked(hashes)) => hashes.clone(),
            Err(_) => Vec::new(),
        };
        let file = |(file, (sha256, size)): (&ComponentFile, (Digest, u64))| RecordFile {
            path: file.path.clone(),
            size,
            sha256,
        };
        Record {
            name: name.clone(),
            version: version.clone(),
            present: self.is_present(),
            source,
            why: self.bytes.as_ref().err().cloned(),
            licence: licence.clone(),
            homepage: homepage.clone(),
            files: files.iter().zip(hashes).map(file).collect(),
        }
    }

    /// Adds all that a build depends on to its hash.
    pub(crate) fn hash(&self, hasher: &mut Hasher) {
        let facts = (&self.component, self.record());
        hasher.update(&sha256(&serde_json::to_vec(&facts).expect("a component is plain data")));
        crate::derive::hash_tree(hasher, &self.overlay);
    }
}

impl Record {
    /// Whether its bytes came from a file of the person who built.
    pub fn is_local(&self) -> bool {
        self.source.as_deref() == Some(LOCAL)
    }
}

/// One line for a person: what it is, and from where or why not.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { name, version, source, why, .. } = self;
        match source {
            Some(source) => write!(f, "{name} {version}, from {source}"),
            None => {
                write!(f, "{name} {version}, left out: {}", why.as_deref().unwrap_or_default())
            }
        }
    }
}

/// Whether a file's name or path is that of a module; `-` and `_` are the same sign to the kernel.
fn is(module: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split_once(".ko").is_some_and(|(name, end)| {
        name.replace('-', "_") == module && (end.is_empty() || end.starts_with('.'))
    })
}

/// The text of [`FILE`].
pub(crate) fn list(parts: &[Part]) -> String {
    let one = |part: &Part| {
        let Record { name, version, present, source, why, .. } = part.record();
        serde_json::json!({
            "name": name, "version": version, "present": present, "source": source, "why": why,
        })
    };
    let all: Vec<_> = parts.iter().map(one).collect();
    serde_json::to_string_pretty(&all).expect("JSON values can be written") + "\n"
}

#[cfg(test)]
mod tests;
