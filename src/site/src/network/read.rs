//! Reads a `network` table of a site file. Start at [`Network::read`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::str::FromStr;

use super::{Addressing, BondMode, Cidr, Interface, Link, Network};
use crate::document::{Found, Table};
use crate::host::Host;

/// The smallest and the largest packet in bytes: what IPv6 needs (RFC 8200, section 5), and what
/// cards and switches with jumbo frames carry.
const MTU: (u16, u16) = (1280, 9216);

/// The VLANs that exist (IEEE 802.1Q: 0 and 4095 are reserved).
const VLAN: (u16, u16) = (1, 4094);

/// The most cards of one bond: more than any machine has free.
const MOST_MEMBERS: usize = 8;

/// What only one machine of a site may have, and who has it.
#[derive(Default)]
pub(crate) struct Claims(BTreeMap<String, Range<usize>>);

impl Claims {
    /// Takes `what` (such as `the address 192.0.2.10`) for one machine, or reports who has it.
    pub(crate) fn claim(&mut self, table: &Table<'_>, what: String, span: Range<usize>) {
        match self.0.get(&what) {
            Some(first) => {
                let hint =
                    format!("line {} has it already; each machine has its own", table.line(first));
                table.report(span, format!("{what} is given twice"), hint);
            }
            None => {
                self.0.insert(what, span);
            }
        }
    }
}

/// An IP address alone, without a prefix.
struct Address(IpAddr);

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is not an IP address")]
#[diagnostic(code(input::address), help("write an address such as 192.0.2.1 or 2001:db8::1"))]
struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.parse().map(Address).map_err(|_| AddressError(text.to_owned()))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Dhcp,
    Static,
}

impl Network {
    /// Reads what the table says; what it does not say is as in [`Network::default`].
    pub(crate) fn read(table: &Table<'_>, claims: &mut Claims) -> Option<Network> {
        let network = read_keys(table, claims);
        table.finish();
        check_exact(table, network.as_ref()?);
        network
    }
}

fn read_keys(table: &Table<'_>, claims: &mut Claims) -> Option<Network> {
    let mode = table.choice("mode", &[("dhcp", Mode::Dhcp), ("static", Mode::Static)]);
    let mode_is_wrong = mode.is_none() && table.has("mode");
    let mode = mode.map_or(Mode::Dhcp, |mode| mode.value);
    let link = read_link(table, claims);
    let vlan = read_u16(table, "vlan", VLAN);
    let mtu = read_u16(table, "mtu", MTU);
    let addresses = table.parsed_list::<Cidr>("addresses");
    let gateways = table.one_or_more::<Address>("gateway");
    let dns = table.parsed_list::<Address>("dns").unwrap_or_default();
    let search = table.parsed_list::<Host>("search").unwrap_or_default();
    let link = link?;
    let addressing = match mode {
        _ if mode_is_wrong => return None,
        Mode::Dhcp => {
            for key in ["addresses", "gateway"] {
                let message = format!("`{key}` has no meaning with DHCP");
                table.forbid(key, &message, "write mode = \"static\", or remove this line");
            }
            Addressing::Dhcp
        }
        Mode::Static => {
            let hint = "with mode = \"static\" write addresses = [\"192.0.2.10/24\"]";
            let addresses = table.require("addresses", addresses, hint)?;
            read_static(table, claims, addresses, gateways.unwrap_or_default())?
        }
    };
    Some(Network {
        mtu,
        vlan,
        dns: dns.into_iter().map(|found| found.value.0).collect(),
        search: search.into_iter().map(|found| found.value).collect(),
        link,
        addressing,
    })
}

fn read_u16(table: &Table<'_>, key: &'static str, (least, most): (u16, u16)) -> Option<u16> {
    let found = table.number(key, least.into()..=most.into())?;
    u16::try_from(found.value).ok()
}

fn read_link(table: &Table<'_>, claims: &mut Claims) -> Option<Link> {
    let interface = table.parsed::<Interface>("interface");
    let interface_is_wrong = interface.is_none() && table.has("interface");
    match table.table("bond") {
        Some(bond) => {
            let hint = "a bond names its cards in `members`: remove this line";
            table.forbid("interface", "`interface` has no meaning beside a bond", hint);
            read_bond(&bond, claims)
        }
        None if table.has("bond") || interface_is_wrong => None,
        None => {
            if let Some(found) = &interface {
                claim_card(table, claims, found);
            }
            let interface = interface.map(|found| found.value).unwrap_or_default();
            Some(Link::Single { interface })
        }
    }
}

