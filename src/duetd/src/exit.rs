//! The numbers that `duetd store`, `kubernetes` and `witness` end with: those of `duet` where they mean the same, and some of its
//! own (docs/exit-codes.md). Start at [`code`].
//!
//! The class is the first part of a diagnostic's code, such as `integrity::backup`. Scripts and units
//! rely on the numbers, so a line here is added, never changed.

use std::process::ExitCode;

use miette::Diagnostic;

use crate::console;

/// What has no class of its own.
pub(crate) const OTHER: u8 = 1;

/// Something was looked at and is not in order.
pub(crate) const INTEGRITY: u8 = 5;

/// The running store, or the pair's protocol, says no.
pub(crate) const REFUSED: u8 = 12;

const CLASSES: [(&str, u8); 9] = [
    ("usage", 2),
    ("input", 3),
    ("network", 4),
    // An address that cannot be had or reached, or what is needed to speak there.
    ("io", 4),
    ("integrity", INTEGRITY),
    ("output", 7),
    ("permission", 10),
    // The disk did not take or keep what was written: nothing more may be promised.
    ("durability", 11),
    ("refused", REFUSED),
];

/// What to end with after `failure`: the class of the first code on the way to its cause.
pub(crate) fn code(failure: &dyn Diagnostic) -> u8 {
    let mut next = Some(failure);
    while let Some(diagnostic) = next {
        if let Some(code) = diagnostic.code() {
            let code = code.to_string();
            let name = code.split("::").next().unwrap_or_default();
            let known = CLASSES.iter().find(|(class, _)| *class == name);
            return known.map_or(OTHER, |(_, number)| *number);
        }
        next = diagnostic.diagnostic_source();
    }
    OTHER
}

/// Ends a command: says what went wrong, if something did.
pub(crate) fn end(done: Result<ExitCode, miette::Report>) -> ExitCode {
    done.unwrap_or_else(|error| {
        console::error(error.as_ref());
        ExitCode::from(code(error.as_ref()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error, Diagnostic)]
    enum Failure {
        #[error("d")]
        #[diagnostic(code(durability::fsync))]
        Disk,
        #[error("o")]
        #[diagnostic(transparent)]
        Outer(Box<Failure>),
        #[error("n")]
        None,
        #[error("u")]
        #[diagnostic(code(unheard::of))]
        Unknown,
    }

    #[test]
    fn the_class_decides() {
        assert_eq!(code(&Failure::Disk), 11);
        assert_eq!(code(&Failure::Outer(Box::new(Failure::Disk))), 11);
        assert_eq!(code(&Failure::None), OTHER);
        assert_eq!(code(&Failure::Unknown), OTHER);
    }

    #[test]
    fn classes_are_unique() {
        for (at, (class, number)) in CLASSES.iter().enumerate() {
            assert!(CLASSES[..at].iter().all(|(c, n)| c != class && n <= number));
        }
    }
}
