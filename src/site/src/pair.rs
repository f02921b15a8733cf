//! How the two rooms are one service: who lets a room go on alone, and how the rooms find each other.
//! Start at [`Pair`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::Table;
use crate::keys::Certificate;
use crate::text::text_serde;
use crate::{Host, Room};

/// What the table `[pair]` of a site file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Who lets a room go on alone.
    pub authority: Authority,
    /// Whether the rooms look for each other on the wire (mDNS, RFC 6762).
    pub discovery: bool,
    /// How long the rooms wait for each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// Where the witness is: there exactly with [`Authority::Witness`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
}

/// Who lets a room go on alone when it cannot hear the other one (docs/protocol.md). Written
/// `witness`, `preferred:a`, `preferred:b` and `operator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// A third party outside of both rooms.
    Witness,
    /// This room may, the other one never by itself.
    Preferred(Room),
    /// A person.
    Operator,
}

/// Where the witness is and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The places at which the one witness is reached; at least one.
    pub addresses: Vec<Place>,
    /// The name in its certificate, if not the usual `witness.duet.internal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Host>,
    /// The certificate of its own authority.
    pub certificate: Certificate,
}

/// A host and a TCP port, written `host:port`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// How long the rooms wait, in milliseconds (docs/protocol.md, "Times").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// How often the leader speaks.
    pub heartbeat_ms: u32,
    /// A room that has not answered for so long is silent.
    pub silent_after_ms: u32,
    /// How long a follower promises to seek no grant after it heard the leader.
    pub lease_ms: u32,
}

/// A text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is no host with a port")]
#[diagnostic(
    code(input::place),
    help("write witness.example.org:7411, 192.0.2.9:7411 or [2001:db8::9]:7411")
)]
pub struct PlaceError(String);

/// A text that is no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` grants nothing")]
#[diagnostic(
    code(input::authority),
    help("write \"witness\", \"preferred:a\", \"preferred:b\" or \"operator\"")
)]
pub struct AuthorityError(String);

/// The most places of one witness: it is one machine, with a few addresses.
const MOST_PLACES: usize = 8;

/// The longest lease: Kubernetes' controllers give up theirs after ten seconds without a store.
const LONGEST_MS: u32 = 10_000;

impl Default for Pair {
    /// A person decides, and the rooms look for each other.
    fn default() -> Pair {
        Pair { authority: Authority::Operator, discovery: true, timing: None, witness: None }
    }
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { heartbeat_ms: 250, silent_after_ms: 1500, lease_ms: 2000 }
    }
}

impl Timing {
    /// What [`Timing::heartbeat_ms`] says.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms.into())
    }

    /// Whether these times contradict one another, and how: a lease must outlast the silence by the
    /// tenth that clocks may differ.
    fn contradiction(&self) -> Option<&'static str> {
        if self.silent_after_ms < self.heartbeat_ms.saturating_mul(2) {
            Some(
                "a room would be silent before it missed two heartbeats: silent_after_ms is too short",
            )
        } else if self.lease_ms / 10 * 9 <= self.silent_after_ms {
            Some("nine tenths of lease_ms must be longer than silent_after_ms: clocks differ")
        } else {
            None
        }
    }
}

impl Pair {
    /// Reads what the table says; what it does not say is as in [`Pair::default`].
    pub(crate) fn read(table: &Table<'_>) -> Option<Pair> {
        let written = table.parsed::<Authority>("authority");
        if written.is_none() && table.has("authority") {
            return None;
        }
        let authority = written.map_or(Authority::Operator, |found| found.value);
        let words = [("on", true), ("off", false)];
        let discovery = table.choice("discovery", &words).is_none_or(|found| found.value);
        let timing = table.table("timing").map(|table| read_timing(&table));
        let witness = table.table("witness").map(|table| read_witness(&table));
        if authority == Authority::Witness {
            let hint = "write [pair.witness] with addresses and certificate";
            table.require("witness", witness.as_ref(), hint);
        } else {
            let message = "`witness` has no meaning here: two could grant to two rooms";
            table.forbid("witness", message, "write authority = \"witness\", or remove the table");
        }
        table.finish();
        let witness = match (authority, witness) {
            (Authority::Witness, witness) => Some(witness??),
            _ => None,
        };
        Some(Pair { authority, discovery, timing, witness })
    }
}

