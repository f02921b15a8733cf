//! Reads a `Packages` index: fifty megabytes of text, of which a dozen fields matter.
//!
//! Start at [`Packages::parse`]. The text is kept once; a record is a handful of positions in it.
//! Source: Debian Policy 5.1 (control files), <https://wiki.debian.org/DebianRepository/Format>.

use crate::fetch::Digest;
use crate::relation::Version;

/// One index: its text and where each package's fields are in it.
pub(super) struct Packages {
    text: String,
    records: Vec<Record>,
}

/// Start and length of a value in the text; length 0 for a field that is not there.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    length: u32,
}

/// The fields that are kept, in the order of [`FIELDS`].
type Record = [Span; FIELDS.len()];

const FIELDS: [&str; 13] = [
    "Package",
    "Version",
    "Architecture",
    "Filename",
    "Size",
    "SHA256",
    "Depends",
    "Pre-Depends",
    "Provides",
    "Conflicts",
    "Breaks",
    "Essential",
    "Priority",
];

/// The first so many fields must be there.
const MANDATORY: usize = 6;

/// One package of an index.
#[derive(Clone, Copy)]
pub struct Package<'a> {
    text: &'a str,
    record: &'a Record,
    /// The position of its repository in [`Indexes`](super::Indexes).
    pub repository: usize,
}

impl Packages {
    /// Finds the packages in `text`.
    ///
    /// # Errors
    /// The number of the line and what is wrong there.
    pub(super) fn parse(text: String) -> Result<Packages, (usize, String)> {
        if u32::try_from(text.len()).is_err() {
            return Err((0, "an index of more than 4 GiB".to_owned()));
        }
        let mut records = Vec::with_capacity(text.len() / TYPICAL_STANZA);
        let mut scan = Scan::default();
        let mut start = 0;
        for (number, line) in text.split('\n').enumerate() {
            scan.line(line, start).map_err(|reason| (number + 1, reason))?;
            if line.is_empty() {
                records.extend(scan.finish(&text).map_err(|reason| (number + 1, reason))?);
            }
            start += line.len() + 1;
        }
        records.extend(scan.finish(&text).map_err(|reason| (0, reason))?);
        records.shrink_to_fit();
        Ok(Packages { text, records })
    }

    /// Every package, in the index's order.
    pub(super) fn iter(&self, repository: usize) -> impl Iterator<Item = Package<'_>> {
        self.records.iter().map(move |record| Package { text: &self.text, record, repository })
    }

    /// How many packages there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}

/// Bytes of a stanza in Debian's main index, to size the list in one go.
const TYPICAL_STANZA: usize = 700;

/// A stanza under way.
#[derive(Default)]
struct Scan {
    record: Record,
    seen: bool,
    /// The field that a following continuation line belongs to.
    last: Option<usize>,
}

impl Scan {
    /// Takes one line, which begins at `start`.
    fn line(&mut self, line: &str, start: usize) -> Result<(), String> {
        if line.starts_with([' ', '\t']) {
            if let Some(field) = self.last {
                let span = &mut self.record[field];
                span.length = (start + line.len()) as u32 - span.start;
            }
            return Ok(());
        }
        self.last = None;
        if line.is_empty() {
            return Ok(());
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| "a line without a field name".to_owned())?;
        self.seen = true;
        let Some(field) = field_number(name) else { return Ok(()) };
        if self.record[field].length > 0 {
            return Err(format!("a second {name} field"));
        }
        let begin = start + line.len() - value.trim_ascii_start().len();
        let end = start + line.trim_ascii_end().len();
        self.record[field] = Span { start: begin as u32, length: end.saturating_sub(begin) as u32 };
        self.last = Some(field);
        Ok(())
    }

    /// Ends the stanza: its record, none if there were only empty lines.
    fn finish(&mut self, text: &str) -> Result<Option<Record>, String> {
        let scan = std::mem::take(self);
        if !scan.seen {
            return Ok(None);
        }
        for (name, span) in FIELDS.iter().zip(scan.record).take(MANDATORY) {
            if span.length == 0 {
                return Err(format!("a package without {name}"));
            }
        }
        let package = Package { text, record: &scan.record, repository: 0 };
        if package.field(5).parse::<Digest>().is_err() || package.field(4).parse::<u64>().is_err() {
            return Err(format!("the Size or SHA256 of {} is no such thing", package.name()));
        }
        let path = package.path();
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(format!("the Filename of {} leads out of the repository", package.name()));
        }
        Ok(Some(scan.record))
    }
}

