//! Golden screens: what a person sees in the situations that matter.
#![allow(clippy::unwrap_used)]

mod json;

use agent::kubernetes::{self, Member, Phase};
use expect_test::{Expect, expect};

use super::*;
use crate::boot_count::Tries;
use crate::clock::Clock;
use crate::disks::report::{Entry, Report, State};
use crate::node::{Identity, Keeping, Node, Problem, UNSEEDED};
use crate::status::judge::{ESSENTIAL, STARTED};
use crate::status::{
    BootRecord, Component, Interface, InterfaceAddress, Kubernetes, Release, Seen, Storage,
    Verdict, Watchdog,
};
use crate::systemd::Units;

const PAPER: Page = Page { colour: false, ..Page::CONSOLE };

/// A table of units; a line of `extra` takes the place of an essential unit's.
fn units(extra: &str) -> Units {
    let essential = ESSENTIAL.iter().map(|name| format!("{name} loaded active running it\n"));
    let started = format!("{STARTED} loaded active active it\n");
    Units::parse(&(format!("{extra}\n") + &essential.collect::<String>() + &started))
}

fn card(name: &str, carrier: impl Into<Option<bool>>, addresses: &[(&str, u8)]) -> Interface {
    let address = |(text, prefix): &(&str, u8)| InterfaceAddress {
        address: text.parse().unwrap(),
        prefix: *prefix,
    };
    Interface {
        name: name.into(),
        mac: Some("52:54:00:12:34:56".into()),
        carrier: carrier.into(),
        speed_mbit: Some(1000),
        addresses: addresses.iter().map(address).collect(),
    }
}

