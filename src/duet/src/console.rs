//! The one place that prints: results on standard output, all else on standard error.
//!
//! Start at [`Console`]. Colours and moving bars are for terminals only, and `NO_COLOR`
//! (<https://no-color.org>) is honoured. Decides nothing but how things look.

mod bars;
mod style;

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

pub(crate) use style::Style;

use crate::{exit, report};

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    /// Errors only.
    Quiet,
    /// Notes, hints and progress too.
    Normal,
    /// Also where things were found and every stage's time.
    Verbose,
}

/// Standard output could not be written: a full disk behind a redirection, mostly.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write the result to standard output")]
#[diagnostic(code(output::stdout), help("see that the disk behind the redirection has space"))]
pub(crate) struct ConsoleError(#[source] io::Error);

/// Where a command says what it has to say.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    loudness: Loudness,
    style: Style,
    bars: MultiProgress,
}

impl Console {
    /// A console for this process's standard streams.
    pub(crate) fn new(loudness: Loudness) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = io::stderr().is_terminal();
        let target = match loudness {
            Loudness::Quiet => ProgressDrawTarget::hidden(),
            _ => ProgressDrawTarget::stderr(),
        };
        Console {
            loudness,
            style: Style::new(terminal && !no_color),
            bars: MultiProgress::with_draw_target(target),
        }
    }

    /// A result, with a line's end.
    ///
    /// # Errors
    /// When standard output cannot be written. A reader that went away is no error.
    pub(crate) fn result(&self, text: impl Display) -> Result<(), ConsoleError> {
        let text = text.to_string();
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        self.bytes(format!("{text}{end}").as_bytes())
    }

    /// A result for programs: one JSON document, and nothing else is ever on standard output.
    ///
    /// # Errors
    /// As [`Console::result`].
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), ConsoleError> {
        let text = serde_json::to_string_pretty(value).map_err(|e| ConsoleError(e.into()))?;
        self.result(text)
    }

    /// A result as it is.
    ///
    /// # Errors
    /// As [`Console::result`].
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), ConsoleError> {
        let written = self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        });
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ConsoleError(error)),
            _ => Ok(()),
        }
    }

    /// Something worth knowing that is no result.
    pub(crate) fn note(&self, text: impl Display) {
        self.say(Loudness::Normal, &text.to_string());
    }

    /// Something that only who looks closely wants to know.
    pub(crate) fn detail(&self, text: impl Display) {
        self.say(Loudness::Verbose, &self.style.faint(&text.to_string()));
    }

    /// What to do next.
    pub(crate) fn hint(&self, text: impl Display) {
        self.say(Loudness::Normal, &format!("{} {text}", self.style.hint("hint:")));
    }

    /// Something that may be wrong, and does not stop the work.
    pub(crate) fn warning(&self, text: impl Display) {
        self.say(Loudness::Quiet, &format!("{} {text}", self.style.warning("warning:")));
    }

    /// Why the command failed. Said whatever the loudness.
    pub(crate) fn error(&self, failure: &miette::Report) {
        let mut text = report::render(failure.as_ref(), &self.style);
        if self.loudness == Loudness::Verbose {
            let class = failure.code().map_or("none".into(), |code| code.to_string());
            let number = exit::code(failure.as_ref());
            text += &self.style.faint(&format!("code: {class}, exit code {number}\n"));
        }
        self.say(Loudness::Quiet, text.trim_end());
    }

    /// The process is about to end because somebody asked it to: takes the bars off the screen.
    pub(crate) fn interrupted(&self) {
        let _ = self.bars.clear();
        self.say(Loudness::Normal, "interrupted: nothing unfinished has a final name");
        self.hint("run it again: it goes on where it stopped");
    }

    fn say(&self, from: Loudness, text: &str) {
        if self.loudness >= from {
            self.bars.suspend(|| line(text));
        }
    }
}

/// The text in lines of at most `width` characters, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A line on standard error. Nobody can be told that standard error is closed.
fn line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What was typed cannot be understood, or asks for help or the version.
pub(crate) fn usage(stop: &clap::Error) -> ExitCode {
    if !stop.use_stderr() {
        let _ = stop.print();
        return ExitCode::SUCCESS;
    }
    let colour = Console::new(Loudness::Normal).style.is_on();
    let text = stop.render();
    let text = if colour { text.ansi().to_string() } else { text.to_string() };
    // Clap's word for it is "tip"; this program has one word for all such lines.
    let _ = io::stderr().lock().write_all(text.replace("tip:", "hint:").as_bytes());
    ExitCode::from(exit::USAGE)
}
