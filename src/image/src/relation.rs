//! What packages say of one another: versions and their order, `Depends`, `Provides`, `Conflicts`.
//!
//! Start at [`Version`] and [`parse_dependencies`]. Everything borrows from the text of the index;
//! nothing is copied. Knows nothing of which packages exist.
//!
//! Sources: Debian Policy 5.6.12 (versions), 7.1 (relationship fields), 7.5 (`Provides`).

use std::cmp::Ordering;
use std::fmt;

/// A Debian version as written: `[epoch:]upstream[-revision]`.
///
/// Two versions that compare equal may be spelt differently (`1.0` and `0:1.0-0`).
#[derive(Clone, Copy, Debug, Hash)]
pub struct Version<'a>(pub &'a str);

impl<'a> Version<'a> {
    /// Epoch (without leading zeros, empty for 0), upstream version and revision.
    fn parts(self) -> (&'a str, &'a str, &'a str) {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("", self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.trim_start_matches('0'), upstream, revision)
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.parts(), other.parts());
        compare_numbers(a.0.as_bytes(), b.0.as_bytes())
            .then_with(|| compare_part(a.1.as_bytes(), b.1.as_bytes()))
            .then_with(|| compare_part(a.2.as_bytes(), b.2.as_bytes()))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Compares an upstream version or a revision: runs of non-digits, then runs of digits, in turn.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !(a.is_empty() && b.is_empty()) {
        let (a_text, b_text) =
            (take(&mut a, |c| !c.is_ascii_digit()), take(&mut b, |c| !c.is_ascii_digit()));
        let (a_digits, b_digits) =
            (take(&mut a, u8::is_ascii_digit), take(&mut b, u8::is_ascii_digit));
        let order = compare_text(a_text, b_text).then_with(|| compare_numbers(a_digits, b_digits));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the longest start of `rest` whose bytes all satisfy `wanted`.
fn take<'a>(rest: &mut &'a [u8], wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = rest.iter().position(|c| !wanted(c)).unwrap_or(rest.len());
    let (head, tail) = rest.split_at(end);
    *rest = tail;
    head
}

/// Lexical order in which letters sort before everything else and `~` before the end of the part.
fn compare_text(a: &[u8], b: &[u8]) -> Ordering {
    fn weight(c: Option<&u8>) -> i32 {
        match c {
            Some(b'~') => -1,
            None => 0,
            Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
            Some(c) => i32::from(*c) + 256,
        }
    }
    (0..a.len().max(b.len()))
        .map(|i| weight(a.get(i)).cmp(&weight(b.get(i))))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// Compares decimal numbers of any length; no digits count as zero.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant =
        |digits: &'_ [u8]| digits.iter().position(|d| *d != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// How a relation bounds a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`)
    AtMost,
    /// `=`
    Exactly,
    /// `>=` (and the obsolete `>`)
    AtLeast,
    /// `>>`
    Later,
}

impl Bound {
    /// Whether `version` lies within this bound of `limit`.
    pub fn admits(self, version: Version<'_>, limit: Version<'_>) -> bool {
        let order = version.cmp(&limit);
        match self {
            Bound::Earlier => order == Ordering::Less,
            Bound::AtMost => order != Ordering::Greater,
            Bound::Exactly => order == Ordering::Equal,
            Bound::AtLeast => order != Ordering::Less,
            Bound::Later => order == Ordering::Greater,
        }
    }

    /// As it is written in a control file.
    pub fn sign(self) -> &'static str {
        match self {
            Bound::Earlier => "<<",
            Bound::AtMost => "<=",
            Bound::Exactly => "=",
            Bound::AtLeast => ">=",
            Bound::Later => ">>",
        }
    }
}

/// One package named by another: `libc6 (>= 2.38)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The name of a package, real or virtual.
    pub name: &'a str,
    /// The architecture after a colon: `any`, `native`, or the name of one.
    pub architecture: Option<&'a str>,
    /// The versions meant; none means all.
    pub bound: Option<(Bound, Version<'a>)>,
}

