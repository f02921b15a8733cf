//! Writes a [`Network`] down for systemd-networkd. Start at [`render`].
//!
//! There is never a .link file: udev reads those when a card appears, which is before a machine has
//! read its seed.

use std::fmt::{Display, Write};

use super::{Addressing, BondMode, Interface, Link, Network};

/// The name of the bond, if there is one.
const BOND: &str = "bond0";

/// The files for /run/systemd/network, each with its name and contents (systemd.network(5),
/// systemd.netdev(5)). Cards come first (10-), then the bond (20-), then the VLAN (30-).
pub fn render(network: &Network) -> Vec<(String, String)> {
    let vlan = network.vlan.map(|id| format!("vlan{id}"));
    let mut files = Vec::new();
    let mut add = |name: &str, unit: Unit| files.push((name.to_owned(), unit.0));
    // Addresses are on the outermost device; what lies below only carries it.
    let fill = |unit: Unit| match &vlan {
        Some(name) => carrier(unit, network, name),
        None => addressed(unit, network),
    };
    match &network.link {
        Link::Single { interface } => add("10-duet-uplink.network", fill(card(interface))),
        Link::Bond { mode, members } => {
            for (index, member) in members.iter().enumerate() {
                let preferred = index == 0 && *mode == BondMode::ActiveBackup && member.is_exact();
                let name = format!("10-duet-member-{}.network", index + 1);
                add(&name, bond_member(member, preferred));
            }
            add("20-duet-bond.netdev", bond(*mode));
            add("20-duet-bond.network", fill(device(BOND)));
        }
    }
    if let (Some(name), Some(id)) = (&vlan, network.vlan) {
        let netdev = Unit::default().section("NetDev").set("Name", name).set("Kind", "vlan");
        add("30-duet-vlan.netdev", netdev.section("VLAN").set("Id", id));
        add("30-duet-vlan.network", addressed(device(name), network));
    }
    files
}

/// A file of sections with settings, under construction.
#[derive(Default)]
struct Unit(String);

impl Unit {
    fn section(mut self, name: &str) -> Self {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[{name}]"); // Writing to a String cannot fail.
        self
    }

    fn set(mut self, key: &str, value: impl Display) -> Self {
        let _ = writeln!(self.0, "{key}={value}");
        self
    }

    fn set_each(self, key: &str, values: impl IntoIterator<Item = impl Display>) -> Self {
        values.into_iter().fold(self, |unit, value| unit.set(key, value))
    }

    fn set_if(self, when: bool, key: &str, value: impl Display) -> Self {
        if when { self.set(key, value) } else { self }
    }
}

/// Matches real cards only. The permanent address is asked for, because bonds and VLANs take over
/// the current address of the card below them and would match too.
fn card(interface: &Interface) -> Unit {
    let unit = Unit::default().section("Match").set("Type", "ether").set("Kind", "!*");
    match interface {
        Interface::Mac(mac) => unit.set("PermanentMACAddress", mac),
        Interface::Name(names) => unit.set("Name", names.join(" ")),
    }
}

fn device(name: &str) -> Unit {
    Unit::default().section("Match").set("Name", name)
}

fn bond_member(member: &Interface, preferred: bool) -> Unit {
    let unit = card(member).section("Link").set("RequiredForOnline", "no");
    unit.section("Network").set("Bond", BOND).set_if(preferred, "PrimarySlave", "yes")
}

/// A bond that looks at its cards' carrier ten times a second, as the kernel's documentation
/// (networking/bonding.rst) recommends.
fn bond(mode: BondMode) -> Unit {
    let unit = Unit::default().section("NetDev").set("Name", BOND).set("Kind", "bond");
    let unit = unit.section("Bond");
    match mode {
        BondMode::ActiveBackup => unit.set("Mode", "active-backup").set("MIIMonitorSec", "100ms"),
        BondMode::Lacp => unit
            .set("Mode", "802.3ad")
            .set("MIIMonitorSec", "100ms")
            .set("LACPTransmitRate", "fast")
            .set("TransmitHashPolicy", "layer3+4"),
    }
}

/// A device that carries a VLAN and has no addresses itself.
fn carrier(unit: Unit, network: &Network, vlan: &str) -> Unit {
    let unit = unit.section("Link").set_each("MTUBytes", network.mtu);
    let unit = unit.set("RequiredForOnline", "no").section("Network");
    unit.set("VLAN", vlan).set("LinkLocalAddressing", "no")
}

/// A device that has the addresses.
fn addressed(unit: Unit, network: &Network) -> Unit {
    let unit = unit.section("Link").set_each("MTUBytes", network.mtu);
    let unit = unit.set("RequiredForOnline", "routable").section("Network");
    let names = |unit: Unit| {
        let search: Vec<&str> = network.search.iter().map(|host| host.as_str()).collect();
        unit.set_each("DNS", &network.dns).set_if(!search.is_empty(), "Domains", search.join(" "))
    };
    match &network.addressing {
        Addressing::Dhcp => {
            let own_dns = !network.dns.is_empty();
            // People reserve addresses by the hardware address that is printed on the machine.
            let unit = names(unit.set("DHCP", "yes")).section("DHCPv4");
            let unit = unit.set("ClientIdentifier", "mac").set("UseHostname", "no");
            let unit = unit.set_if(own_dns, "UseDNS", "no").section("DHCPv6");
            let unit = unit.set("UseHostname", "no").set_if(own_dns, "UseDNS", "no");
            if own_dns { unit.section("IPv6AcceptRA").set("UseDNS", "no") } else { unit }
        }
        Addressing::Static { addresses, gateways } => {
            let unit = unit.set_each("Gateway", gateways);
            let unit = names(unit.set("DHCP", "no").set("IPv6AcceptRA", "no"));
            // An address that another machine has is not taken (RFC 5227, RFC 4862 section 5.4).
            addresses.iter().fold(unit, |unit, address| {
                let unit = unit.section("Address").set("Address", address);
                unit.set("DuplicateAddressDetection", "both")
            })
        }
    }
}
