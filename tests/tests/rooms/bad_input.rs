//! What people get wrong: each is refused with its reason, and nothing is lost by it.

use std::fs;
use std::mem::swap;
use std::path::Path;

use tests::certificates::Authority;
use tests::programs::{checkout, hold, plain, target};
use tests::run::run;
use tests::two_rooms::{Grants, LONG, Room, SITE, Side, Site, alone};

use super::load::Load;

/// The classes of docs/exit-codes.md.
const INPUT: i32 = 3;
const INTEGRITY: i32 = 5;

/// A site that has worked, and was ended; and what its clients were told.
fn worked(grants: Grants) -> (Site, Load) {
    let mut site = Site::start(grants);
    let load = Load::start(&site);
    for side in Side::BOTH {
        site.room_mut(side).stop();
    }
    (site, load)
}

/// All is as it should be again.
fn goes_on(mut site: Site, load: Load) {
    for side in Side::BOTH {
        if !site.room_mut(side).runs() {
            site.room_mut(side).start();
        }
    }
    load.finish(&site);
}

/// `duetd store status` says why the rooms are not connected.
#[track_caller]
fn not_linked(site: &Site, side: Side, text: &str) {
    site.until(&format!("room {} says {text:?}", side.letter()), || {
        let status = site.status(side).unwrap_or_default();
        let link = &status["link"];
        let why = [&link["why_not"], &link["turned_away"]];
        why.iter().any(|why| why.as_str().is_some_and(|why| why.contains(text)))
    });
}

/// A room does not start.
#[track_caller]
fn refuses(room: &mut Room, code: i32, text: &str) {
    room.start();
    let ended = room.ended();
    let said = room.said_now();
    assert_eq!(ended.code(), Some(code), "{said}");
    let words: Vec<_> = said.split_whitespace().collect();
    // Errors are wrapped where the terminal ends.
    let flat = words.join(" ").replace("│ ", "");
    assert!(flat.contains(text), "{text:?} is not in:\n{said}");
}

#[test]
fn swapped_certificates() {
    alone(|| {
        let (mut site, load) = worked(Grants::Witness);
        let exchange = |site: &mut Site| {
            let mut own = site.room(Side::A).plan.own.clone();
            swap(&mut own, &mut site.room_mut(Side::B).plan.own);
            site.room_mut(Side::A).plan.own = own;
        };
        exchange(&mut site);
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        for side in Side::BOTH {
            not_linked(&site, side, "both ends call themselves room");
            assert_ne!(site.status(side).unwrap()["role"], "follows");
        }
        for side in Side::BOTH {
            site.room_mut(side).stop();
        }
        exchange(&mut site);
        goes_on(site, load);
    });
}

#[test]
fn a_certificate_of_another_site() {
    alone(|| {
        let (mut site, load) = worked(Grants::Witness);
        let stranger = Authority::new(site.folder(), "stranger");
        let (own, ca) = (site.room(Side::B).plan.own.clone(), site.room(Side::B).plan.ca.clone());
        site.room_mut(Side::B).plan.own =
            stranger.sign("stranger", &format!("room-b.{SITE}.duet.internal"));
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        not_linked(&site, Side::A, "is signed by an authority that room a does not know");
        not_linked(&site, Side::B, "signed by an authority that it does not know");
        site.room_mut(Side::B).stop();
        site.room_mut(Side::B).plan.own = own;
        site.room_mut(Side::B).plan.ca = ca;
        goes_on(site, load);
    });
}

#[test]
fn two_rooms_of_one_name() {
    alone(|| {
        let mut site = Site::plan(Grants::Witness);
        let own = site.room(Side::A).plan.own.clone();
        let plan = &mut site.room_mut(Side::B).plan;
        (plan.name, plan.own) = ("a".to_owned(), own);
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        for side in Side::BOTH {
            not_linked(&site, side, "both ends call themselves room a");
            let status = site.status(side).unwrap();
            assert!(status["epoch"].is_null(), "it begins a site with itself: {status:#}");
        }
    });
}

#[test]
fn a_data_folder_of_the_other_room_and_of_another_site() {
    alone(|| {
        let (mut site, load) = worked(Grants::Witness);
        let data = Side::BOTH.map(|side| site.room(side).plan.data.clone());
        site.room_mut(Side::A).plan.data = data[1].clone();
        refuses(site.room_mut(Side::A), INTEGRITY, &format!("it is of room b of site {SITE}"));
        site.room_mut(Side::A).plan.data = data[0].clone();
        site.room_mut(Side::A).plan.site = "other".to_owned();
        refuses(site.room_mut(Side::A), INTEGRITY, &format!("it is of room a of site {SITE}"));
        site.room_mut(Side::A).plan.site = SITE.to_owned();
        goes_on(site, load);
    });
}

