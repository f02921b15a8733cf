//! A command that nobody can read about does not exist for most people.

use crate::Tree;
use crate::rust::code;

/// The programs that have subcommands, by the folder of their crate.
const PROGRAMS: [&str; 2] = ["duet", "duetd"];

/// Every subcommand has a heading under `docs/`, such as `### duet lab up`, and every such heading
/// has its subcommand.
pub(crate) fn are_documented(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for program in PROGRAMS {
        let headings = headings(tree, program);
        let commands = commands(tree, program);
        for (path, command) in &commands {
            if !headings.iter().any(|(_, heading)| last_word(heading) == command) {
                findings.push(format!("{path}: docs/ has no heading for {program} … {command}"));
            }
        }
        for (path, heading) in &headings {
            if !commands.iter().any(|(_, command)| command == last_word(heading)) {
                findings
                    .push(format!("{path}: describes {heading}, which is gone; run `make docs`"));
            }
        }
    }
    findings
}

fn last_word(heading: &str) -> &str {
    heading.rsplit(' ').next().unwrap_or(heading)
}

/// Path and text of each heading that starts with the program's name and a space.
fn headings<'a>(tree: &'a Tree, program: &str) -> Vec<(&'a str, String)> {
    let mut found = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.starts_with("docs/")) {
        let lines = text.lines().filter(|line| path.ends_with(".md") && line.starts_with('#'));
        for heading in lines.map(|line| line.trim_start_matches('#').replace('`', "")) {
            let heading = heading.trim();
            if heading.strip_prefix(program).is_some_and(|rest| rest.starts_with(' ')) {
                found.push((path.as_str(), heading.to_owned()));
            }
        }
    }
    found
}

/// Path and typed name of each variant of each enum that derives clap's `Subcommand`.
fn commands<'a>(tree: &'a Tree, program: &str) -> Vec<(&'a str, String)> {
    let folder = format!("src/{program}/src/");
    let mut found = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.starts_with(&folder)) {
        if !path.ends_with(".rs") {
            continue;
        }
        let code = code(text);
        for derive in code.split("#[derive(").skip(1) {
            let Some((derived, item)) = derive.split_once(")]") else { continue };
            let of_clap = |name: &str| ["Subcommand", "clap::Subcommand"].contains(&name.trim());
            if derived.split(',').any(of_clap) {
                let typed = variants(item).into_iter().map(|variant| kebab(&variant));
                found.extend(typed.map(|command| (path.as_str(), command)));
            }
        }
    }
    found
}

/// The names of an enum's variants: the first word of each item between its braces, attributes
/// left aside.
fn variants(item: &str) -> Vec<String> {
    let body = item.split_once('{').map_or("", |(_, body)| body);
    let mut names = Vec::new();
    let mut depth = 0_u32;
    let mut expected = true;
    let mut name = String::new();
    for c in body.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => expected = true,
            c if depth == 0 && expected && c.is_alphanumeric() => {
                name.push(c);
                continue;
            }
            _ => {}
        }
        if !name.is_empty() {
            names.push(std::mem::take(&mut name));
            // A variant without fields ends with the comma that begins the next one.
            expected = c == ',';
        }
    }
    names.extend((!name.is_empty()).then_some(name));
    names
}

/// `ExitCodes` is typed `exit-codes`.
fn kebab(name: &str) -> String {
    let mut typed = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !typed.is_empty() {
            typed.push('-');
        }
        typed.extend(c.to_lowercase());
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    const ENUM: &str = "\
//! x
/// Not clap's.
#[derive(Debug, Clone)]
enum Other { Noise }
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Builds, and more.
    Build(build::Build),
    #[command(hide = false)]
    ExitCodes { dir: PathBuf, n: u8 },
    Clean,
    Status
}
";

    #[test]
    fn documented_commands_are_fine() {
        let tree = tree(&[
            ("src/duet/src/commands.rs", ENUM),
            (
                "docs/commands.md",
                "## duet build\n## `duet exit-codes`\n# duet clean\n### duet lab status\n",
            ),
        ]);
        assert_eq!(are_documented(&tree), [""; 0]);
    }

    #[test]
    fn an_undocumented_command_is_found() {
        let tree = tree(&[
            ("src/duet/src/commands.rs", ENUM),
            ("docs/commands.md", "## duet build\n# duet clean\n### duet status\nduet exit-codes\n"),
        ]);
        assert_eq!(
            are_documented(&tree),
            ["src/duet/src/commands.rs: docs/ has no heading for duet … exit-codes"]
        );
    }

    #[test]
    fn a_page_for_a_command_that_is_gone_is_found() {
        let tree = tree(&[("docs/node.md", "# duetd\n## duetd dance\n")]);
        let found = are_documented(&tree);
        assert!(found.len() == 1 && found[0].contains("describes duetd dance"), "{found:?}");
    }
}
