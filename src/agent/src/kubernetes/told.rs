//! [`Told`]: what `duetd boot` leaves for those who look after k3s on this machine.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Alike, Facts};

/// Where it is: beside k3s' own settings, and without a secret.
pub const TOLD: &str = "/run/duet/k3s/told.json";

/// What k3s was told, as far as others need to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What both rooms must tell it alike.
    pub alike: Alike,
    /// The IP versions of which this machine finds its own address when k3s is started, the preferred one
    /// first; none where the site file says the addresses.
    #[serde(default)]
    pub find: Vec<IpVersion>,
}

/// A version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpVersion {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

impl IpVersion {
    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> IpVersion {
        if address.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 }
    }

    /// As people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            IpVersion::V4 => "IPv4",
            IpVersion::V6 => "IPv6",
        }
    }
}

impl Told {
    /// That of this machine.
    #[must_use]
    pub fn of(facts: &Facts<'_>) -> Told {
        let mut find = Vec::new();
        if super::render::addresses(facts).is_empty() {
            let ranges = facts.kubernetes.cluster_cidr.iter();
            find.extend(ranges.map(|range| IpVersion::of(range.first())));
        }
        Told { alike: Alike::of(facts), find }
    }
}
