//! Spans of time as Go writes them (Go's `time.ParseDuration`), since etcd's flags are written so.

use std::time::Duration;

use super::raw::Text;

/// Units and their nanoseconds; longer names first, so that `ms` is not read as `m`.
const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
];

/// Reads `1h30m`, `300ms`, `1.5h` or `0`.
///
/// # Errors
/// In words, if it is none.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no span of time; write 1h, 10m, 1.5s or 300ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, after) = rest.split_at(digits);
        let (unit, size) =
            UNITS.into_iter().find(|(unit, _)| after.starts_with(unit)).ok_or_else(bad)?;
        nanos += scaled(number, size).ok_or_else(bad)?;
        rest = &after[unit.len()..];
    }
    let nanos = u64::try_from(nanos).ok().filter(|_| !text.is_empty()).ok_or_else(bad)?;
    Ok(Duration::from_nanos(nanos))
}

/// `1.5` times the size; none if it is no number or too large.
fn scaled(number: &str, size: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let tens = 10u128.pow(fraction.len() as u32);
    let size = u128::from(size);
    Some(u128::from(digits(whole)?) * size + u128::from(digits(fraction)?) * size / tens)
}

/// The shortest way to write it.
pub(super) fn text(span: Duration) -> Text {
    let nanos = span.as_nanos();
    let (unit, size) = UNITS
        .into_iter()
        .rev()
        .find(|(unit, size)| *unit != "µs" && nanos % u128::from(*size) == 0)
        .expect("every span is a number of nanoseconds");
    Text(format!("{}{unit}", nanos / u128::from(size)))
}
