//! Good and bad site files.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::network::{BondMode, Link};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example";

const SMALL: &str = "name = \"my-campus\"\nroom.a.title = \"East\"\nroom.b.title = \"West\"\n";

fn parse(text: &str) -> Result<Site, InputErrors> {
    Site::parse(text, Path::new("site.toml"))
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&parse(text).unwrap_err().to_string());
}

/// A bad [room.a.network] in an otherwise good file.
fn check_network(lines: &str, expected: Expect) {
    check(&format!("{SMALL}[room.a.network]\n{lines}\n"), expected);
}

#[test]
fn a_small_file_is_enough() {
    let site = parse(SMALL).unwrap();
    assert_eq!(site.room(Room::B).title, "West");
    assert_eq!(site.time_servers[0].as_str(), "2.debian.pool.ntp.org");
    assert!(site.ssh_keys.is_empty());
    for (room, role, name) in [
        (Room::A, Role::Control, "my-campus-a1"),
        (Room::A, Role::Worker, "my-campus-a2"),
        (Room::B, Role::Control, "my-campus-b1"),
    ] {
        let node = site.node(room, role).unwrap();
        assert_eq!(node.hostname.as_str(), name);
        assert_eq!(node.network, Network::default());
    }
}

#[test]
fn the_template_is_a_good_file() {
    let text = Site::template(&"my-campus".parse().unwrap(), &[KEY.parse().unwrap()], None);
    let site = parse(&text).unwrap();
    assert_eq!(site.name.as_str(), "my-campus");
    assert_eq!(site.ssh_keys[0].to_string(), KEY);
    let without_keys = parse(&Site::template(&"x".parse().unwrap(), &[], None)).unwrap();
    assert!(without_keys.ssh_keys.is_empty());
    assert!(text.lines().all(|line| line.chars().count() <= 100 || line.contains(KEY)));
}

