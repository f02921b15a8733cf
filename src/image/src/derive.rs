//! Files that a tool makes from other files, made once for each input.
//!
//! Start at [`Derived::files`]. The input is named by its hash (paths, links and contents, plus the
//! tools tree), the output is kept in the cache under that name, so that a second build runs only
//! the tools whose input changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{Hasher, hex, sha256};
use crate::scratch::{self, ScratchError};
use crate::tools::ToolError;
use crate::tree::{Content, Kind, Node, Tree};

/// Grows when a step's meaning changes without its inputs.
const FORMAT: &str = "derived-1";

/// The cache of derived files.
#[derive(Clone, Copy)]
pub(crate) struct Derived<'a> {
    /// The cache folder.
    pub(crate) cache: &'a Path,
    /// What names the tools: their tree's folder name.
    pub(crate) tools: &'a str,
}

/// What a step reads and writes.
pub(crate) struct Step<'a> {
    /// Its name, part of the key.
    pub(crate) name: &'a str,
    /// Files and folders of the tree that it reads.
    pub(crate) inputs: &'a [&'a str],
    /// Files and folders that it writes.
    pub(crate) outputs: &'a [&'a str],
}

impl Derived<'_> {
    /// Runs `run` on a scratch tree of the step's inputs, unless that was done before, and returns
    /// the nodes that it wrote.
    ///
    /// # Errors
    /// When the scratch tree cannot be written, or `run` fails.
    pub(crate) fn files(
        &self,
        tree: &Tree,
        step: &Step<'_>,
        run: impl FnOnce(&Path) -> Result<(), ToolError>,
    ) -> Result<Vec<(String, Node)>, ToolError> {
        let input = subtree(tree, step.inputs);
        let key = self.key(step, &input);
        let folder = self.cache.join(FORMAT).join(&key);
        if !folder.join("done").exists() {
            let failed = |path: &Path| {
                let path = path.to_owned();
                move |source| ScratchError { path, source }
            };
            let parent = self.cache.join(FORMAT);
            fs::create_dir_all(&parent).map_err(failed(&parent))?;
            let work = tempfile::Builder::new().prefix(".deriving-").tempdir_in(&parent);
            let work = work.map_err(failed(&parent))?;
            scratch::lay_into(&input, work.path())?;
            run(work.path())?;
            let mut after = input.clone();
            for output in step.outputs {
                scratch::read_back(&mut after, work.path(), output)?;
            }
            drop(work);
            let made = tempfile::Builder::new().prefix(".derived-").tempdir_in(&parent);
            let made = made.map_err(failed(&parent))?;
            let outputs = new_files(&after, step.outputs);
            scratch::lay_into(&outputs, made.path())?;
            fs::write(made.path().join("done"), "").map_err(failed(made.path()))?;
            let _ = fs::rename(made.keep(), &folder);
        }
        let mut nodes = Vec::new();
        for output in step.outputs {
            collect(&folder, output, &mut nodes)?;
        }
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(nodes)
    }

    fn key(&self, step: &Step<'_>, input: &Tree) -> String {
        let mut hasher = Hasher::default();
        for word in [FORMAT, self.tools, step.name] {
            hasher.update(word.as_bytes());
            hasher.update(b"\0");
        }
        hash_tree(&mut hasher, input);
        hex(&hasher.finish()[..16])
    }
}

/// Takes in everything that a program could see of the tree.
pub(crate) fn hash_tree(hasher: &mut Hasher, tree: &Tree) {
    for (path, node) in tree.iter() {
        let (kind, detail) = match &node.kind {
            Kind::Directory => ("d", [0; 32]),
            Kind::Symlink(target) => ("l", sha256(target.as_bytes())),
            Kind::File(content) => ("f", content.sha256()),
        };
        let line = format!("{kind} {:o} {} {} {path}\0", node.mode, node.uid, node.gid);
        hasher.update(line.as_bytes());
        hasher.update(&detail);
    }
}

/// The part of `tree` at and below the given paths, with the directories that lead there.
pub(crate) fn subtree(tree: &Tree, paths: &[&str]) -> Tree {
    let mut part = Tree::default();
    for path in paths {
        let own = tree.get(path).map(|node| (*path, node));
        for (path, node) in own.into_iter().chain(tree.below(path)) {
            part.put(path, node.clone()).expect("a path of a tree has a place in its part");
        }
    }
    part
}

/// The files that only outputs can be: those in memory, since inputs are in the cache.
fn new_files(after: &Tree, outputs: &[&str]) -> Tree {
    let mut files = subtree(after, outputs);
    files.retain(|_, node| matches!(node.kind, Kind::Symlink(_) | Kind::File(Content::Bytes(_))));
    files
}

fn collect(folder: &Path, path: &str, nodes: &mut Vec<(String, Node)>) -> Result<(), ScratchError> {
    let on_disk: PathBuf = folder.join(path);
    let failed = |source| ScratchError { path: on_disk.clone(), source };
    let Ok(meta) = fs::symlink_metadata(&on_disk) else { return Ok(()) };
    if meta.is_dir() {
        for entry in fs::read_dir(&on_disk).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            collect(folder, &format!("{path}/{}", name.to_string_lossy()), nodes)?;
        }
    } else if meta.is_symlink() {
        let target = fs::read_link(&on_disk).map_err(failed)?;
        nodes.push((path.into(), Node::symlink(target.to_string_lossy())));
    } else {
        let bytes = fs::read(&on_disk).map_err(failed)?;
        let sha256 = sha256(&bytes);
        let content = Content::Stored { path: Arc::from(on_disk), size: meta.len(), sha256 };
        nodes.push((path.into(), Node { kind: Kind::File(content), ..Node::file(*b"", 0o644) }));
    }
    Ok(())
}
