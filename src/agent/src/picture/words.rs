//! JSON in words, as the status screen at the machine's console has them. Pure.

use serde_json::Value;
use site::Room;

/// No text of a view is shown longer than this: the longest refusal has some two hundred characters.
const LONGEST: usize = 400;

/// A text of the view, fit to be shown anywhere: on one line, without control characters, not endless.
pub(super) fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_whitespace() { ' ' } else { c };
    let safe = text.chars().map(shown).map(|c| if is_tricky(c) { '\u{fffd}' } else { c });
    let mut cut: String = safe.take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        cut.push('…');
    }
    cut.trim().to_owned()
}

/// Control characters, and those that turn the direction of the text around them (UAX #9).
fn is_tricky(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text that is there and not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(clean).filter(|text| !text.is_empty())
}

/// The room's name in a sentence.
pub(super) fn room(room: Room) -> &'static str {
    match room {
        Room::A => "room A",
        Room::B => "room B",
    }
}

/// The room's name where a sentence begins.
pub(super) fn room_first(room: Room) -> &'static str {
    match room {
        Room::A => "Room A",
        Room::B => "Room B",
    }
}

/// What a store says of itself and its peer, said of rooms by somebody who looks at both; as a sentence.
pub(super) fn seen_from_outside(said: &str, by: Room) -> String {
    let (own, other) = (room(by), room(by.other()));
    let said = clean(said)
        .replace("{a,b}", "both rooms")
        .replace("{a}", "room A")
        .replace("{b}", "room B")
        .replace("room a", "room A")
        .replace("room b", "room B")
        .replace("this room", own)
        .replace("the peer", other)
        .replace("its peer", other);
    sentence(&said)
}

/// Begins with a capital letter and ends with a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).chain(['.']).collect(),
        None => String::new(),
    }
}

/// How long ago or for how long, as exact as it matters. In steps, so that a page does not change without
/// need.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{} seconds", (seconds / 10 * 10).max(10)),
        _ => duration(seconds),
    }
}

/// A time that a machine runs.
pub(super) fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let (count, unit) = match seconds {
        0..MINUTE => return "less than a minute".to_owned(),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..172_800 => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    counted(count, unit)
}

/// A number of things.
pub(super) fn counted(count: u64, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Entries of the log.
pub(super) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// The health of a node in the screen's words.
pub(super) fn health(status: &Value) -> &'static str {
    match status["health"].as_str() {
        Some("good") => "All is well",
        Some("starting") => "Starting",
        Some("degraded") => "Have a look",
        Some("bad") => "Needs help",
        _ => "Not known",
    }
}

/// The time that a machine follows.
pub(super) fn clock(clock: &Value) -> String {
    match (clock["synchronised"].as_bool(), text(&clock["source"])) {
        (Some(true), Some(source)) => format!("follows {source}"),
        (Some(true), None) => "follows a time server".to_owned(),
        _ => "follows no time server yet".to_owned(),
    }
}

/// The state partition.
pub(super) fn storage(storage: &Value) -> Option<String> {
    let (used, free) = (storage["used_bytes"].as_u64()?, storage["free_bytes"].as_u64()?);
    let whole = used.saturating_add(free);
    let percent = if whole == 0 { 0 } else { used.saturating_mul(100).div_ceil(whole) };
    let path = text(&storage["path"]).unwrap_or_else(|| "/var".to_owned());
    Some(format!("{path} is {percent} % full, {} free", bytes(free)))
}

/// Two digits of a size, in powers of 1000 as disks are sold.
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 999.5 {
        let Some(next) = units.next() else { break };
        value /= 1000.0;
        unit = next;
    }
    if value < 9.95 && unit != "B" {
        format!("{value:.1} {unit}")
    } else if value < 99.5 || unit == "B" {
        format!("{value:.0} {unit}")
    } else {
        format!("{:.0} {unit}", (value / 10.0).round() * 10.0)
    }
}

/// The addresses of a machine, those of use beyond the link first; link-local ones only if there are no
/// others.
pub(super) fn addresses(network: &Value) -> Vec<String> {
    let cards = network.as_array().into_iter().flatten();
    let all: Vec<String> = cards
        .flat_map(|card| card["addresses"].as_array().into_iter().flatten())
        .filter_map(|address| text(&address["address"]))
        .collect();
    let local = |address: &String| address.starts_with("fe80:") || address.starts_with("169.254.");
    if all.iter().all(local) {
        return all;
    }
    all.into_iter().filter(|address| !local(address)).collect()
}

/// The way to the other room and back. Coarse: a page should not flicker.
pub(super) fn round_trip(ms: f64) -> String {
    if ms < 1.0 { "under 1 ms".to_owned() } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_store_says_is_said_of_rooms() {
        for (said, by, words) in [
            ("it would go on by the witness", Room::A, "It would go on by the witness."),
            (
                "epoch 3 has {a} in sync, and this room is not: it needs the peer",
                Room::B,
                "Epoch 3 has room A in sync, and room B is not: it needs room A.",
            ),
            ("room a is the preferred one", Room::B, "Room A is the preferred one."),
            ("", Room::A, ""),
        ] {
            assert_eq!(seen_from_outside(said, by), words);
        }
    }

    #[test]
    fn a_text_cannot_disturb_where_it_is_shown() {
        assert_eq!(clean("a\n b\t\x1b[31mred\u{202e}x"), "a  b \u{fffd}[31mred\u{fffd}x");
        assert_eq!(clean(&"x".repeat(500)).chars().count(), 401);
        assert_eq!(text(&json!("  ")), None);
        assert_eq!(text(&json!(7)), None);
    }

    #[test]
    fn times_are_said_in_steps() {
        for (seconds, words) in [
            (0, "10 seconds"),
            (19, "10 seconds"),
            (59, "50 seconds"),
            (61, "1 minute"),
            (7200, "2 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(ago(seconds), words);
        }
        assert_eq!((round_trip(0.31), round_trip(12.4)), ("under 1 ms".into(), "12 ms".into()));
    }

    #[test]
    fn addresses_of_use_hide_those_of_the_link() {
        let network = |list: &[&str]| {
            let list: Vec<Value> = list.iter().map(|a| json!({ "address": a })).collect();
            json!([{ "addresses": list }])
        };
        assert_eq!(addresses(&network(&["fe80::1", "10.0.0.1"])), ["10.0.0.1"]);
        assert_eq!(addresses(&network(&["fe80::1"])), ["fe80::1"]);
        assert!(addresses(&Value::Null).is_empty());
    }
}
