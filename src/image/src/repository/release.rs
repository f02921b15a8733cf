//! Reads a repository's `Release`: what it is called, how old it is, and the hashes of its indexes.
//!
//! Source: <https://wiki.debian.org/DebianRepository/Format>, "Release" files.

use std::collections::HashMap;

use site::Timestamp;

use crate::fetch::Digest;

/// The part of a `Release` that matters here.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) suite: String,
    pub(super) codename: String,
    pub(super) date: Timestamp,
    pub(super) valid_until: Option<Timestamp>,
    /// Whether indexes may be fetched under the name of their hash.
    pub(super) by_hash: bool,
    /// Whether packages for all architectures have an index of their own, instead of being in that
    /// of each architecture.
    pub(super) all_apart: bool,
    /// Hash and size of each index, by its path below the suite.
    pub(super) files: HashMap<String, (Digest, u64)>,
}

impl Release {
    /// Reads the text, whose lines may end as they like.
    ///
    /// # Errors
    /// A short reason, for use after "the Release file is malformed: ".
    pub(super) fn parse(text: &str) -> Result<Release, String> {
        let mut fields: HashMap<&str, &str> = HashMap::new();
        let mut files = HashMap::new();
        let mut section = "";
        for line in text.lines() {
            if line.starts_with(' ') {
                if section == "SHA256" {
                    let (path, entry) =
                        file_line(line).ok_or_else(|| format!("bad line `{}`", line.trim()))?;
                    files.insert(path.to_owned(), entry);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                section = name;
                fields.insert(name, value.trim());
            } else if !line.trim().is_empty() {
                return Err(format!("bad line `{line}`"));
            }
        }
        let text_of = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        let time_of = |name: &str| match fields.get(name) {
            None => Ok(None),
            Some(value) => {
                parse_date(value).map(Some).ok_or_else(|| format!("bad {name} `{value}`"))
            }
        };
        Ok(Release {
            suite: text_of("Suite"),
            codename: text_of("Codename"),
            date: time_of("Date")?.ok_or("it has no Date")?,
            valid_until: time_of("Valid-Until")?,
            by_hash: text_of("Acquire-By-Hash") == "yes",
            all_apart: text_of("Architectures").split_whitespace().any(|name| name == "all")
                && !text_of("No-Support-for-Architecture-all").contains("Packages"),
            files,
        })
    }
}

/// Reads ` HASH SIZE PATH`.
fn file_line(line: &str) -> Option<(&str, (Digest, u64))> {
    let mut words = line.split_ascii_whitespace();
    let (hash, size, path) = (words.next()?, words.next()?, words.next()?);
    Some((path, (hash.parse().ok()?, size.parse().ok()?)))
}

/// Reads a date of RFC 2822 in UTC, as `Release` files have it: `Sat, 21 Nov 2026 09:15:44 UTC`.
pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(',')?;
    let mut words = rest.split_ascii_whitespace();
    let day: u8 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year: u16 = words.next()?.parse().ok()?;
    let clock = words.next()?;
    if !matches!(words.next()?, "UTC" | "GMT" | "+0000" | "Z") {
        return None;
    }
    let mut parts = clock.split(':').map(|part| part.parse::<u8>());
    let mut part = || parts.next()?.ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dates_of_releases_are_read() {
        for (text, read) in [
            ("Sat, 21 Nov 2026 09:15:44 UTC", Some("2026-11-21T09:15:44Z")),
            ("Sun, 1 Feb 2026 9:05:04 +0000", Some("2026-02-01T09:05:04Z")),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some("2024-02-29T00:00:00Z")),
            ("Sat, 29 Feb 2025 00:00:00 UTC", None),
            ("Sat, 21 Nov 2026 09:15:44 CET", None),
            ("2026-11-21T09:15:44Z", None),
            ("Sat, 21 Nov 2026 25:15:44 UTC", None),
        ] {
            assert_eq!(parse_date(text).map(|t| t.to_string()).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn only_the_sha256_section_counts() {
        let hash = "ab".repeat(32);
        let text = format!(
            "Suite: stable\r\nCodename: trixie\r\nDate: Sat, 21 Nov 2026 09:15:44 UTC\r\n\
             Acquire-By-Hash: yes\r\nMD5Sum:\r\n 00 7 main/x\r\nSHA256:\r\n {hash}  12 main/y\r\n"
        );
        let release = Release::parse(&text).unwrap();
        assert_eq!((release.suite.as_str(), release.codename.as_str()), ("stable", "trixie"));
        assert!(release.by_hash && release.valid_until.is_none() && !release.all_apart);
        assert_eq!(release.files.len(), 1);
        assert_eq!(release.files["main/y"], (hash.parse().unwrap(), 12));
        for (fields, apart) in [
            ("Architectures: amd64 arm64", false),
            ("Architectures: all amd64", true),
            ("Architectures: all amd64\nNo-Support-for-Architecture-all: Packages", false),
        ] {
            let text = format!("Date: Sat, 21 Nov 2026 09:15:44 UTC\n{fields}\n");
            assert_eq!(Release::parse(&text).unwrap().all_apart, apart, "{fields}");
        }
        assert_eq!(Release::parse("Suite: x\n").unwrap_err(), "it has no Date");
        assert!(
            Release::parse("Date: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n 12 main/y\n").is_err()
        );
    }
}
