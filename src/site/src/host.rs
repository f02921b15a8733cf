//! [`Host`]: the name or address of another machine.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::text::text_serde;

/// A DNS name or an IP address. Names are kept in lower case (RFC 1123, section 2.1; RFC 4343).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

/// A text that is neither a DNS name nor an IP address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is neither a DNS name nor an IP address")]
#[diagnostic(
    code(input::host),
    help("a name is made of a-z, 0-9, `-` and `.`, such as ntp.example.org")
)]
pub struct HostError(String);

/// The longest name that DNS can carry, in bytes without the last dot (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;

impl Host {
    /// The name or address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Host {
        Host(address.to_string())
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let refused = || HostError(text.chars().take(LONGEST).collect());
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Host(address.to_string()));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits only would be a mistyped address.
        let last_is_number =
            text.rsplit('.').next().is_some_and(|l| l.chars().all(|c| c.is_ascii_digit()));
        if text.len() > LONGEST || !text.split('.').all(label) || last_is_number {
            return Err(refused());
        }
        Ok(Host(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_serde!(Host);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts() {
        for (text, kept) in [
            ("ntp.Example.org", "ntp.example.org"),
            ("time", "time"),
            ("2.debian.pool.ntp.org", "2.debian.pool.ntp.org"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().as_str(), kept);
        }
    }

    #[test]
    fn other_texts_are_not() {
        let long = format!("{}.org", "a.".repeat(130));
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "ntp.example.org.",
            "192.0.2",
            "192.0.2.256",
            "a_b.org",
            "-a.org",
            "a\nserver b",
            &long,
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
