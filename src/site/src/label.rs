//! [`Label`]: a name that fits into DNS, file names and host names alike.

use std::fmt;
use std::str::FromStr;

use crate::text::text_serde;

/// A DNS label in lower case (RFC 1123, section 2.1): 1 to 63 letters, digits and hyphens, with no
/// hyphen at either end. Site and host names are labels, so that they may stand anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// The longest label that DNS can carry, in bytes (RFC 1035, section 2.3.4).
const LONGEST: usize = 63;

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`Label`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum LabelError {
    /// Nothing was written.
    #[error("the name is empty")]
    #[diagnostic(code(input::name), help("write 1 to 63 of: a-z, 0-9 and `-`"))]
    Empty,
    /// More than DNS can carry.
    #[error("the name has {0} characters")]
    #[diagnostic(code(input::name), help("a name has at most 63 characters"))]
    Long(usize),
    /// A character that host names may not have.
    #[error("the name has a {0:?} in it")]
    #[diagnostic(code(input::name), help("a name is made of a-z, 0-9 and `-`"))]
    Character(char),
    /// A hyphen where DNS allows none.
    #[error("the name begins or ends with `-`")]
    #[diagnostic(code(input::name), help("begin and end with a letter or a digit"))]
    Hyphen,
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let good = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
        if text.is_empty() {
            Err(LabelError::Empty)
        } else if let Some(bad) = text.chars().find(|c| !good(c)) {
            Err(LabelError::Character(bad))
        } else if text.len() > LONGEST {
            Err(LabelError::Long(text.len()))
        } else if text.starts_with('-') || text.ends_with('-') {
            Err(LabelError::Hyphen)
        } else {
            Ok(Label(text.to_owned()))
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

text_serde!(Label);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_that_dns_can_carry_are_taken() {
        for name in ["a", "my-campus", "7", "a1-b2", &"x".repeat(63)] {
            assert_eq!(name.parse::<Label>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn other_names_are_refused_for_a_reason() {
        for (name, why) in [
            ("", LabelError::Empty),
            ("My-campus", LabelError::Character('M')),
            ("my_campus", LabelError::Character('_')),
            ("a.b", LabelError::Character('.')),
            ("b\u{fc}ro", LabelError::Character('\u{fc}')),
            ("-a", LabelError::Hyphen),
            ("a-", LabelError::Hyphen),
            (&"x".repeat(64), LabelError::Long(64)),
        ] {
            assert_eq!(name.parse::<Label>(), Err(why), "{name}");
        }
    }
}