impl Relation<'_> {
    /// Whether a package of this version and this name is meant.
    pub fn admits(&self, version: Version<'_>) -> bool {
        self.bound.is_none_or(|(bound, limit)| bound.admits(version, limit))
    }

    /// Whether a `Provides` of this name is meant: an unversioned one only meets an unbounded
    /// relation, a versioned one (`Provides: x (= 2)`) meets what admits its version.
    pub fn admits_provided(&self, provided: &Relation<'_>) -> bool {
        match (self.bound, provided.bound) {
            (None, _) => true,
            (Some(_), Some((Bound::Exactly, version))) => self.admits(version),
            (Some(_), _) => false,
        }
    }

    /// Whether the relation can mean packages of `architecture` at all (Policy 7.1, multi-arch).
    pub fn concerns(&self, architecture: &str) -> bool {
        self.architecture
            .is_none_or(|named| matches!(named, "any" | "native") || named == architecture)
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(architecture) = self.architecture {
            write!(f, ":{architecture}")?;
        }
        match self.bound {
            Some((bound, version)) => write!(f, " ({} {version})", bound.sign()),
            None => Ok(()),
        }
    }
}

/// One part of a `Depends`: any of the alternatives will do, the first is preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency<'a> {
    /// As written, for messages.
    pub text: &'a str,
    /// In the order written; never empty.
    pub alternatives: Vec<Relation<'a>>,
}

impl<'a> Dependency<'a> {
    /// The dependency on any version of `name`.
    pub fn on(name: &'a str) -> Dependency<'a> {
        Dependency {
            text: name,
            alternatives: vec![Relation { name, architecture: None, bound: None }],
        }
    }
}

/// A relationship field that does not follow Policy 7.1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("cannot understand the relation `{text}`: {reason}")]
#[diagnostic(
    code(integrity::relation),
    help(
        "the repository's package index breaks Debian Policy 7.1; tell its maintainers, or leave the repository out"
    )
)]
pub struct RelationError {
    /// The relation as written.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads `Depends`, `Pre-Depends` and their like: `a (>= 1) | b, c`.
pub fn parse_dependencies(field: &str) -> Result<Vec<Dependency<'_>>, RelationError> {
    pieces(field, ',')
        .map(|text| {
            let alternatives =
                pieces(text, '|').map(parse_relation).collect::<Result<Vec<_>, _>>()?;
            Ok(Dependency { text, alternatives })
        })
        .collect()
}

/// Reads `Provides`, `Conflicts` and `Breaks`: a list without alternatives.
pub fn parse_relations(field: &str) -> Result<Vec<Relation<'_>>, RelationError> {
    pieces(field, ',').map(parse_relation).collect()
}

/// The trimmed pieces of `field`; empty ones (a comma at the end) are skipped.
fn pieces(field: &str, separator: char) -> impl Iterator<Item = &str> {
    field.split(separator).map(str::trim).filter(|piece| !piece.is_empty())
}

/// Reads `name[:arch] [(bound version)]`.
fn parse_relation(text: &str) -> Result<Relation<'_>, RelationError> {
    let fault = |reason| RelationError { text: text.to_owned(), reason };
    let (subject, bound) = match text.split_once('(') {
        None => (text, None),
        Some((subject, rest)) => {
            let inner = rest.strip_suffix(')').ok_or_else(|| fault("the bracket is not closed"))?;
            (
                subject.trim_end(),
                Some(parse_bound(inner.trim()).ok_or_else(|| fault("no such bound"))?),
            )
        }
    };
    let (name, architecture) = match subject.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (subject, None),
    };
    let sound = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.' | b'_');
    if name.is_empty() || !name.bytes().all(sound) {
        return Err(fault("that is no name of a package"));
    }
    Ok(Relation { name, architecture, bound })
}