/// The template with every example in force.
fn everything() -> String {
    let text = Site::template(&"my-campus".parse().unwrap(), &[], None);
    let uncomment = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(code) if !code.starts_with(' ') => format!("{code}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(uncomment).collect()
}

#[test]
fn every_example_of_the_template_works() {
    let site = parse(&everything()).unwrap();
    let a = &site.room(Room::A).control.network;
    assert_eq!((a.vlan, a.mtu, a.dns.len(), a.search.len()), (Some(20), Some(9000), 1, 1));
    assert_eq!(a.addresses().len(), 2);
    let b = &site.room(Room::B).control.network;
    assert!(
        matches!(&b.link, Link::Bond { mode: BondMode::ActiveBackup, members } if members.len() == 2)
    );
    assert_eq!(site.node(Room::A, Role::Worker).unwrap().hostname.as_str(), "my-campus-a2");
    assert_eq!(site.ssh_keys.len(), 1);
    assert_eq!(site.time_servers.len(), 2);
    assert_eq!((site.kubernetes.cluster_cidr.len(), site.kubernetes.disable.len()), (2, 2));
    assert!(!site.kubernetes.workloads_on_control);
    let disks = |room| &site.node(room, Role::Control).unwrap().disks;
    assert_eq!((disks(Room::A).min_gib, disks(Room::A).erase.len()), (100, 1));
    assert!(disks(Room::B).empty && disks(Room::B).erase.is_empty());
}

#[test]
fn a_worker_is_not_given_the_control_machines_own_network() {
    let fixed = "[room.a.network]\nmode = \"static\"\ninterface = \"enp1s0\"\n\
                 addresses = [\"192.0.2.10/24\"]\n";
    let by_mac = "[room.a.network]\ninterface = \"52:54:00:00:00:01\"\n";
    for network in [fixed, by_mac] {
        let site = parse(&format!("{SMALL}{network}")).unwrap();
        assert_eq!(site.node(Room::A, Role::Worker), Err(NoWorker(Room::A)));
        assert!(site.node(Room::B, Role::Worker).is_ok());
        let described = parse(&format!("{SMALL}{network}[room.a.worker]\nhostname = \"w\"\n"));
        let worker = described.unwrap().node(Room::A, Role::Worker).unwrap().clone();
        assert_eq!((worker.hostname.as_str(), worker.network), ("w", Network::default()));
    }
}

#[test]
fn misspelt_keys_are_named_with_the_nearest() {
    check(
        "nmae = \"my-campus\"\n\n[room.a]\ntitel = \"East\"\n[room.b]\ntitle = \"West\"\n\
         [room.b.netwrok]\n[room.c]\n[ssh]\nusers = [\"ada\"]\n",
        expect![[r#"
            5 problems in site.toml:

            site.toml:1:1: unknown key `nmae`
              1 | nmae = "my-campus"
                | ^^^^
              hint: did you mean `name`?

            site.toml:4:1: unknown key `titel` in [room.a]
              4 | titel = "East"
                | ^^^^^
              hint: did you mean `title`?

            site.toml:7:9: unknown key `netwrok` in [room.b]
              7 | [room.b.netwrok]
                |         ^^^^^^^
              hint: did you mean `network`?

            site.toml:8:7: unknown key `c` in [room]
              8 | [room.c]
                |       ^
              hint: the keys here are `a`, `b`

            site.toml:10:1: unknown key `users` in [ssh]
              10 | users = ["ada"]
                 | ^^^^^
              hint: the keys here are `keys`"#]],
    );
}

#[test]
fn what_is_missing_is_named_with_what_to_write() {
    check(
        "",
        expect![[r#"
        2 problems in site.toml:

        site.toml:1:1: `name` is missing
          hint: write name = "my-campus" above the first [table]

        site.toml:1:1: `room` is missing
          hint: write [room.a] and [room.b], each with title = "…""#]],
    );
    check(
        "name = \"x\"\n[room.a]\n",
        expect![[r#"
        2 problems in site.toml:

        site.toml:2:1: [room.a] lacks `title`
          2 | [room.a]
            | ^^^^^^^^
          hint: write title = "Building 1"

        site.toml:2:2: [room] lacks `b`
          2 | [room.a]
            |  ^^^^
          hint: write [room.b] and title = "…": a site has two rooms"#]],
    );
}

#[test]
fn what_is_no_toml_is_shown_where_it_breaks() {
    check(
        "name = \"my-campus\n[room.a]\n",
        expect![[r#"
        a problem in site.toml:

        site.toml:1:18: not TOML: invalid basic string, expected `"`
          1 | name = "my-campus
            |                  ^
          hint: texts stand in "quotes", lists in [brackets], and each line has one key = value"#]],
    );
    check(
        "name = my-campus\nroom.a.title = \"East\n",
        expect![[r#"
        2 problems in site.toml:

        site.toml:1:8: not TOML: string values must be quoted, expected literal string
          1 | name = my-campus
            |        ^^^^^^^^^
          hint: texts stand in "quotes", lists in [brackets], and each line has one key = value

        site.toml:2:21: not TOML: invalid basic string, expected `"`
          2 | room.a.title = "East
            |                     ^
          hint: texts stand in "quotes", lists in [brackets], and each line has one key = value"#]],
    );
    check(
        "name = \"a\"\nname = \"b\"\n",
        expect![[r#"
        a problem in site.toml:

        site.toml:2:1: not TOML: duplicate key
          2 | name = "b"
            | ^^^^
          hint: texts stand in "quotes", lists in [brackets], and each line has one key = value"#]],
    );
    check(
        "[room.a\ntitle = \"x\"\n",
        expect![[r#"
        a problem in site.toml:

        site.toml:1:8: not TOML: unclosed table, expected `]`
          1 | [room.a
            |        ^
          hint: texts stand in "quotes", lists in [brackets], and each line has one key = value"#]],
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    check(
        "name = 7\nroom = \"east\"\ntime = []\n[ssh]\nkeys = \"all\"\n",
        expect![[r#"
        4 problems in site.toml:

        site.toml:1:8: `name` is a number, not a text
          1 | name = 7
            |        ^
          hint: write it in "quotes"

        site.toml:2:8: `room` is a text, not a table
          2 | room = "east"
            |        ^^^^^^
          hint: write [room] on a line of its own and its keys below

        site.toml:3:8: `time` is a list, not a table
          3 | time = []
            |        ^^
          hint: write [time] on a line of its own and its keys below

        site.toml:5:8: `keys` is a text, not a list
          5 | keys = "all"
            |        ^^^^^
          hint: write it in brackets: ["one", "two"]"#]],
    );
    check_network(
        "mode = true\nvlan = \"20\"\ndns = \"192.0.2.1\"\nsearch = [1]\nbond = \"both\"",
        expect![[r#"
            5 problems in site.toml:

            site.toml:5:8: `mode` is true or false, not a text
              5 | mode = true
                |        ^^^^
              hint: write it in "quotes"

            site.toml:6:8: `vlan` is a text, not a whole number
              6 | vlan = "20"
                |        ^^^^
              hint: write a whole number from 1 to 4094

            site.toml:7:7: `dns` is a text, not a list
              7 | dns = "192.0.2.1"
                |       ^^^^^^^^^^^
              hint: write it in brackets: ["one", "two"]

            site.toml:8:11: `search` is a number, not a text
              8 | search = [1]
                |           ^
              hint: write it in "quotes"

            site.toml:9:8: `bond` is a text, not a table
              9 | bond = "both"
                |        ^^^^^^
              hint: write [room.a.network.bond] on a line of its own and its keys below"#]],
    );
}

#[test]
fn impossible_names_are_refused() {
    check(
        "name = \"My Campus\"\n[room.a]\ntitle = \"\"\nhostname = \"a_1\"\n[room.b]\ntitle = \"a\\nb\"\n",
        expect![[r#"
            4 problems in site.toml:

            site.toml:1:8: the name has a 'M' in it
              1 | name = "My Campus"
                |        ^^^^^^^^^^^
              hint: a name is made of a-z, 0-9 and `-`

            site.toml:3:9: this cannot be the title of a room
              3 | title = ""
                |         ^^
              hint: a title is 1 to 60 characters on one line

            site.toml:4:12: the name has a '_' in it
              4 | hostname = "a_1"
                |            ^^^^^
              hint: a name is made of a-z, 0-9 and `-`

            site.toml:6:9: this cannot be the title of a room
              6 | title = "a\nb"
                |         ^^^^^^
              hint: a title is 1 to 60 characters on one line"#]],
    );
    let long = SMALL.replace("my-campus", &"x".repeat(41));
    check(
        &long,
        expect![[r#"
            a problem in site.toml:

            site.toml:1:8: the name has 41 characters
              1 | name = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              hint: at most 40: host names are made of it, such as NAME-a1"#]],
    );
}

#[test]
fn machines_do_not_share_what_is_their_own() {
    let network = "network = { mode = \"static\", interface = \"52:54:00:00:00:01\", \
                   addresses = [\"192.0.2.10/24\"] }";
    check(
        &format!(
            "name = \"x\"\n[room.a]\ntitle = \"East\"\nhostname = \"x-b1\"\n{network}\n\
             [room.b]\ntitle = \"West\"\n{network}\n"
        ),
        expect![[r#"
            3 problems in site.toml:

            site.toml:6:1: the host name x-b1 is given twice
              6 | [room.b]
                | ^^^^^^^^
              hint: line 4 has it already; each machine has its own

            site.toml:8:42: the card 52:54:00:00:00:01 is given twice
              8 | …ork = { mode = "static", interface = "52:54:00:00:00:01", addresses = ["192.0.2.10/24"] }
                |                                       ^^^^^^^^^^^^^^^^^^^
              hint: line 5 has it already; each machine has its own

            site.toml:8:76: the address 192.0.2.10 is given twice
              8 | …ork = { mode = "static", interface = "52:54:00:00:00:01", addresses = ["192.0.2.10/24"] }
                |                                                                         ^^^^^^^^^^^^^^^
              hint: line 5 has it already; each machine has its own"#]],
    );
}

#[test]
fn bad_time_servers_are_refused() {
    check(
        &format!("{SMALL}[time]\nservers = []\n"),
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: 0 time servers
          4 | [time]
            | ^^^^^^
          hint: name 1 to 8, or leave the key out for Debian's pool"#]],
    );
    check(
        &format!("{SMALL}[time]\nservers = [\"ntp example\", \"192.0.2.300\"]\n"),
        expect![[r#"
            2 problems in site.toml:

            site.toml:5:12: `ntp example` is neither a DNS name nor an IP address
              5 | servers = ["ntp example", "192.0.2.300"]
                |            ^^^^^^^^^^^^^
              hint: a name is made of a-z, 0-9, `-` and `.`, such as ntp.example.org

            site.toml:5:27: `192.0.2.300` is neither a DNS name nor an IP address
              5 | servers = ["ntp example", "192.0.2.300"]
                |                           ^^^^^^^^^^^^^
              hint: a name is made of a-z, 0-9, `-` and `.`, such as ntp.example.org"#]],
    );
}

#[test]
fn bad_ssh_keys_are_refused() {
    check(
        &format!(
            "{SMALL}[ssh]\nkeys = [\n  \"{KEY}\",\n  \"{}\",\n  \"ssh-dss AAAA\",\n  \"{}\",\n]\n",
            KEY.replace("ada", "eve"),
            KEY.replace("AAAAC3", "AAAB!3"),
        ),
        expect![[r#"
            3 problems in site.toml:

            site.toml:7:3: this key is in the list twice
              7 |   "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 eve@e…
                |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              hint: remove this one or the one of line 6

            site.toml:8:3: `ssh-dss` is not a type of key that machines take
              8 |   "ssh-dss AAAA",
                |   ^^^^^^^^^^^^^^
              hint: make one with `ssh-keygen -t ed25519` and paste the line of its .pub file

            site.toml:9:3: the key is not whole: its middle part is not base64
              9 |   "ssh-ed25519 AAAB!3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@e…
                |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              hint: paste the line of the .pub file again, as one line"#]],
    );
}

#[test]
fn a_private_key_is_refused_and_not_shown() {
    let pasted = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecretsecret\n";
    let quoted = format!("{SMALL}nonsense = 1\n[ssh]\nkeys = ['''{pasted}''']\n");
    let bare = format!("{SMALL}[ssh]\nkeys = [\n{pasted}]\n");
    check(
        &quoted,
        expect![[r#"
            2 problems in site.toml:

            site.toml:4:1: unknown key `nonsense`
              hint: the keys here are `name`, `disks`, `room`, `time`, `ssh`, `pair`, `kubernetes`

            site.toml:6:9: this is a private key, not a public one
              hint: paste the line of the .pub file; and since this key was written into a file that travels, make a new pair with `ssh-keygen`"#]],
    );
    check(
        &bare,
        expect![[r#"
        a problem in site.toml:

        site.toml:6:20: a private key was pasted here
          hint: paste the line of the .pub file; and since this key was written into a file that travels, make a new pair with `ssh-keygen`"#]],
    );
    for text in [quoted, bare] {
        assert!(!parse(&text).unwrap_err().to_string().contains("secret"));
    }
}

#[test]
fn a_file_with_very_many_problems_fits_a_screen() {
    let text: String = (0..100).map(|n| format!("key-{n} = 1\n")).collect();
    let error = parse(&format!("{SMALL}{text}")).unwrap_err();
    assert_eq!(error.problems().len(), 100);
    assert!(error.to_string().lines().count() < 40);
    assert!(error.to_string().ends_with("and 94 more"));
}

#[test]
fn another_file_is_not_read_to_its_end() {
    check(
        &" ".repeat(2 << 20),
        expect![[r#"
        a problem in site.toml:

        site.toml:1:1: the file has 2097152 bytes
          hint: at most 1048576 bytes are read; is this the right file?"#]],
    );
}

#[test]
fn any_slip_is_taken_or_told_and_never_panics() {
    let text = everything();
    let bare: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect();
    for (index, line) in bare.iter().enumerate() {
        let with = |line: &str| {
            let mut lines = bare.clone();
            lines[index] = line;
            lines.join("\n")
        };
        let mut slips = vec![with(""), with(&format!("{line}\n{line}"))];
        for at in 0..line.len() {
            slips.extend(["", "x", "0", "\"", "]", "\n"].map(|other| {
                let mut changed = (*line).to_owned();
                changed.replace_range(at..=at, other);
                with(&changed)
            }));
        }
        for slip in slips {
            if let Err(errors) = parse(&slip) {
                assert!(!errors.problems().is_empty(), "{slip}");
            }
        }
    }
}

#[test]
fn the_pair_is_read_and_what_two_could_grant_is_refused() {
    let witness = |authority: &str, certificate: &str| {
        format!(
            "{SMALL}[pair]\nauthority = \"{authority}\"\n[pair.witness]\naddresses = \"192.0.2.9:7411\"\n\
             certificate = \"\"\"\n{certificate}\"\"\"\n"
        )
    };
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIAB2V4YW1wbGU=\n-----END CERTIFICATE-----\n";
    let site = parse(&witness("witness", certificate)).unwrap();
    let found = site.pair.witness.unwrap();
    assert_eq!(site.pair.authority.to_string(), "witness");
    assert_eq!(found.addresses[0].to_string(), "192.0.2.9:7411");
    assert_eq!(parse(SMALL).unwrap().pair, Pair::default());
    check(
        &witness("operator", certificate),
        expect![[r#"
        a problem in site.toml:

        site.toml:6:7: `witness` has no meaning here: two could grant to two rooms
          6 | [pair.witness]
            |       ^^^^^^^
          hint: write authority = "witness", or remove the table"#]],
    );
    check(
        &witness("witness", "nonsense"),
        expect![[r#"
        a problem in site.toml:

        site.toml:8:15: this is not a certificate: it has no whole -----BEGIN block
          8 | certificate = """
            |               ^^^
          hint: put back the file that `duet site new` wrote, from where it was kept"#]],
    );
    check(
        &format!("{SMALL}[pair]\nauthority = \"witness\"\n"),
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: [pair] lacks `witness`
          4 | [pair]
            | ^^^^^^
          hint: write [pair.witness] with addresses and certificate"#]],
    );
    check(
        &format!("{SMALL}[pair]\nauthority = \"both\"\n"),
        expect![[r#"
        a problem in site.toml:

        site.toml:5:13: `both` grants nothing
          5 | authority = "both"
            |             ^^^^^^
          hint: write "witness", "preferred:a", "preferred:b" or "operator""#]],
    );
    check(
        &format!("{SMALL}[pair.timing]\nsilent_after_ms = 1900\nlease_ms = 20000\n"),
        expect![[r#"
            2 problems in site.toml:

            site.toml:4:1: these times contradict one another: nine tenths of lease_ms must be longer than silent_after_ms: clocks differ
              4 | [pair.timing]
                | ^^^^^^^^^^^^^
              hint: leave [pair.timing] out for 250, 1500 and 2000 ms

            site.toml:6:12: `lease_ms = 20000` is impossible
              6 | lease_ms = 20000
                |            ^^^^^
              hint: write a whole number from 10 to 10000"#]],
    );
}

#[test]
fn a_room_is_found_at_its_static_addresses_and_at_what_is_written() {
    let text = format!(
        "{SMALL}room.b.hosts = [\"b1.example.org\", \"192.0.2.10\"]\n[room.b.network]\nmode = \"static\"\n\
         interface = \"enp1s0\"\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n"
    );
    let site = parse(&text).unwrap();
    let hosts: Vec<&str> = site.room(Room::B).hosts.iter().map(Host::as_str).collect();
    assert_eq!(hosts, ["b1.example.org", "192.0.2.10", "2001:db8::10"]);
    assert!(site.room(Room::A).hosts.is_empty());
}

#[test]
fn a_new_site_may_have_a_witness() {
    let keys = crate::keys::WitnessKeys::generate("2026-11-23T08:00:00Z".parse().unwrap()).unwrap();
    let place = "[2001:db8::9]:7411".parse().unwrap();
    let name = "my-campus".parse().unwrap();
    let text = Site::template(&name, &[], Some((&place, keys.authority())));
    let site = parse(&text).unwrap();
    assert_eq!(site.pair.authority, crate::pair::Authority::Witness);
    let witness = site.pair.witness.unwrap();
    assert_eq!((&witness.addresses[..], &witness.certificate), (&[place][..], keys.authority()));
    assert!(!text.contains("#   -----BEGIN"), "the example is still there");
}

#[test]
fn what_only_one_machine_can_have_is_not_shared() {
    let worker = |lines: &str| format!("{SMALL}[room.a.worker]\nnaming = \"machine\"\n{lines}");
    let node = parse(&worker("")).unwrap().node(Room::A, Role::Worker).unwrap().clone();
    assert_eq!((node.hostname.as_str(), node.naming), ("my-campus-a", Naming::Machine));
    check(
        &worker("network = { interface = \"52:54:00:00:00:01\" }\n"),
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: with naming = "machine" several machines would have this network
          4 | [room.a.worker]
            | ^^^^^^^^^^^^^^^
          hint: leave out `naming`, or let it use DHCP on any card"#]],
    );
    check(
        &worker(&format!("hostname = \"{}\"\n", "w".repeat(57))),
        expect![[r#"
        a problem in site.toml:

        site.toml:4:1: `wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww` is too long to begin names with
          4 | [room.a.worker]
            | ^^^^^^^^^^^^^^^
          hint: at most 56 characters: `-` and six digits follow"#]],
    );
}
