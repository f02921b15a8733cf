//! What holds for Rust sources beyond what the compiler's lints can say.
//!
//! The rules look at code only: [`code`] blanks out comments and literals first, so that a rule's
//! name in a sentence is no finding.

use crate::Tree;

/// The one place that may go behind the compiler's back: system calls without a wrapper.
const UNSAFE: &str = "src/initrd/src/kernel.rs";

const PRINTS: [&str; 5] = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];

/// Every file opens with its purpose.
pub(crate) fn modules_are_introduced(tree: &Tree) -> Vec<String> {
    sources(tree)
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| format!("{path}:1: does not open with `//! ` and what it is for"))
        .collect()
}

/// Prints stand in a program's `console.rs` (and in /init, whose console is the kernel's), so that
/// `--json`, `--quiet` and a broken pipe are decided in one place.
pub(crate) fn only_the_console_prints(tree: &Tree) -> Vec<String> {
    let silent = |path: &str| {
        path.starts_with("src/")
            && !path.starts_with("src/initrd/")
            && !path.ends_with("/src/console.rs")
            && !path.ends_with("/build.rs")
            && !path.contains("/tests/")
    };
    let mut findings = Vec::new();
    for (path, text) in sources(tree).filter(|(path, _)| silent(path)) {
        for (number, line) in product(&code(text)).lines().enumerate() {
            if let Some(print) = PRINTS.iter().find(|print| has_word(line, print)) {
                findings.push(format!("{path}:{}: {print} outside the console module", number + 1));
            }
        }
    }
    findings
}

/// `unsafe` stands in [`UNSAFE`] alone, whatever a crate's own lints allow.
pub(crate) fn unsafe_stays_in_its_place(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in sources(tree).filter(|(path, _)| *path != UNSAFE) {
        for (number, line) in code(text).lines().enumerate() {
            if has_word(line, "unsafe") {
                findings.push(format!("{path}:{}: unsafe outside {UNSAFE}", number + 1));
            }
        }
    }
    findings
}

fn sources(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let all = tree.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    all.filter(|(path, _)| path.ends_with(".rs"))
}

/// The part of a file before its own tests, which by habit stand last.
fn product(code: &str) -> &str {
    let tests = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
    &code[..tests]
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name)
            && (word.ends_with('!') || !after.is_some_and(part_of_name))
    })
}

/// The text with comments, string and character literals blanked out; lines keep their numbers.
///
/// Follows the Rust Reference, "Tokens" and "Comments", as far as the difference shows here.
pub(crate) fn code(text: &str) -> String {
    let mut left = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = left.chars().next() {
        let name_before = code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let length = if left.starts_with("//") {
            left.find('\n').unwrap_or(left.len())
        } else if left.starts_with("/*") {
            block_comment(left)
        } else if first == '"' {
            quoted(left, '"')
        } else if let Some(length) = raw_string(left).filter(|_| !name_before) {
            length
        } else if first == '\'' {
            character(left)
        } else {
            0
        };
        if length == 0 {
            code.push(first);
            left = &left[first.len_utf8()..];
        } else {
            code.extend(left[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            left = &left[length..];
        }
    }
    code
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, also with `b` or `c` before.
fn raw_string(text: &str) -> Option<usize> {
    let start = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let inner = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end)? + end.len();
    Some(text.len() - inner.len() + length)
}

/// A character literal, or 0 if the quote begins a lifetime.
fn character(text: &str) -> usize {
    let mut inner = text.chars().skip(1);
    match (inner.next(), inner.next()) {
        (Some('\\'), _) => quoted(text, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn a_module_without_introduction_is_found() {
        let tree = tree(&[
            ("src/a/src/lib.rs", "//! Says it.\n"),
            ("src/a/src/b.rs", "// A comment is not enough.\n"),
            ("src/a/src/c.rs", ""),
        ]);
        assert_eq!(modules_are_introduced(&tree).len(), 2);
    }

    #[test]
    fn a_print_outside_the_console_is_found() {
        let print = "//! p\nfn f() { std::println!(\"x\") }\n";
        let tree = tree(&[
            ("src/duet/src/console.rs", print),
            ("src/duet/build.rs", print),
            ("src/initrd/src/main.rs", print),
            ("tests/src/lib.rs", print),
            ("src/duet/src/main.rs", print),
            ("src/site/src/lib.rs", "//! no println!\nfn f() { my_println!(\"print!\") }\n"),
            ("src/site/src/t.rs", "//! t\n#[cfg(test)]\nmod tests { fn f() { print!(\"\") } }\n"),
        ]);
        assert_eq!(
            only_the_console_prints(&tree),
            ["src/duet/src/main.rs:2: println! outside the console module"]
        );
    }

    #[test]
    fn unsafe_elsewhere_is_found() {
        let bad = "//! u\n\nfn f() { unsafe { g() } }\n";
        let tree = tree(&[
            (UNSAFE, bad),
            ("src/lab/src/lib.rs", bad),
            (
                "src/lab/src/fine.rs",
                "#![forbid(unsafe_code)] // unsafe\nconst U: &str = \"unsafe\";\n",
            ),
        ]);
        assert_eq!(
            unsafe_stays_in_its_place(&tree),
            [format!("src/lab/src/lib.rs:3: unsafe outside {UNSAFE}")]
        );
    }

    #[test]
    fn only_code_is_left() {
        let text =
            "a(\"q\\\"u\") b /* c /* d */ \n e */ 'f' '\\'' <'g> r#\"h\"i\"# b\"j\" k // l\nm";
        let code = code(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a(", ")", "b", "<'g>", "b", "k", "m"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }
}