fn read_timing(table: &Table<'_>) -> Timing {
    let usual = Timing::default();
    let read = |key, usual: u32| {
        let found = table.number(key, 10..=LONGEST_MS);
        found.map_or(usual, |found| found.value)
    };
    let timing = Timing {
        heartbeat_ms: read("heartbeat_ms", usual.heartbeat_ms),
        silent_after_ms: read("silent_after_ms", usual.silent_after_ms),
        lease_ms: read("lease_ms", usual.lease_ms),
    };
    table.finish();
    if let Some(why) = timing.contradiction() {
        let hint = "leave [pair.timing] out for 250, 1500 and 2000 ms";
        table.report(table.span(), format!("these times contradict one another: {why}"), hint);
    }
    timing
}

fn read_witness(table: &Table<'_>) -> Option<Witness> {
    let addresses = table.one_or_more::<Place>("addresses");
    let hint = "write addresses = [\"witness.example.org:7411\"]";
    let addresses = table.require("addresses", addresses, hint);
    let count = table.length("addresses").max(addresses.as_ref().map_or(0, Vec::len));
    if table.has("addresses") && !(1..=MOST_PLACES).contains(&count) {
        let message = format!("{count} places of the witness");
        table.report(table.span(), message, format!("name 1 to {MOST_PLACES}"));
    }
    let name = table.parsed::<Host>("name").map(|found| found.value);
    let certificate = table.parsed::<Certificate>("certificate");
    let hint = "paste the certificate of the witness' authority between two \"\"\"";
    let certificate = table.require("certificate", certificate, hint);
    table.finish();
    Some(Witness {
        addresses: addresses?.into_iter().map(|found| found.value).collect(),
        name,
        certificate: certificate?.value,
    })
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Authority, AuthorityError> {
        match text {
            "witness" => Ok(Authority::Witness),
            "preferred:a" => Ok(Authority::Preferred(Room::A)),
            "preferred:b" => Ok(Authority::Preferred(Room::B)),
            "operator" => Ok(Authority::Operator),
            _ => Err(AuthorityError(text.to_owned())),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authority::Witness => f.write_str("witness"),
            Authority::Preferred(room) => write!(f, "preferred:{room}"),
            Authority::Operator => f.write_str("operator"),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Place, PlaceError> {
        let read = || {
            let (host, port) = text.rsplit_once(':')?;
            let bare = host.strip_prefix('[').map_or(Some(host), |rest| rest.strip_suffix(']'))?;
            let host: Host = bare.parse().ok()?;
            // Without brackets a part of an IPv6 address would be taken for the port.
            let is_v6 = host.ip().is_some_and(|address| address.is_ipv6());
            let port = port.parse().ok().filter(|port| *port != 0)?;
            (is_v6 == text.starts_with('[')).then_some(Place { host, port })
        };
        read().ok_or_else(|| PlaceError(text.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.ip() {
            Some(address) if address.is_ipv6() => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

text_serde!(Authority);
text_serde!(Place);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["witness.example.org:7411", "192.0.2.9:7411", "[2001:db8::9]:7411"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["witness", "2001:db8::9:7411", "[192.0.2.9]:1", "w:0", "w:65536", "[::1", ":1"]
        {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_usual_times_fit_one_another() {
        assert_eq!(Timing::default().contradiction(), None);
        assert!(Timing { lease_ms: 1600, ..Timing::default() }.contradiction().is_some());
        assert!(Timing { heartbeat_ms: 800, ..Timing::default() }.contradiction().is_some());
    }
}
