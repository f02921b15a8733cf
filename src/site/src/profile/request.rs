//! [`PackageRequest`]: a package by name, perhaps with the oldest version that will do.

use std::fmt;
use std::str::FromStr;

use crate::text::text_serde;

/// A wish for a package, written `name` or `name (>= 1.2)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageRequest {
    /// The package, or a virtual package that others provide.
    pub name: String,
    /// The oldest version that will do, as Debian writes versions.
    pub at_least: Option<String>,
}

/// Why a text is no [`PackageRequest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum RequestError {
    /// The name has characters that Debian's names do not have.
    #[error("`{0}` cannot be the name of a package")]
    #[diagnostic(
        code(input::package),
        help(
            "a name has two or more of: a-z, 0-9, `+`, `-` and `.`; write \"name\" or \"name (>= 1.2)\""
        )
    )]
    Name(String),
    /// What follows the name is not `(>= version)`.
    #[error("`{0}` is not a condition on the version")]
    #[diagnostic(code(input::package), help("write \"name\" or \"name (>= 1.2)\""))]
    Condition(String),
    /// The version has characters that Debian's versions do not have.
    #[error("`{0}` cannot be a version")]
    #[diagnostic(
        code(input::package),
        help(
            "a version starts with a digit and has only: a-z, A-Z, 0-9, `.`, `+`, `-`, `~` and `:`"
        )
    )]
    Version(String),
}

impl FromStr for PackageRequest {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let text = text.trim();
        let (name, condition) = match text.split_once(char::is_whitespace) {
            Some((name, condition)) => (name, Some(condition.trim())),
            None => (text, None),
        };
        if !is_package_name(name) {
            return Err(RequestError::Name(name.to_owned()));
        }
        let at_least = match condition {
            None => None,
            Some(condition) => {
                let version = condition.strip_prefix("(>=").and_then(|c| c.strip_suffix(')'));
                let version =
                    version.ok_or_else(|| RequestError::Condition(condition.to_owned()))?.trim();
                if !is_version(version) {
                    return Err(RequestError::Version(version.to_owned()));
                }
                Some(version.to_owned())
            }
        };
        Ok(PackageRequest { name: name.to_owned(), at_least })
    }
}

/// Whether Debian allows this name for a package (Debian Policy, section 5.6.1).
pub(crate) fn is_package_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
}

/// Whether Debian allows this text as a version (Debian Policy, section 5.6.12).
fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".+-~:".contains(c))
}

impl fmt::Display for PackageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.at_least {
            Some(version) => write!(f, " (>= {version})"),
            None => Ok(()),
        }
    }
}

text_serde!(PackageRequest);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_is_read_back_as_written() {
        for text in ["systemd", "libstdc++6", "systemd-boot (>= 257.13-1~deb13u1)"] {
            assert_eq!(text.parse::<PackageRequest>().unwrap().to_string(), text);
        }
        let loose: PackageRequest = " drbd-utils   (>=9.22) ".parse().unwrap();
        assert_eq!(loose.to_string(), "drbd-utils (>= 9.22)");
    }

    #[test]
    fn what_debian_cannot_mean_is_refused() {
        for (text, why) in [
            ("Systemd", RequestError::Name("Systemd".into())),
            ("x", RequestError::Name("x".into())),
            ("", RequestError::Name(String::new())),
            ("drbd=9", RequestError::Name("drbd=9".into())),
            ("drbd-utils 9", RequestError::Condition("9".into())),
            ("drbd-utils (= 9)", RequestError::Condition("(= 9)".into())),
            ("drbd-utils (>= v9)", RequestError::Version("v9".into())),
        ] {
            assert_eq!(text.parse::<PackageRequest>(), Err(why), "{text}");
        }
    }
}
