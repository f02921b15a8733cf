//! The root file system: a tree in memory becomes an EROFS image.
//!
//! Start at [`write_tar`] and [`make`]. The tree is streamed as a tar archive into the tools
//! tree's mkfs.erofs, so owners and modes need no root. All times are one time, which also halves
//! EROFS' inodes. Fragments and tail packing stay off (the default): a changed file must change few
//! blocks.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::tools::{ToolError, Tools};
use crate::tree::{Content, Kind, Node, Tree};

/// How the file system is made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Settings {
    /// mkfs.erofs' `-z`: the algorithm and its level.
    pub compression: String,
    /// Most bytes of a file that are compressed together: mkfs.erofs' `--max-extent-bytes`, and `-C`.
    pub cluster: u32,
    /// The one time of all files, seconds since 1970.
    pub time: u64,
    /// The file system's UUID, textual.
    pub uuid: String,
}

/// Makes the file system of `tree` at `to`.
///
/// # Errors
/// When the tool fails (a full disk, mostly) or a file of the tree cannot be read.
pub fn make(
    tools: &Tools,
    tree: &Tree,
    settings: &Settings,
    to: &Path,
    written: &mut dyn FnMut(u64),
) -> Result<(), ToolError> {
    tools.feed(
        "usr/bin/mkfs.erofs",
        |command| {
            // Pinned: what comes out must not depend on how many cores there are.
            command.arg("--quiet").arg("--tar=f").arg("--workers=4");
            command.arg(format!("-z{}", settings.compression));
            // zstd cannot fill an output of a given size, so mkfs.erofs would compress again and again
            // to find what fits. Input of a given size, which always fits, is compressed once: a sixth
            // of the time, for 2 % more bytes.
            let cluster = settings.cluster;
            command.arg(format!("-C{cluster}")).arg(format!("--max-extent-bytes={cluster}"));
            command.arg(format!("-T{}", settings.time)).arg("-U").arg(&settings.uuid);
            command.arg(to);
        },
        |input| {
            write_tar(
                tree,
                settings.time,
                &mut io::BufWriter::with_capacity(1 << 20, input),
                written,
            )
        },
    )
}

/// Writes `tree` as a tar archive (POSIX ustar with GNU long names), entries in the tree's order.
///
/// # Errors
/// When a file of the tree cannot be read or `to` cannot be written.
pub fn write_tar(
    tree: &Tree,
    time: u64,
    to: &mut dyn Write,
    written: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    archive.mode(tar::HeaderMode::Deterministic);
    let mut first_name: HashMap<Arc<Path>, &str> = HashMap::new();
    append(&mut archive, ".", &Node::directory(), time, None)?;
    for (path, node) in tree.iter() {
        let mut hard_link = None;
        if let Kind::File(Content::Stored { path: stored, .. }) = &node.kind {
            hard_link = first_name.get(stored).copied();
            first_name.entry(stored.clone()).or_insert(path);
        }
        append(&mut archive, path, node, time, hard_link)?;
        if let Kind::File(content) = &node.kind {
            written(content.size());
        }
    }
    archive.finish()?;
    archive.into_inner()?.flush()
}

fn append(
    archive: &mut tar::Builder<&mut dyn Write>,
    path: &str,
    node: &Node,
    time: u64,
    hard_link: Option<&str>,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(time);
    header.set_size(0);
    match &node.kind {
        Kind::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            archive.append_data(&mut header, path, io::empty())
        }
        Kind::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            archive.append_link(&mut header, path, target)
        }
        Kind::File(_) if hard_link.is_some() => {
            header.set_entry_type(tar::EntryType::Link);
            archive.append_link(&mut header, path, hard_link.unwrap_or_default())
        }
        Kind::File(content) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.size());
            match content {
                Content::Bytes(bytes) => archive.append_data(&mut header, path, &**bytes),
                Content::Stored { path: stored, .. } => {
                    archive.append_data(&mut header, path, std::fs::File::open(stored)?)
                }
            }
        }
    }
}