fn read_bond(bond: &Table<'_>, claims: &mut Claims) -> Option<Link> {
    let mode = bond.choice("mode", &BondMode::ALL);
    let members = bond.parsed_list::<Interface>("members");
    let mode = bond.require("mode", mode, "write mode = \"active-backup\" or \"802.3ad\"");
    let hint = "write members = [\"enp1s0\", \"enp2s0\"] or their MAC addresses";
    let members = bond.require("members", members, hint);
    bond.finish();
    let members = members?;
    for (index, member) in members.iter().enumerate() {
        if !matches!(member.value, Interface::Mac(_))
            && members[..index].iter().any(|other| other.value == member.value)
        {
            let message = format!("`{}` is twice in the bond", member.value);
            bond.report(member.span.clone(), message, "name each card once");
        }
        claim_card(bond, claims, member);
    }
    let all_exact = members.iter().all(|member| member.value.is_exact());
    let count = bond.length("members");
    if count > MOST_MEMBERS || count == 0 || (count == 1 && all_exact) {
        let message = format!("a bond has 2 to {MOST_MEMBERS} cards");
        bond.report(bond.span(), message, format!("name them in `members`; there are {count}"));
    }
    let members = members.into_iter().map(|found| found.value).collect();
    Some(Link::Bond { mode: mode?.value, members })
}

fn claim_card(table: &Table<'_>, claims: &mut Claims, card: &Found<Interface>) {
    if let Interface::Mac(mac) = card.value {
        claims.claim(table, format!("the card {mac}"), card.span.clone());
    }
}

fn read_static(
    table: &Table<'_>,
    claims: &mut Claims,
    addresses: Vec<Found<Cidr>>,
    gateways: Vec<Found<Address>>,
) -> Option<Addressing> {
    if table.length("addresses") == 0 {
        let hint = "write at least one, such as \"192.0.2.10/24\"";
        table.report(table.span(), "a static network without an address", hint);
        return None;
    }
    for found in &addresses {
        let what = format!("the address {}", found.value.address());
        claims.claim(table, what, found.span.clone());
    }
    let all_good = addresses.len() == table.length("addresses");
    let addresses: Vec<Cidr> = addresses.into_iter().map(|found| found.value).collect();
    for (index, gateway) in gateways.iter().enumerate() {
        let version = |other: &Found<Address>| other.value.0.is_ipv4() == gateway.value.0.is_ipv4();
        if gateways[..index].iter().any(version) {
            let version = if gateway.value.0.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!("a second gateway for {version}");
            table.report(
                gateway.span.clone(),
                message,
                "name one gateway for IPv4 and one for IPv6",
            );
        }
        if all_good {
            check_gateway(table, gateway, &addresses);
        }
    }
    let gateways = gateways.into_iter().map(|found| found.value.0).collect();
    Some(Addressing::Static { addresses, gateways })
}

fn check_gateway(table: &Table<'_>, gateway: &Found<Address>, addresses: &[Cidr]) {
    let Address(way_out) = gateway.value;
    let span = gateway.span.clone();
    // Routers of IPv6 are mostly known by their link-local address, which is in no subnet.
    if matches!(way_out, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return;
    }
    let Some(subnet) = addresses.iter().find(|cidr| cidr.contains(way_out)) else {
        let subnets: Vec<String> = addresses.iter().map(Cidr::to_string).collect();
        let message = format!("the gateway {way_out} is in none of the machine's subnets");
        let hint = format!("a gateway is inside {}", subnets.join(" or "));
        return table.report(span, message, hint);
    };
    if addresses.iter().any(|cidr| cidr.address() == way_out) {
        let message = format!("the gateway {way_out} is the machine itself");
        table.report(span, message, "write the router's address");
    } else if let Some(what) = subnet.not_a_host(way_out) {
        table.report(
            span,
            format!("the gateway {way_out} is {what}"),
            "write the router's address",
        );
    }
}

/// Static addresses and a VLAN belong to one card: given to several, they would be there twice.
fn check_exact(table: &Table<'_>, network: &Network) {
    let Link::Single { interface } = &network.link else { return };
    let what = match (&network.addressing, network.vlan) {
        (Addressing::Static { .. }, _) => "static addresses",
        (Addressing::Dhcp, Some(_)) => "a VLAN",
        (Addressing::Dhcp, None) => return,
    };
    if !interface.is_exact() {
        let message = format!("{what} on whatever card matches \"{interface}\"");
        let hint = "name one card: interface = \"enp1s0\" or its MAC address";
        table.report(table.span(), message, hint);
    }
}
