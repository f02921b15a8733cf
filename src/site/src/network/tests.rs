//! Good and bad networks.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::Site;

const SMALL: &str = "name = \"my-campus\"\nroom.a.title = \"East\"\nroom.b.title = \"West\"\n";

fn parse(network: &str) -> Result<Network, crate::InputErrors> {
    let text = format!("{SMALL}[room.a.network]\n{network}\n");
    Site::parse(&text, Path::new("site.toml")).map(|site| site.rooms[0].control.network.clone())
}

fn check_network(network: &str, expected: Expect) {
    expected.assert_eq(&parse(network).unwrap_err().to_string());
}

/// What systemd-networkd is told.
fn check_files(network: &str, expected: Expect) {
    let files = render(&parse(network).unwrap());
    let text: Vec<String> =
        files.iter().map(|(name, contents)| format!("---- {name}\n{contents}")).collect();
    expected.assert_eq(&text.join(""));
}

#[test]
fn impossible_numbers_are_refused_with_the_range() {
    check_network(
        "vlan = 4095\nmtu = 70000",
        expect![[r#"
        2 problems in site.toml:

        site.toml:5:8: `vlan = 4095` is impossible
          5 | vlan = 4095
            |        ^^^^
          hint: write a whole number from 1 to 4094

        site.toml:6:7: `mtu = 70000` is impossible
          6 | mtu = 70000
            |       ^^^^^
          hint: write a whole number from 1280 to 9216"#]],
    );
    check_network(
        "interface = \"enp1s0\"\nvlan = -1\nmtu = 1500.5",
        expect![[r#"
            2 problems in site.toml:

            site.toml:6:8: `vlan = -1` is impossible
              6 | vlan = -1
                |        ^^
              hint: write a whole number from 1 to 4094

            site.toml:7:7: `mtu` is a number with a point, not a whole number
              7 | mtu = 1500.5
                |       ^^^^^^
              hint: write a whole number from 1280 to 9216"#]],
    );
}

#[test]
fn impossible_addresses_are_refused() {
    check_network(
        "mode = \"static\"\ninterface = \"enp1s0\"\naddresses = [\"192.0.2.10\", \"192.0.2.0/24\"]\n\
         gateway = \"192.0.2\"\ndns = [\"one.one\"]",
        expect![[r#"
            4 problems in site.toml:

            site.toml:7:14: `192.0.2.10` has no prefix length
              7 | addresses = ["192.0.2.10", "192.0.2.0/24"]
                |              ^^^^^^^^^^^^
              hint: add the subnet's prefix length, such as 192.0.2.10/24

            site.toml:7:28: 192.0.2.0 is the address of the subnet itself, not the address of a machine
              7 | addresses = ["192.0.2.10", "192.0.2.0/24"]
                |                            ^^^^^^^^^^^^^^
              hint: give an address inside 192.0.2.0/24 that is its own

            site.toml:8:11: `192.0.2` is not an IP address
              8 | gateway = "192.0.2"
                |           ^^^^^^^^^
              hint: write an address such as 192.0.2.1 or 2001:db8::1

            site.toml:9:8: `one.one` is not an IP address
              9 | dns = ["one.one"]
                |        ^^^^^^^^^
              hint: write an address such as 192.0.2.1 or 2001:db8::1"#]],
    );
    check_network(
        "mode = \"static\"\ninterface = \"enp1s0\"",
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: [room.a.network] lacks `addresses`
          4 | [room.a.network]
            | ^^^^^^^^^^^^^^^^
          hint: with mode = "static" write addresses = ["192.0.2.10/24"]"#]],
    );
    check_network(
        "mode = \"static\"\ninterface = \"enp1s0\"\naddresses = []",
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: a static network without an address
          4 | [room.a.network]
            | ^^^^^^^^^^^^^^^^
          hint: write at least one, such as "192.0.2.10/24""#]],
    );
    check_network(
        "mode = \"satic\"",
        expect![[r#"
        a problem in site.toml:

        site.toml:5:8: `mode` cannot be "satic"
          5 | mode = "satic"
            |        ^^^^^^^
          hint: did you mean `static`?"#]],
    );
}

#[test]
fn impossible_gateways_are_refused() {
    let network = |gateway: &str| {
        format!(
            "mode = \"static\"\ninterface = \"enp1s0\"\n\
             addresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\ngateway = {gateway}"
        )
    };
    check_network(
        &network("\"192.0.3.1\""),
        expect![[r#"
        a problem in site.toml:

        site.toml:8:11: the gateway 192.0.3.1 is in none of the machine's subnets
          8 | gateway = "192.0.3.1"
            |           ^^^^^^^^^^^
          hint: a gateway is inside 192.0.2.10/24 or 2001:db8::10/64"#]],
    );
    check_network(
        &network("\"192.0.2.10\""),
        expect![[r#"
        a problem in site.toml:

        site.toml:8:11: the gateway 192.0.2.10 is the machine itself
          8 | gateway = "192.0.2.10"
            |           ^^^^^^^^^^^^
          hint: write the router's address"#]],
    );
    check_network(
        &network("\"192.0.2.255\""),
        expect![[r#"
        a problem in site.toml:

        site.toml:8:11: the gateway 192.0.2.255 is the subnet's broadcast address
          8 | gateway = "192.0.2.255"
            |           ^^^^^^^^^^^^^
          hint: write the router's address"#]],
    );
    check_network(
        &network("[\"192.0.2.1\", \"192.0.2.2\"]"),
        expect![[r#"
        a problem in site.toml:

        site.toml:8:25: a second gateway for IPv4
          8 | gateway = ["192.0.2.1", "192.0.2.2"]
            |                         ^^^^^^^^^^^
          hint: name one gateway for IPv4 and one for IPv6"#]],
    );
    assert!(parse(&network("[\"192.0.2.1\", \"fe80::1\"]")).is_ok());
}

#[test]
fn dhcp_needs_no_addresses() {
    check_network(
        "addresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.1\"",
        expect![[r#"
        2 problems in site.toml:

        site.toml:5:1: `addresses` has no meaning with DHCP
          5 | addresses = ["192.0.2.10/24"]
            | ^^^^^^^^^
          hint: write mode = "static", or remove this line

        site.toml:6:1: `gateway` has no meaning with DHCP
          6 | gateway = "192.0.2.1"
            | ^^^^^^^
          hint: write mode = "static", or remove this line"#]],
    );
}

#[test]
fn static_addresses_and_vlans_need_one_certain_card() {
    check_network(
        "mode = \"static\"\naddresses = [\"192.0.2.10/24\"]",
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: static addresses on whatever card matches "en* eth*"
          4 | [room.a.network]
            | ^^^^^^^^^^^^^^^^
          hint: name one card: interface = "enp1s0" or its MAC address"#]],
    );
    check_network(
        "vlan = 20",
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: a VLAN on whatever card matches "en* eth*"
          4 | [room.a.network]
            | ^^^^^^^^^^^^^^^^
          hint: name one card: interface = "enp1s0" or its MAC address"#]],
    );
}

#[test]
fn impossible_bonds_are_refused() {
    check_network(
        "interface = \"en*\"\nbond = { mode = \"balance\", members = [\"enp1s0\"] }",
        expect![[r#"
            3 problems in site.toml:

            site.toml:5:1: `interface` has no meaning beside a bond
              5 | interface = "en*"
                | ^^^^^^^^^
              hint: a bond names its cards in `members`: remove this line

            site.toml:6:8: a bond has 2 to 8 cards
              6 | bond = { mode = "balance", members = ["enp1s0"] }
                |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              hint: name them in `members`; there are 1

            site.toml:6:17: `mode` cannot be "balance"
              6 | bond = { mode = "balance", members = ["enp1s0"] }
                |                 ^^^^^^^^^
              hint: one of `active-backup`, `802.3ad`"#]],
    );
    check_network(
        "bond = { mode = \"802.3ad\", members = [\"enp1s0\", \"enp1s0\"] }",
        expect![[r#"
        a problem in site.toml:

        site.toml:5:49: `enp1s0` is twice in the bond
          5 | bond = { mode = "802.3ad", members = ["enp1s0", "enp1s0"] }
            |                                                 ^^^^^^^^
          hint: name each card once"#]],
    );
    check_network(
        "bond = {}",
        expect![[r#"
        2 problems in site.toml:

        site.toml:5:8: [room.a.network.bond] lacks `mode`
          5 | bond = {}
            |        ^^
          hint: write mode = "active-backup" or "802.3ad"

        site.toml:5:8: [room.a.network.bond] lacks `members`
          5 | bond = {}
            |        ^^
          hint: write members = ["enp1s0", "enp2s0"] or their MAC addresses"#]],
    );
}

#[test]
fn dhcp_is_asked_by_hardware_address() {
    check_files(
        "",
        expect![[r#"
        ---- 10-duet-uplink.network
        [Match]
        Type=ether
        Kind=!*
        Name=en* eth*

        [Link]
        RequiredForOnline=routable

        [Network]
        DHCP=yes

        [DHCPv4]
        ClientIdentifier=mac
        UseHostname=no

        [DHCPv6]
        UseHostname=no
    "#]],
    );
    check_files(
        "interface = '52:54:00:AB:CD:01'\nmtu = 9000\ndns = ['192.0.2.53']\nsearch = ['example.org', 'example.net']",
        expect![[r#"
            ---- 10-duet-uplink.network
            [Match]
            Type=ether
            Kind=!*
            PermanentMACAddress=52:54:00:ab:cd:01

            [Link]
            MTUBytes=9000
            RequiredForOnline=routable

            [Network]
            DHCP=yes
            DNS=192.0.2.53
            Domains=example.org example.net

            [DHCPv4]
            ClientIdentifier=mac
            UseHostname=no
            UseDNS=no

            [DHCPv6]
            UseHostname=no
            UseDNS=no

            [IPv6AcceptRA]
            UseDNS=no
        "#]],
    );
}

#[test]
fn static_addresses_are_all_there_is() {
    check_files(
        "mode = 'static'\ninterface = 'enp1s0'\naddresses = ['192.0.2.10/24', '2001:db8::10/64']\n\
         gateway = ['192.0.2.1', 'fe80::1']\ndns = ['192.0.2.53', '2001:db8::53']\nsearch = ['example.org']",
        expect![[r#"
            ---- 10-duet-uplink.network
            [Match]
            Type=ether
            Kind=!*
            Name=enp1s0

            [Link]
            RequiredForOnline=routable

            [Network]
            Gateway=192.0.2.1
            Gateway=fe80::1
            DHCP=no
            IPv6AcceptRA=no
            DNS=192.0.2.53
            DNS=2001:db8::53
            Domains=example.org

            [Address]
            Address=192.0.2.10/24
            DuplicateAddressDetection=both

            [Address]
            Address=2001:db8::10/64
            DuplicateAddressDetection=both
        "#]],
    );
}

#[test]
fn a_vlan_lies_on_its_card() {
    check_files(
        "interface = 'enp1s0'\nvlan = 20\nmtu = 9000",
        expect![[r#"
        ---- 10-duet-uplink.network
        [Match]
        Type=ether
        Kind=!*
        Name=enp1s0

        [Link]
        MTUBytes=9000
        RequiredForOnline=no

        [Network]
        VLAN=vlan20
        LinkLocalAddressing=no
        ---- 30-duet-vlan.netdev
        [NetDev]
        Name=vlan20
        Kind=vlan

        [VLAN]
        Id=20
        ---- 30-duet-vlan.network
        [Match]
        Name=vlan20

        [Link]
        MTUBytes=9000
        RequiredForOnline=routable

        [Network]
        DHCP=yes

        [DHCPv4]
        ClientIdentifier=mac
        UseHostname=no

        [DHCPv6]
        UseHostname=no
    "#]],
    );
}

#[test]
fn a_bond_has_members_and_perhaps_a_vlan() {
    check_files(
        "bond = { mode = 'active-backup', members = ['enp1s0', '52:54:00:ab:cd:02'] }",
        expect![[r#"
            ---- 10-duet-member-1.network
            [Match]
            Type=ether
            Kind=!*
            Name=enp1s0

            [Link]
            RequiredForOnline=no

            [Network]
            Bond=bond0
            PrimarySlave=yes
            ---- 10-duet-member-2.network
            [Match]
            Type=ether
            Kind=!*
            PermanentMACAddress=52:54:00:ab:cd:02

            [Link]
            RequiredForOnline=no

            [Network]
            Bond=bond0
            ---- 20-duet-bond.netdev
            [NetDev]
            Name=bond0
            Kind=bond

            [Bond]
            Mode=active-backup
            MIIMonitorSec=100ms
            ---- 20-duet-bond.network
            [Match]
            Name=bond0

            [Link]
            RequiredForOnline=routable

            [Network]
            DHCP=yes

            [DHCPv4]
            ClientIdentifier=mac
            UseHostname=no

            [DHCPv6]
            UseHostname=no
        "#]],
    );
    check_files(
        "mode = 'static'\nvlan = 20\naddresses = ['192.0.2.10/24']\n\
         bond = { mode = '802.3ad', members = ['ens*'] }",
        expect![[r#"
            ---- 10-duet-member-1.network
            [Match]
            Type=ether
            Kind=!*
            Name=ens*

            [Link]
            RequiredForOnline=no

            [Network]
            Bond=bond0
            ---- 20-duet-bond.netdev
            [NetDev]
            Name=bond0
            Kind=bond

            [Bond]
            Mode=802.3ad
            MIIMonitorSec=100ms
            LACPTransmitRate=fast
            TransmitHashPolicy=layer3+4
            ---- 20-duet-bond.network
            [Match]
            Name=bond0

            [Link]
            RequiredForOnline=no

            [Network]
            VLAN=vlan20
            LinkLocalAddressing=no
            ---- 30-duet-vlan.netdev
            [NetDev]
            Name=vlan20
            Kind=vlan

            [VLAN]
            Id=20
            ---- 30-duet-vlan.network
            [Match]
            Name=vlan20

            [Link]
            RequiredForOnline=routable

            [Network]
            DHCP=no
            IPv6AcceptRA=no

            [Address]
            Address=192.0.2.10/24
            DuplicateAddressDetection=both
        "#]],
    );
}
