//! Tables of events for [`Neighbours`]: what was heard when, and what is known then.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant, SystemTime};

use expect_test::{Expect, expect};
use site::{Role, Room};

use super::neighbours::{KEPT, MOST, Neighbours, Own, SILENT};
use super::{Address, Announcement, Id, Kind, Malformed, Report};

/// A wire on which things happen at given seconds.
struct Story {
    began: Instant,
    second: u64,
    neighbours: Neighbours,
    report: Report,
}

impl Story {
    fn of(role: Role, set: &[&str]) -> Story {
        let began = Instant::now();
        let own = Own { id: Id(1), site: "demo".parse().unwrap(), room: Room::A, role };
        let set = set.iter().map(|url| (*url).to_owned()).collect();
        let neighbours = Neighbours::new(began, Some(own), set);
        Story { began, second: 0, neighbours, report: Report::default() }
    }

    fn control() -> Story {
        Story::of(Role::Control, &[])
    }

    fn now(&self) -> Instant {
        self.began + Duration::from_secs(self.second)
    }

    fn at(&mut self, second: u64) -> &mut Story {
        assert!(second >= self.second, "time goes on");
        self.second = second;
        self
    }

    fn hears(&mut self, words: &str) -> &mut Story {
        let said = announcement(words);
        self.neighbours.hear(self.now(), said);
        self
    }

    fn bye(&mut self, id: u64) -> &mut Story {
        self.neighbours.gone(self.now(), Id(id));
        self
    }

    fn confirms(&mut self, place: &str) -> &mut Story {
        self.neighbours.confirmed(self.now(), place.parse().unwrap());
        self
    }

    /// Whether something is reported that was not before.
    fn ticks(&mut self) -> bool {
        let report = self.neighbours.tick(self.now());
        let is_new = report.is_some();
        self.report = report.unwrap_or_else(|| self.report.clone());
        is_new
    }

    fn candidates(&mut self) -> Vec<String> {
        self.ticks();
        self.report.candidates.iter().map(|(url, _)| url.replace("https://", "")).collect()
    }

    fn codes(&mut self) -> Vec<&'static str> {
        self.ticks();
        self.report.problems.iter().map(|problem| problem.code).collect()
    }

    fn check(&mut self, expected: Expect) {
        self.ticks();
        let mut text = String::new();
        for (url, why) in &self.report.candidates {
            text += &format!("{url} # {why}\n");
        }
        for one in &self.report.neighbours {
            let kind = one.kind.unwrap();
            text += &format!("{kind:?} {} {} {} {}\n", one.site, one.room, one.role, one.node);
        }
        for problem in &self.report.problems {
            text += &format!("{} {:?}: {}\n", problem.code, problem.level, problem.what);
            assert!(!problem.cure.is_empty());
        }
        expected.assert_eq(&text);
    }
}

/// `ID SITE ROOM ROLE NODE ADDRESS,ADDRESS`.
fn announcement(words: &str) -> Announcement {
    let words: Vec<&str> = words.split(' ').collect();
    let [id, site, room, role, node, addresses] = words[..] else { panic!("{words:?}") };
    let address = |text: &str| Address::heard(text.parse().unwrap(), "eth0", 2).unwrap();
    Announcement {
        id: Id(id.parse().unwrap()),
        site: site.parse().unwrap(),
        room: room.parse().unwrap(),
        role: role.parse().unwrap(),
        node: node.parse().unwrap(),
        store_port: 2380,
        page_port: 2382,
        addresses: addresses.split(',').map(address).collect(),
    }
}

const B: &str = "7 demo b control b1 10.0.0.2,fe80::2";

