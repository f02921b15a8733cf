//! What a person reviews when an image changes: the plan of a build, and what is in the root.
//!
//! Both are files under golden/. `UPDATE_EXPECT=1 make test` writes them anew; read the difference as
//! you would read code.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use expect_test::expect_file;
use tests::demo::{build, demo, finish};

/// Folders whose content follows a package's version, and which are long: their place in the image is
/// checked, not each file in them.
const LONG: [&str; 6] = [
    "/usr/lib/modules/",
    "/usr/lib/firmware/",
    "/usr/share/doc/",
    "/usr/share/zoneinfo/",
    "/usr/share/i18n/",
    "/usr/share/terminfo/",
];

#[test]
fn the_tree_of_a_control_node() {
    let list = fs::read_to_string(demo().rooms[0].artefact(".files.txt")).unwrap();
    let mut tree = String::new();
    for line in list.lines() {
        // Kind, mode, owner, group, size, sha256, path and what a link leads to.
        let words: Vec<&str> = line.splitn(7, ' ').collect();
        let [kind, mode, owner, group, _, _, path] = words[..] else { panic!("{line}") };
        if !LONG.iter().any(|folder| path.starts_with(folder)) {
            tree += &format!("{kind} {mode} {owner}:{group} {path}\n");
        }
    }
    assert!(tree.lines().count() > 1500, "{tree}");
    expect_file!["../golden/lab.tree"].assert_eq(&tree);
}

#[test]
fn the_plan_of_a_control_node() {
    let out = Path::new("/out");
    let said = finish(build(&demo().site, "a", out).arg("--dry-run")).well();
    // What is fetched and what the inputs' hash is depends on the cache and the compiler.
    let lines = said.out.lines().filter(|line| !line.trim_start().starts_with("inputs"));
    let shown = lines.map(|line| match line.split_once(" MiB, ") {
        Some((start, _)) if line.trim_start().starts_with("packages") => format!("{start} MiB\n"),
        _ => format!("{line}\n"),
    });
    expect_file!["../golden/lab.plan"].assert_eq(&shown.collect::<String>());
    assert!(!out.exists(), "a dry run wrote something");
}
