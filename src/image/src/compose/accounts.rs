//! Users and groups: Debian's static ones from base-passwd, the others by systemd-sysusers.
//!
//! Start at [`masters`] and [`Ids`].

use std::collections::BTreeMap;

use crate::tree::{Node, PathError, Tree};

/// The days since 1970 that a shadow entry names as its last change.
fn days(source_date: u64) -> u64 {
    source_date / 86_400
}

/// Writes /etc/passwd, group, shadow and gshadow from base-passwd's masters, as `update-passwd`
/// and `shadowconfig on` would on a new system: no account has a password.
///
/// # Errors
/// When a path has no place in the tree.
pub fn masters(tree: &mut Tree, source_date: u64) -> Result<(), PathError> {
    let read = |tree: &Tree, name: &str| {
        let path = format!("usr/share/base-passwd/{name}.master");
        let node = tree.lookup(&path).map(|(_, node)| node.clone());
        match node.map(|node| node.kind) {
            Some(crate::tree::Kind::File(content)) => content.read().ok(),
            _ => None,
        }
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
    };
    let (passwd, group) = (read(tree, "passwd"), read(tree, "group"));
    let first = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let shadow: String = passwd
        .lines()
        .map(|line| format!("{}:*:{}:0:99999:7:::\n", first(line), days(source_date)))
        .collect();
    let gshadow: String = group.lines().map(|line| format!("{}:*::\n", first(line))).collect();
    let passwd = passwd.replace(":*:", ":x:");
    let group = group.replace(":*:", ":x:");
    for (path, text, mode, gid) in [
        ("etc/passwd", passwd, 0o644, 0),
        ("etc/group", group, 0o644, 0),
        ("etc/shadow", shadow, 0o640, SHADOW),
        ("etc/gshadow", gshadow, 0o640, SHADOW),
    ] {
        tree.put(path, Node { gid, ..Node::file(text.into_bytes(), mode) })?;
    }
    Ok(())
}

/// Debian's static group id of `shadow` (base-passwd).
pub const SHADOW: u32 = 42;

/// Names to ids, from the composed /etc/passwd and /etc/group.
#[derive(Debug, Default)]
pub struct Ids {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Ids {
    /// Reads the texts of passwd(5) and group(5).
    pub fn parse(passwd: &str, group: &str) -> Self {
        let table = |text: &str| {
            let row = |line: &str| {
                let mut fields = line.split(':');
                Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
            };
            text.lines().filter_map(row).collect()
        };
        Ids { users: table(passwd), groups: table(group) }
    }

    /// A user's id.
    pub fn user(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    /// A group's id.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn masters_become_locked_accounts_with_a_pinned_date() {
        let mut tree = Tree::default();
        let passwd =
            "root:*:0:0:root:/root:/bin/bash\ndaemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";
        tree.put("usr/share/base-passwd/passwd.master", Node::file(passwd.as_bytes(), 0o644))
            .unwrap();
        tree.put("usr/share/base-passwd/group.master", Node::file(*b"root:*:0:\n", 0o644)).unwrap();
        masters(&mut tree, 86_400 * 20_000).unwrap();
        let text = |path: &str| match &tree.get(path).unwrap().kind {
            crate::tree::Kind::File(content) => {
                String::from_utf8_lossy(&content.read().unwrap()).into_owned()
            }
            _ => unreachable!(),
        };
        assert!(text("etc/passwd").starts_with("root:x:0:0:"));
        assert!(text("etc/shadow").starts_with("root:*:20000:0:99999:7:::\ndaemon:*:20000"));
        assert_eq!(tree.get("etc/shadow").unwrap().gid, SHADOW);
        let ids = Ids::parse(&text("etc/passwd"), &text("etc/group"));
        assert_eq!(
            (ids.user("daemon"), ids.group("root"), ids.user("x")),
            (Some(1), Some(0), None)
        );
    }
}
