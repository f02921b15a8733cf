//! A new data folder: that it is empty before, and whose it is after. Start at [`New::open`].

use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use ::store::backup::BackupError;
use ::store::disk::RealDisk;
use ::store::recover::Ids;
use ring::rand::{SecureRandom, SystemRandom};

/// Why a folder cannot become a data folder.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum FolderError {
    /// It or what is above it cannot be read or written.
    #[error("cannot make {path} a data folder")]
    #[diagnostic(
        code(output::folder),
        help("see that the folder above it is there, has room and may be written by you")
    )]
    Write {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A data folder that is being made.
pub(crate) struct New {
    path: PathBuf,
    /// Whose the folder was, or is to be.
    owner: (u32, u32),
    /// The folder, locked.
    pub(crate) disk: RealDisk,
}

impl New {
    /// Takes the folder at `path`, which must be empty or not there yet.
    pub(crate) fn open(path: &Path) -> Result<New, miette::Report> {
        refuse_full(path)?;
        let failed = |source| FolderError::Write { path: path.to_owned(), source };
        let owner = iter::once(path)
            .chain(
                path.parent()
                    .map(|above| if above == Path::new("") { ".".as_ref() } else { above }),
            )
            .find_map(|path| fs::metadata(path).ok())
            .map(|meta| (meta.uid(), meta.gid()))
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let disk = RealDisk::open(path)?;
        Ok(New { path: path.to_owned(), owner, disk })
    }

    /// Gives the folder and what is in it to whom the folder belonged: a person works as root, and the
    /// store does not run as root.
    pub(crate) fn hand_over(&self) -> Result<(), FolderError> {
        let failed = |source| FolderError::Write { path: self.path.clone(), source };
        let (uid, gid) = self.owner;
        let give = |path: &Path| -> io::Result<()> {
            let meta = fs::symlink_metadata(path)?;
            if (meta.uid(), meta.gid()) == self.owner {
                return Ok(());
            }
            chown(path, Some(uid), Some(gid))
        };
        give(&self.path).map_err(failed)?;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            give(&entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(())
    }
}

/// Refuses a folder that holds anything.
pub(crate) fn refuse_full(path: &Path) -> Result<(), miette::Report> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(FolderError::Write { path: path.to_owned(), source }.into());
        }
    };
    match entries.next() {
        None => Ok(()),
        Some(Ok(entry)) => {
            let name = entry.file_name().to_string_lossy().into_owned();
            Err(BackupError::NotEmpty(name).into())
        }
        Some(Err(source)) => Err(FolderError::Write { path: path.to_owned(), source }.into()),
    }
}

/// A new identity. Never 0, which means none.
pub(crate) fn ids() -> Ids {
    let random = || {
        let mut bytes = [0; 8];
        SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
        u64::from_le_bytes(bytes).max(1)
    };
    Ids { cluster_id: random(), member_id: random() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_that_holds_something_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        refuse_full(&dir.path().join("not there yet")).unwrap();
        refuse_full(dir.path()).unwrap();
        fs::write(dir.path().join("notes"), "").unwrap();
        let error = refuse_full(dir.path()).unwrap_err();
        assert!(error.to_string().contains("notes"), "{error}");
        assert!(refuse_full(&dir.path().join("notes")).is_err(), "that is a file");
    }

    #[test]
    fn a_new_folder_is_locked_and_stays_its_owner_s() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let new = New::open(&path).unwrap();
        new.hand_over().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), fs::metadata(dir.path()).unwrap().uid());
    }
}
