//! How a machine is joined to its network. Start at [`Network`]; [`render()`] writes it down for
//! systemd-networkd.

mod cidr;
mod interface;
mod read;
mod render;
mod subnet;
#[cfg(test)]
mod tests;

pub use cidr::{Cidr, CidrError};
pub use interface::{Interface, InterfaceError, Mac};
pub(crate) use read::Claims;
pub use render::render;
pub use subnet::{Subnet, SubnetError};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Host;

/// The uplink of one machine: over which cards, in which VLAN, with which addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The largest packet in bytes, from 1280 to 9216, if not the card's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The VLAN (IEEE 802.1Q) that carries the addresses, from 1 to 4094; untagged without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Name servers; with [`Addressing::Dhcp`] they take the place of the network's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// Domains in which short host names are looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<Host>,
    /// The cards.
    pub link: Link,
    /// The addresses.
    pub addressing: Addressing,
}

impl Default for Network {
    /// DHCP on whatever Ethernet card is there.
    fn default() -> Self {
        Network {
            mtu: None,
            vlan: None,
            dns: Vec::new(),
            search: Vec::new(),
            link: Link::Single { interface: Interface::default() },
            addressing: Addressing::Dhcp,
        }
    }
}

/// Which cards carry the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Link {
    /// One card, or with DHCP every card that matches.
    Single {
        /// The card.
        interface: Interface,
    },
    /// Several cards that work as one.
    Bond {
        /// How they share the work.
        mode: BondMode,
        /// The cards; with [`BondMode::ActiveBackup`] the first is preferred.
        members: Vec<Interface>,
    },
}

/// How the cards of a bond share the work (the kernel's Documentation/networking/bonding.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BondMode {
    /// One card works, the others stand by; needs nothing of the switch.
    #[serde(rename = "active-backup")]
    ActiveBackup,
    /// All cards work; the switch must speak LACP on their ports.
    #[serde(rename = "802.3ad")]
    Lacp,
}

impl BondMode {
    /// Both modes, with the words that people and the kernel write.
    pub const ALL: [(&'static str, BondMode); 2] =
        [("active-backup", BondMode::ActiveBackup), ("802.3ad", BondMode::Lacp)];
}

/// Where the addresses come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Addressing {
    /// From the network: DHCP for IPv4, router advertisements and DHCPv6 for IPv6.
    Dhcp,
    /// From the site file.
    Static {
        /// The machine's addresses, each with its subnet; at least one.
        addresses: Vec<Cidr>,
        /// The ways out: at most one of each IP version, each inside a subnet of `addresses`.
        gateways: Vec<IpAddr>,
    },
}

impl Network {
    /// The static addresses; none with DHCP.
    pub fn addresses(&self) -> &[Cidr] {
        match &self.addressing {
            Addressing::Dhcp => &[],
            Addressing::Static { addresses, .. } => addresses,
        }
    }

    /// The cards, in the order of preference.
    pub fn interfaces(&self) -> &[Interface] {
        match &self.link {
            Link::Single { interface } => std::slice::from_ref(interface),
            Link::Bond { members, .. } => members,
        }
    }
}
