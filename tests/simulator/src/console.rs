//! The one place that prints: what is asked for on standard output, progress on standard error. Colours
//! are for terminals only, and `NO_COLOR` (<https://no-color.org>) is honoured. A reader that has gone away
//! wants no more of it, so what cannot be printed is left out.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use simulator::timeline::{Line, What};

/// How to print.
pub(crate) struct Console {
    json: bool,
    colour: bool,
    bar: bool,
}

impl Console {
    pub(crate) fn new(json: bool) -> Console {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Console { json, colour: stdout().is_terminal() && !plain, bar: stderr().is_terminal() }
    }

    /// A line of a timeline.
    pub(crate) fn line(&self, line: &Line) {
        if self.json {
            return print(line.json());
        }
        let colour = match line.what {
            What::Fault(_) => "33",
            What::Broken(_) => "1;31",
            What::Gap(_) => "36",
            What::Spared(_) | What::Note(_) => "2",
            What::Told(_) => "0",
        };
        if self.colour {
            print(format_args!("\x1b[{colour}m{line}\x1b[0m"));
        } else {
            print(line);
        }
    }

    /// Something else that was asked for; not in the way of a program that reads lines.
    pub(crate) fn say(&self, text: &str) {
        if self.json {
            let _ = writeln!(stderr(), "{text}");
        } else {
            print(text);
        }
    }

    /// What will be over soon.
    pub(crate) fn progress(&self, text: &str) {
        if self.bar {
            let _ = write!(stderr(), "\r\x1b[K{text}");
        }
    }

    /// No more progress.
    pub(crate) fn clear(&self) {
        if self.bar {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    /// What went wrong, and what may help.
    pub(crate) fn error(&self, text: &str, hint: Option<&str>) {
        let _ = writeln!(stderr(), "error: {text}");
        if let Some(hint) = hint {
            let _ = writeln!(stderr(), "hint: {hint}");
        }
    }
}

fn print(text: impl Display) {
    let _ = writeln!(stdout(), "{text}");
}
