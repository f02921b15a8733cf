//! The content-addressed cache: a directory in which a file's name is its hash.
//!
//! ```text
//! CACHE/CACHEDIR.TAG               so that backups skip it
//! CACHE/objects/ab/abcdef…         whole, checked; never changed once there
//! CACHE/partial/abcdef…            beginnings of downloads, locked while one is under way
//! CACHE/names/…                    small notes of what a name last stood for (InRelease files)
//! ```
//!
//! Several processes may share one cache: an object appears by an atomic rename, and whoever
//! downloads holds a lock (`flock`) on the partial file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ring::digest::{Context, SHA256};
use rustix::fs::FlockOperation;

use super::FetchError;

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A text that is no SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is not a SHA-256")]
#[diagnostic(code(input::sha256), help("a SHA-256 has 64 hexadecimal digits"))]
pub struct DigestError(pub String);

impl Digest {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Digest::finish(context)
    }

    /// The hash of everything that `context` has seen.
    pub(super) fn finish(context: Context) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Digest(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let fault = || DigestError(text.to_owned());
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(fault());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16);
            let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else {
                return Err(fault());
            };
            *byte = (high * 16 + low) as u8;
        }
        Ok(Digest(bytes))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A cache directory.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Uses the directory `root`, which is made if it is missing.
    ///
    /// # Errors
    /// If the directory cannot be made. One that can only be read is fine until something is missing.
    pub fn open(root: impl Into<PathBuf>) -> Result<Cache, FetchError> {
        let root = root.into();
        for part in ["objects", "partial", "names"] {
            let part = root.join(part);
            fs::create_dir_all(&part).map_err(|e| FetchError::cache("make", &part, e))?;
        }
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            // <https://bford.info/cachedir/>; a cache without it works as well.
            let _ =
                fs::write(&tag, "Signature: 8a477f597d28d172789f06886806bc55\n# Duet's packages\n");
        }
        Ok(Cache { root })
    }

    /// The directory itself. What is kept there beside `objects` is its owner's affair.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// Where the object of this hash is, or would be.
    pub fn object(&self, sha256: &Digest) -> PathBuf {
        let name = sha256.to_string();
        self.root.join("objects").join(&name[..2]).join(name)
    }

    /// Whether the object is there, with the right size.
    pub fn holds(&self, sha256: &Digest, size: u64) -> bool {
        fs::metadata(self.object(sha256)).is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// The bytes of an object, hashed once more: a disk that lies is found out before it is believed.
    ///
    /// # Errors
    /// If it is not there, or if its bytes have another hash; then it is removed, so that the next
    /// run fetches it anew.
    pub fn read(&self, sha256: &Digest) -> Result<Vec<u8>, FetchError> {
        let path = self.object(sha256);
        let bytes = fs::read(&path).map_err(|e| FetchError::cache("read", &path, e))?;
        let found = Digest::of(&bytes);
        if found != *sha256 {
            let _ = fs::remove_file(&path);
            return Err(FetchError::Damaged { path, found });
        }
        Ok(bytes)
    }

    /// Puts bytes that need no fetching into the cache.
    pub fn store(&self, bytes: &[u8]) -> Result<Digest, FetchError> {
        let sha256 = Digest::of(bytes);
        if !self.holds(&sha256, bytes.len() as u64) {
            if let Some(mut partial) = Partial::claim(self, &sha256, bytes.len() as u64)? {
                partial.restart()?;
                partial.append(bytes)?;
                partial.keep()?;
            }
        }
        Ok(sha256)
    }

    /// Notes that `name` (a hash itself, so a plain file name) now stands for an object.
    pub(crate) fn remember(&self, name: &Digest, sha256: &Digest) -> Result<(), FetchError> {
        let path = self.root.join("names").join(name.to_string());
        let draft = path.with_extension(std::process::id().to_string());
        fs::write(&draft, format!("{sha256}\n"))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|e| FetchError::cache("write", &path, e))
    }

    /// What `name` last stood for.
    pub(crate) fn recall(&self, name: &Digest) -> Option<Digest> {
        let note = fs::read_to_string(self.root.join("names").join(name.to_string())).ok()?;
        note.trim().parse().ok()
    }
}

/// The beginning of an object, held by this process alone.
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    context: Context,
    length: u64,
}

impl Partial {
    /// Waits until no other process downloads the same object; none if it is in the cache by then.
    pub(super) fn claim(
        cache: &Cache,
        sha256: &Digest,
        size: u64,
    ) -> Result<Option<Partial>, FetchError> {
        let path = cache.root.join("partial").join(sha256.to_string());
        let target = cache.object(sha256);
        let fault = |e| FetchError::cache("write", &path, e);
        loop {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false);
            let file = file.open(&path).map_err(fault)?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|e| fault(e.into()))?;
            if cache.holds(sha256, size) {
                // Whoever held the lock before may have renamed this very file.
                if same_file(&file, &path) {
                    let _ = fs::remove_file(&path);
                }
                return Ok(None);
            }
            if same_file(&file, &path) {
                let mut partial =
                    Partial { file, path, target, context: Context::new(&SHA256), length: 0 };
                partial.recount()?;
                return Ok(Some(partial));
            }
        }
    }

    /// Hashes what is there already, which leaves the file at its end.
    fn recount(&mut self) -> Result<(), FetchError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = self
                .file
                .read(&mut buffer)
                .map_err(|e| FetchError::cache("read", &self.path, e))?;
            if count == 0 {
                return Ok(());
            }
            self.context.update(&buffer[..count]);
            self.length += count as u64;
        }
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Forgets what is there.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        io::Seek::rewind(&mut self.file)
            .and_then(|()| self.file.set_len(0))
            .map_err(|e| FetchError::cache("write", &self.path, e))?;
        self.context = Context::new(&SHA256);
        self.length = 0;
        Ok(())
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|e| FetchError::cache("write", &self.path, e))?;
        self.context.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The hash of what is there.
    pub(super) fn digest(&self) -> Digest {
        Digest::finish(self.context.clone())
    }

    /// Makes the whole, checked file an object: to the disk first, then under its name.
    pub(super) fn keep(self) -> Result<(), FetchError> {
        let fault = |e| FetchError::cache("write", &self.target, e);
        if let Some(folder) = self.target.parent() {
            fs::create_dir_all(folder).map_err(fault)?;
        }
        self.file.sync_data().map_err(fault)?;
        fs::rename(&self.path, &self.target).map_err(fault)
    }
}

/// Whether `path` still leads to the open `file`.
fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}