#[test]
fn settings_that_contradict_each_other() {
    alone(|| {
        let (mut site, load) = worked(Grants::Witness);
        let cases = [
            ("--pair-lease=1s", "lease (1s"),
            ("--pair-lease=11s", "lease (11s) is above 10 s"),
            ("--pair-heartbeat=1s", "below two heartbeats"),
            ("--pair-drift-percent=60", "drift_percent is 60"),
            ("--authority=preferred:c", "`c` is neither a nor b"),
        ];
        let plan = site.room(Side::A).plan.clone();
        for (word, text) in cases {
            let room = site.room_mut(Side::A);
            let name = word.split('=').next().unwrap();
            room.plan.words.retain(|other| !other.starts_with(name));
            room.plan.words.push(word.to_owned());
            refuses(room, INPUT, text);
            room.plan = plan.clone();
        }
        site.room_mut(Side::A).plan.name = "c".to_owned();
        refuses(site.room_mut(Side::A), INPUT, "`c` is neither a nor b");
        site.room_mut(Side::A).plan = plan;
        goes_on(site, load);
    });
}

#[test]
fn a_pairs_data_without_a_room() {
    alone(|| {
        let (mut site, load) = worked(Grants::Witness);
        let plan = site.room(Side::A).plan.clone();
        site.room_mut(Side::A).plan.name = String::new();
        site.room_mut(Side::A).plan.words.clear();
        refuses(site.room_mut(Side::A), INPUT, "is that of a room of a pair");
        site.room_mut(Side::A).plan = plan;
        goes_on(site, load);
    });
}

#[test]
fn a_single_stores_data_and_another_cluster() {
    alone(|| {
        let mut site = Site::start(Grants::PreferA);
        // What a store of another cluster acknowledges in room b is not this site's.
        let load = Load::start_in(&site, &[Side::A]);
        let plan = site.room(Side::B).plan.clone();
        site.room_mut(Side::B).stop();
        // A store of its own, in another folder.
        let room = site.room_mut(Side::B);
        room.plan.data = plan.data.with_file_name("single");
        room.plan.name = String::new();
        room.plan.words.clear();
        room.start();
        room.says("ready on");
        room.stop();
        // That is no data of a room, unless it is said to be.
        let single = room.plan.data.clone();
        room.plan = plan.clone();
        room.plan.data = single;
        refuses(room, INPUT, "start once with --found-with-data");
        room.plan.words.push("--found-with-data".to_owned());
        room.start();
        room.says("by the founding of the site");
        room.says("the peer belongs to another cluster");
        site.room(Side::A).says("the peer belongs to another cluster");
        load.writes_go_on(&site, Side::A);
        // A second time it is a mistake.
        site.room_mut(Side::B).kill();
        refuses(site.room_mut(Side::B), INPUT, "no site can begin with it");
        site.room_mut(Side::B).plan = plan;
        goes_on(site, load);
    });
}

/// The witness knows a site of this name, and it is another one.
#[test]
fn a_witness_with_another_sites_register() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        for side in Side::BOTH {
            site.room_mut(side).kill();
            fs::remove_dir_all(&site.room(side).plan.data).unwrap();
        }
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        site.until("the witness refuses the new site", || {
            site.status(Side::A).is_some_and(|status| {
                status["refusal"].as_str().is_some_and(|no| no.contains("the witness refuses"))
            })
        });
        // Where the witness cannot help, nobody relies on it: one room is in sync, and says why.
        let status = site.status(Side::A).unwrap();
        assert_eq!(status["in_sync"], serde_json::json!(["a"]), "{status:#}");
    });
}

/// Debian's faketime, without the wrapper of that name, which would take the signals.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The released program is static, and faketime changes what a program asks of the C library; so this is the
/// program as cargo's own tests have it.
#[test]
fn a_clock_that_is_years_off() {
    let build = || {
        let _one_compiler = hold("programs");
        let mut cargo = plain("cargo");
        cargo.args(["build", "--locked", "--quiet", "--package", "duetd"]);
        let _ =
            run(cargo.current_dir(checkout()).env("CARGO_TARGET_DIR", target()), 20 * LONG).well();
    };
    build();
    alone(|| {
        let (mut site, load) = worked(Grants::Witness);
        let room = site.room_mut(Side::B);
        room.plan.program = Some(target().join("debug/duetd"));
        assert!(Path::new(FAKETIME).exists(), "{FAKETIME} is missing: install faketime");
        let by = |when: &str| {
            let preload = format!("LD_PRELOAD={FAKETIME}");
            let when = format!("FAKETIME={when}");
            let words = ["env".to_owned(), preload, when];
            [&words[..], &["FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()]].concat()
        };
        room.plan.by = by("@2019-01-01 00:00:00");
        refuses(room, INPUT, "clock says");
        room.plan.by = by("+20y");
        room.start();
        site.room_mut(Side::A).start();
        for side in Side::BOTH {
            not_linked(&site, side, "clock of room b is");
        }
        assert_ne!(site.status(Side::B).unwrap()["role"], "follows");
        site.room_mut(Side::B).stop();
        site.room_mut(Side::B).plan.by.clear();
        goes_on(site, load);
    });
}
