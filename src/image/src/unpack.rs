//! Unpacks packages, once each, into the cache: no root, no maintainer script.
//!
//! Start at [`Store::fetch`] and [`Store::unpack`]. A package becomes a folder named by its hash: an
//! index of its entries with their true owners and modes, and its files' bytes under running numbers.
//! Trees and tools are then made from these by hard links, so no byte is unpacked twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::digest::Hasher;
use crate::fetch::{Cache, Digest, FetchError, FetchOptions, Wanted, fetch_each};
use crate::lock::LockedPackage;
use crate::progress::{Progress, Unit};
use crate::tree::{Content, Kind, Node};

/// Grows with every change of what is stored, so that an older cache is not misread.
const FORMAT: &str = "unpacked-1";
/// A control member is some scripts and lists; larger is not a Debian package.
const MAX_CONTROL: u64 = 16 << 20;
/// More than any Debian package holds (the kernel's has some 5,000).
const MAX_ENTRIES: usize = 400_000;

/// Why a package could not be unpacked.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum UnpackError {
    /// The archive is not what its format says.
    #[error("cannot unpack the package {package}: {what}")]
    #[diagnostic(
        code(integrity::package),
        help("its hash matched the lock, so the archive itself is at fault: lock another version")
    )]
    Archive {
        /// The package's name.
        package: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file of the package could not be read or written.
    #[error("cannot unpack the package {package} into {path}")]
    #[diagnostic(
        code(output::cache),
        help("see that the cache's disk has space and that the folder is writable")
    )]
    Io {
        /// The package's name.
        package: String,
        /// The path in the cache.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// A package to unpack.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name, for messages.
    pub name: String,
    /// SHA-256 of the archive.
    pub sha256: Digest,
    /// The archive in the cache.
    pub archive: PathBuf,
}

impl Package {
    /// A package of a lock, where the cache has it or would have it.
    pub fn locked(package: &LockedPackage, cache: &Cache) -> Self {
        let (name, sha256) = (package.name.clone(), package.sha256);
        Package { name, sha256, archive: cache.object(&sha256) }
    }
}

/// A package unpacked: what it holds, and what it would have run.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Name.
    pub name: String,
    /// Its entries in the archive's order, paths as written there.
    pub entries: Vec<(String, Node)>,
    /// The files of its control member: `control`, `postinst`, `triggers`, …
    pub control: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    entries: Vec<Entry>,
    control: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    path: String,
    mode: u32,
    uid: u32,
    gid: u32,
    what: What,
}

#[derive(Serialize, Deserialize)]
enum What {
    Dir,
    Link(String),
    File { number: usize, size: u64, sha256: [u8; 32] },
}

/// The folder of unpacked packages.
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store inside the cache folder.
    pub fn new(cache: &Path) -> Self {
        Store { folder: cache.join(FORMAT) }
    }

    /// Fetches the packages that the cache lacks, and unpacks each in the thread that fetched it: while
    /// one thread waits for the network, another unpacks. Nothing is lost when one cannot be unpacked:
    /// [`Store::unpack`] tries it again and says why.
    ///
    /// # Errors
    /// As [`crate::fetch::fetch_all`].
    pub fn fetch(
        &self,
        cache: &Cache,
        wanted: &[Wanted],
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<PathBuf>, FetchError> {
        fetch_each(cache, wanted, options, progress, &|object| {
            let archive = cache.object(&object.sha256);
            let package = Package { name: object.label.clone(), sha256: object.sha256, archive };
            let _ = self.one(&package);
        })
    }

    /// Unpacks what is not unpacked yet, `jobs` packages at a time, and returns all of them in the
    /// order given.
    ///
    /// # Errors
    /// The first package that cannot be read, or the cache that cannot be written.
    pub fn unpack(
        &self,
        packages: &[Package],
        jobs: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Unpacked>, UnpackError> {
        let size = |package: &Package| fs::metadata(&package.archive).map_or(0, |meta| meta.len());
        let mut order: Vec<(u64, usize)> =
            packages.iter().enumerate().map(|(at, package)| (size(package), at)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a)); // the kernel first: it alone fills one core
        let task = progress.begin("unpack", order.iter().map(|(size, _)| size).sum(), Unit::Bytes);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(&(size, at)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((at, self.one(&packages[at])?));
                task.advance(size);
            }
            Ok::<_, UnpackError>(done)
        };
        let mut all = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::with_capacity(packages.len());
            for worker in workers {
                all.extend(worker.join().expect("an unpacking thread does not panic")?);
            }
            Ok(all)
        })?;
        all.sort_unstable_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, unpacked)| unpacked).collect())
    }

    fn one(&self, package: &Package) -> Result<Unpacked, UnpackError> {
        let folder = self.folder.join(package.sha256.to_string());
        let index = match fs::read(folder.join("index.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(_) => None,
        };
        let index = match index {
            Some(index) => index,
            None => self.fresh(package, &folder)?,
        };
        Ok(Unpacked {
            name: package.name.clone(),
            entries: index.entries.into_iter().map(|entry| entry.node(&folder)).collect(),
            control: index.control,
        })
    }

    /// Unpacks into a temporary folder and renames it whole, so that an interrupted run leaves
    /// nothing under the final name.
    fn fresh(&self, package: &Package, folder: &Path) -> Result<Index, UnpackError> {
        let io = |path: &Path| {
            let (package, path) = (package.name.clone(), path.to_owned());
            move |source| UnpackError::Io { package, path, source }
        };
        let archive = fs::read(&package.archive).map_err(io(&package.archive))?;
        let damaged = |what: String| UnpackError::Archive { package: package.name.clone(), what };
        let deb = formats::deb::Deb::parse(&archive).map_err(|error| damaged(error.to_string()))?;
        fs::create_dir_all(&self.folder).map_err(io(&self.folder))?;
        let temporary = tempfile::Builder::new()
            .prefix(".unpacking-")
            .tempdir_in(&self.folder)
            .map_err(io(&self.folder))?;
        let control = deb.control.reader().map_err(|error| damaged(error.to_string()))?;
        let control = read_control(control).map_err(|error| damaged(error.to_string()))?;
        let data = deb.data.reader().map_err(|error| damaged(error.to_string()))?;
        let entries = read_data(data, temporary.path()).map_err(|error| match error {
            DataError::Archive(what) => damaged(what),
            DataError::Io(source) => io(temporary.path())(source),
        })?;
        let index = Index { entries, control };
        let path = temporary.path().join("index.json");
        let text = serde_json::to_vec(&index).expect("an index has only string keys");
        fs::write(&path, text).map_err(io(&path))?;
        let _ = fs::remove_dir_all(folder); // an index that could not be read
        match fs::rename(temporary.keep(), folder) {
            Ok(()) => Ok(index),
            Err(_) if folder.join("index.json").exists() => Ok(index), // another process was first
            Err(source) => Err(io(folder)(source)),
        }
    }
}

