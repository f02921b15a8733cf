//! Which of a machine's disks hold virtual machines' volumes: the tables `[disks]`. Start at [`Disks`].
//!
//! The rules only say which disks may be taken. Whether one has data on it, and whether it is taken, is
//! found out on the machine (`duetd disks`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::document::{Found, Table};
use crate::network::Claims;
use crate::text::text_serde;

/// The rules of one machine. Those of [`Disks::default`] take no disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disks {
    /// Whether every disk without data is taken.
    pub empty: bool,
    /// The smallest disk that is taken, in GiB.
    pub min_gib: u32,
    /// The disks that are taken even with data on them, which is lost; each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erase: Vec<Serial>,
}

/// A disk's serial number, as the disk says it: 1 to 64 printable characters of ASCII, with no space at
/// either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(String);

/// Why a text is no [`Serial`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum SerialError {
    /// Nothing was written.
    #[error("the serial number is empty")]
    #[diagnostic(code(input::serial), help("{WHERE}"))]
    Empty,
    /// More than any disk says.
    #[error("the serial number has {0} characters")]
    #[diagnostic(code(input::serial), help("at most {LONGEST}: {WHERE}"))]
    Long(usize),
    /// A character that no disk says.
    #[error("the serial number has a {0:?} in it")]
    #[diagnostic(
        code(input::serial),
        help("letters, digits and what else a keyboard has: {WHERE}")
    )]
    Character(char),
    /// Spaces that a disk fills its field with.
    #[error("the serial number begins or ends with a space")]
    #[diagnostic(code(input::serial), help("leave the space out"))]
    Space,
}

/// Where a person finds serial numbers.
const WHERE: &str =
    "it is on the disk's label, and `duetd disks --dry-run` on the machine shows it";

/// NVMe gives 20 characters, ATA 20, SCSI mostly 8 to 32.
const LONGEST: usize = 64;

/// More disks than this are no server's own.
const MOST: usize = 64;

/// The smallest disk where nothing is said: what is smaller is a boot device or a memory card.
const MIN_GIB: u32 = 16;

/// A pebibyte, ten times the largest disk that is sold.
const MOST_GIB: u32 = 1 << 20;

impl Default for Disks {
    fn default() -> Self {
        Disks { empty: false, min_gib: MIN_GIB, erase: Vec::new() }
    }
}

impl Disks {
    /// Whether no disk is taken, as when the site file says nothing.
    pub fn is_default(&self) -> bool {
        *self == Disks::default()
    }

    /// Whether some disk may be taken.
    pub fn wants_any(&self) -> bool {
        self.empty || !self.erase.is_empty()
    }

    /// Reads the table of the whole site, which names no single disk.
    pub(crate) fn read_site(table: &Table<'_>) -> Disks {
        let rules = Disks::default().with(table);
        // Asked for, so that it is not reported twice.
        let _ = table.parsed_list::<Serial>("erase");
        let hint = "write it under [room.a.disks], or that of the machine which has the disk";
        table.forbid("erase", "a serial number is one machine's disk, not the site's", hint);
        table.finish();
        rules
    }

    /// Reads a machine's own table; what it does not say is as in the site's.
    pub(crate) fn read(&self, table: &Table<'_>, claims: &mut Claims) -> Disks {
        let rules = self.with(table);
        let erase = table.parsed_list::<Serial>("erase").unwrap_or_default();
        table.finish();
        let count = table.length("erase");
        if count > MOST {
            let message = format!("`erase` has {count} serial numbers");
            table.forbid(
                "erase",
                &message,
                &format!("name at most {MOST}: they are one machine's"),
            );
        }
        for Found { value, span } in &erase {
            claims.claim(table, format!("the disk {value}"), span.clone());
        }
        Disks { erase: erase.into_iter().map(|found| found.value).collect(), ..rules }
    }

    fn with(&self, table: &Table<'_>) -> Disks {
        let empty = table.flag("empty").map_or(self.empty, |found| found.value);
        let min_gib = table.number("min_gib", 1..=MOST_GIB);
        let min_gib = min_gib.map_or(self.min_gib, |found| found.value);
        Disks { empty, min_gib, erase: Vec::new() }
    }
}

impl Serial {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let good = |c: &char| c.is_ascii_graphic() || *c == ' ';
        if text.is_empty() {
            Err(SerialError::Empty)
        } else if let Some(bad) = text.chars().find(|c| !good(c)) {
            Err(SerialError::Character(bad))
        } else if text.len() > LONGEST {
            Err(SerialError::Long(text.len()))
        } else if text.starts_with(' ') || text.ends_with(' ') {
            Err(SerialError::Space)
        } else {
            Ok(Serial(text.to_owned()))
        }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(Serial);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::{InputErrors, Role, Room, Site};

    const SMALL: &str = "name = \"x\"\n[room.a]\ntitle = \"A\"\n[room.b]\ntitle = \"B\"\n";

    fn parse(lines: &str) -> Result<Site, InputErrors> {
        Site::parse(&format!("{SMALL}{lines}\n"), Path::new("site.toml"))
    }

