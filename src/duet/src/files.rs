//! Files that a person names: read whole within a bound, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Largest file that a person writes or that this program reads whole; the longest lock is a tenth.
const LARGEST: u64 = 16 << 20;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read {what} {}", path.display())]
    #[diagnostic(code(input::file), help("{}", cure_for_reading(source)))]
    Read { what: &'static str, path: PathBuf, source: io::Error },

    /// It is too large to be what it should be.
    #[error("{} is too large for {what}: {size} bytes, {most} at most", path.display())]
    #[diagnostic(code(input::file), help("see whether another file was meant"))]
    Large { what: &'static str, path: PathBuf, size: u64, most: u64 },

    /// It is no text.
    #[error("cannot read {what} {}: byte {at} is not UTF-8 text", path.display())]
    #[diagnostic(code(input::file), help("see whether another file was meant"))]
    Text { what: &'static str, path: PathBuf, at: usize },

    /// It cannot be written.
    #[error("cannot write {what} {}", path.display())]
    #[diagnostic(
        code(output::file),
        help("see that the folder can be written to and that its disk has space")
    )]
    Write { what: &'static str, path: PathBuf, source: io::Error },

    /// It is there already, and may be precious.
    #[error("{} is there already; {what} is never overwritten", path.display())]
    #[diagnostic(code(output::exists), help("choose another folder, or move the old one away"))]
    Exists { what: &'static str, path: PathBuf },
}

fn cure_for_reading(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "see whether the path is right and the file is there",
        io::ErrorKind::PermissionDenied => "see that you may read it: ls -l",
        io::ErrorKind::IsADirectory => "give the file, not its folder",
        _ => "see whether the disk is well: dmesg",
    }
}

/// The text of the file at `path`; `what` names it in an error, such as "the site file".
///
/// # Errors
/// When it cannot be read, is larger than any such file, or is no UTF-8.
pub(crate) fn read_text(what: &'static str, path: &Path) -> Result<String, FileError> {
    let bytes = read(what, path)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        FileError::Text { what, path: path.into(), at }
    })
}

/// The bytes of the file at `path`.
///
/// # Errors
/// When it cannot be read, or is larger than any such file.
pub(crate) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, FileError> {
    read_at_most(what, path, LARGEST)
}

/// The bytes of a file that may be larger than what a person writes.
///
/// # Errors
/// When it cannot be read, or has more than `most` bytes.
pub(crate) fn read_at_most(
    what: &'static str,
    path: &Path,
    most: u64,
) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read { what, path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    let size = size.max(bytes.len() as u64);
    if size > most {
        return Err(FileError::Large { what, path: path.into(), size, most });
    }
    Ok(bytes)
}

/// Makes a folder (and those above it) that only its owner may enter.
///
/// # Errors
/// When the system refuses.
pub(crate) fn make_private_folder(what: &'static str, path: &Path) -> Result<(), FileError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| FileError::Write { what, path: path.into(), source })
}

/// Makes a folder and those above it.
///
/// # Errors
/// When the system refuses.
pub(crate) fn make_folder(what: &'static str, path: &Path) -> Result<(), FileError> {
    let made = fs::create_dir_all(path);
    made.map_err(|source| FileError::Write { what, path: path.into(), source })
}

/// A folder inside `folder` for what is not ready yet; goes when it is dropped.
///
/// # Errors
/// When the system refuses.
pub(crate) fn draft_folder(what: &'static str, folder: &Path) -> Result<TempDir, FileError> {
    let made = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(folder);
    made.map_err(|source| FileError::Write { what, path: folder.into(), source })
}

/// Gives a file or a folder its name.
///
/// # Errors
/// When the system refuses.
pub(crate) fn rename(what: &'static str, from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|source| FileError::Write { what, path: to.into(), source })
}

/// Writes a file whole or not at all, in place of one that is there.
///
/// # Errors
/// When the system refuses.
pub(crate) fn write(what: &'static str, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Write { what, path: path.into(), source };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".unfinished-")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

/// Writes a file that was not there, with exactly the permissions `mode`; never overwrites.
///
/// # Errors
/// When it is there, or the system refuses.
pub(crate) fn write_new(
    what: &'static str,
    path: &Path,
    mode: u32,
    bytes: &[u8],
) -> Result<(), FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists { what, path: path.into() },
        _ => FileError::Write { what, path: path.into(), source },
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    // The umask may have taken more away than was asked for.
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_file_has_its_mode_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_new("the key", &path, 0o600, b"one").unwrap();
        let again = write_new("the key", &path, 0o600, b"two").unwrap_err();
        assert!(matches!(again, FileError::Exists { .. }), "{again:?}");
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        write("the lock", &path, b"one").unwrap();
        write("the lock", &path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"ab\xff").unwrap();
        assert!(matches!(read_text("x", &path), Err(FileError::Text { at: 2, .. })));
        assert!(matches!(read_text("x", Path::new("/dev/zero")), Err(FileError::Large { .. })));
        assert!(matches!(read_text("x", folder.path()), Err(FileError::Read { .. })));
    }
}
