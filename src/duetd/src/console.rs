//! The only module that prints: answers to standard output; notes and errors to standard error, which
//! is the journal for a service.
#![allow(clippy::print_stderr)]

use std::io::{self, Write};

use miette::Diagnostic;

/// Prints an answer. A reader who has seen enough, such as `head`, is no error.
pub(crate) fn answer(text: &str) -> Result<(), miette::Report> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(miette::miette!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes down something that is worth knowing afterwards.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints an error, what caused it, and the hint that belongs to it.
pub(crate) fn error(error: &dyn Diagnostic) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(source) = cause {
        eprintln!("  because: {source}");
        cause = source.source();
    }
    if let Some(hint) = error.help() {
        eprintln!("hint: {hint}");
    }
}
