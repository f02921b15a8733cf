//! Names: long ones with their case, and the short aliases that every entry must have besides.
//! fatgen103, "FAT Long Directory Entries" and "Name Limits and Character Sets".

use std::collections::BTreeSet;

use super::ENTRY;
use super::attribute;
use crate::field::{le16, put};

/// UTF-16 units that one entry of a long name holds.
const UNITS: usize = 13;
/// Where in the entry they stand.
const PLACES: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// A long name has at most 255 units.
const MAX_UNITS: usize = 255;
/// Marks the entry with a long name's end, which comes first.
const LAST: u8 = 0x40;

/// A name in the 11 bytes of an entry: eight for the base, three for the extension.
pub(super) type Short = [u8; 11];

/// Why a name cannot be on a volume.
pub(super) fn check(name: &str) -> Result<(), &'static str> {
    const FORBIDDEN: &str = "\"*/:<>?\\|";
    if name.is_empty() || name.encode_utf16().count() > MAX_UNITS {
        return Err("a name has 1 to 255 characters");
    }
    if name.chars().any(|c| c.is_control() || FORBIDDEN.contains(c)) {
        return Err("a name has a character that FAT forbids");
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return Err("a name begins with a space or ends with a dot or space");
    }
    Ok(())
}

/// What two names of one folder may not share: FAT keeps case, but does not tell by it.
pub(super) fn folded(name: &str) -> String {
    name.to_uppercase()
}

/// A short alias for the name that is not among `taken`, to which it is added.
pub(super) fn short(name: &str, taken: &mut BTreeSet<Short>) -> Option<Short> {
    let (base, extension) = match name.trim_start_matches('.').rsplit_once('.') {
        Some((base, extension)) => (base, extension),
        None => (name, ""),
    };
    let (base, base_whole) = squeeze(base);
    let (extension, extension_whole) = squeeze(extension);
    let whole = base_whole && extension_whole && base.len() <= 8 && extension.len() <= 3;
    let build = |base: &[u8], tail: &str| {
        let mut short = [b' '; 11];
        let base = &base[..base.len().min(8 - tail.len())];
        put(&mut short, 0, base);
        put(&mut short, base.len(), tail.as_bytes());
        put(&mut short, 8, &extension[..extension.len().min(3)]);
        short
    };
    if whole && !base.is_empty() && taken.insert(build(&base, "")) {
        return Some(build(&base, ""));
    }
    (1..=999_999)
        .map(|number| build(&base, &format!("~{number}")))
        .find(|short| taken.insert(*short))
}

/// Capitals, and whether nothing but case was lost.
fn squeeze(part: &str) -> (Vec<u8>, bool) {
    let mut whole = true;
    let mut squeezed = Vec::new();
    for c in part.chars() {
        match c {
            ' ' | '.' => whole = false,
            'a'..='z' | 'A'..='Z' | '0'..='9' => squeezed.push(c.to_ascii_uppercase() as u8),
            _ if "$%'-_@~`!(){}^#&".contains(c) => squeezed.push(c as u8),
            _ => {
                squeezed.push(b'_');
                whole = false;
            }
        }
    }
    (squeezed, whole)
}

