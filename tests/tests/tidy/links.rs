//! What documents point at is there: files, headings, make targets.

use crate::Tree;

/// Every relative link of a Markdown file leads to a file, a folder, or a heading.
pub(crate) fn lead_somewhere(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in markdown(tree) {
        for (number, target) in links(text) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
            let Some(to) = to.filter(|to| exists(tree, to)) else {
                findings.push(format!("{path}:{number}: nothing is at {file}"));
                continue;
            };
            let headings = tree.get(&to).map(|text| headings(text)).unwrap_or_default();
            if !heading.is_empty() && !headings.contains(&heading.to_owned()) {
                findings.push(format!("{path}:{number}: {to} has no heading #{heading}"));
            }
        }
    }
    findings
}

/// Where a document says `make X`, the Makefile has X.
pub(crate) fn make_targets_exist(tree: &Tree) -> Vec<String> {
    let makefile = tree.get("Makefile").map_or("", String::as_str);
    let targets: Vec<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':').map(|(name, _)| name))
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in markdown(tree) {
        for (number, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices("make ") {
                // A command, not the verb: at the start of the line, after a back quote or a prompt.
                if !(at == 0 || line[..at].ends_with(['`', '$']) || line[..at].ends_with("$ ")) {
                    continue;
                }
                let word = line[at + 5..].split(|c: char| !c.is_ascii_lowercase()).next();
                let word = word.unwrap_or_default();
                let in_prose = at == 0 && !in_code_block(text, number);
                if !in_prose && !word.is_empty() && !targets.contains(&word) {
                    findings.push(format!("{path}:{}: the Makefile has no {word}", number + 1));
                }
            }
        }
    }
    findings
}

fn markdown(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let all = tree.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    all.filter(|(path, _)| path.ends_with(".md"))
}

/// Line number and target of each relative link, outside code blocks.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if in_code_block(text, number) {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let Some(target) = line[at + 2..].split([')', ' ']).next() else { continue };
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number + 1, target));
            }
        }
    }
    found
}

fn in_code_block(text: &str, line: usize) -> bool {
    text.lines().take(line).filter(|line| line.trim_start().starts_with("```")).count() % 2 == 1
}

/// The path that `link` means in the file at `from`; none if it leaves the checkout.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty()
        || tree.contains_key(path)
        || tree.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
}

/// The anchors that a page's headings get where Markdown is shown.
fn headings(text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(number, _)| !in_code_block(text, *number));
    lines
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .map(|line| line.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn page(text: &str) -> Tree {
        tree(&[
            ("docs/page.md", text),
            ("docs/other.md", "# The `one` heading\n```\n# no heading\n```\n"),
            ("src/a/lib.rs", ""),
        ])
    }

    #[test]
    fn good_links_are_fine() {
        let tree = page(
            "[a](other.md) [b](../src/a) [c](../src/a/lib.rs) [d](https://example.org/x)\n\
             [e](other.md#the-one-heading)\n# Here\n[f](#here)\n```\n[g](nowhere)\n```\n",
        );
        assert_eq!(lead_somewhere(&tree), [""; 0]);
    }

    #[test]
    fn a_link_to_nowhere_is_found() {
        let found = |text| lead_somewhere(&page(text));
        assert_eq!(found("\n[a](gone.md)"), ["docs/page.md:2: nothing is at gone.md"]);
        assert_eq!(found("[a](../../outside)").len(), 1);
        assert_eq!(found("[a](../src/a/li)").len(), 1);
        assert_eq!(found("[a](other.md#no-heading)").len(), 1);
        assert_eq!(found("![a](picture.svg)").len(), 1);
    }

    #[test]
    fn a_missing_make_target_is_found() {
        let with = |text| {
            let makefile = ".PHONY: demo\ndemo: ## d\n\t@true\n";
            make_targets_exist(&tree(&[("Makefile", makefile), ("README.md", text)]))
        };
        assert_eq!(
            with("Run `make demo`.\n```\nmake demo  # shows\n```\nThey\nmake bread."),
            [""; 0]
        );
        assert_eq!(with("Run `make dmo`."), ["README.md:1: the Makefile has no dmo"]);
        assert_eq!(with("```\n$ make all\nmake install\n```").len(), 2);
    }
}
