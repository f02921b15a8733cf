//! What holds for every text, whatever language it is in.

use crate::Tree;

/// A reader keeps a file of this length in mind; a longer one has two subjects.
const LONGEST: usize = 600;

/// Written by people and read by people. Locks and golden files are neither.
const SOURCES: [&str; 12] =
    ["c", "conf", "css", "html", "js", "md", "py", "rs", "service", "sh", "tera", "toml"];

/// Notes to oneself belong in an issue. In pieces here, so that this file does not find itself.
const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Traces of the place where a text was written, which mean nothing to who reads it.
const FOREIGN: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("shared", "/design"), concat!("/tmp/", "target-")];

/// No source is longer than [`LONGEST`] lines.
pub(crate) fn no_long_file(tree: &Tree) -> Vec<String> {
    let sources = tree.iter().filter(|(path, _)| is_source(path));
    sources
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| {
            format!("{path}: {lines} lines; {LONGEST} is the most, part it by subject")
        })
        .collect()
}

/// No source holds one of [`NOTES`] as a word.
pub(crate) fn no_stray_note(tree: &Tree) -> Vec<String> {
    find(tree, |line| {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        words.find(|word| NOTES.contains(word)).map(|word| format!("{word}: open an issue instead"))
    })
}

/// No text holds one of [`FOREIGN`].
pub(crate) fn no_foreign_word(tree: &Tree) -> Vec<String> {
    find(tree, |line| {
        let word = FOREIGN.iter().find(|word| line.contains(**word))?;
        Some(format!("{word:?} is of the place where this was written"))
    })
}

fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((_, ending)) => SOURCES.contains(&ending),
        // Scripts of .ci/ are named as the commands that call them.
        None => path.starts_with(".ci/") || name == "Makefile",
    }
}

fn find(tree: &Tree, judge: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| is_source(path)) {
        for (number, line) in text.lines().enumerate() {
            if let Some(what) = judge(line) {
                findings.push(format!("{path}:{}: {what}", number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn a_long_file_is_found() {
        let (just, over) = ("x\n".repeat(LONGEST), "x\n".repeat(LONGEST + 1));
        let tree = tree(&[
            ("src/a/src/just.rs", &just),
            ("src/a/src/over.rs", &over),
            (".ci/over", &over),
            ("profiles/over.lock", &over),
            ("tests/golden/over.txt", &over),
        ]);
        let found = no_long_file(&tree).join("\n");
        assert!(found.contains("over.rs: 601 lines") && found.contains(".ci/over:"), "{found}");
        assert_eq!(found.lines().count(), 2, "{found}");
    }

    #[test]
    fn a_stray_note_is_found() {
        let note = format!("fine\n// {}: later\n", NOTES[0]);
        let word = "mastodon TODOS todo\n";
        let tree = tree(&[("a.rs", &note), ("b.rs", word)]);
        assert_eq!(no_stray_note(&tree), [format!("a.rs:2: {}: open an issue instead", NOTES[0])]);
    }

    #[test]
    fn a_foreign_word_is_found() {
        let tree =
            tree(&[("docs/a.md", &format!("see {}main\n", FOREIGN[0])), ("b.md", "at work/\n")]);
        assert_eq!(no_foreign_word(&tree).len(), 1);
    }
}
