//! How the boot loader counts tries, and whether another try makes sense. Start at [`tries`] and
//! [`may_restart`]. Reads no file.
//!
//! An entry is named `NAME+LEFT-DONE.efi`; systemd-boot lowers LEFT and raises DONE before it starts
//! the entry. At `+0` the entry is bad and comes after all others; without a counter it is good (the
//! UAPI group's Boot Loader Specification, "Boot counting").

use serde::Serialize;

/// The counter in an entry's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Tries {
    /// How often the entry may still be tried after this boot.
    pub left: u32,
    /// How often it was tried, this boot included.
    pub done: u32,
}

/// The counter in the name or path of an entry; none if it is not counted.
pub(crate) fn tries(entry: &str) -> Option<Tries> {
    let name = file_name(entry);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (_, counter) = stem.rsplit_once('+')?;
    let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
    Some(Tries { left: number(left)?, done: number(done)? })
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The last part of a path with slashes or, as firmware writes them, backslashes.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The text in an EFI variable as Linux shows it: four bytes of attributes, then UTF-16 (the
/// kernel's Documentation/filesystems/efivarfs.rst).
pub(crate) fn variable_text(content: &[u8]) -> Option<String> {
    let (_attributes, text) = content.split_at_checked(4)?;
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let units = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    String::from_utf16(&units.take_while(|&unit| unit != 0).collect::<Vec<_>>()).ok()
}

/// Whether a restart after a bad boot of `current` leads anywhere: to another try of it, or to
/// another entry that is not known to be bad. `entries` are the names on the ESP.
pub(crate) fn may_restart(current: &str, entries: &[String]) -> bool {
    let Some(tried) = tries(current) else {
        // It was good before; nothing says that it would not be the same the next time.
        return false;
    };
    let current = file_name(current);
    tried.left > 0
        || entries
            .iter()
            .map(|entry| file_name(entry))
            .filter(|entry| entry.ends_with(".efi") && !entry.eq_ignore_ascii_case(current))
            .any(|entry| tries(entry).is_none_or(|other| other.left > 0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counters_are_read_from_names() {
        for (entry, expected) in [
            (r"\EFI\Linux\duet-control-0.1.0+2-1.efi", Some((2, 1))),
            ("duet-control-0.1.0+3.efi", Some((3, 0))),
            ("duet-control-0.1.0+0-3.efi", Some((0, 3))),
            ("duet-control-0.1.0+build7+0-3.efi", Some((0, 3))),
            ("duet-control-0.1.0.efi", None),
            ("duet-control-0.1.0+build7.efi", None),
            ("duet-control-0.1.0++1.efi", Some((1, 0))),
            ("duet+-1.efi", None),
            ("duet+99999999999.efi", None),
        ] {
            assert_eq!(tries(entry).map(|t| (t.left, t.done)), expected, "{entry}");
        }
    }

    #[test]
    fn the_boot_loader_s_variable_is_read() {
        let mut content = vec![6, 0, 0, 0];
        content.extend(r"\EFI\Linux\a+2-1.efi".encode_utf16().flat_map(u16::to_le_bytes));
        content.extend([0, 0]);
        assert_eq!(variable_text(&content).unwrap(), r"\EFI\Linux\a+2-1.efi");
        assert_eq!(variable_text(&content[..content.len() - 1]), None);
        assert_eq!(variable_text(&[6, 0]), None);
    }

    #[test]
    fn a_restart_must_lead_somewhere() {
        let restart = |current: &str, others: &[&str]| {
            let mut entries: Vec<String> = others.iter().map(|s| (*s).to_owned()).collect();
            entries.push(current.to_owned());
            may_restart(&format!(r"\EFI\Linux\{current}"), &entries)
        };
        assert!(restart("new+2-1.efi", &[]), "it has tries left");
        assert!(restart("new+0-3.efi", &["old.efi"]), "the older one is good");
        assert!(restart("new+0-3.efi", &["old+1-2.efi"]), "the older one has a try left");
        assert!(!restart("new+0-3.efi", &["old+0-3.efi"]), "both are bad");
        assert!(!restart("new+0-3.efi", &[]), "there is nothing else");
        assert!(!restart("new+0-3.efi", &["notes.txt"]), "that is no entry");
        assert!(!restart("good.efi", &["old.efi"]), "it was good before");
    }
}
