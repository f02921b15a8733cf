//! The numbers that `duet` ends with: one table, from the class of a diagnostic's code.
//!
//! The class is the first part of the code that a library gives its error: `integrity::hash` is of
//! the class `integrity`. Scripts rely on the numbers, so a line here is added, never changed.

use std::fmt::Write as _;

use miette::Diagnostic;

/// One way to end.
#[derive(Debug)]
pub(crate) struct Class {
    /// The exit code.
    pub(crate) code: u8,
    /// First part of a diagnostic's code; empty where there is none.
    pub(crate) name: &'static str,
    /// What is wrong.
    pub(crate) wrong: &'static str,
    /// Where to look, or what to do.
    pub(crate) look: &'static str,
}

/// Something that has no class of its own; also what was compared differs, as `diff` ends.
pub(crate) const OTHER: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// Ctrl-C: 128 and the signal's number, as a shell would say it.
pub(crate) const INTERRUPTED: u8 = 130;

const fn class(code: u8, name: &'static str, wrong: &'static str, look: &'static str) -> Class {
    Class { code, name, wrong, look }
}

/// Every exit code, lowest first.
#[rustfmt::skip]
pub(crate) const CLASSES: [Class; 12] = [
    class(0, "", "nothing", ""),
    class(OTHER, "", "something that has no class of its own", "the message"),
    class(USAGE, "usage", "the command line", "`duet help COMMAND`"),
    class(3, "input", "a site file, a profile, a lock: unknown key, impossible value",
        "the line and column in the message"),
    class(4, "network", "a mirror cannot be reached, or stopped answering",
        "the network; `--offline` if the cache is filled"),
    class(5, "integrity", "a hash, a signature or a date does not hold; an artefact is damaged",
        "do not use what was read; fetch or build it again"),
    class(6, "resolve", "a profile's packages cannot be installed together",
        "the chain of demands in the message"),
    class(7, "output",
        "the disk is full, a folder is not writable, a slot or the ESP is too small",
        "the folder given with `--out`; the sizes in the profile"),
    class(8, "tool", "a program of the locked tools failed",
        "its own words, which the message carries"),
    class(9, "lab", "a virtual machine did not start, or stopped",
        "its log, which the message names"),
    class(10, "permission", "a key file can be read by others", "`chmod 600` on the file named"),
    class(INTERRUPTED, "interrupted", "Ctrl-C", "run it again: it goes on where it stopped"),
];

/// What `duet` ends with after `failure`: the class of the first code on the way to its cause.
pub(crate) fn code(failure: &dyn Diagnostic) -> u8 {
    let mut next = Some(failure);
    while let Some(diagnostic) = next {
        if let Some(code) = diagnostic.code() {
            let code = code.to_string();
            let name = code.split("::").next().unwrap_or_default();
            let known = CLASSES.iter().find(|class| !name.is_empty() && class.name == name);
            return known.map_or(OTHER, |class| class.code);
        }
        next = diagnostic.diagnostic_source();
    }
    OTHER
}

/// The line at the end of `duet --help`.
pub(crate) fn summary() -> String {
    let mut line = String::from("Exit codes:");
    for class in &CLASSES {
        let name = match class.code {
            0 => "done",
            OTHER => "other",
            _ => class.name,
        };
        let _ = write!(line, " {} {name},", class.code);
    }
    line.pop();
    line + ".\n`duet exit-codes` says what each means."
}

/// The table as text for a terminal.
pub(crate) fn table() -> String {
    let mut text = String::from("code  class        what is wrong\n");
    for Class { code, name, wrong, look } in &CLASSES {
        let _ = writeln!(text, "{code:>4}  {name:<11}  {wrong}");
        if !look.is_empty() {
            let _ = writeln!(text, "{:19}look at: {look}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("x")]
    struct Failure(Option<&'static str>, Option<Box<Failure>>);

    impl Diagnostic for Failure {
        fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
            self.0.map(|code| Box::new(code) as Box<dyn std::fmt::Display>)
        }
        fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
            self.1.as_deref().map(|cause| cause as &dyn Diagnostic)
        }
    }

    #[test]
    fn the_class_decides() {
        assert_eq!(code(&Failure(Some("integrity::hash"), None)), 5);
        assert_eq!(code(&Failure(Some("permission"), None)), 10);
        assert_eq!(code(&Failure(Some("unheard::of"), None)), 1);
        assert_eq!(code(&Failure(Some(""), None)), 1);
        assert_eq!(code(&Failure(None, None)), 1);
    }

    #[test]
    fn the_cause_is_asked_where_the_outside_has_no_class() {
        let cause = Failure(Some("network::timeout"), None);
        assert_eq!(code(&Failure(None, Some(Box::new(cause)))), 4);
        let cause = Failure(Some("network::timeout"), None);
        assert_eq!(code(&Failure(Some("input::key"), Some(Box::new(cause)))), 3);
    }

    #[test]
    fn numbers_and_names_are_unique() {
        for (at, class) in CLASSES.iter().enumerate() {
            assert!(CLASSES[..at].iter().all(|before| before.code < class.code));
            assert!(CLASSES[..at].iter().all(|b| b.name.is_empty() || b.name != class.name));
        }
    }
}
