//! `duetd address`: gets back a static address that another machine had. Start at [`address`]; what is to be
//! done is decided in [`Round::of`], which is pure.
//!
//! systemd-networkd does not take an address that another machine answers for (RFC 5227), and does not try
//! again. So whoever was switched on second would stay without it until somebody restarts it. This looks
//! now and then who has the address, for the status screen, and has networkd try again when nobody has.
//! It takes no address itself, and leaves cards alone that have one.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bounded;
use crate::console;
use crate::durable;
use crate::node::Node;
use crate::process::{AskError, ask};
use crate::root::{NODE, Root, TAKEN};
use crate::rtnetlink::{self, Address};
use crate::status::{Interface, collect};

/// How often is looked: a person who has mended it waits for this.
const LOOK: Duration = Duration::from_secs(10);
/// After each start of the network: networkd looks for others for some seconds before it takes an address.
const SETTLING: Duration = Duration::from_secs(30);
/// The kernel asks three times, a second apart, before it holds an address for free (arp(7)).
const ASKING: Duration = Duration::from_secs(4);
/// How long another program may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An address of this node's that another machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// The address.
    pub address: Ipv4Addr,
    /// The hardware address of who has it.
    pub by: String,
    /// The card on whose wire that machine is.
    pub card: String,
}

/// What is missing, and where it may be asked for.
#[derive(Debug, PartialEq, Eq)]
struct Round {
    /// The addresses that no card has.
    missing: Vec<Ipv4Addr>,
    /// The cards with a cable and without an address: one of them is to have what is missing.
    cards: Vec<String>,
}

impl Round {
    fn of(wanted: &[Ipv4Addr], cards: &[Interface]) -> Round {
        let has = |wanted: &IpAddr| {
            cards.iter().flat_map(|card| &card.addresses).any(|own| own.address == *wanted)
        };
        let missing = wanted.iter().filter(|one| !has(&IpAddr::V4(**one))).copied().collect();
        let waits = |card: &&Interface| {
            card.carrier == Some(true) && !card.addresses.iter().any(|own| own.is_routable())
        };
        Round { missing, cards: cards.iter().filter(waits).map(|card| card.name.clone()).collect() }
    }
}

/// Looks until it is ended; at once on a machine without static addresses.
pub(crate) fn address(root: &Root) -> Result<ExitCode, miette::Report> {
    let wanted = wanted(root);
    if wanted.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut told = None;
    keep(root, &mut told, Vec::new());
    thread::sleep(SETTLING);
    loop {
        let addresses: Vec<Address> = rtnetlink::addresses().unwrap_or_default();
        let round = Round::of(&wanted, &collect::interfaces(root, &addresses));
        let mut taken = Vec::new();
        let mut free = false;
        for (address, card) in round
            .missing
            .iter()
            .flat_map(|address| round.cards.iter().map(move |card| (address, card)))
        {
            match who_has(*address, card) {
                Ok(Some(by)) => taken.push(Taken { address: *address, by, card: card.clone() }),
                Ok(None) => free = true,
                Err(error) => console::note(&format!("who has {address} on {card}? {error}")),
            }
        }
        let contested = !taken.is_empty();
        keep(root, &mut told, taken);
        if free && !contested {
            try_again(&round.cards);
            thread::sleep(SETTLING + jitter());
        }
        thread::sleep(LOOK);
    }
}

/// The static IPv4 addresses that the seed gives this node. The kernel itself looks after those of IPv6.
fn wanted(root: &Root) -> Vec<Ipv4Addr> {
    let node = bounded::text(&root.path(NODE)).ok();
    let node: Option<Node> = node.and_then(|text| serde_json::from_str(&text).ok());
    let addresses = node.and_then(|node| node.identity).map(|identity| identity.addresses);
    let v4 = |address: IpAddr| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    addresses.iter().flatten().filter_map(|cidr| v4(cidr.address())).collect()
}

