//! Writing a file so that after a power cut it is there whole, or as it was before. Start at
//! [`write`]. Nothing else in duetd writes files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

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

/// Removes a file if it is there.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
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
}
