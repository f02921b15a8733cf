//! Lays unpacked packages over one another, as dpkg does.
//!
//! Start at [`merge`]. A directory never replaces a symlink to a directory (usrmerge), two
//! packages may share a directory but not a file, unless one says `Replaces:` the other (Debian
//! Policy 7.6.1).

use std::collections::HashMap;

use crate::tree::{Kind, PathError, Tree};
use crate::unpack::Unpacked;

/// Why two packages do not lie in one tree.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MergeError {
    /// Both ship it and neither replaces the other.
    #[error("the packages {first} and {second} both ship /{path}")]
    #[diagnostic(
        code(resolve::file_conflict),
        help("exclude one of the two in the profile's [packages] exclude")
    )]
    Conflict {
        /// Laid first.
        first: String,
        /// Laid second.
        second: String,
        /// The path.
        path: String,
    },
    /// A path that has no place.
    #[error("cannot lay the package {package} into the tree")]
    #[diagnostic(code(integrity::package), help("lock another version of the package"))]
    Path {
        /// The package.
        package: String,
        /// The cause.
        #[source]
        source: PathError,
    },
}

/// One tree of all packages, and which package each path came from.
#[derive(Debug, Default)]
pub struct Merged {
    /// The tree.
    pub tree: Tree,
    /// Path (as placed) to the index of its package.
    pub owner: HashMap<String, usize>,
}

/// Lays the packages over one another: base-files first, since it brings the usrmerge links.
///
/// # Errors
/// When two packages ship one file, or a path has no place in the tree.
pub fn merge(packages: &[Unpacked]) -> Result<Merged, MergeError> {
    let mut merged = Merged::default();
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_key(|&at| (packages[at].name != "base-files", &packages[at].name));
    for at in order {
        let package = &packages[at];
        let is_link = |kind: &Kind| matches!(kind, Kind::Symlink(_));
        let (links, others): (Vec<_>, Vec<_>) =
            package.entries.iter().partition(|(_, node)| is_link(&node.kind));
        let first_links = package.name == "base-files";
        let entries: Vec<_> = if first_links {
            links.into_iter().chain(others).collect()
        } else {
            package.entries.iter().collect()
        };
        for (path, node) in entries {
            lay(&mut merged, packages, at, path, node)?;
        }
    }
    Ok(merged)
}

fn lay(
    merged: &mut Merged,
    packages: &[Unpacked],
    at: usize,
    path: &str,
    node: &crate::tree::Node,
) -> Result<(), MergeError> {
    let package = &packages[at];
    let failed = |source| MergeError::Path { package: package.name.clone(), source };
    if path.is_empty() || path == "." {
        return Ok(());
    }
    if node.is_directory() {
        return merged.tree.directory(path, node.clone()).map_err(failed);
    }
    let place = merged.tree.place(path).map_err(failed)?;
    if let Some(&other) = merged.owner.get(&place) {
        let (first, second) = (&packages[other], package);
        if replaces(first, &second.name) {
            return Ok(());
        }
        let same_link = match (&node.kind, merged.tree.get(&place).map(|node| &node.kind)) {
            (Kind::Symlink(a), Some(Kind::Symlink(b))) => a == b,
            _ => false,
        };
        if !replaces(second, &first.name) && !same_link {
            return Err(MergeError::Conflict {
                first: first.name.clone(),
                second: second.name.clone(),
                path: place,
            });
        }
    }
    merged.tree.put(&place, node.clone()).map_err(failed)?;
    merged.owner.insert(place, at);
    Ok(())
}

/// Whether `package` says that it replaces files of `other`.
fn replaces(package: &Unpacked, other: &str) -> bool {
    let control = package.control.get("control").map_or("", String::as_str);
    let field = crate::control::field(control, "Replaces").unwrap_or_default();
    field
        .split(',')
        .any(|one| one.split(['(', ':']).next().is_some_and(|name| name.trim() == other))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tree::Node;

    fn package(name: &str, control: &str, entries: &[(&str, Node)]) -> Unpacked {
        Unpacked {
            name: name.into(),
            entries: entries.iter().map(|(path, node)| ((*path).into(), node.clone())).collect(),
            control: [("control".into(), control.into())].into(),
        }
    }

    #[test]
    fn usrmerge_links_come_first_and_stay() {
        let packages = [
            package("aaa", "", &[("lib", Node::directory()), ("lib/x", Node::file(*b"x", 0o644))]),
            package(
                "base-files",
                "",
                &[("usr/lib", Node::directory()), ("lib", Node::symlink("usr/lib"))],
            ),
        ];
        let merged = merge(&packages).unwrap();
        assert!(merged.tree.get("usr/lib/x").is_some());
        assert_eq!(merged.owner["usr/lib/x"], 0);
    }

    #[test]
    fn one_file_of_two_packages_needs_replaces() {
        let file = || [("usr/bin/x", Node::file(*b"x", 0o755))];
        let error = merge(&[package("a", "", &file()), package("b", "", &file())]).unwrap_err();
        assert_eq!(error.to_string(), "the packages a and b both ship /usr/bin/x");
        let control = "Package: b\nReplaces: c, a (<< 2)\n";
        let merged = merge(&[package("a", "", &file()), package("b", control, &file())]).unwrap();
        assert_eq!(merged.owner["usr/bin/x"], 1);
    }
}