    fn check(lines: &str, expected: Expect) {
        expected.assert_eq(&parse(lines).unwrap_err().to_string());
    }

    fn of(lines: &str, room: Room, role: Role) -> Disks {
        parse(lines).unwrap().node(room, role).unwrap().disks.clone()
    }

    fn rules(empty: bool, min_gib: u32, erase: &[&str]) -> Disks {
        Disks { empty, min_gib, erase: erase.iter().map(|one| one.parse().unwrap()).collect() }
    }

    #[test]
    fn nothing_is_taken_unless_the_file_says_so() {
        for (room, role) in [(Room::A, Role::Control), (Room::B, Role::Worker)] {
            let rules = of("", room, role);
            assert!(rules.is_default() && !rules.wants_any());
        }
        assert!(!of("[disks]\nmin_gib = 100\n", Room::A, Role::Control).wants_any());
    }

    #[test]
    fn a_machine_adds_to_what_the_site_says() {
        let lines = "[disks]\nempty = true\nmin_gib = 100\n\
                     [room.a.disks]\nerase = ['S1', 'S 2']\n\
                     [room.b.disks]\nempty = false\n\
                     [room.b.worker.disks]\nmin_gib = 1\nerase = ['S3']\n";
        assert_eq!(of(lines, Room::A, Role::Control), rules(true, 100, &["S1", "S 2"]));
        assert_eq!(of(lines, Room::B, Role::Control), rules(false, 100, &[]));
        assert_eq!(of(lines, Room::B, Role::Worker), rules(true, 1, &["S3"]));
        // A worker that is not described is like the control machine, but its disks are its own.
        assert_eq!(of(lines, Room::A, Role::Worker), rules(true, 100, &[]));
    }

    #[test]
    fn a_disk_is_named_where_it_is() {
        check(
            "[disks]\nerase = ['S1', '']",
            expect![[r#"
                2 problems in site.toml:

                site.toml:7:1: a serial number is one machine's disk, not the site's
                  7 | erase = ['S1', '']
                    | ^^^^^
                  hint: write it under [room.a.disks], or that of the machine which has the disk

                site.toml:7:16: the serial number is empty
                  7 | erase = ['S1', '']
                    |                ^^
                  hint: it is on the disk's label, and `duetd disks --dry-run` on the machine shows it"#]],
        );
        check(
            "[room.a.disks]\nerase = ['S1', 'S1']\n[room.b.disks]\nerase = ['S1']",
            expect![[r#"
                2 problems in site.toml:

                site.toml:7:16: the disk S1 is given twice
                  7 | erase = ['S1', 'S1']
                    |                ^^^^
                  hint: line 7 has it already; each machine has its own

                site.toml:9:10: the disk S1 is given twice
                  9 | erase = ['S1']
                    |          ^^^^
                  hint: line 7 has it already; each machine has its own"#]],
        );
    }

    #[test]
    fn what_no_disk_says_is_refused_with_its_line() {
        check(
            "[room.a.disks]\nerase = ['', ' S1', 'S\u{fc}', \"S\\n\"]\nempty = 'yes'\nmin_gib = 0\n\
             eraze = []",
            expect![[r#"
                7 problems in site.toml:

                site.toml:7:10: the serial number is empty
                  7 | erase = ['', ' S1', 'Sü', "S\n"]
                    |          ^^
                  hint: it is on the disk's label, and `duetd disks --dry-run` on the machine shows it

                site.toml:7:14: the serial number begins or ends with a space
                  7 | erase = ['', ' S1', 'Sü', "S\n"]
                    |              ^^^^^
                  hint: leave the space out

                site.toml:7:21: the serial number has a 'ü' in it
                  7 | erase = ['', ' S1', 'Sü', "S\n"]
                    |                     ^^^^
                  hint: letters, digits and what else a keyboard has: it is on the disk's label, and `duetd disks --dry-run` on the machine shows it

                site.toml:7:27: the serial number has a '\n' in it
                  7 | erase = ['', ' S1', 'Sü', "S\n"]
                    |                           ^^^^^
                  hint: letters, digits and what else a keyboard has: it is on the disk's label, and `duetd disks --dry-run` on the machine shows it

                site.toml:8:9: `empty` is a text, not true or false
                  8 | empty = 'yes'
                    |         ^^^^^
                  hint: write it without quotes

                site.toml:9:11: `min_gib = 0` is impossible
                  9 | min_gib = 0
                    |           ^
                  hint: write a whole number from 1 to 1048576

                and 1 more"#]],
        );
        let many: Vec<String> = (0..65).map(|n| format!("'S{n}'")).collect();
        let lines = format!("[room.a.disks]\nerase = [{}]", many.join(", "));
        let error = parse(&lines).unwrap_err().to_string();
        assert!(error.contains("site.toml:7:1: `erase` has 65 serial numbers"), "{error}");
        assert!("S".repeat(64).parse::<Serial>().is_ok());
        assert_eq!("S".repeat(65).parse::<Serial>(), Err(SerialError::Long(65)));
    }
}