/// The position of a kept field in [`FIELDS`].
fn field_number(name: &str) -> Option<usize> {
    // Most lines are of no interest: their length or first letter tells.
    match name.as_bytes().first()? {
        b'P' | b'V' | b'A' | b'F' | b'S' | b'D' | b'C' | b'B' | b'E' => {
            FIELDS.iter().position(|field| *field == name)
        }
        _ => None,
    }
}

impl<'a> Package<'a> {
    fn field(&self, number: usize) -> &'a str {
        let Span { start, length } = self.record[number];
        &self.text[start as usize..(start + length) as usize]
    }

    /// The package's name.
    pub fn name(&self) -> &'a str {
        self.field(0)
    }

    /// Its version.
    pub fn version(&self) -> Version<'a> {
        Version(self.field(1))
    }

    /// `amd64`, or `all`.
    pub fn architecture(&self) -> &'a str {
        self.field(2)
    }

    /// Where it is below the repository's address.
    pub fn path(&self) -> &'a str {
        self.field(3)
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.field(4).parse().unwrap_or_default() // checked when the index was read
    }

    /// Its hash.
    pub fn sha256(&self) -> Digest {
        self.field(5).parse().unwrap_or(Digest([0; 32])) // checked when the index was read
    }

    /// `Depends` as written.
    pub fn depends(&self) -> &'a str {
        self.field(6)
    }

    /// `Pre-Depends` as written.
    pub fn pre_depends(&self) -> &'a str {
        self.field(7)
    }

    /// `Provides` as written.
    pub fn provides(&self) -> &'a str {
        self.field(8)
    }

    /// `Conflicts` as written.
    pub fn conflicts(&self) -> &'a str {
        self.field(9)
    }

    /// `Breaks` as written.
    pub fn breaks(&self) -> &'a str {
        self.field(10)
    }

    /// Whether no Debian system goes without it (Policy 3.8).
    pub fn is_essential(&self) -> bool {
        self.field(11) == "yes"
    }

    /// 0 for `required` to 4 for `extra` or nothing (Policy 2.5).
    pub fn priority(&self) -> u8 {
        match self.field(12) {
            "required" => 0,
            "important" => 1,
            "standard" => 2,
            "optional" => 3,
            _ => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stanza(extra: &str) -> String {
        let hash = "0f".repeat(32);
        format!(
            "Package: a\nVersion: 1.0-1\nArchitecture: all\n{extra}Filename: pool/a.deb\nSize: 12\nSHA256: {hash}\n"
        )
    }

    #[test]
    fn the_kept_fields_are_found() {
        let text = format!(
            "{}\n\n{}",
            stanza(
                "Essential: yes\nDepends: b (>= 1),\n c\nDescription: x\n y\nPriority: required\n"
            ),
            stanza("Provides:\n z\n").replace("Package: a", "Package:  b ")
        );
        let packages = Packages::parse(text).unwrap();
        let all: Vec<_> = packages.iter(3).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name(), all[0].version().0, all[0].size()), ("a", "1.0-1", 12));
        assert_eq!((all[0].depends(), all[0].priority()), ("b (>= 1),\n c", 0));
        assert!(all[0].is_essential() && !all[1].is_essential());
        assert_eq!((all[1].name(), all[1].provides().trim(), all[1].repository), ("b", "z", 3));
        assert_eq!(all[1].sha256().to_string(), "0f".repeat(32));
    }

    #[test]
    fn broken_indexes_are_refused() {
        for (text, line, reason) in [
            (stanza("Depends\n"), 4, "a line without a field name"),
            (stanza("Version: 2\n"), 4, "a second Version field"),
            (stanza("").replace("Size: 12\n", "") + "\n", 6, "a package without Size"),
            (stanza("").replace("12", "x") + "\n", 7, "the Size or SHA256 of a is no such thing"),
            (
                stanza("").replace("pool/", "../") + "\n",
                7,
                "the Filename of a leads out of the repository",
            ),
        ] {
            assert_eq!(Packages::parse(text).err(), Some((line, reason.to_owned())));
        }
        assert_eq!(Packages::parse(String::new()).unwrap().len(), 0);
    }
}
