//! A folder of this machine. Start at [`RealDisk::open`]. One store at a time: the folder itself is
//! locked (flock), so nothing has to be cleaned up after a crash. Follows no path out of the folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::{Disk, DiskFile, Entry};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FolderError {
    /// The folder could not be made, opened or locked.
    #[error("cannot {action} the data folder {path}", path = path.display())]
    #[diagnostic(
        code(output::store),
        help("see that the folder exists and belongs to the user that runs the store")
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("the data folder {path} is in use by another store", path = path.display())]
    #[diagnostic(
        code(output::store),
        help("stop the store that runs on it, or give this one another folder with --data-dir")
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// A folder that this process alone uses while it is open.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    /// The folder; holds the lock.
    folder: File,
    read_only: bool,
}

impl RealDisk {
    /// Opens a folder for a store; makes it if it is missing (mode 0700).
    pub fn open(path: impl AsRef<Path>) -> Result<RealDisk, FolderError> {
        let path = path.as_ref();
        let failed = |action| move |source| FolderError::Io { action, path: path.into(), source };
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make"))?;
            // The name of a new folder is durable when the folder above it is synced.
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            let above = File::open(above.unwrap_or(Path::new("."))).map_err(failed("make"))?;
            above.sync_all().map_err(failed("make"))?;
        }
        RealDisk::lock(path, FlockOperation::NonBlockingLockExclusive, false)
    }

    /// Opens a folder to look at: nothing is changed, and no store may run on it meanwhile.
    pub fn read_only(path: impl AsRef<Path>) -> Result<RealDisk, FolderError> {
        RealDisk::lock(path.as_ref(), FlockOperation::NonBlockingLockShared, true)
    }

    fn lock(path: &Path, lock: FlockOperation, read_only: bool) -> Result<RealDisk, FolderError> {
        let failed = |action| move |source| FolderError::Io { action, path: path.into(), source };
        let folder = File::open(path).map_err(failed("open"))?;
        rustix::fs::flock(&folder, lock).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => FolderError::InUse { path: path.into() },
            error => failed("lock")(error.into()),
        })?;
        Ok(RealDisk { path: path.into(), folder, read_only })
    }

    fn place(&self, name: &str) -> PathBuf {
        assert!(!name.is_empty() && !name.contains('/') && name != "..", "a plain file name");
        self.path.join(name)
    }

    fn writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
        }
        Ok(())
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.writable()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Box::new(RealFile(options.open(self.place(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(!self.read_only);
        Ok(Box::new(RealFile(options.open(self.place(name))?)))
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // A folder, such as lost+found, or a name that is no text, is nobody's of the store.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(Entry { name, len: metadata.len() });
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        fs::rename(self.place(from), self.place(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        fs::remove_file(self.place(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.writable()?;
        self.folder.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let statistics = rustix::fs::fstatvfs(&self.folder)?;
        Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