/// Asks the wire of a card who has an address; the hardware address of whoever answers. The kernel asks as
/// somebody without an address would, so that nobody learns a wrong one from it (RFC 5227, section 2.1.1).
fn who_has(address: Ipv4Addr, card: &str) -> Result<Option<String>, AskError> {
    let address = address.to_string();
    let ip = |words: &[&str]| ask("/usr/bin/ip", words, PATIENCE);
    ip(&["neigh", "replace", &address, "dev", card, "use"])?;
    thread::sleep(ASKING);
    let said = ip(&["-json", "neigh", "show", &address, "dev", card])?;
    Ok(answered(&said))
}

/// The hardware address in what ip(8) says of one neighbour, if that neighbour has just answered.
fn answered(said: &str) -> Option<String> {
    let list: Value = serde_json::from_str(said).ok()?;
    let one = list.as_array()?.first()?;
    let reached = one["state"].as_array()?.iter().any(|state| state == "REACHABLE");
    one["lladdr"].as_str().filter(|_| reached).map(str::to_owned)
}

/// Has networkd look for others again, and take the address if there are none.
fn try_again(cards: &[String]) {
    for card in cards {
        match ask("/usr/bin/networkctl", &["reconfigure", card], PATIENCE) {
            Ok(_) => console::note(&format!("nobody else has the address: {card} tries it again")),
            Err(error) => console::note(&format!("{card} cannot try again: {error}")),
        }
    }
}

/// Two machines that both try at one moment would both give way. Whatever differs between them serves.
fn jitter() -> Duration {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
    Duration::from_millis(u64::from(nanos % 10_000))
}

/// Leaves what was found for the status, if it is something else than before.
fn keep(root: &Root, told: &mut Option<Vec<Taken>>, taken: Vec<Taken>) {
    if told.as_ref() == Some(&taken) {
        return;
    }
    for Taken { address, by, card } in &taken {
        console::note(&format!("another machine on {card}, {by}, has {address}"));
    }
    let text = serde_json::to_string(&taken).map_err(io::Error::other);
    match text.and_then(|text| durable::write(&root.path(TAKEN), text.as_bytes(), 0o644)) {
        Ok(()) => *told = Some(taken),
        Err(error) => console::note(&format!("{TAKEN} cannot be written: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::status::InterfaceAddress;

    fn card(name: &str, carrier: bool, addresses: &[&str]) -> Interface {
        let address = |text: &&str| InterfaceAddress { address: text.parse().unwrap(), prefix: 24 };
        Interface {
            name: name.into(),
            mac: None,
            carrier: Some(carrier),
            speed_mbit: None,
            addresses: addresses.iter().map(address).collect(),
        }
    }

    #[test]
    fn only_cards_without_an_address_are_asked_on() {
        let wanted: Vec<Ipv4Addr> = vec!["192.0.2.10".parse().unwrap()];
        let link_local = card("enp2s0", true, &["fe80::1"]);
        let cards =
            [card("enp1s0", true, &["10.0.0.5"]), link_local.clone(), card("enp3s0", false, &[])];
        let round = Round::of(&wanted, &cards);
        assert_eq!(round, Round { missing: wanted.clone(), cards: vec!["enp2s0".into()] });
        let has_it = card("enp2s0", true, &["192.0.2.10", "fe80::1"]);
        assert_eq!(Round::of(&wanted, &[has_it, link_local]).missing, [Ipv4Addr::LOCALHOST; 0]);
    }

    #[test]
    fn what_ip_says_of_a_neighbour_is_read() {
        // As iproute2 6.15 prints it.
        let said = r#"[{"dst":"192.0.2.10","lladdr":"52:54:00:7f:4b:c8","state":["REACHABLE"]}]"#;
        assert_eq!(answered(said).as_deref(), Some("52:54:00:7f:4b:c8"));
        assert_eq!(answered(r#"[{"dst":"192.0.2.10","state":["FAILED"]}]"#), None);
        // It answered once, and not now.
        let stale = said.replace("REACHABLE", "STALE");
        assert_eq!(answered(&stale), None);
        assert_eq!((answered("[]"), answered("")), (None, None));
    }
}
