//! A data folder of this machine. Start at [`RealDisk::open`]. Follows no path out of it.
//!
//! One running witness at a time: the folder `registers` is locked (flock). The commands of a person write
//! to it while the witness runs, one after the other: they lock the folder `sites`. Nothing has to be
//! cleaned up after a crash.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;

use super::{Disk, Folder, Stamp};

/// What a file is called until it has its name. No site's name has a `.` at its beginning.
const FRESH: &str = ".new-";

/// From how many files on all are synced at once (syncfs(2)), with whatever else waits on that file system.
/// Below, each file is synced by itself, which does not wait for other programs' bytes.
const MANY: usize = 16;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FolderError {
    /// The folder could not be made, opened or locked.
    #[error("cannot {action} the data folder {path}", path = path.display())]
    #[diagnostic(
        code(output::witness),
        help("see that the folder exists and belongs to the user that runs the witness")
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
    #[error("the data folder {path} is in use by another {who}", path = path.display())]
    #[diagnostic(
        code(output::witness),
        help("end the one that uses it, or take another folder with --data-dir")
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who has it: a witness, or a command.
        who: &'static str,
    },
    /// It is no data folder of a witness.
    #[error("{path} is not the data folder of a witness", path = path.display())]
    #[diagnostic(
        code(input::witness_folder),
        help("give the folder with --data-dir; `duetd witness site add` makes a new one")
    )]
    None {
        /// The folder.
        path: PathBuf,
    },
}

/// Who opens a folder, and so what is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The witness that answers.
    Serve,
    /// A command that changes sites.
    Edit,
    /// A command that only looks. Locks nothing: every file is whole at every moment.
    Look,
}

/// A data folder that is open.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    sites: File,
    registers: File,
    /// Whose the folder is: what a person writes as root is given to them.
    owner: (u32, u32),
}

impl RealDisk {
    /// Opens a data folder; unless it is only looked at, makes it if it is missing (mode 0700).
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(path: impl AsRef<Path>, r#use: Use) -> Result<RealDisk, FolderError> {
        let path = path.as_ref();
        let failed = |action| move |source| FolderError::Io { action, path: path.into(), source };
        if r#use == Use::Look && !path.join(Folder::Sites.name()).is_dir() {
            return Err(FolderError::None { path: path.into() });
        }
        if r#use != Use::Look {
            make(path).map_err(failed("make"))?;
        }
        let owner = fs::metadata(path).map_err(failed("open"))?;
        let owner = (owner.uid(), owner.gid());
        let open = |folder: Folder| -> Result<File, FolderError> {
            let path = path.join(folder.name());
            if r#use != Use::Look && !path.is_dir() {
                make(&path).map_err(failed("make"))?;
            }
            let file = File::open(path).map_err(failed("open"))?;
            if r#use != Use::Look {
                give(&file, owner).map_err(failed("hand over"))?;
            }
            Ok(file)
        };
        let (sites, registers) = (open(Folder::Sites)?, open(Folder::Registers)?);
        let lock = |folder: &File, who| match rustix::fs::flock(
            folder,
            FlockOperation::NonBlockingLockExclusive,
        ) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(FolderError::InUse { path: path.into(), who })
            }
            result => result.map_err(|error| failed("lock")(error.into())),
        };
        match r#use {
            Use::Serve => lock(&registers, "witness")?,
            Use::Edit => lock(&sites, "command")?,
            Use::Look => {}
        }
        Ok(RealDisk { path: path.into(), sites, registers, owner })
    }

    fn folder(&self, folder: Folder) -> &File {
        match folder {
            Folder::Sites => &self.sites,
            Folder::Registers => &self.registers,
        }
    }

    fn at(&self, folder: Folder, name: &str) -> PathBuf {
        assert!(!name.is_empty() && !name.contains('/') && !name.starts_with('.'), "a plain name");
        self.path.join(folder.name()).join(name)
    }

    fn fresh(&self, folder: Folder, name: &str) -> PathBuf {
        self.at(folder, name).with_file_name(format!("{FRESH}{name}"))
    }
}

