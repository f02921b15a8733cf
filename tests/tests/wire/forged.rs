//! What is announced by somebody else than Duet: it costs a bounded number of lines, and no word of it reaches
//! a screen unchecked.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use tests::two_rooms::{alone, wait};

use super::found::folder;
use super::lan::{Has, Lan};
use super::machine::{Machine, Who};
use super::packets::Forger;

/// Announces itself as some control machine of room b.
fn claim(forger: &Forger, number: u32) {
    let id = format!("{number:016x}");
    let node = format!("evil-{number}");
    let txt = [
        ("v", "1"),
        ("id", id.as_str()),
        ("site", "proof"),
        ("room", "b"),
        ("role", "control"),
        ("node", node.as_str()),
        ("store", "2380"),
        ("page", "1"),
    ];
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 66, 0, 1)) + number);
    forger.announce(format!("duet-{id}").as_bytes(), &txt, address);
}

#[test]
fn a_flood_is_bounded_and_what_was_set_stays_first() {
    alone(|| {
        let (lan, folder) = (Lan::lay(), folder());
        lan.join("10.1.0.254");
        for (name, address) in [("a", "10.1.0.1"), ("b", "10.1.0.2")] {
            lan.add(name, Has::V4(address));
            lan.plug(name);
        }
        let mut who = Who::control("proof", "a");
        who.other_room = vec!["10.1.0.2"];
        let a = Machine::start(folder.path(), &who);
        let forger = Forger::new(Ipv4Addr::new(10, 1, 0, 254));
        a.until("it listens", |a| {
            claim(&forger, 1);
            a.kind("evil-1") == "peer"
        });
        forger.announce(b"duet-\x1b[2J\n", &[("v", "1")], Ipv4Addr::new(10, 66, 66, 66));
        forger.send(b"no packet of DNS");
        a.until("what is malformed is told", |a| !a.problem("neighbour.malformed").is_empty());
        let words = a.problem("neighbour.malformed");
        assert!(!words.contains(char::is_control), "{words:?}");

        let flood = |from: u32| {
            for number in from..from + 100 {
                claim(&forger, number);
                // The kernel drops what nobody takes in time.
                thread::sleep(Duration::from_millis(1));
            }
        };
        let mut from = 2;
        let told = wait(Duration::from_secs(60), || {
            flood(from);
            from += 100;
            let candidates = a.peers();
            assert!(candidates.len() <= 9, "{candidates:?}");
            assert_eq!(candidates[0], "https://10.1.0.2:2380");
            let rooms = a.neighbours().unwrap()["rooms"].as_array().unwrap().len();
            assert!(rooms <= 256, "{rooms}");
            !a.problem("neighbour.flood").is_empty()
        });
        assert!(told, "{:?}", a.neighbours());

        // Who comes after a flood hears and is heard nevertheless.
        let b = Machine::start(folder.path(), &Who::control("proof", "b"));
        b.until("room a is found", |b| b.kind("node-a") == "peer");
        a.until("room b is found", |a| a.kind("node-b") == "peer");
        a.stop();
    });
}

#[test]
fn more_than_can_be_remembered_is_forgotten_and_the_wire_heard_again() {
    alone(|| {
        let (lan, folder) = (Lan::lay(), folder());
        lan.join("10.1.0.254");
        for (name, address) in [("a", "10.1.0.1"), ("b", "10.1.0.2")] {
            lan.add(name, Has::V4(address));
            lan.plug(name);
        }
        let a = Machine::start(folder.path(), &Who::control("proof", "a"));
        let forger = Forger::new(Ipv4Addr::new(10, 1, 0, 254));
        let mut number = 0;
        let forgotten = wait(Duration::from_secs(60), || {
            for _ in 0..20 {
                number += 1;
                claim(&forger, number);
                // The kernel drops what nobody takes in time.
                thread::sleep(Duration::from_millis(1));
            }
            a.log().contains("more announcements than can be remembered")
        });
        assert!(forgotten, "after {number} announcements");
        let b = Machine::start(folder.path(), &Who::control("proof", "b"));
        a.until("room b is found", |a| a.kind("node-b") == "peer");
        drop(b);
    });
}
