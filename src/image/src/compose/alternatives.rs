//! Debian's alternatives (update-alternatives(1)), taken from the scripts that would register them.
//!
//! Start at [`apply`]. Only calls whose words are all literal are understood; any other stays for
//! the review of scripts to report.

use std::collections::BTreeMap;

use crate::tree::{Node, PathError, Tree};

/// One `update-alternatives --install`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// The generic name's path: `/usr/bin/awk`.
    pub link: String,
    /// The group's name: `awk`.
    pub name: String,
    /// What it could lead to: `/usr/bin/mawk`.
    pub path: String,
    /// The highest wins.
    pub priority: i32,
    /// Links that follow the master's choice: link, name, path.
    pub slaves: Vec<[String; 3]>,
}

/// The literal `update-alternatives --install` calls of a script.
pub fn installs(script: &str) -> Vec<Alternative> {
    let joined = script.replace("\\\n", " ");
    joined.lines().filter_map(|line| install(line.trim())).collect()
}

fn install(line: &str) -> Option<Alternative> {
    let words: Vec<&str> = line
        .split_whitespace()
        .take_while(|word| !matches!(*word, "||" | "&&" | ";" | "|"))
        .filter(|word| *word != "--quiet")
        .collect();
    if words.iter().any(|word| word.contains(['$', '`', '"', '\''])) {
        return None;
    }
    let ["update-alternatives", "--install", link, name, path, priority, rest @ ..] = &words[..]
    else {
        return None;
    };
    let slaves = rest.chunks(4).map(|chunk| match chunk {
        ["--slave", link, name, path] => Some([*link, *name, *path].map(str::to_owned)),
        _ => None,
    });
    Some(Alternative {
        link: (*link).into(),
        name: (*name).into(),
        path: (*path).into(),
        priority: priority.parse().ok()?,
        slaves: slaves.collect::<Option<Vec<_>>>()?,
    })
}

/// Makes the links of every group whose choice exists in the tree.
///
/// # Errors
/// When a link's path has no place in the tree.
pub fn apply(tree: &mut Tree, all: &[Alternative]) -> Result<(), PathError> {
    let mut groups: BTreeMap<&str, &Alternative> = BTreeMap::new();
    for one in all {
        let better = groups
            .get(one.name.as_str())
            .is_none_or(|best| (one.priority, &best.path) > (best.priority, &one.path));
        if tree.lookup(&one.path).is_some() && better {
            groups.insert(&one.name, one);
        }
    }
    for best in groups.into_values() {
        let master = [best.link.clone(), best.name.clone(), best.path.clone()];
        for [link, name, path] in std::iter::once(&master).chain(&best.slaves) {
            if tree.lookup(path).is_some() {
                tree.put(&format!("etc/alternatives/{name}"), Node::symlink(path.as_str()))?;
                tree.put(link, Node::symlink(format!("/etc/alternatives/{name}")))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MAWK: &str = "
if true; then
        update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\
            --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \\
            --slave /usr/bin/nawk nawk /usr/bin/mawk
fi";

    #[test]
    fn literal_calls_are_understood_over_several_lines() {
        let found = installs(MAWK);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].priority, found[0].slaves.len()), (5, 2));
        let quiet = "update-alternatives --quiet --install /usr/bin/pager pager \\\n /usr/bin/less 77 || true";
        assert_eq!(installs(quiet)[0].path, "/usr/bin/less");
        assert!(installs("update-alternatives --install /usr/bin/x x $HERE/x 1").is_empty());
        assert!(installs("update-alternatives --remove x /usr/bin/x").is_empty());
    }

    #[test]
    fn the_highest_priority_wins_and_absent_slaves_are_left_out() {
        let mut tree = Tree::default();
        for path in ["usr/bin/mawk", "usr/bin/gawk"] {
            tree.put(path, Node::file(*b"", 0o755)).unwrap();
        }
        let gawk = "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10";
        let absent = "update-alternatives --install /usr/bin/awk awk /usr/bin/original 99";
        let all: Vec<_> = [MAWK, gawk, absent].iter().flat_map(|text| installs(text)).collect();
        apply(&mut tree, &all).unwrap();
        assert_eq!(tree.lookup("usr/bin/awk").unwrap().0, "usr/bin/gawk");
        assert!(tree.get("usr/bin/nawk").is_none());
        assert!(tree.get("usr/share/man/man1/awk.1.gz").is_none());
    }
}
