//! The facts of a status in words. They are coarse on purpose: the screen is drawn again whenever its
//! text changes, and a serial line's log should stay quiet.

use agent::picture::bytes;

use crate::clock::Clock;
use crate::disks::report::Entry;
use crate::node::Identity;
use crate::status::{
    Boot, BootState, Component, Interface, InterfaceAddress, Status, Storage, Watchdog,
};

/// How much of the root hash is shown: enough to tell any two images apart.
const HASH_DIGITS: usize = 16;

/// The site, the room and the machine's role.
pub(super) fn place(node: &Identity) -> String {
    let room = format!("room {}", node.room.to_string().to_uppercase());
    let title = node.room_title.trim();
    // Many people call room A "Room A".
    let title =
        if title.eq_ignore_ascii_case(&room) { String::new() } else { format!(" ({title})") };
    format!("{}, {room}{title}, {}", node.site, node.role)
}

/// What runs, where it came from, and whether it has proven itself.
pub(super) fn system(status: &Status) -> String {
    let version = status.release.version.as_deref().unwrap_or("of unknown version");
    let place = match (status.boot.slot, status.boot.netboot) {
        (Some(slot), _) => format!(" in slot {}", slot.to_string().to_uppercase()),
        (None, true) => ", from the network".to_owned(),
        (None, false) => String::new(),
    };
    let trial = match (status.boot.state, status.boot.tries_left) {
        (BootState::Good, _) => String::new(),
        (BootState::Trial, None | Some(0)) => ", on trial: this is the last try".to_owned(),
        (BootState::Trial, Some(1)) => ", on trial: 1 more try".to_owned(),
        (BootState::Trial, Some(left)) => format!(", on trial: {left} more tries"),
    };
    format!("Duet {version}{place}{trial}")
}

/// The root file system.
pub(super) fn root(boot: &Boot) -> String {
    let hash = match &boot.root_hash {
        Some(hash) => hash.chars().take(HASH_DIGITS).collect(),
        None => "no root hash".to_owned(),
    };
    let checked = if boot.verified { "every block is checked" } else { "not checked" };
    format!("{hash}, {checked}")
}

/// The interfaces, in at most `most` lines.
pub(super) fn network(interfaces: &[Interface], most: usize) -> Vec<String> {
    if interfaces.is_empty() {
        return vec!["no card".to_owned()];
    }
    let widest = interfaces.iter().map(|card| card.name.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<String> = Vec::new();
    for card in interfaces {
        let mut name = card.name.as_str();
        for value in addresses(card) {
            lines.push(format!("{name:<widest$}  {value}"));
            name = "";
        }
    }
    if lines.len() > most {
        let more = lines.len() - most + 1;
        lines.truncate(most - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// An interface's addresses: those of use beyond the link, or else what there is.
fn addresses(card: &Interface) -> Vec<String> {
    let shown = |address: &InterfaceAddress| format!("{}/{}", address.address, address.prefix);
    let routable: Vec<String> =
        card.addresses.iter().filter(|address| address.is_routable()).map(shown).collect();
    if !routable.is_empty() {
        routable
    } else {
        let what = match card.carrier {
            None => "not in use",
            Some(false) => "no cable",
            Some(true) => "no address yet",
        };
        vec![what.to_owned()]
    }
}

/// The time.
pub(super) fn clock(clock: &Clock) -> String {
    match (clock.synchronised, &clock.source) {
        (true, Some(source)) => format!("follows {source}"),
        (true, None) => "follows a time server".to_owned(),
        (false, _) => "follows no time server yet".to_owned(),
    }
}

/// The state partition.
pub(super) fn storage(storage: &Storage) -> String {
    format!(
        "{} is {} % full, {} free",
        storage.path,
        storage.used_percent(),
        bytes(storage.free_bytes)
    )
}

/// The disks that are for volumes; nothing if there are none.
pub(super) fn disks(disks: &[Entry]) -> Option<String> {
    /// More names than these fill the line.
    const NAMED: usize = 4;
    let ours: Vec<&Entry> = disks.iter().filter(|one| one.state.is_ours()).collect();
    let whole = ours.iter().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
    let names: Vec<&str> = ours.iter().take(NAMED).map(|one| one.name.as_str()).collect();
    let names = names.join(", ");
    let more = match ours.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!ours.is_empty()).then(|| format!("{names}{more} for volumes, {}", bytes(whole)))
}

/// What restarts the machine if it hangs.
pub(super) fn watchdog(watchdog: Option<&Watchdog>) -> String {
    match watchdog {
        None => "none: a machine that hangs stays so".to_owned(),
        Some(Watchdog { device, armed: false, .. }) => format!("{device}, not armed"),
        Some(Watchdog { device, timeout_s: Some(timeout), .. }) => {
            format!("{device}, acts after {timeout} s")
        }
        Some(Watchdog { device, .. }) => format!("{device}, armed"),
    }
}

/// How long the machine runs: exact while that matters.
pub(super) fn uptime(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let (count, unit) = match seconds {
        0..MINUTE => return "less than a minute".to_owned(),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..172_800 => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// What the image was built without, and why; nothing if it has all that it should.
pub(super) fn left_out(components: &[Component]) -> Option<String> {
    let missing: Vec<&Component> = components.iter().filter(|one| !one.present).collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<&str> = missing.iter().map(|one| one.name.as_str()).collect();
    let mut text = format!("Left out of this image: {}.", names.join(", "));
    for one in &missing {
        let Some(why) = one.why.as_deref().filter(|why| !why.is_empty()) else { continue };
        if missing.len() > 1 {
            text.push_str(&format!(" {}: {why}.", one.name));
        } else {
            let (first, rest) = why.split_at(why.chars().next().map_or(0, char::len_utf8));
            text.push_str(&format!(" {}{rest}.", first.to_uppercase()));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_rounded_as_people_say_them() {
        for (seconds, words) in [
            (0, "less than a minute"),
            (60, "1 minute"),
            (3599, "59 minutes"),
            (3600, "1 hour"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
            (900_000_000, "10416 days"),
        ] {
            assert_eq!(uptime(seconds), words);
        }
        for (count, words) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (128_849_018_880, "130 GB"),
            (999_500_000, "1.0 GB"),
            (994_000_000, "990 MB"),
            (u64::MAX, "18446740 TB"),
        ] {
            assert_eq!(bytes(count), words);
        }
    }
}
