//! The root file system as data: paths to nodes, with ownership that needs no root.
//!
//! Start at [`Tree`]. Paths have no leading slash (`usr/bin/ls`). Directory symlinks are followed
//! as dpkg follows them, inside the tree only: nothing here touches the host's file system.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How many symlinks one path may lead through (Linux's own limit, `path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Where a regular file's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory: what the composer makes itself.
    Bytes(Arc<[u8]>),
    /// In a file of the cache, unpacked from a package. Two nodes that share one `path` were
    /// hard links in the package.
    Stored {
        /// The cache's file.
        path: Arc<Path>,
        /// Bytes.
        size: u64,
        /// SHA-256 of the bytes.
        sha256: [u8; 32],
    },
}

impl Content {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Stored { size, .. } => *size,
        }
    }

    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> [u8; 32] {
        match self {
            Content::Bytes(bytes) => crate::digest::sha256(bytes),
            Content::Stored { sha256, .. } => *sha256,
        }
    }

    /// The bytes themselves.
    ///
    /// # Errors
    /// When the cache's file cannot be read.
    pub fn read(&self) -> std::io::Result<Arc<[u8]>> {
        match self {
            Content::Bytes(bytes) => Ok(bytes.clone()),
            Content::Stored { path, .. } => std::fs::read(path).map(Arc::from),
        }
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link with its target as written.
    Symlink(String),
}

/// One entry of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with set-uid, set-gid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner's id.
    pub uid: u32,
    /// Group's id.
    pub gid: u32,
}

impl Node {
    /// A directory of root's, 0755.
    pub fn directory() -> Self {
        Node { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 }
    }

    /// A file of root's with these bytes and permission bits.
    pub fn file(bytes: impl Into<Arc<[u8]>>, mode: u32) -> Self {
        Node { kind: Kind::File(Content::Bytes(bytes.into())), mode, uid: 0, gid: 0 }
    }

    /// A symbolic link of root's.
    pub fn symlink(target: impl Into<String>) -> Self {
        Node { kind: Kind::Symlink(target.into()), mode: 0o777, uid: 0, gid: 0 }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

/// Why a path has no place in the tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `..` or an empty or odd component.
    #[error("the path {0:?} leaves the tree")]
    Escapes(String),
    /// More than `MAX_LINKS` links.
    #[error("the path {0:?} leads through too many symbolic links")]
    Loop(String),
    /// A component on the way is a file.
    #[error("{0:?} is not a directory, as {1:?} needs it to be")]
    NotDirectory(String, String),
}

/// A file system tree in memory, sorted by path.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// The entries, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The entries below `folder` (not itself), parents before children.
    pub fn below<'a>(
        &'a self,
        folder: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        let prefix = format!("{folder}/");
        self.nodes
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, node)| (path.as_str(), node))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node at exactly this path, no symlink followed.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// The node that a program would see at `path`: every symlink followed, the last one too.
    pub fn lookup(&self, path: &str) -> Option<(String, &Node)> {
        let mut path = self.place(path).ok()?;
        for _ in 0..MAX_LINKS {
            let node = self.nodes.get(&path)?;
            let Kind::Symlink(target) = &node.kind else {
                return Some((path, node));
            };
            path = self.place(&join(parent(&path), target)).ok()?;
        }
        None
    }

    /// Where `path` really lies: directory symlinks on the way followed, its last component not.
    ///
    /// # Errors
    /// When it leaves the tree, loops, or goes through a file.
    pub fn place(&self, path: &str) -> Result<String, PathError> {
        let mut todo: Vec<String> = components(path)?.into_iter().rev().collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(component) = todo.pop() {
            if component == ".." {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            let next = if at.is_empty() { component } else { format!("{at}/{component}") };
            if todo.is_empty() {
                return Ok(next);
            }
            match self.nodes.get(&next).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(PathError::Loop(path.into()));
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    todo.extend(components(target)?.into_iter().rev());
                }
                Some(Kind::File(_)) => return Err(PathError::NotDirectory(next, path.into())),
                Some(Kind::Directory) | None => at = next,
            }
        }
        Ok(at)
    }

    /// Puts a node at `path`, symlinked directories on the way followed and missing parents made.
    /// Returns where it came to lie, and the node that lay there.
    ///
    /// # Errors
    /// When the path has no place in the tree.
    pub fn put(&mut self, path: &str, node: Node) -> Result<(String, Option<Node>), PathError> {
        let place = self.place(path)?;
        if place.is_empty() {
            return Err(PathError::Escapes(path.into()));
        }
        self.make_parents(&place);
        let before = self.nodes.insert(place.clone(), node);
        Ok((place, before))
    }

    /// Makes `path` a directory unless it, or what its symlink leads to, is one already.
    ///
    /// # Errors
    /// When the path has no place in the tree, or a file is in the way.
    pub fn directory(&mut self, path: &str, node: Node) -> Result<(), PathError> {
        let place = self.place(path)?;
        match self.lookup(&place) {
            Some((_, there)) if there.is_directory() => Ok(()),
            Some((at, _)) => Err(PathError::NotDirectory(at, path.into())),
            None if place.is_empty() => Ok(()),
            None => {
                self.make_parents(&place);
                self.nodes.insert(place, node);
                Ok(())
            }
        }
    }

    /// Takes out `path` and all below it; says whether there was anything.
    pub fn remove(&mut self, path: &str) -> bool {
        let below: Vec<String> = self.below(path).map(|(path, _)| path.to_owned()).collect();
        for path in &below {
            self.nodes.remove(path);
        }
        self.nodes.remove(path).is_some() || !below.is_empty()
    }

    /// Keeps the entries that `keep` accepts; a directory goes only with all that is in it.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Node) -> bool) {
        let mut kept_below: Option<String> = None;
        let mut drop = Vec::new();
        for (path, node) in self.nodes.iter().rev() {
            let holds_kept = kept_below.as_deref().is_some_and(|below| {
                below.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'))
            });
            if holds_kept || keep(path, node) {
                kept_below = Some(path.clone());
            } else {
                drop.push(path.clone());
            }
        }
        for path in drop {
            self.nodes.remove(&path);
        }
    }

    fn make_parents(&mut self, place: &str) {
        let ends = place.match_indices('/').map(|(end, _)| end).collect::<Vec<_>>();
        for end in ends {
            self.nodes.entry(place[..end].to_owned()).or_insert_with(Node::directory);
        }
    }
}

