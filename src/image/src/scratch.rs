//! A tree laid out on disk for programs to look at: hard links into the cache, no ownership.
//!
//! Start at [`lay_out`] and [`read_back`]. The scratch tree is never what ends up in an image:
//! tools read it, write a few files, and those files are taken back into the tree in memory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::tree::{Content, Kind, Node, Tree};

/// Why the scratch tree could not be written or read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot lay out the working tree at {path}")]
#[diagnostic(
    code(output::cache),
    help("see that the cache's disk has space and that the folder is writable")
)]
pub struct ScratchError {
    /// The path on disk.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: std::io::Error,
}

/// Lays out `tree` at `folder`, whole or not at all.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn lay_out(tree: &Tree, folder: &Path) -> Result<(), ScratchError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ScratchError { path, source }
    };
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(at(parent))?;
    let temporary =
        tempfile::Builder::new().prefix(".laying-").tempdir_in(parent).map_err(at(parent))?;
    lay_into(tree, temporary.path())?;
    match fs::rename(temporary.keep(), folder) {
        Err(_) if folder.is_dir() => Ok(()), // another process was first
        result => result.map_err(at(folder)),
    }
}

/// Lays out `tree` inside a folder that exists.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn lay_into(tree: &Tree, folder: &Path) -> Result<(), ScratchError> {
    for (path, node) in tree.iter() {
        let path = folder.join(path);
        let result = match &node.kind {
            Kind::Directory => fs::create_dir(&path),
            Kind::Symlink(target) => symlink(target, &path),
            Kind::File(Content::Bytes(bytes)) => {
                let mode = 0o600 | (node.mode & 0o100);
                fs::write(&path, bytes)
                    .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            }
            Kind::File(Content::Stored { path: stored, .. }) => {
                fs::hard_link(stored, &path).or_else(|_| fs::copy(stored, &path).map(drop))
            }
        };
        result.map_err(|source| ScratchError { path, source })?;
    }
    Ok(())
}

/// Takes what tools wrote below `folder/path` back into `tree`: new and changed files and links,
/// and what is gone. Files are root's, 0644 or 0755.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn read_back(tree: &mut Tree, folder: &Path, path: &str) -> Result<(), ScratchError> {
    let mut todo = vec![path.to_owned()];
    let mut seen = std::collections::HashSet::new();
    while let Some(path) = todo.pop() {
        let on_disk = folder.join(&path);
        let failed = |source| ScratchError { path: on_disk.clone(), source };
        let Ok(meta) = fs::symlink_metadata(&on_disk) else { continue };
        seen.insert(path.clone());
        if meta.is_dir() {
            for entry in fs::read_dir(&on_disk).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                todo.push(format!("{path}/{}", name.to_string_lossy()));
            }
            tree.directory(&path, Node::directory()).map_err(|error| ScratchError {
                path: on_disk.clone(),
                source: std::io::Error::other(error),
            })?;
            continue;
        }
        let node = if meta.is_symlink() {
            let target = fs::read_link(&on_disk).map_err(failed)?;
            Node::symlink(target.to_string_lossy())
        } else if untouched(tree.get(&path), &on_disk, &meta) {
            continue;
        } else {
            let mode = if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
            Node::file(fs::read(&on_disk).map_err(failed)?, mode)
        };
        tree.put(&path, node).map_err(|error| ScratchError {
            path: on_disk.clone(),
            source: std::io::Error::other(error),
        })?;
    }
    let gone: Vec<String> = tree
        .below(path)
        .map(|(path, _)| path.to_owned())
        .filter(|path| !seen.contains(path))
        .collect();
    for path in gone {
        tree.remove(&path);
    }
    Ok(())
}

/// Whether the file on disk is still the one that was laid out: the same inode, or the same bytes.
fn untouched(node: Option<&Node>, on_disk: &Path, meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    match node.map(|node| &node.kind) {
        Some(Kind::File(Content::Stored { path, .. })) => fs::metadata(path)
            .is_ok_and(|stored| (stored.dev(), stored.ino()) == (meta.dev(), meta.ino())),
        Some(Kind::File(Content::Bytes(bytes))) => {
            fs::read(on_disk).is_ok_and(|there| there == **bytes)
        }
        _ => false,
    }
}
