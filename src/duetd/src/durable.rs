//! Writing a file so that after a power cut it is there whole, or as it was before. Start at
//! [`write()`], or at [`Fresh`] for one that is written bit by bit. Nothing else in duetd writes files;
//! the state store's own are the crate `store`'s.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Makes `path` hold `content` with the permissions `mode`, and its folder if there is none.
/// When this returns without an error, a power cut no longer undoes it.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_folder(folder)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    // What an interrupted run left may have other permissions.
    forget(Path::new(&fresh))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_folder(folder)
}

/// As [`write()`], for root alone, and the folder too.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    write(path, content, 0o600)?;
    sync_folder(folder.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

/// A file that is written bit by bit under another name, and gone again unless it is finished.
#[derive(Debug)]
pub(crate) struct Fresh {
    path: PathBuf,
    fresh: PathBuf,
    file: File,
    finished: bool,
}

impl Fresh {
    /// Begins a file that is to be at `path` with the permissions `mode`. Its folder must be there.
    pub(crate) fn begin(path: &Path, mode: u32) -> io::Result<Fresh> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        forget(&fresh)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(mode).open(&fresh)?;
        Ok(Fresh { path: path.to_owned(), fresh, file, finished: false })
    }

    /// What has been written so far, to read and to write.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, in the place of one that has it. When this returns without an error,
    /// a power cut no longer undoes it.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.fresh, &self.path)?;
        self.finished = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or(Path::new(".")))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed by the next try.
            let _ = forget(&self.fresh);
        }
    }
}

/// Makes a folder and those above it, readable by all.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

/// Puts a folder, filled and synced under another name beside it, in its place.
pub(crate) fn place_folder(fresh: &Path, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(fresh)? {
        File::open(entry?.path())?.sync_all()?;
    }
    sync_folder(fresh)?;
    fs::rename(fresh, folder)?;
    sync_folder(folder.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

/// Removes a folder and all that is in it, if it is there.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a file if it is there.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder's names last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_half_written_file_of_an_earlier_run_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/site.pub");
        make_folder(path.parent().unwrap()).unwrap();
        fs::write(dir.path().join("deep/site.pub.new"), "hal").unwrap();

        write(&path, b"whole", 0o600).unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"old", 0o644).unwrap();
        // The name of the fresh file is taken by something that cannot be removed as a file.
        fs::create_dir(dir.path().join("file.new")).unwrap();

        assert!(write(&path, b"new", 0o644).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_fresh_file_has_its_name_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        write(&path, b"old", 0o644).unwrap();

        let fresh = Fresh::begin(&path, 0o600).unwrap();
        fresh.file().write_all(b"half").unwrap();
        drop(fresh);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let fresh = Fresh::begin(&path, 0o600).unwrap();
        fresh.file().write_all(b"whole").unwrap();
        fresh.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
