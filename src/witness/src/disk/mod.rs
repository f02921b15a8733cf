//! The data folder, as the witness uses it: two flat folders of small files that are written whole. Start
//! at [`place`]; [`RealDisk`] is a folder of this machine.
//!
//! A name is a plain file name, never a path. A file is written under another name, synced, and renamed; the
//! rename is durable once the folder is synced.

mod real;
#[cfg(test)]
pub(crate) mod sim;

use std::io;
use std::time::SystemTime;

pub use real::{FolderError, RealDisk, Use};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// `sites`: whose rooms may ask.
    Sites,
    /// `registers`: what is held.
    Registers,
}

impl Folder {
    /// Its name in the data folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Folder::Sites => "sites",
            Folder::Registers => "registers",
        }
    }
}

/// Which content a file has: another one when it was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The file's number on its file system.
    pub inode: u64,
    /// Its length in bytes.
    pub len: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

/// The two folders.
pub trait Disk: Send + Sync {
    /// The names in a folder; those of files that are being written are not among them.
    fn names(&self, folder: Folder) -> io::Result<Vec<String>>;
    /// When names were last added to a folder, replaced or removed.
    fn changed(&self, folder: Folder) -> io::Result<SystemTime>;
    /// The stamp of a file.
    fn stamp(&self, folder: Folder, name: &str) -> io::Result<Stamp>;
    /// A whole file; an error if it has more than `longest` bytes.
    fn read(&self, folder: Folder, name: &str, longest: usize) -> io::Result<Vec<u8>>;
    /// Writes what is to be the file of this name, beside it; what lay there from an earlier try is gone.
    fn write_fresh(&self, folder: Folder, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written beside these names durable.
    fn sync_fresh(&self, folder: Folder, names: &[&str]) -> io::Result<()>;
    /// Gives what was written its name.
    fn rename_fresh(&self, folder: Folder, name: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, folder: Folder, name: &str) -> io::Result<()>;
    /// Makes names durable: what was renamed and removed.
    fn sync_names(&self, folder: Folder) -> io::Result<()>;
    /// Notes on a file when it was last of use. A note that is lost does no harm.
    fn touch(&self, folder: Folder, name: &str, at: SystemTime) -> io::Result<()>;
}

/// Why files were not placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The disk took nothing, and all is as it was: it is full, perhaps.
    #[error("cannot write to the data folder")]
    Refused(#[source] io::Error),
    /// Which of the files is on the disk is not known; only reading them anew can tell.
    #[error("the data folder did not keep what was written")]
    Unknown(#[source] io::Error),
}

/// Makes each file hold its bytes, durably, in the place of what it held. A crash leaves each file as it was
/// or as it is to be.
///
/// # Errors
/// [`PlaceError`].
pub fn place(
    disk: &dyn Disk,
    folder: Folder,
    files: &[(String, Vec<u8>)],
) -> Result<(), PlaceError> {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for (name, bytes) in files {
        disk.write_fresh(folder, name, bytes).map_err(PlaceError::Refused)?;
    }
    // What is renamed below is whole whenever the machine stops.
    disk.sync_fresh(folder, &names).map_err(PlaceError::Refused)?;
    for name in names {
        disk.rename_fresh(folder, name).map_err(PlaceError::Unknown)?;
    }
    disk.sync_names(folder).map_err(PlaceError::Unknown)
}
