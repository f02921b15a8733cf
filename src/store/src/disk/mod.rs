//! The disk, as the log and the checkpoints use it: a flat folder of files that are written in place
//! and synced. Start at [`Disk`]; [`RealDisk`] is a folder of this machine, [`sim::SimDisk`] one that
//! breaks on demand.
//!
//! A name is a plain file name inside the one data folder, never a path. Nothing is durable before
//! `sync` returns: a file's bytes need [`DiskFile::sync`], its name needs [`Disk::sync`].

mod real;
pub mod sim;

use std::io;

pub use real::{FolderError, RealDisk};

/// A folder of files.
pub trait Disk: Send + Sync {
    /// Makes an empty file to read and write; an error if the name is taken.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, to read and, unless the folder is read-only, to write.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// The files, by name.
    fn list(&self) -> io::Result<Vec<Entry>>;
    /// Gives a file another name; a file that had that name is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable: what was created, renamed and removed.
    fn sync(&self) -> io::Result<()>;
    /// Bytes that new files may still take.
    fn free(&self) -> io::Result<u64>;
}

/// An open file of a [`Disk`].
#[allow(
    clippy::len_without_is_empty,
    reason = "asking the disk can fail; nobody asks for emptiness"
)]
pub trait DiskFile: Send {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Reads at an offset; fewer bytes than asked for, or none, at the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes at an offset; the file grows as needed. After an error some may be written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written durable (`fdatasync`). After an error nothing is known about it.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file of a [`Disk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// Whether an error says that the disk, or the share of it that one may use, is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads a file from its beginning, as [`io::Read`], and tells how many bytes were read.
pub(crate) struct Reader<'a, F> {
    file: &'a dyn DiskFile,
    offset: u64,
    told: F,
}

impl<'a, F: FnMut(usize)> Reader<'a, F> {
    pub(crate) fn new(file: &'a dyn DiskFile, told: F) -> Reader<'a, F> {
        Reader { file, offset: 0, told }
    }
}

impl<F: FnMut(usize)> io::Read for Reader<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.offset, into)?;
        self.offset += read as u64;
        (self.told)(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