#[test]
fn nothing_is_known_then_the_other_room_comes_late() {
    let mut story = Story::of(Role::Control, &["https://room-b.example:2380"]);
    story.check(expect![[r#"
        https://room-b.example:2380 # set
    "#]]);
    assert!(!story.at(1).ticks(), "nothing new is not said twice");
    story.at(3000).hears(B).hears("8 demo b worker b2 10.0.0.3").check(expect![[r#"
        https://room-b.example:2380 # set
        https://10.0.0.2:2380 # heard of b1
        https://[fe80::2%eth0]:2380 # heard of b1
        Peer demo b control b1
        Peer demo b worker b2
    "#]]);
    assert!(!story.at(3001).ticks());
}

#[test]
fn own_announcement_is_nobody() {
    let mut story = Story::control();
    story.hears("1 demo a control a1 10.0.0.1");
    assert!(story.candidates().is_empty() && story.report.neighbours.is_empty());
}

#[test]
fn an_address_that_changed_comes_first_and_the_old_one_goes_after_a_while() {
    let mut story = Story::control();
    story.hears("7 demo b control b1 10.0.0.2").at(10).hears("7 demo b control b1 10.0.0.9");
    assert_eq!(story.candidates(), ["10.0.0.9:2380", "10.0.0.2:2380"]);
    assert_eq!(story.report.neighbours[0].addresses, ["10.0.0.9"]);
    story.at(30).hears("7 demo b control b1 10.0.0.9");
    assert_eq!(story.candidates(), ["10.0.0.9:2380", "10.0.0.2:2380"]);
    story.at(KEPT.as_secs());
    assert_eq!(story.candidates(), ["10.0.0.9:2380"]);
}

#[test]
fn a_goodbye_is_known_at_once_but_its_addresses_stay_for_a_while() {
    let mut story = Story::control();
    story.hears(B).at(5).bye(7);
    assert_eq!(story.candidates(), ["10.0.0.2:2380", "[fe80::2%eth0]:2380"]);
    assert!(story.report.neighbours.is_empty());
    story.at(6).hears("9 demo b control b9 fe80::9");
    assert_eq!(
        story.candidates(),
        ["[fe80::9%eth0]:2380", "10.0.0.2:2380", "[fe80::2%eth0]:2380"],
        "who is there comes first, whatever its address"
    );
    story.at(5 + KEPT.as_secs());
    assert_eq!(story.candidates(), ["[fe80::9%eth0]:2380"]);
    story.bye(1000).at(100).hears(B);
    assert_eq!(story.report.neighbours.len(), 1);
    assert_eq!(story.candidates().len(), 3, "it is back");
    assert_eq!(story.report.neighbours.len(), 2);
}

#[test]
fn who_is_silent_is_forgotten() {
    let mut story = Story::control();
    story.hears(B).at(SILENT.as_secs() - 1);
    assert_eq!(story.candidates().len(), 2);
    assert_eq!(story.report.neighbours.len(), 1);
    story.at(SILENT.as_secs());
    assert_eq!(story.candidates().len(), 2);
    assert!(story.report.neighbours.is_empty());
    story.at((SILENT + KEPT).as_secs());
    assert!(story.candidates().is_empty());
}

#[test]
fn a_machine_that_lost_its_power_comes_back_as_another_and_is_no_twin() {
    let mut story = Story::of(Role::Worker, &[]);
    story.hears("7 demo a control a1 10.0.0.1").at(5).hears("8 demo a control a1 10.0.0.1,fe80::1");
    story.check(expect![[r#"
        SameRoom demo a control a1
    "#]]);
}

#[test]
fn another_site_is_named_and_ignored() {
    let mut story = Story::control();
    story.hears("7 other b control b1 10.9.0.2,fe80::7");
    story.check(expect![[r#"
        OtherSite other b control b1
        neighbour.other-site Notice: Another site is on this wire, and is ignored: b1 of other, room b (10.9.0.2, fe80::7%eth0).
    "#]]);
    story.at(5).bye(7);
    assert!(story.codes().is_empty());
}

#[test]
fn a_second_control_machine_of_this_room_is_a_twin() {
    let mut story = Story::control();
    story.hears(B).hears("8 demo a worker a2 10.0.0.5").hears("9 demo a control a1 10.0.0.4");
    story.check(expect![[r#"
        https://10.0.0.2:2380 # heard of b1
        https://[fe80::2%eth0]:2380 # heard of b1
        Peer demo b control b1
        SameRoom demo a worker a2
        Twin demo a control a1
        neighbour.twin Warning: Another control machine says that it is room a: a1 of demo, room a (10.0.0.4).
    "#]]);
    let mut worker = Story::of(Role::Worker, &[]);
    worker.hears("8 demo a control a1 10.0.0.5");
    assert!(worker.codes().is_empty(), "a worker's room has one control machine");
    worker.hears("9 demo a control a1 10.0.0.4");
    assert_eq!(worker.codes(), ["neighbour.twin"]);
    assert!(worker.report.neighbours.iter().all(|one| one.kind == Some(Kind::Twin)));
}

#[test]
fn only_so_much_of_what_was_heard_is_dialed_and_what_is_set_or_confirmed_always() {
    let mut story = Story::of(Role::Control, &["https://10.0.0.2:2380", "https://room-b:2380"]);
    story.hears(B).confirms("10.0.0.3:2380").confirms("[fe80::2%2]:2380");
    for id in 100..100 + 2 * MOST {
        let (high, low) = (id / 250, id % 250 + 1);
        story
            .hears(&format!("{id} demo b control evil-{id} 10.66.{high}.{low},10.67.{high}.{low}"));
        assert!(story.candidates().len() <= 16);
    }
    for turn in 0..13 {
        let found = story.at(turn * 15).candidates();
        let first = ["10.0.0.2:2380", "room-b:2380", "[fe80::2%eth0]:2380", "10.0.0.3:2380"];
        assert_eq!(found[..4], first, "turn {turn}");
        assert!(found.len() <= 12, "at most 8 that were only heard: {found:?}");
    }
    assert!(story.report.neighbours.len() <= MOST);
    assert!(story.codes().contains(&"neighbour.flood"));
}

#[test]
fn one_machine_has_at_most_four_candidates_at_a_time_and_all_get_their_turn() {
    let mut story = Story::control();
    let many: Vec<String> = (1..=8).map(|number| format!("10.0.0.{number}")).collect();
    let words = format!("7 demo b control b1 {}", many.join(","));
    let mut seen = std::collections::BTreeSet::new();
    for second in [0, 15, 30, 45] {
        let found = story.at(second).hears(&words).candidates();
        assert_eq!(found.len(), 4, "{found:?}");
        seen.extend(found);
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn among_forgers_everybody_gets_a_turn() {
    let mut story = Story::control();
    for id in 100..150 {
        story.hears(&format!("{id} demo b control evil-{id} 10.66.0.{}", id - 99));
    }
    story.hears("7 demo b control b1 10.0.0.2");
    let turns = (0..13)
        .filter(|turn| story.at(turn * 15).candidates().contains(&"10.0.0.2:2380".to_owned()));
    assert!(turns.count() >= 1);
}

#[test]
fn a_flood_is_bounded_and_told_and_those_who_were_confirmed_stay() {
    let mut story = Story::control();
    story.hears(B).confirms("10.0.0.2:2380").hears("8 demo b control b2 10.0.0.3").bye(8);
    for id in 100..100 + MOST as u64 - 2 {
        story.hears(&format!("{id} other a worker w-{id} 10.1.0.1"));
    }
    assert!(!story.codes().contains(&"neighbour.flood"));
    story.at(1).hears("9000 demo b control b3 10.0.0.4");
    assert!(story.codes().contains(&"neighbour.flood"));
    let names: Vec<&str> = story.report.neighbours.iter().map(|one| one.node.as_str()).collect();
    assert!(names.contains(&"b1") && names.contains(&"b3"), "the one that was gone made room");
    for id in 10_000..10_000 + 3 * MOST as u64 {
        story.at(2).hears(&format!("{id} other a worker x-{id} 10.1.0.1"));
    }
    story.ticks();
    let names: Vec<&str> = story.report.neighbours.iter().map(|one| one.node.as_str()).collect();
    assert_eq!(names.len(), MOST);
    assert!(names.contains(&"b1") && names.contains(&"b3"), "strangers go before peers");
    let about = story.report.problems.iter().find(|one| one.code == "neighbour.other-site");
    assert!(about.unwrap().what.len() < 400, "a problem names some of them");
    story.at(400);
    assert!(!story.codes().contains(&"neighbour.flood"), "it is over");
}

#[test]
fn what_is_malformed_is_counted_and_named_once() {
    let mut story = Story::control();
    for number in 0..3 {
        let malformed =
            Malformed { instance: format!("duet-{number}"), reason: "room=c".to_owned() };
        story.neighbours.malformed(story.now(), &malformed);
    }
    story.check(expect![[r#"
        neighbour.malformed Notice: 3 announcements could not be read, the first of duet-0: room=c.
    "#]]);
    story.at(300);
    assert!(story.codes().is_empty());
}

#[test]
fn a_wire_that_cannot_be_heard_is_told() {
    let mut story = Story::control();
    story.neighbours.deaf(Some("address in use".to_owned()));
    assert_eq!(story.codes(), ["neighbour.deaf"]);
    story.neighbours.deaf(None);
    assert!(story.codes().is_empty());
}

#[test]
fn where_the_other_room_was_met_is_kept_for_an_hour() {
    let mut story = Story::control();
    story.confirms("10.0.0.7:2380").at(3599);
    assert_eq!(story.candidates(), ["10.0.0.7:2380"]);
    story.at(3600);
    assert!(story.candidates().is_empty());
    for port in 1..9 {
        story.confirms(&format!("10.0.0.7:{port}"));
    }
    assert_eq!(story.candidates(), ["10.0.0.7:8", "10.0.0.7:7", "10.0.0.7:6", "10.0.0.7:5"]);
}

#[test]
fn the_files_say_what_is_known() {
    let mut story = Story::of(Role::Control, &["https://room-b:2380"]);
    story.hears(B).at(10).ticks();
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_010);
    let files = story.report.files(story.now(), wall);
    expect![[r#"
        # Where the other room's control machine may be. Written by duetd, read by the store.
        https://room-b:2380 # set
        https://10.0.0.2:2380 # heard of b1
        https://[fe80::2%eth0]:2380 # heard of b1
    "#]]
    .assert_eq(&files.peers);
    expect![[r#"
        {
          "format": 1,
          "rooms": [
            {
              "site": "demo",
              "room": "b",
              "role": "control",
              "node": "b1",
              "addresses": [
                "10.0.0.2",
                "fe80::2%eth0"
              ],
              "store_port": 2380,
              "page_port": 2382,
              "heard_s": 1800000000,
              "kind": "peer"
            }
          ],
          "problems": []
        }
    "#]]
    .assert_eq(&files.neighbours);
}
