//! The only module that prints: answers to standard output; notes and errors to standard error, which
//! is the journal for a service.
#![allow(clippy::print_stderr)]

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use miette::Diagnostic;
use serde::Serialize;

/// How often a bar's spinner turns: quick enough to look alive.
const TICK: Duration = Duration::from_millis(120);

const OF_KNOWN_LENGTH: &str = "{spinner} {msg:<24} {bar:24} {percent:>3} % {elapsed:>4}";
const OF_UNKNOWN_LENGTH: &str = "{spinner} {msg:<24} {binary_bytes:>10} {elapsed:>4}";

/// Prints an answer. A reader who has seen enough, such as `head`, is no error.
pub(crate) fn answer(text: &str) -> Result<(), miette::Report> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(miette::miette!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Prints an answer for a script: one JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<(), miette::Report> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| miette::miette!("cannot write the answer as JSON: {error}"))?;
    answer(&(text + "\n"))
}

/// Prints many lines.
#[derive(Debug)]
pub(crate) struct Lines(io::BufWriter<io::Stdout>);

impl Lines {
    /// To standard output.
    pub(crate) fn new() -> Lines {
        Lines(io::BufWriter::new(io::stdout()))
    }

    /// Prints one line; false if the reader has seen enough.
    pub(crate) fn line(&mut self, text: &str) -> Result<bool, miette::Report> {
        Self::seen(writeln!(self.0, "{text}"))
    }

    /// Prints what is left.
    pub(crate) fn finish(mut self) -> Result<(), miette::Report> {
        Self::seen(self.0.flush()).map(drop)
    }

    fn seen(written: io::Result<()>) -> Result<bool, miette::Report> {
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(miette::miette!("cannot write to standard output: {error}")),
        }
    }
}

/// Writes down something that is worth knowing afterwards.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints an error, what caused it, and the hint that belongs to it.
pub(crate) fn error(error: &dyn Diagnostic) {
    let mut said = error.to_string();
    eprintln!("error: {said}");
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        // Some libraries' errors say what their cause says.
        if !said.contains(&text) {
            eprintln!("  because: {text}");
            said = text;
        }
        cause = source.source();
    }
    if let Some(hint) = error.help() {
        eprintln!("hint: {hint}");
    }
}

/// How far something that takes long has come: a bar on a terminal, nothing elsewhere. It is gone when
/// this is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins to show `what`.
    pub(crate) fn new(what: &'static str) -> Progress {
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(OF_UNKNOWN_LENGTH);
        let bar = bar.with_style(style.expect("the template above parses")).with_message(what);
        bar.enable_steady_tick(TICK);
        Progress(bar)
    }

    /// So much is done of so much; 0 if nobody knows how much there is.
    pub(crate) fn set(&self, done: u64, total: u64) {
        if total > 0 && self.0.length() != Some(total) {
            let style = ProgressStyle::with_template(OF_KNOWN_LENGTH);
            self.0.set_style(style.expect("the template above parses"));
            self.0.set_length(total);
        }
        self.0.set_position(done);
    }

    /// So much more is done.
    pub(crate) fn add(&self, more: u64) {
        self.0.inc(more);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