/// Reads `>= 1.2`.
fn parse_bound(text: &str) -> Option<(Bound, Version<'_>)> {
    let end = text.find(|c| !matches!(c, '<' | '=' | '>'))?;
    let bound = match &text[..end] {
        "<<" => Bound::Earlier,
        "<=" | "<" => Bound::AtMost,
        "=" => Bound::Exactly,
        ">=" | ">" => Bound::AtLeast,
        ">>" => Bound::Later,
        _ => return None,
    };
    let version = text[end..].trim();
    (!version.is_empty() && !version.contains(char::is_whitespace))
        .then_some((bound, Version(version)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions_sort_as_dpkg_sorts_them() {
        use Ordering::{Equal, Greater, Less};
        // Policy 5.6.12 and the cases of dpkg's own t-version.c.
        for (a, b, order) in [
            ("1.0", "1.0", Equal),
            ("1.0", "0:1.0-0", Equal),
            ("1.0-0", "1.0", Equal),
            ("00:1", "0:1", Equal),
            ("1.01", "1.1", Equal),
            ("1.0", "1.1", Less),
            ("1.9", "1.10", Less),
            ("1:0.1", "2.0", Greater),
            ("2:1", "10:1", Less),
            ("1.0~rc1", "1.0", Less),
            ("1.0~~", "1.0~~a", Less),
            ("1.0~~a", "1.0~", Less),
            ("1.0~", "1.0", Less),
            ("1.0", "1.0a", Less),
            ("1.0a", "1.0+", Less),
            ("1.0-1", "1.0-2", Less),
            ("1.0-1", "1.0-1+b1", Less),
            ("1.0-1~deb13u1", "1.0-1", Less),
            ("1.2.3-4-5", "1.2.3-4-6", Less),
            ("6.12.57-1", "6.12.9-1", Greater),
            ("257.9-1~deb13u1", "257.13-1~deb13u1", Less),
            ("20250101000000000000000000001", "20250101000000000000000000002", Less),
            ("1.0+dfsg", "1.0", Greater),
            ("a", "1", Greater),
        ] {
            assert_eq!(Version(a).cmp(&Version(b)), order, "{a} and {b}");
            assert_eq!(Version(b).cmp(&Version(a)), order.reverse(), "{b} and {a}");
        }
    }

    #[test]
    fn fields_are_read_as_written() {
        let field = "libc6 (>= 2.38), default-mta | mail-transport-agent ,\n python3:any (<<4) , x (= 1:2-3),";
        let read: Vec<Vec<String>> = parse_dependencies(field)
            .unwrap()
            .iter()
            .map(|dependency| dependency.alternatives.iter().map(Relation::to_string).collect())
            .collect();
        assert_eq!(
            read,
            [
                vec!["libc6 (>= 2.38)"],
                vec!["default-mta", "mail-transport-agent"],
                vec!["python3:any (<< 4)"],
                vec!["x (= 1:2-3)"],
            ]
        );
        assert_eq!(parse_dependencies("").unwrap(), []);
    }

    #[test]
    fn what_breaks_policy_is_named() {
        for (field, reason) in [
            ("a (>= 1", "the bracket is not closed"),
            ("a (~ 1)", "no such bound"),
            ("a (>=)", "no such bound"),
            ("a b", "that is no name of a package"),
            ("(>= 1)", "that is no name of a package"),
            ("a [amd64]", "that is no name of a package"),
        ] {
            assert_eq!(parse_relations(field).unwrap_err().reason, reason, "{field}");
        }
    }

    #[test]
    fn provides_meet_a_bound_only_with_a_version() {
        let meets = |wanted, provided| {
            parse_relations(wanted).unwrap()[0]
                .admits_provided(&parse_relations(provided).unwrap()[0])
        };
        assert!(meets("mta", "mta"));
        assert!(meets("mta", "mta (= 3)"));
        assert!(!meets("mta (>= 1)", "mta"));
        assert!(meets("mta (>= 1)", "mta (= 1.5)"));
        assert!(!meets("mta (>= 2)", "mta (= 1.5)"));
    }

    #[test]
    fn foreign_architectures_are_not_meant() {
        let concerns = |text| parse_relations(text).unwrap()[0].concerns("amd64");
        assert!(concerns("a") && concerns("a:any") && concerns("a:native") && concerns("a:amd64"));
        assert!(!concerns("a:i386"));
    }
}
