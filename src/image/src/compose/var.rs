//! /var and /run are not in the image: what packages ship there becomes tmpfiles.d(5) lines.
//!
//! Start at [`to_tmpfiles`]. A shipped directory becomes a `d` line, a link an `L` line, a file a
//! copy under /usr/share/factory with a `C` line, so that a blank state partition is filled at the
//! first boot and a missing folder comes back at any later one.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::tree::{Kind, Node, PathError, Tree};

const RULES: &str = "usr/lib/tmpfiles.d/duet-packages.conf";

/// Takes everything below /var and /run out of the tree and says it in tmpfiles.d instead.
///
/// # Errors
/// When a path has no place in the tree.
pub fn to_tmpfiles(tree: &mut Tree) -> Result<(), PathError> {
    let known = named_by_rules(tree);
    let mut rules = String::from("# What packages ship in /var and /run, made on the node.\n");
    let mut factory = Vec::new();
    for folder in ["run", "var"] {
        for (path, node) in tree.below(folder) {
            if known.contains(path) {
                continue;
            }
            let (mode, uid, gid) = (node.mode, node.uid, node.gid);
            let line = match &node.kind {
                Kind::Directory => format!("d /{path} {mode:04o} {uid} {gid} -"),
                Kind::Symlink(target) => format!("L /{path} - - - - {target}"),
                Kind::File(_) => {
                    factory.push((format!("usr/share/factory/{path}"), node.clone()));
                    format!("C /{path} {mode:04o} {uid} {gid} -")
                }
            };
            let _ = writeln!(rules, "{line}");
        }
    }
    for folder in ["run", "var"] {
        tree.remove(folder);
        tree.put(folder, Node::directory())?;
    }
    for (path, node) in factory {
        tree.put(&path, node)?;
    }
    tree.put(RULES, Node::file(rules.into_bytes(), 0o644))?;
    Ok(())
}

/// The paths that tmpfiles.d rules in the tree name already, without their leading slash.
fn named_by_rules(tree: &Tree) -> HashSet<String> {
    let files = tree.below("usr/lib/tmpfiles.d").filter_map(|(_, node)| match &node.kind {
        Kind::File(content) => content.read().ok(),
        _ => None,
    });
    let mut named = HashSet::new();
    for bytes in files {
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.starts_with('#')) {
            if let Some(path) = line.split_whitespace().nth(1) {
                let path = path.trim_matches(['"', '/']);
                named.insert(
                    path.strip_prefix("var/run")
                        .map_or(path.to_owned(), |rest| format!("run{rest}")),
                );
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_lies_in_var_is_said_once_and_taken_out() {
        let mut tree = Tree::default();
        let known = "d /var/lib/chrony 0750 _chrony _chrony -\n";
        tree.put("usr/lib/tmpfiles.d/chrony.conf", Node::file(known.as_bytes(), 0o644)).unwrap();
        tree.put("var/lib/chrony", Node::directory()).unwrap();
        tree.put("var/mail", Node { mode: 0o2775, gid: 8, ..Node::directory() }).unwrap();
        tree.put("var/lock", Node::symlink("/run/lock")).unwrap();
        tree.put("var/lib/x/f", Node::file(*b"hello", 0o600)).unwrap();
        to_tmpfiles(&mut tree).unwrap();
        assert_eq!(tree.below("var").count(), 0);
        assert!(tree.get("usr/share/factory/var/lib/x/f").is_some());
        let Kind::File(content) = &tree.get(RULES).unwrap().kind else { panic!() };
        let text = String::from_utf8(content.read().unwrap().to_vec()).unwrap();
        expect_test::expect![[r#"
            # What packages ship in /var and /run, made on the node.
            d /var/lib 0755 0 0 -
            d /var/lib/x 0755 0 0 -
            C /var/lib/x/f 0600 0 0 -
            L /var/lock - - - - /run/lock
            d /var/mail 2775 0 8 -
        "#]]
        .assert_eq(&text);
    }
}
