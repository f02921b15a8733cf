//! Keeps the house in order: the rules of ARCHITECTURE.md and CONTRIBUTING.md, as a test.
//!
//! Start at [`RULES`]. A rule is a pure function from the [`Tree`] of the checkout's texts to what is
//! wrong with it, so each has a test beside it that hands it a tree which breaks the rule. Only
//! [`load`] touches the disk, and nothing here starts a process.

#![allow(clippy::unwrap_used)]

mod arrows;
mod commands;
mod evidence;
mod links;
mod profiles;
mod rust;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every file of the checkout by its path from the root, with `/` between the parts. A file that is
/// not UTF-8 has an empty text: it is there, and has nothing to read.
type Tree = BTreeMap<String, String>;

/// Says what is wrong, one line each, as `path:line: what`.
type Rule = fn(&Tree) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("arrows point downward", arrows::point_downward),
    ("the map shows every crate", arrows::map_shows_every_crate),
    ("no long file", text::no_long_file),
    ("no stray note", text::no_stray_note),
    ("no word from elsewhere", text::no_foreign_word),
    ("every module says what it is", rust::modules_are_introduced),
    ("only the console prints", rust::only_the_console_prints),
    ("unsafe stays in its place", rust::unsafe_stays_in_its_place),
    ("every command is documented", commands::are_documented),
    ("links lead somewhere", links::lead_somewhere),
    ("documents name real make targets", links::make_targets_exist),
    ("profiles are locked", profiles::are_locked),
    ("what is claimed of failures is tested", evidence::is_there),
];

/// Texts larger than this are data, whatever their name says (the longest lock is far below).
const LARGEST_TEXT: u64 = 4 << 20;

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tree = load(root);
    // A loader that finds nothing would make every rule pass.
    for sure in ["ARCHITECTURE.md", "Cargo.toml", "src/site/src/lib.rs", "tests/tests/tidy/main.rs"]
    {
        assert!(tree.contains_key(sure), "{sure} was not loaded from {}", root.display());
    }

    let mut report = String::new();
    for (name, rule) in RULES {
        let findings = rule(&tree);
        if !findings.is_empty() {
            report += &format!("\n{name}:\n  {}\n", findings.join("\n  "));
        }
    }
    assert!(report.is_empty(), "the house is not tidy\n{report}");
}

/// Reads the checkout, without what its `.gitignore` names from the root (`/target` and the like).
fn load(root: &Path) -> Tree {
    let ignore = fs::read_to_string(root.join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('/')).collect();
    let mut tree = Tree::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if name == ".git" || ignored.contains(&path.as_str()) {
                continue;
            }
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && entry.metadata().unwrap().len() <= LARGEST_TEXT {
                // A file that another program has just removed is no finding of ours.
                let Ok(bytes) = fs::read(root.join(&path)) else { continue };
                tree.insert(path, String::from_utf8(bytes).unwrap_or_default());
            } else {
                tree.insert(path, String::new());
            }
        }
    }
    tree
}

/// A tree for the rules' own tests.
fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}