/// The folder that holds `path`, empty for the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What `target`, written in a symlink that lies in `folder`, names.
pub fn join(folder: &str, target: &str) -> String {
    if target.starts_with('/') { target.into() } else { format!("{folder}/{target}") }
}

fn components(path: &str) -> Result<Vec<String>, PathError> {
    if path.contains('\0') {
        return Err(PathError::Escapes(path.into()));
    }
    Ok(path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn merged_usr() -> Tree {
        let mut tree = Tree::default();
        tree.put("usr/lib", Node::directory()).unwrap();
        tree.put("lib", Node::symlink("usr/lib")).unwrap();
        tree.put("var/run", Node::symlink("/run")).unwrap();
        tree
    }

    #[test]
    fn a_directory_symlink_is_followed_as_dpkg_does() {
        let mut tree = merged_usr();
        tree.directory("./lib", Node::directory()).unwrap();
        let (place, _) = tree.put("./lib/systemd/x", Node::file(*b"x", 0o644)).unwrap();
        assert_eq!(place, "usr/lib/systemd/x");
        assert!(matches!(tree.get("lib").unwrap().kind, Kind::Symlink(_)));
        assert_eq!(tree.place("var/run/sshd").unwrap(), "run/sshd");
    }

    #[test]
    fn the_last_component_is_not_followed_but_looked_up() {
        let mut tree = merged_usr();
        tree.put("usr/lib/a", Node::symlink("b")).unwrap();
        tree.put("usr/lib/b", Node::file(*b"b", 0o644)).unwrap();
        assert_eq!(tree.place("lib/a").unwrap(), "usr/lib/a");
        assert_eq!(tree.lookup("lib/a").unwrap().0, "usr/lib/b");
    }

    #[test]
    fn loops_and_files_on_the_way_are_errors() {
        let mut tree = Tree::default();
        tree.put("a", Node::symlink("b")).unwrap();
        tree.put("b", Node::symlink("a")).unwrap();
        tree.put("f", Node::file(*b"", 0o644)).unwrap();
        assert_eq!(tree.place("a/x"), Err(PathError::Loop("a/x".into())));
        assert_eq!(tree.place("f/x"), Err(PathError::NotDirectory("f".into(), "f/x".into())));
        assert!(tree.lookup("a").is_none());
    }

    #[test]
    fn dot_dot_stops_at_the_root() {
        let tree = merged_usr();
        assert_eq!(tree.place("../../etc/x").unwrap(), "etc/x");
        assert_eq!(tree.place("lib/../../etc").unwrap(), "etc");
    }

    #[test]
    fn retain_keeps_the_folders_of_what_is_kept() {
        let mut tree = Tree::default();
        for path in ["usr/share/doc/a/copyright", "usr/share/doc/a/README", "usr/share/doc/b/x"] {
            tree.put(path, Node::file(*b"", 0o644)).unwrap();
        }
        tree.retain(|path, _| !path.starts_with("usr/share/doc") || path.ends_with("copyright"));
        let left: Vec<_> = tree.iter().map(|(path, _)| path.to_owned()).collect();
        let want =
            ["usr", "usr/share", "usr/share/doc", "usr/share/doc/a", "usr/share/doc/a/copyright"];
        assert_eq!(left, want);
    }
}
