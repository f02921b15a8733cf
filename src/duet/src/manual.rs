//! What `--help` knows, as pages: man pages, and one page of Markdown. Pure: takes the command
//! line's description, gives texts.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::exit;

/// The page that lists every command, with a heading for each.
pub(crate) fn markdown(command: &Command) -> String {
    let mut root = command.clone();
    root.build();
    let mut text = String::from(
        "# Commands\n\n\
         Generated from the program by `duet man --markdown`; `make docs` writes it anew. Errors, and \
         the numbers that commands end with, are in [exit-codes.md](exit-codes.md).\n",
    );
    let mut all = Vec::new();
    collect(&root, &mut all);
    for command in &all[1..] {
        let path = command.get_bin_name().unwrap_or_default();
        let level = "#".repeat(path.split(' ').count());
        let _ = write!(text, "\n{level} {path}\n\n{}\n", about(command));
        if command.has_subcommands() {
            text.push('\n');
            let shown = |child: &&Command| child.get_name() != "help" && !child.is_hide_set();
            for child in command.get_subcommands().filter(shown) {
                let path = child.get_bin_name().unwrap_or_default();
                let short = child.get_about().map(ToString::to_string).unwrap_or_default();
                let _ = writeln!(text, "- [`{path}`](#{}): {short}", path.replace(' ', "-"));
            }
        } else {
            let _ = write!(text, "\n```\n{}\n```\n", usage(command));
            arguments(&mut text, command.get_arguments().filter(|arg| !arg.is_global_set()));
        }
    }
    text.push_str("\n## Everywhere\n\nThese options are understood by every command.\n");
    arguments(&mut text, root.get_arguments().filter(|arg| arg.is_global_set()));
    text.push_str(
        "\n## Exit codes\n\n| code | class | what is wrong | where to look |\n|---|---|---|---|\n",
    );
    for class in &exit::CLASSES {
        let exit::Class { code, name, wrong, look } = class;
        let _ = writeln!(text, "| {code} | {name} | {wrong} | {look} |");
    }
    text
}

/// Man pages by file name: `duet.1`, `duet-lab-up.1`, …
///
/// # Errors
/// Never in practice: roff is written to memory.
pub(crate) fn pages(command: &Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = command.clone().disable_help_subcommand(true);
    root.build();
    let mut all = Vec::new();
    collect(&root, &mut all);
    let mut pages = Vec::new();
    for command in all {
        let man = clap_mangen::Man::new(command.clone());
        let mut page = Vec::new();
        man.render(&mut page)?;
        pages.push((man.get_filename(), page));
    }
    Ok(pages)
}

/// The command and all below it, in the order in which help lists them.
fn collect<'a>(command: &'a Command, all: &mut Vec<&'a Command>) {
    all.push(command);
    // What is hidden is started by programs, not by people.
    let shown = |child: &&Command| child.get_name() != "help" && !child.is_hide_set();
    for child in command.get_subcommands().filter(shown) {
        collect(child, all);
    }
}

fn about(command: &Command) -> String {
    let short = command.get_about().map(ToString::to_string).unwrap_or_default();
    match command.get_long_about() {
        Some(long) => long.to_string().trim_end().replacen(&short, &format!("{short}."), 1),
        None => short + ".",
    }
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").to_owned()
}

fn arguments<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let listed: Vec<&Arg> =
        arguments.filter(|arg| !arg.is_hide_set() && arg.get_id() != "help").collect();
    if listed.is_empty() {
        return;
    }
    text.push('\n');
    for arg in listed {
        let help = arg.get_long_help().or_else(|| arg.get_help());
        let help = help.map(ToString::to_string).unwrap_or_default();
        let _ = write!(
            text,
            "- `{}`: {}",
            signature(arg),
            help.replace("\n\n", " ").replace('\n', " ")
        );
        if let Some(variable) = arg.get_env() {
            let _ = write!(text, " (variable `{}`)", variable.to_string_lossy());
        }
        let values: Vec<String> =
            arg.get_default_values().iter().map(|v| v.to_string_lossy().into()).collect();
        if !values.is_empty() && arg.get_action().takes_values() {
            let _ = write!(text, " (else `{}`)", values.join(" "));
        }
        text.push('\n');
    }
}

/// `-q, --quiet`, `--out DIR`, `PROFILE…`
fn signature(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let many =
        if arg.get_num_args().is_some_and(|count| count.max_values() > 1) { "…" } else { "" };
    let value = names.iter().map(|name| format!("{name}{many}")).collect::<Vec<_>>().join(" ");
    if arg.is_positional() {
        return value;
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values() { format!("{flags} {value}") } else { flags }
}
