//! The rooms find each other: by each kind of address, late, elsewhere, among others.

use std::time::Instant;

use tempfile::TempDir;
use tests::programs::{kept, say};
use tests::two_rooms::alone;

use super::lan::{Has, Lan};
use super::machine::{Machine, Who, discover};

pub(super) fn folder() -> TempDir {
    TempDir::new_in(kept("wire")).unwrap()
}

/// Both control machines, on one wire.
struct Both {
    lan: Lan,
    folder: TempDir,
    a: Machine,
    b: Machine,
}

impl Both {
    fn start(has: [Has; 2]) -> Both {
        let (lan, folder) = (Lan::lay(), folder());
        for (name, has) in ["a", "b"].into_iter().zip(has) {
            lan.add(name, has);
            lan.plug(name);
        }
        let [a, b] =
            ["a", "b"].map(|room| Machine::start(folder.path(), &Who::control("proof", room)));
        Both { lan, folder, a, b }
    }

    #[track_caller]
    fn find_each_other(&self, began: Instant) {
        for (machine, other) in [(&self.a, "node-b"), (&self.b, "node-a")] {
            machine.until("the other room is found", |machine| {
                machine.kind(other) == "peer" && !machine.peers().is_empty()
            });
        }
        say(&format!("rooms: found after {:.1} s\n", began.elapsed().as_secs_f64()));
    }
}

const TWO: [Has; 2] = [Has::V4("10.1.0.1"), Has::V4("10.1.0.2")];

#[test]
fn by_link_local_addresses_of_ipv6_alone() {
    alone(|| {
        let began = Instant::now();
        let both = Both::start([Has::LinkLocal; 2]);
        both.find_each_other(began);
        let peers = both.a.peers();
        let zoned =
            |url: &String| url.starts_with("https://[fe80::") && url.ends_with("%wire]:2380");
        assert!(peers.len() == 1 && peers.iter().all(zoned), "{peers:?}");
    });
}

#[test]
fn by_addresses_of_ipv4_and_a_goodbye_is_heard() {
    alone(|| {
        let began = Instant::now();
        let both = Both::start(TWO);
        both.find_each_other(began);
        assert_eq!(both.a.peers(), ["https://10.1.0.2:2380"]);
        assert_eq!(both.b.peers(), ["https://10.1.0.1:2380"]);

        let table = discover("a", &[]).well().out;
        assert!(table.contains("node-b") && table.contains("10.1.0.2"), "{table}");
        let json = |network| -> serde_json::Value {
            serde_json::from_str(&discover(network, &["--json"]).well().out).unwrap()
        };
        both.lan.add_container("a", "pod");
        let seen = json("b");
        assert_eq!(seen["rooms"].as_array().map(Vec::len), Some(2), "{seen}");
        assert!(!seen.to_string().contains("10.42.0.1"), "{seen}");
        let seen = json("pod");
        assert_eq!(
            seen["rooms"].as_array().map(Vec::len),
            Some(0),
            "containers hear nothing: {seen}"
        );

        let parting = Instant::now();
        let Both { a: listener, b: leaver, lan: _lan, folder: _folder } = both;
        leaver.stop();
        listener.until("the goodbye is heard", |a| a.kind("node-b").is_empty());
        say(&format!("rooms: goodbye heard after {:.1} s\n", parting.elapsed().as_secs_f64()));
        assert_eq!(listener.peers(), ["https://10.1.0.2:2380"], "it may be back in a moment");
    });
}

#[test]
fn among_machines_of_another_site() {
    alone(|| {
        let both = Both::start(TWO);
        both.lan.add("c", Has::V4("10.1.0.3"));
        both.lan.plug("c");
        let stranger = Who { network: Some("c"), name: "stranger", ..Who::control("other", "b") };
        let stranger = Machine::start(both.folder.path(), &stranger);
        both.find_each_other(Instant::now());
        both.a.until("the other site is named", |a| a.kind("stranger") == "other-site");
        let words = both.a.problem("neighbour.other-site");
        assert!(words.contains("stranger of other") && words.contains("10.1.0.3"), "{words}");
        stranger.until("it sees both", |c| {
            c.kind("node-a") == "other-site" && c.kind("node-b") == "other-site"
        });
        assert_eq!(both.a.peers(), ["https://10.1.0.2:2380"]);
        assert!(stranger.peers().is_empty());
    });
}

#[test]
fn a_second_machine_that_is_this_room_is_named() {
    alone(|| {
        let both = Both::start(TWO);
        both.lan.add("c", Has::V4("10.1.0.3"));
        both.lan.plug("c");
        // Even of one name: only what it was given at its boot tells it apart.
        let twin = Who { network: Some("c"), ..Who::control("proof", "a") };
        let twin = Machine::start(both.folder.path(), &twin);
        both.a.until("it is named", |a| a.problem("neighbour.twin").contains("10.1.0.3"));
        twin.until("it names the other one", |c| c.problem("neighbour.twin").contains("10.1.0.1"));
        both.b.until("the other room tries both", |b| {
            b.peers() == ["https://10.1.0.1:2380", "https://10.1.0.3:2380"]
                || b.peers() == ["https://10.1.0.3:2380", "https://10.1.0.1:2380"]
        });
    });
}

#[test]
fn after_the_cable_is_plugged_in_and_again_after_it_was_pulled() {
    alone(|| {
        let (lan, folder) = (Lan::lay(), folder());
        for (name, has) in [("a", Has::LinkLocal), ("b", Has::LinkLocal)] {
            lan.add(name, has);
        }
        lan.plug("a");
        let [a, b] =
            ["a", "b"].map(|room| Machine::start(folder.path(), &Who::control("proof", room)));
        for machine in [&a, &b] {
            machine.until("it looks around", |machine| machine.neighbours().is_some());
            assert!(machine.peers().is_empty(), "{:?}", machine.peers());
        }
        let both = Both { lan, folder, a, b };
        for _ in 0..2 {
            let plugged = Instant::now();
            both.lan.plug("b");
            both.find_each_other(plugged);
            both.lan.pull("b");
            both.b.until("nobody is there", |b| b.kind("node-a").is_empty());
        }
    });
}

#[test]
fn at_another_address() {
    alone(|| {
        let both = Both::start(TWO);
        both.find_each_other(Instant::now());
        let began = Instant::now();
        both.lan.renumber("b", "10.1.0.2", "10.1.0.9");
        both.a.until("the new address comes first", |a| {
            a.peers().first().is_some_and(|url| url == "https://10.1.0.9:2380")
        });
        say(&format!("rooms: the new address after {:.1} s\n", began.elapsed().as_secs_f64()));
        both.a.until("the old one is not said any more", |a| {
            a.neighbours().is_some_and(|all| all["rooms"][0]["addresses"][0] == "10.1.0.9")
        });
    });
}