/// Makes a folder whose name a power cut does not undo.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

fn give(file: &File, (uid, gid): (u32, u32)) -> io::Result<()> {
    let meta = file.metadata()?;
    if (meta.uid(), meta.gid()) == (uid, gid) {
        return Ok(());
    }
    fchown(file, Some(uid), Some(gid))
}

fn stamp(meta: &fs::Metadata) -> io::Result<Stamp> {
    Ok(Stamp { inode: meta.ino(), len: meta.len(), modified: meta.modified()? })
}

impl Disk for RealDisk {
    fn names(&self, folder: Folder) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path.join(folder.name()))? {
            // A name that is no text is nobody's of the witness.
            match entry?.file_name().into_string() {
                Ok(name) if !name.starts_with('.') => names.push(name),
                _ => {}
            }
        }
        names.sort();
        Ok(names)
    }

    fn changed(&self, folder: Folder) -> io::Result<SystemTime> {
        self.folder(folder).metadata()?.modified()
    }

    fn stamp(&self, folder: Folder, name: &str) -> io::Result<Stamp> {
        stamp(&fs::metadata(self.at(folder, name))?)
    }

    fn read(&self, folder: Folder, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.at(folder, name))?;
        file.take(longest as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > longest {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn write_fresh(&self, folder: Folder, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.fresh(folder, name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path)?;
        give(&file, self.owner)?;
        file.write_all(bytes)
    }

    fn sync_fresh(&self, folder: Folder, names: &[&str]) -> io::Result<()> {
        if names.len() >= MANY {
            // Reports what could not be written since this folder was opened (Linux 5.8).
            return Ok(rustix::fs::syncfs(self.folder(folder))?);
        }
        for name in names {
            File::open(self.fresh(folder, name))?.sync_all()?;
        }
        Ok(())
    }

    fn rename_fresh(&self, folder: Folder, name: &str) -> io::Result<()> {
        fs::rename(self.fresh(folder, name), self.at(folder, name))
    }

    fn remove(&self, folder: Folder, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(folder, name))
    }

    fn sync_names(&self, folder: Folder) -> io::Result<()> {
        self.folder(folder).sync_all()
    }

    fn touch(&self, folder: Folder, name: &str, at: SystemTime) -> io::Result<()> {
        File::open(self.at(folder, name))?.set_modified(at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::place;
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_many_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path().join("w"), Use::Serve).unwrap();
        let files = |text: &str| -> Vec<_> {
            (0..MANY).map(|n| (format!("s{n:02}"), text.as_bytes().to_vec())).collect()
        };
        place(&disk, Folder::Registers, &files("one")).unwrap();
        let before = disk.stamp(Folder::Registers, "s03").unwrap();
        place(&disk, Folder::Registers, &files("another")).unwrap();
        let after = disk.stamp(Folder::Registers, "s03").unwrap();
        assert!(before != after && after.len == 7);
        let names: Vec<_> = files("").into_iter().map(|(name, _)| name).collect();
        assert_eq!(disk.names(Folder::Registers).unwrap(), names);
        assert_eq!(disk.read(Folder::Registers, "s03", 7).unwrap(), b"another");
        let error = disk.read(Folder::Registers, "s03", 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(disk.names(Folder::Sites).unwrap().is_empty());
    }

    #[test]
    fn one_witness_and_one_command_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let open = |r#use| RealDisk::open(dir.path(), r#use);
        assert!(matches!(open(Use::Look), Err(FolderError::None { .. })));
        let serving = open(Use::Serve).unwrap();
        let editing = open(Use::Edit).unwrap();
        open(Use::Look).unwrap();
        assert!(open(Use::Serve).unwrap_err().to_string().contains("by another witness"));
        assert!(open(Use::Edit).unwrap_err().to_string().contains("by another command"));
        drop((serving, editing));
        open(Use::Serve).unwrap();
    }
}
