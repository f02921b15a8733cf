//! The dpkg database of the image: what scanners and `dpkg-query` read.
//!
//! Start at [`write()`]. It lies in the read-only root (`/usr/lib/sysimage/dpkg`, with a link from
//! /var/lib/dpkg), since it is part of the image and never changes on the node.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::control::field;
use crate::tree::{Node, PathError, Tree};
use crate::unpack::Unpacked;

/// The database's folder.
pub const ADMINDIR: &str = "usr/lib/sysimage/dpkg";

/// Writes `status`, `arch-native` and each package's list of the files that the image kept.
///
/// # Errors
/// When a path has no place in the tree.
pub fn write(tree: &mut Tree, packages: &[Unpacked]) -> Result<(), PathError> {
    let mut sorted: BTreeMap<&str, &Unpacked> = BTreeMap::new();
    for package in packages {
        sorted.insert(&package.name, package);
    }
    let mut status = String::new();
    for (name, package) in sorted {
        let control = package.control.get("control").map_or("", String::as_str);
        let mut lines = control.trim_end().lines();
        let _ = writeln!(status, "{}", lines.next().unwrap_or_default());
        status.push_str("Status: install ok installed\n");
        for line in lines {
            let _ = writeln!(status, "{line}");
        }
        status.push('\n');
        let same = field(control, "Multi-Arch").as_deref() == Some("same");
        let suffix = if same { ":amd64" } else { "" };
        let list = file_list(tree, package);
        let path = format!("{ADMINDIR}/info/{name}{suffix}.list");
        tree.put(&path, Node::file(list.into_bytes(), 0o644))?;
    }
    tree.put(&format!("{ADMINDIR}/status"), Node::file(status.into_bytes(), 0o644))?;
    tree.put(&format!("{ADMINDIR}/arch-native"), Node::file(*b"amd64\n", 0o644))?;
    tree.put(&format!("{ADMINDIR}/info/format"), Node::file(*b"1\n", 0o644))?;
    tree.put(&format!("{ADMINDIR}/updates"), Node::directory())?;
    let link = "L+ /var/lib/dpkg - - - - /usr/lib/sysimage/dpkg\n";
    tree.put("usr/lib/tmpfiles.d/duet-dpkg.conf", Node::file(link.as_bytes(), 0o644))?;
    Ok(())
}

fn file_list(tree: &Tree, package: &Unpacked) -> String {
    let mut list = String::from("/.\n");
    for (path, _) in &package.entries {
        if !path.is_empty() && tree.lookup(path).is_some() {
            let _ = writeln!(list, "/{path}");
        }
    }
    list
}
