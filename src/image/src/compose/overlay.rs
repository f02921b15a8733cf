//! Overlays: folders whose files are laid into the root as they are.
//!
//! Start at [`load`] and [`lay`]. Everything is root's; a file that its owner may execute becomes
//! 0755, any other 0644, so that a checkout's umask does not reach the image.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::tree::{Node, PathError, Tree};

/// More than an overlay should ever hold in memory.
const MAX_BYTES: u64 = 256 << 20;

/// Why an overlay could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OverlayError {
    /// The folder or a file in it.
    #[error("cannot read the overlay {path}")]
    #[diagnostic(
        code(input::overlay),
        help("an overlay is a folder below overlays/ that the profile names in `overlays`")
    )]
    Read {
        /// What could not be read.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Far more than settings.
    #[error("the overlay {path} holds more than {} MiB", MAX_BYTES >> 20)]
    #[diagnostic(code(input::overlay), help("bring large files as a package or a component"))]
    TooLarge {
        /// The overlay.
        path: PathBuf,
    },
}

/// Reads an overlay's folder; hidden files of version control are passed over.
///
/// # Errors
/// When it cannot be read or is far too large.
pub fn load(folder: &Path) -> Result<Tree, OverlayError> {
    let mut tree = Tree::default();
    let mut bytes = 0;
    load_folder(folder, folder, "", &mut tree, &mut bytes)?;
    Ok(tree)
}

fn load_folder(
    overlay: &Path,
    folder: &Path,
    prefix: &str,
    tree: &mut Tree,
    bytes: &mut u64,
) -> Result<(), OverlayError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OverlayError::Read { path, source }
    };
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name == ".gitkeep" || (prefix.is_empty() && name == "README.md") {
            continue;
        }
        let meta = fs::symlink_metadata(&path).map_err(failed(&path))?;
        let place = format!("{prefix}{name}");
        let node = if meta.is_dir() {
            load_folder(overlay, &path, &format!("{place}/"), tree, bytes)?;
            Node::directory()
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).map_err(failed(&path))?;
            Node::symlink(target.to_string_lossy())
        } else {
            *bytes += meta.len();
            if *bytes > MAX_BYTES {
                return Err(OverlayError::TooLarge { path: overlay.into() });
            }
            let mode = if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
            Node::file(fs::read(&path).map_err(failed(&path))?, mode)
        };
        let put = if node.is_directory() {
            tree.directory(&place, node)
        } else {
            tree.put(&place, node).map(drop)
        };
        put.map_err(|error| failed(&path)(std::io::Error::other(error)))?;
    }
    Ok(())
}

/// Lays an overlay over the root: directories join, files and links replace.
///
/// # Errors
/// When a path has no place in the root.
pub fn lay(tree: &mut Tree, overlay: &Tree) -> Result<(), PathError> {
    for (path, node) in overlay.iter() {
        if node.is_directory() {
            tree.directory(path, node.clone())?;
        } else {
            tree.put(path, node.clone())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modes_come_from_the_execute_bit_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/x");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let tree = load(folder.path()).unwrap();
        assert_eq!(tree.get("etc/x").unwrap().mode, 0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(load(folder.path()).unwrap().get("etc/x").unwrap().mode, 0o755);
    }

    #[test]
    fn an_absent_overlay_is_named() {
        let error = load(Path::new("/nonexistent/overlay")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the overlay /nonexistent/overlay");
    }
}