/// A node that has nothing to complain about.
fn healthy() -> Seen {
    let hash = "3f9a1c20b7e4d5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e";
    let record = format!(r#"{{"root_hash":"{hash}","slot":"a","netboot":false}}"#);
    Seen {
        node: Ok(Node {
            identity: Some(Identity {
                site: "my-campus".parse().unwrap(),
                room: site::Room::A,
                room_title: "Maschinenhalle Süd".into(),
                role: site::Role::Control,
                name: "duet-a1".parse().unwrap(),
                addresses: Vec::new(),
                ssh_keys: 2,
                seed_issued: "2026-11-23T08:00:00Z".parse().unwrap(),
                seed_expires: None,
            }),
            host_key: Some("SHA256:HjqhhQ7O3Ppg6ucQ+aCZOJPVz37DZuRUTicbMyZwRaM".into()),
            secrets: Some(Keeping::Sealed),
            problems: Vec::new(),
            notices: Vec::new(),
        }),
        record: Ok(serde_json::from_str::<BootRecord>(&record).unwrap()),
        verdict: Some(Verdict { good: true, reasons: Vec::new(), restarting: false }),
        tries: None,
        verified: true,
        units: Ok(units("")),
        clock: Ok(Clock {
            synchronised: true,
            source: Some("ntp1.example.org".into()),
            ahead_s: Some(0.000012),
        }),
        hostname: "duet-a1".into(),
        release: Release { version: Some("0.1.0".into()), image: Some("duet-control".into()) },
        uptime_s: 3 * 86_400,
        network: vec![
            card("enp1s0", true, &[("192.0.2.10", 24), ("2001:db8::10", 64), ("fe80::1", 64)]),
            card("enp2s0", None, &[]),
        ],
        storage: Storage {
            path: "/var".into(),
            used_bytes: 9_000_000_000,
            free_bytes: 220_000_000_000,
        },
        watchdog: Some(Watchdog { device: "iTCO_wdt".into(), armed: true, timeout_s: Some(30) }),
        taken: Vec::new(),
        neighbours: Vec::new(),
        pair: Some(Ok(serde_json::json!({
            "site": "my-campus", "room": "a", "role": "leads", "epoch": 7, "leader": "a",
            "in_sync": ["a", "b"], "behind": 0, "follower": { "behind": 0 },
            "authority": { "kind": "witness", "trouble": null },
            "link": { "outward": "192.0.2.20:2380", "inward": "192.0.2.20:5", "round_trip_ms": 0.3 },
            "survival": { "goes_on": true, "because": "it would go on by the witness",
                          "redundant": true },
        }))),
        kubernetes: None,
        disks: None,
        components: vec![Component {
            name: "k3s".into(),
            version: "v1.35.6+k3s1".into(),
            present: true,
            source: Some("https://example.org/k3s".into()),
            why: None,
        }],
    }
}

/// The same node with an image that was built without k3s.
fn without_k3s() -> Seen {
    let why = "its lock does not say the SHA-256 of the release";
    let k3s = healthy().components.remove(0);
    let k3s = Component { present: false, source: None, why: Some(why.into()), ..k3s };
    Seen { components: vec![k3s], ..healthy() }
}

#[test]
fn what_was_left_out_is_told_and_is_no_fault() {
    check(
        &without_k3s(),
        &expect![[r#"
            |
            |  duet-a1                                                          All is well
            |  my-campus, room A (Maschinenhalle Süd), control
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp1s0  192.0.2.10/24
            |                     2001:db8::10/64
            |             enp2s0  not in use
            |  Clock      follows ntp1.example.org
            |  Storage    /var is 4 % full, 220 GB free
            |  Watchdog   iTCO_wdt, acts after 30 s
            |  Host key   SHA256:HjqhhQ7O3Ppg6ucQ+aCZOJPVz37DZuRUTicbMyZwRaM
            |  Up         3 days
            |  Left out of this image: k3s. Its lock does not say the SHA-256 of the
            |  release.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
    // Also where there is something to find, and as JSON.
    let storage =
        Storage { path: "/var".into(), used_bytes: 200_000_000_000, free_bytes: 29_000_000_000 };
    let text = render(&Status::of(&Seen { storage, ..without_k3s() }), PAPER);
    assert!(text.contains("Left out of this image: k3s.") && text.contains("88 % full"), "{text}");
    assert!(text.lines().count() < 24, "{text}");
}

/// The same machine with a seed that it cannot use.
fn unseeded(code: &str, what: &str, cure: &str) -> Seen {
    let problems = vec![Problem::new(code, what, cure)];
    let node = Node { identity: None, problems, ..healthy().node.unwrap() };
    Seen { node: Ok(node), hostname: UNSEEDED.into(), uptime_s: 90, ..healthy() }
}

/// The left edge made visible, so that a golden page keeps its margin.
pub(crate) fn framed(page: &str) -> String {
    page.lines().map(|line| format!("|{line}\n")).collect()
}

fn check(seen: &Seen, expected: &Expect) {
    let text = render(&Status::of(seen), PAPER);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() < PAPER.height.unwrap(), "{} lines scroll", lines.len());
    assert!(lines.iter().all(|line| line.chars().count() <= PAPER.width), "a line is too long");
    assert_eq!(lines.last().map(|line| line.trim()), Some(LAST_LINE));
    expected.assert_eq(&framed(&text));
}

#[test]
fn a_node_at_its_work() {
    check(
        &healthy(),
        &expect![[r#"
            |
            |  duet-a1                                                          All is well
            |  my-campus, room A (Maschinenhalle Süd), control
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp1s0  192.0.2.10/24
            |                     2001:db8::10/64
            |             enp2s0  not in use
            |  Clock      follows ntp1.example.org
            |  Storage    /var is 4 % full, 220 GB free
            |  Watchdog   iTCO_wdt, acts after 30 s
            |  Host key   SHA256:HjqhhQ7O3Ppg6ucQ+aCZOJPVz37DZuRUTicbMyZwRaM
            |  Up         3 days
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn a_fresh_boot_while_services_start() {
    let starting = "multi-user.target loaded inactive dead it\n\
                    ssh.service loaded activating start it";
    check(
        &Seen {
            units: Ok(units(starting)),
            verdict: None,
            tries: Some(Tries { left: 2, done: 1 }),
            clock: Ok(Clock::default()),
            uptime_s: 21,
            network: vec![card("enp1s0", true, &[("fe80::1", 64)])],
            ..healthy()
        },
        &expect![[r#"
            |
            |  duet-a1                                                             Starting
            |  my-campus, room A (Maschinenhalle Süd), control
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A, on trial: 2 more tries
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp1s0  no address yet
            |  Clock      follows no time server yet
            |  Storage    /var is 4 % full, 220 GB free
            |  Watchdog   iTCO_wdt, acts after 30 s
            |  Host key   SHA256:HjqhhQ7O3Ppg6ucQ+aCZOJPVz37DZuRUTicbMyZwRaM
            |  Up         less than a minute
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn a_trial_boot_that_turned_out_bad() {
    check(
        &Seen {
            units: Ok(units(
                "chrony.service loaded failed failed it\n\
                 duet-health.service loaded failed failed it\n\
                 fstrim.service loaded failed failed it",
            )),
            verdict: Some(Verdict {
                good: false,
                reasons: vec!["chrony.service is failed (failed)".into()],
                restarting: false,
            }),
            tries: Some(Tries { left: 0, done: 3 }),
            ..healthy()
        },
        &expect![[r#"
            |
            |  duet-a1                                                           Needs help
            |  my-campus, room A (Maschinenhalle Süd), control
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A, on trial: this is the last try
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp1s0  192.0.2.10/24
            |                     2001:db8::10/64
            |             enp2s0  not in use
            |  Clock      follows ntp1.example.org
            |  Storage    /var is 4 % full, 220 GB free
            |  Up         3 days
            |
            |  ! This boot is bad: chrony.service is failed (failed).
            |    Cure: There is no better slot to go back to: repair it, then restart it.
            |  ! chrony.service has failed.
            |    Cure: `journalctl -b -u chrony.service` tells why.
            |    and 1 more: `duetd status` tells all
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn once_blessed_a_boot_is_no_longer_on_trial() {
    let seen = Seen {
        units: Ok(units("systemd-bless-boot.service loaded active exited it")),
        tries: Some(Tries { left: 2, done: 1 }),
        ..healthy()
    };
    assert_eq!(render(&Status::of(&seen), PAPER), render(&Status::of(&healthy()), PAPER));
}

#[test]
fn nothing_is_known_yet() {
    check(
        &Seen {
            node: Err("there is no /run/duet/node.json".into()),
            record: Err("there is no /run/duet/boot.json".into()),
            verdict: None,
            verified: false,
            units: Err("cannot run /usr/bin/systemctl: No such file or directory".into()),
            clock: Err("cannot run /usr/bin/chronyc: No such file or directory".into()),
            hostname: "localhost".into(),
            release: Release::default(),
            uptime_s: 3,
            network: Vec::new(),
            watchdog: None,
            ..healthy()
        },
        &expect![[r#"
            |
            |  localhost                                                         Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet of unknown version
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 4 % full, 220 GB free
            |  Up         less than a minute
            |
            |  ! This node does not know who it is: there is no /run/duet/node.json.
            |    Cure: `journalctl -u duet-boot` tells why.
            |  ! The root file system is not checked by dm-verity: anybody may have changed
            |    it.
            |    Cure: Write a fresh image to this machine.
            |  - It is not known how this node started: there is no /run/duet/boot.json.
            |    Cure: Restart it; if this stays, write a fresh image.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn no_network() {
    let unplugged = vec![card("enp1s0", false, &[]), card("enp2s0", false, &[])];
    check(
        &Seen { network: unplugged, clock: Ok(Clock::default()), uptime_s: 700, ..healthy() },
        &expect![[r#"
            |
            |  duet-a1                                                           Needs help
            |  my-campus, room A (Maschinenhalle Süd), control
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp1s0  no cable
            |             enp2s0  no cable
            |  Clock      follows no time server yet
            |  Storage    /var is 4 % full, 220 GB free
            |  Up         11 minutes
            |
            |  ! This node has no address and cannot be reached. No cable is connected.
            |    Cure: Connect one to a switch that is on; then it goes on by itself.
            |  - The clock follows no time server.
            |    Cure: `chronyc -n sources` shows which servers were asked; the site file
            |          names them.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
    let no_lease = vec![card("enp1s0", true, &[("169.254.7.7", 16), ("fe80::1", 64)])];
    check(
        &Seen { network: no_lease, ..healthy() },
        &expect![[r#"
            |
            |  duet-a1                                                           Needs help
            |  my-campus, room A (Maschinenhalle Süd), control
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp1s0  no address yet
            |  Clock      follows ntp1.example.org
            |  Storage    /var is 4 % full, 220 GB free
            |  Up         3 days
            |
            |  ! This node has no address and cannot be reached. No DHCP server answers on
            |    enp1s0.
            |    Cure: See to the DHCP server of this network: it is asked again and again.
            |          Or give this node a static address in the site file, and write its
            |          seed again.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn a_nearly_full_var() {
    let storage =
        Storage { path: "/var".into(), used_bytes: 200_000_000_000, free_bytes: 29_000_000_000 };
    check(
        &Seen { storage, ..healthy() },
        &expect![[r#"
            |
            |  duet-a1                                                          Have a look
            |  my-campus, room A (Maschinenhalle Süd), control
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp1s0  192.0.2.10/24
            |                     2001:db8::10/64
            |             enp2s0  not in use
            |  Clock      follows ntp1.example.org
            |  Storage    /var is 88 % full, 29 GB free
            |  Up         3 days
            |
            |  - /var is 88 % full.
            |    Cure: `du -xh /var | sort -h | tail` shows what fills it.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

/// A node of whose disks two are for volumes.
fn with_disks(problems: Vec<Problem>) -> Seen {
    let disk = |name: &str, state: State| Entry {
        name: name.into(),
        serial: Some(format!("S-{name}")),
        wwid: None,
        model: None,
        bytes: 1_920_000_000_000,
        state,
        why: "why".into(),
        partition: None,
    };
    let states = [("nvme0n1", State::Left), ("nvme1n1", State::Taken), ("nvme2n1", State::Ours)];
    let disks = states.map(|(name, state)| disk(name, state)).into();
    Seen { disks: Some(Report { format: 1, dry_run: false, disks, problems }), ..healthy() }
}

#[test]
fn disks_for_volumes_are_shown_and_are_no_reason_for_alarm() {
    let text = render(&Status::of(&with_disks(Vec::new())), PAPER);
    let line = "  Disks      nvme1n1, nvme2n1 for volumes, 3.8 TB\n";
    assert!(text.contains(line) && text.contains("All is well"), "{text}");
    let problem = Problem::new("disks.missing", "The disk S1 is not there.", "Put it in.");
    let status = Status::of(&with_disks(vec![problem]));
    assert_eq!(status.findings[0].problem.code, "disks.missing");
    let text = render(&status, PAPER);
    assert!(text.contains("- The disk S1 is not there.") && text.contains("Have a look"), "{text}");
}

#[test]
fn more_than_fits() {
    let failed: String =
        ('a'..='j').map(|c| format!("{c}.service loaded failed failed it\n")).collect();
    let network = (0..9).map(|n| card(&format!("enp{n}s0"), n % 2 == 0, &[])).collect();
    let text = "This text is long enough that it has to be broken into several lines on the screen, \
                and then it goes on for a while, since nobody stopped it; until it ends. ";
    let seen = Seen {
        units: Ok(units(&failed)),
        network,
        ..unseeded("seed.x", &text.repeat(2), &text.repeat(9))
    };
    check(
        &seen,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Rooms      A leads, both in sync (decision 7)
            |  Link       up, less than 1 ms there and back
            |  If alone   this room goes on: it would go on by the witness
            |  Network    enp0s0  no address yet
            |             enp1s0  no cable
            |             and 7 more
            |  Clock      follows ntp1.example.org
            |  Storage    /var is 4 % full, 220 GB free
            |  Up         1 minute
            |
            |  ! This text is long enough that it has to be broken into several lines on
            |    the screen, and then it goes on for a while, since nobody stopped it;
            |    until it ends. This text is long enough that it has to be broken into
            |    Cure: This text is long enough that it has to be broken into several lines
            |    and 6 more: `duetd status` tells all
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
    // `duetd status` leaves nothing out.
    let whole = render(&Status::of(&seen), Page { height: None, ..PAPER });
    assert_eq!(whole.matches("has failed").count(), 5, "{whole}");
    assert!(whole.contains("enp8s0") && whole.contains("5 more units have failed"), "{whole}");
}

#[test]
fn nothing_that_a_terminal_would_obey_gets_through() {
    let mut seen = unseeded("seed.x", "evil \x1b]0;title\x07 \u{202e}text\r\n", "a\u{9b}2Jb");
    seen.hostname = "\x1b[2J\x1b[31mname".into();
    let text = render(&Status::of(&seen), PAPER);
    assert!(text.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{text:?}");
}

#[test]
fn colours_change_no_text() {
    for seen in [healthy(), unseeded("seed.missing", "There is none.", "Write one.")] {
        let coloured = render(&Status::of(&seen), Page::CONSOLE);
        let mut plain = String::new();
        for (index, part) in coloured.split('\x1b').enumerate() {
            // What follows an escape character begins with `[…m`.
            plain += if index == 0 { part } else { part.split_once('m').unwrap().1 };
        }
        assert_eq!(plain, render(&Status::of(&seen), PAPER));
        assert!(coloured.contains("\x1b["));
    }
}

/// A node with Kubernetes, three machines of which one is not ready.
fn with_kubernetes(phase: Phase, why: Option<&str>) -> Seen {
    let machine = |name: &str, ready| Member { name: name.into(), zone: None, ready };
    let state = kubernetes::State {
        phase,
        why: why.map(str::to_owned),
        machines: [("duet-a1", true), ("duet-b1", true), ("duet-b2", false)]
            .map(|(name, ready)| machine(name, ready))
            .into(),
        authority: None,
        at_s: 3 * 86_400,
    };
    let kubernetes = Some(Kubernetes { state: Some(state), ..Kubernetes::default() });
    Seen { kubernetes, ..healthy() }
}

#[test]
fn how_kubernetes_is() {
    let told = |seen: &Seen| {
        let text = render(&Status::of(seen), PAPER);
        let lines = text.lines().filter(|line| line.to_lowercase().contains("kubernetes"));
        lines.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        told(&with_kubernetes(Phase::Ready, None)),
        "Kubernetes ready; machines: 2 of 3\n- Kubernetes gives no work to duet-b2: not ready.\n\
         what Kubernetes knows."
    );
    let why = "the other room starts this site's first server";
    let mut waits = with_kubernetes(Phase::Waits, Some(why));
    assert!(told(&waits).contains("- Kubernetes is not ready on this machine: the other"));
    waits.uptime_s = 60;
    let state = waits.kubernetes.as_mut().and_then(|kubernetes| kubernetes.state.as_mut()).unwrap();
    state.at_s = 60;
    state.machines.clear();
    assert_eq!(told(&waits), format!("Kubernetes waits: {why}"), "it may take a while at first");
    assert_eq!(told(&healthy()), "", "a node without it says nothing of it");
}
