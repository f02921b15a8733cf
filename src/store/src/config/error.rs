//! What can be wrong with the settings. Start at [`ConfigError`], which holds every problem at once.

use std::fmt;

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as it is written (`listen-client-urls`); the file's place, if it is no TOML.
    pub setting: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Problem {
    pub(crate) fn new(setting: impl Into<String>, reason: impl Into<String>) -> Problem {
        Problem { setting: setting.into(), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.reason)
    }
}

/// The settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the store's settings cannot be used: {}", list(problems))]
#[diagnostic(
    code(input::store_config),
    help("each setting is named as etcd's flag; `--print-config` shows what would be used")
)]
pub struct ConfigError {
    /// All that is wrong; at least one.
    pub problems: Vec<Problem>,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> ConfigError {
        ConfigError { problems: vec![problem] }
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}