impl Entry {
    fn node(self, folder: &Path) -> (String, Node) {
        let kind = match self.what {
            What::Dir => Kind::Directory,
            What::Link(target) => Kind::Symlink(target),
            What::File { number, size, sha256 } => {
                let path = Arc::from(folder.join(number.to_string()));
                Kind::File(Content::Stored { path, size, sha256 })
            }
        };
        (self.path, Node { kind, mode: self.mode, uid: self.uid, gid: self.gid })
    }
}

fn read_control(reader: impl Read) -> std::io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(reader.take(MAX_CONTROL)).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let name = clean(&entry.path_bytes());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(files)
}

enum DataError {
    Archive(String),
    Io(std::io::Error),
}

fn read_data(reader: impl Read, folder: &Path) -> Result<Vec<Entry>, DataError> {
    let archive = |error: std::io::Error| DataError::Archive(error.to_string());
    let mut entries: Vec<Entry> = Vec::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for entry in tar::Archive::new(reader).entries().map_err(archive)? {
        let mut entry = entry.map_err(archive)?;
        let path = clean(&entry.path_bytes());
        if std::str::from_utf8(&entry.path_bytes()).is_err() {
            return Err(DataError::Archive(format!("the file name {path:?} is not UTF-8")));
        }
        if entries.len() >= MAX_ENTRIES {
            return Err(DataError::Archive(format!("more than {MAX_ENTRIES} entries")));
        }
        let header = entry.header().clone();
        let target = |entry: &tar::Entry<_>| {
            let bytes = entry.link_name_bytes().unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let what = match header.entry_type() {
            tar::EntryType::Directory => What::Dir,
            tar::EntryType::Symlink => What::Link(target(&entry)),
            tar::EntryType::Link => {
                let first = numbers.get(&clean(target(&entry).as_bytes()));
                let first = first.and_then(|&at| entries.get(at)).map(|entry| &entry.what);
                let Some(What::File { number, size, sha256 }) = first else {
                    return Err(DataError::Archive(format!("{path}: a hard link to nothing")));
                };
                What::File { number: *number, size: *size, sha256: *sha256 }
            }
            kind if kind.is_file() => {
                let number = entries.len();
                let mode = header.mode().map_err(archive)?;
                let (size, sha256) = store_file(&mut entry, &folder.join(number.to_string()), mode)
                    .map_err(DataError::Io)?;
                What::File { number, size, sha256 }
            }
            other => return Err(DataError::Archive(format!("{path}: a {other:?} entry"))),
        };
        numbers.insert(path.clone(), entries.len());
        let id = |id: std::io::Result<u64>| {
            id.ok()
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(|| DataError::Archive(format!("{path}: an owner that is not a number")))
        };
        let (uid, gid) = (id(header.uid())?, id(header.gid())?);
        let mode = header.mode().map_err(archive)? & 0o7777;
        entries.push(Entry { path, mode, uid, gid, what });
    }
    Ok(entries)
}

/// Writes one file with only its owner's rights, never writable: hard links to it are made, and
/// no tool may change the cache through one.
fn store_file(from: &mut impl Read, to: &Path, mode: u32) -> std::io::Result<(u64, [u8; 32])> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
        size += count as u64;
    }
    let executable = if mode & 0o100 != 0 { 0o500 } else { 0o400 };
    file.set_permissions(fs::Permissions::from_mode(executable))?;
    Ok((size, hasher.finish()))
}

/// A tar path without its leading `./` and trailing `/`.
fn clean(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    path.trim_start_matches("./").trim_matches('/').to_owned()
}
