//! How hashes and foreign text are shown to a person.

/// Lower-case hexadecimal, as kernel command lines have it too.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Text that may come from anybody, on one line and without what would move a terminal's cursor.
pub(crate) fn line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
