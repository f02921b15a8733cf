//! Numbers and bytes as a person reads them. Start at [`size`] and [`text`]. Pure.

use std::fmt::Write as _;

/// A number of bytes with a unit that keeps it short.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} {}", UNITS[0]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A key or a value in one line: text as it is, what would move a terminal's cursor and what is no text
/// escaped as in C.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => line.push_str("\\\\"),
                c if c.is_control() => {
                    let mut utf8 = [0; 4];
                    escape(c.encode_utf8(&mut utf8).as_bytes(), &mut line);
                }
                c => line.push(c),
            }
        }
        escape(chunk.invalid(), &mut line);
    }
    line
}

fn escape(bytes: &[u8], line: &mut String) {
    for byte in bytes {
        let _ = write!(line, "\\x{byte:02x}");
    }
}

/// "1 key", "2 keys".
pub(crate) fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [0, 1023, 1024, 1536, 64 << 20, u64::MAX].map(size),
            ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "64.0 MiB", "16777216.0 TiB"]
        );
    }

    #[test]
    fn keys_stay_on_their_line() {
        assert_eq!(text(b"/registry/pods/a"), "/registry/pods/a");
        assert_eq!(text("Zürich".as_bytes()), "Zürich");
        assert_eq!(text(b"k8s\0\n\x1b[2J\\\xff\xfe"), r"k8s\x00\x0a\x1b[2J\\\xff\xfe");
        assert_eq!(text("\u{85}".as_bytes()), r"\xc2\x85");
    }

    #[test]
    fn counts_know_one_from_many() {
        assert_eq!([0, 1, 2].map(|n| count(n, "key")), ["0 keys", "1 key", "2 keys"]);
    }
}
