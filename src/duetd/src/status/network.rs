//! What is wrong with this node's network, and the cure. Start at [`findings`]. Pure.

use site::network::Cidr;

use super::{Finding, Interface, Seen, judge};
use crate::address::Taken;

/// How long after the start, in seconds, a card may take to see its cable, and an address to come. Some
/// switches look at each other for half a minute before they let a machine speak.
const CABLE_PATIENCE_S: u64 = 30;
pub(super) const ADDRESS_PATIENCE_S: u64 = 180;

/// Names of cards in one sentence.
const MOST_CARDS: usize = 3;

/// Whether somebody beyond the next switch could reach this node.
pub(super) fn has_address(seen: &Seen) -> bool {
    let mut addresses = seen.network.iter().flat_map(|card| &card.addresses);
    addresses.any(|address| address.is_routable())
}

/// Cards whose cable is not connected, in words; nothing if there are none.
pub(super) fn unplugged(cards: &[Interface]) -> Option<String> {
    let without = cards.iter().filter(|card| card.carrier == Some(false));
    names(&without.map(|card| card.name.as_str()).collect::<Vec<_>>())
}

pub(super) fn findings(seen: &Seen, found: &mut Vec<Finding>) {
    found.extend(seen.taken.iter().map(taken));
    if has_address(seen) || !seen.taken.is_empty() {
        return;
    }
    let late = seen.uptime_s >= ADDRESS_PATIENCE_S;
    let what = "This node has no address and cannot be reached.";
    if seen.network.is_empty() {
        if late {
            let what = format!("{what} It has no network card that its kernel knows.");
            found.push(judge::bad("network.no-card", what, {
                "Use a card that Duet's documentation lists."
            }));
        }
    } else if seen.network.iter().all(|card| card.carrier == Some(false)) {
        if seen.uptime_s >= CABLE_PATIENCE_S {
            found.push(judge::bad(
                "network.no-cable",
                format!("{what} No cable is connected."),
                "Connect one to a switch that is on; then it goes on by itself.",
            ));
        }
    } else if late {
        found.push(no_address(seen, what));
    }
}

/// Another machine has an address of this node's.
fn taken(taken: &Taken) -> Finding {
    let Taken { address, by, card } = taken;
    judge::bad(
        "network.conflict",
        format!(
            "Another machine has this node's address {address}: {by}, on the wire of {card}. This node does \
             not take it."
        ),
        "Give one of the two another address in the site file, and write its seed again; or switch the other \
         one off: this node then takes it by itself.",
    )
}

fn no_address(seen: &Seen, what: &str) -> Finding {
    let plugged = seen.network.iter().filter(|card| card.carrier != Some(false));
    let cards = names(&plugged.map(|card| card.name.as_str()).collect::<Vec<_>>());
    let cards = cards.unwrap_or_default();
    match wanted(seen) {
        [] => judge::bad(
            "network.no-address",
            format!("{what} No DHCP server answers on {cards}."),
            "See to the DHCP server of this network: it is asked again and again. Or give this node a \
             static address in the site file, and write its seed again.",
        ),
        wanted => judge::bad(
            "network.no-address",
            format!("{what} No card has taken {}.", list(wanted)),
            "Is the card that the site file names in this machine, and connected? `networkctl` shows those \
             that are.",
        ),
    }
}

/// The static addresses that the seed gives this node.
fn wanted(seen: &Seen) -> &[Cidr] {
    let identity = seen.node.as_ref().ok().and_then(|node| node.identity.as_ref());
    identity.map_or(&[], |identity| &identity.addresses)
}

fn list(addresses: &[Cidr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn names(names: &[&str]) -> Option<String> {
    let shown = names.iter().take(MOST_CARDS).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_CARDS) {
        _ if names.is_empty() => None,
        0 => Some(shown),
        more => Some(format!("{shown} and {more} more")),
    }
}