/// The name that a short alias stands for by itself. `case` is byte 12 of the entry, in which
/// Windows NT marks a base (8) or extension (16) in small letters.
pub(super) fn from_short(short: &Short, case: u8) -> String {
    let text = |part: &[u8], small: bool| {
        let end = part.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        let text: String = part[..end]
            .iter()
            .map(|&byte| match char::from(byte) {
                c if byte.is_ascii_graphic() && c != '/' || c == ' ' => c,
                _ => char::REPLACEMENT_CHARACTER,
            })
            .collect();
        if small { text.to_lowercase() } else { text }
    };
    let base = text(&short[..8], case & 8 != 0);
    let extension = text(&short[8..], case & 16 != 0);
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

/// Whether the alias alone gives the name back, so that no long name is needed.
pub(super) fn is_short(name: &str, short: &Short) -> bool {
    from_short(short, 0) == name
}

/// Entries that a long name takes.
pub(super) fn long_entries(name: &str) -> usize {
    name.encode_utf16().count().div_ceil(UNITS)
}

/// A long name's entries, in the order of the folder: its end first.
pub(super) fn put_long(out: &mut Vec<u8>, name: &str, short: &Short) {
    let units: Vec<u16> = name.encode_utf16().collect();
    let pieces: Vec<&[u16]> = units.chunks(UNITS).collect();
    for (index, piece) in pieces.iter().enumerate().rev() {
        let mut entry = [0; ENTRY];
        entry[0] = (index + 1) as u8 | if index + 1 == pieces.len() { LAST } else { 0 };
        entry[11] = attribute::LONG_NAME;
        entry[13] = checksum(short);
        // The name's end is a zero if there is room, and ones behind it.
        let padded = piece.iter().copied().chain([0]).chain(std::iter::repeat(0xffff));
        for (unit, at) in padded.zip(PLACES) {
            put(&mut entry, at, &unit.to_le_bytes());
        }
        out.extend_from_slice(&entry);
    }
}

/// Gathers a long name from the entries that precede the short one.
#[derive(Default)]
pub(super) struct Gatherer {
    /// Pieces as they come: the name's end first.
    pieces: Vec<[u16; UNITS]>,
    /// The number that the next entry must bear, and the checksum that all share.
    next: Option<(u8, u8)>,
}

impl Gatherer {
    /// Takes an entry that is part of a long name.
    pub(super) fn take(&mut self, entry: &[u8]) {
        let (order, sum) = (entry[0], entry[13]);
        let number = order & !LAST;
        if order & LAST != 0 {
            self.pieces.clear();
            self.next = (1..=20).contains(&number).then_some((number, sum));
        }
        if self.next != Some((number, sum)) || number == 0 {
            *self = Gatherer::default();
            return;
        }
        self.next = Some((number - 1, sum));
        self.pieces.push(PLACES.map(|at| le16(entry, at).unwrap_or(0)));
    }

    /// The name, if the entries before were whole and belong to this alias. Starts anew.
    pub(super) fn give(&mut self, short: &Short) -> Option<String> {
        let Gatherer { pieces, next } = std::mem::take(self);
        if next != Some((0, checksum(short))) {
            return None;
        }
        let units: Vec<u16> =
            pieces.into_iter().rev().flatten().take_while(|unit| *unit != 0).collect();
        let name = String::from_utf16(&units).ok()?;
        check(&name).is_ok().then_some(name)
    }
}

/// fatgen103, `ChkSum`.
fn checksum(short: &Short) -> u8 {
    short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn aliases_are_those_of_the_specification() {
        let mut taken = BTreeSet::new();
        let mut check = |name: &str, expected: &str| {
            let short = short(name, &mut taken).unwrap();
            assert_eq!(std::str::from_utf8(&short).unwrap(), expected, "{name}");
        };
        check("BOOTX64.EFI", "BOOTX64 EFI");
        check("seed.sig", "SEED    SIG");
        check("SEED.SIG", "SEED~1  SIG");
        check("duet-control-0.1.0+3-0.efi", "DUET-C~1EFI");
        check("duet-control-0.2.0+3-0.efi", "DUET-C~2EFI");
        check("loader.conf", "LOADER~1CON");
        check(".hidden", "HIDDEN~1   ");
        check("größe", "GR__E~1    ");
        check("...", "~1         ");
    }

    #[test]
    fn tails_grow_longer() {
        let mut taken = BTreeSet::new();
        let all: Vec<_> = (0..12).map(|_| short("a long name", &mut taken).unwrap()).collect();
        assert_eq!(&all[8], b"ALONGN~9   ");
        assert_eq!(&all[9], b"ALONG~10   ");
    }

    #[test]
    fn a_long_name_comes_back() {
        for name in ["a", "thirteen-char", "fourteen-chars", "größe — 状態 🦀", &"x".repeat(255)]
        {
            let short = short(name, &mut BTreeSet::new()).unwrap();
            let mut entries = Vec::new();
            put_long(&mut entries, name, &short);
            assert_eq!(entries.len(), long_entries(name) * ENTRY);
            let mut gatherer = Gatherer::default();
            entries.chunks_exact(ENTRY).for_each(|entry| gatherer.take(entry));
            assert_eq!(gatherer.give(&short).as_deref(), Some(name));
            entries.chunks_exact(ENTRY).skip(1).for_each(|entry| gatherer.take(entry));
            assert_eq!(gatherer.give(&short), None, "its end is missing");
        }
    }

    #[test]
    fn what_fat_forbids_is_refused() {
        for name in ["", "a/b", "a:b", "a\0", "trailing.", "trailing ", " leading", "\u{7f}"] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check(&"x".repeat(256)).is_err());
        assert!(check("..").is_err());
    }
}
