//! The large events of a site, each as a view, and what a person reads of it on a terminal.
#![allow(clippy::unwrap_used)]

use expect_test::{ExpectFile, expect_file};
use serde_json::{Value, json};

use super::*;

fn read(view: &str) -> View {
    View::read(view.as_bytes()).unwrap()
}

fn check(view: &str, tone: Tone, answers: [Answer; 2], expected: ExpectFile) {
    let picture = Picture::of(&read(view));
    expected.assert_eq(&table(&picture, &|_, text| text.to_owned()));
    assert_eq!(picture.headline.tone, tone);
    assert_eq!(picture.is_well(), tone == Tone::Good);
    assert_eq!(picture.verdicts.each_ref().map(|verdict| verdict.answer), answers);
    let moments: Vec<f64> = picture.moments.iter().map(|moment| moment.time).collect();
    assert!(moments.is_sorted_by(|one, other| one >= other), "the newest is first");
}

const IN_SYNC: &str = include_str!("../../tests/views/in-sync.json");

#[test]
fn both_rooms_are_in_sync() {
    let expected = expect_file!["../../tests/views/in-sync.txt"];
    check(IN_SYNC, Tone::Good, [Answer::Yes, Answer::Yes], expected);
}

#[test]
fn a_room_is_lost() {
    let view = include_str!("../../tests/views/room-b-lost.json");
    let expected = expect_file!["../../tests/views/room-b-lost.txt"];
    check(view, Tone::Warning, [Answer::No, Answer::Yes], expected);
}

#[test]
fn the_link_is_cut_and_the_follower_tells() {
    let view = include_str!("../../tests/views/link-cut.json");
    let expected = expect_file!["../../tests/views/link-cut.txt"];
    check(view, Tone::Warning, [Answer::No, Answer::Yes], expected);
}

#[test]
fn nobody_may_go_on() {
    let view = include_str!("../../tests/views/waiting.json");
    let expected = expect_file!["../../tests/views/waiting.txt"];
    check(view, Tone::Bad, [Answer::NotKnown, Answer::No], expected);
}

#[test]
fn another_site_is_on_the_wire() {
    let view = include_str!("../../tests/views/foreign-site.json");
    let expected = expect_file!["../../tests/views/foreign-site.txt"];
    check(view, Tone::Warning, [Answer::No, Answer::Yes], expected);
}

#[test]
fn what_is_old_promises_nothing() {
    let mut view = read(IN_SYNC);
    view.there_heard_s = Some(OLD_AFTER_S - 1);
    assert_eq!(Picture::of(&view).verdicts[0].answer, Answer::Yes);
    view.there_heard_s = Some(OLD_AFTER_S);
    let picture = Picture::of(&view);
    assert_eq!(picture.verdicts[0].answer, Answer::NotKnown);
    assert_eq!(picture.room(Room::B).presence, Presence::Silent("10 seconds".to_owned()));
    assert_eq!(picture.room(Room::B).role, StoreRole::NotKnown, "what it did then is no news");
    assert_eq!(picture.headline.tone, Tone::Warning);
}

#[test]
fn a_store_that_does_not_answer_promises_nothing() {
    let mut view = read(IN_SYNC);
    view.here.pair = Value::Null;
    let picture = Picture::of(&view);
    assert_eq!(picture.verdicts.each_ref().map(|v| v.answer), [Answer::Yes, Answer::NotKnown]);
    assert_eq!(picture.headline.text, "Room B follows.");
    view.there = None;
    let picture = Picture::of(&view);
    assert_eq!(picture.headline.tone, Tone::Bad);
    assert_eq!(picture.verdicts.each_ref().map(|v| v.answer), [Answer::NotKnown; 2]);
}

#[test]
fn a_follower_that_catches_up_is_said_to_be_behind() {
    let mut view = read(IN_SYNC);
    for node in [Some(&mut view.here), view.there.as_mut()].into_iter().flatten() {
        node.pair["in_sync"] = json!(["a"]);
    }
    view.here.pair["follower"]["behind"] = json!(1200);
    let picture = Picture::of(&view);
    assert_eq!(picture.headline.more, "Room B catches up and is 1200 entries behind.");
    assert_eq!(picture.room(Room::B).sharing.words, "1200 entries behind");
    assert_eq!(picture.room(Room::A).sharing.tone, Tone::Good);
}

#[test]
fn two_that_say_they_lead_are_told_apart_by_the_newer_decision() {
    let mut view = read(IN_SYNC);
    let there = view.there.as_mut().unwrap();
    there.pair["role"] = json!("leads");
    there.pair["epoch"] = json!(42);
    there.pair["in_sync"] = json!(["b"]);
    let picture = Picture::of(&view);
    assert_eq!(picture.headline.text, "Room B goes on alone, by consent of both rooms.");
    assert_eq!(picture.room(Room::A).sharing.words, "not in sync");
}

#[test]
fn a_worker_shows_what_the_other_room_says() {
    let mut view = read(IN_SYNC);
    view.here.status["node"]["role"] = json!("worker");
    view.here.status["hostname"] = json!("harbour-a9");
    view.here.pair = Value::Null;
    let picture = Picture::of(&view);
    let room = picture.room(Room::A);
    assert!(room.control.is_none() && room.others.iter().any(|one| one.name == "harbour-a9"));
}

#[test]
fn the_authority_is_named_as_it_is() {
    for (kind, name) in [
        ("witness", "Witness"),
        ("power", "Power switch"),
        ("preferred:b", "Room B is preferred"),
        ("operator", "A person"),
        ("later", "Not known"),
    ] {
        let mut view = read(IN_SYNC);
        view.here.pair["authority"]["kind"] = json!(kind);
        assert_eq!(Picture::of(&view).third.name, name);
    }
}

#[test]
fn rooms_that_tell_kubernetes_something_else_are_found() {
    let mut view = read(IN_SYNC);
    let told = |cidr: &str| json!({ "alike": { "cluster-cidr": cidr }, "state": null });
    view.here.status["kubernetes"] = told("10.42.0.0/16");
    let mut there = view.there.clone().unwrap();
    there.status["kubernetes"] = told("10.42.0.0/16");
    view.there = Some(there.clone());
    assert_eq!(Picture::of(&view).findings, []);
    let fact = ("Kubernetes", "not known".to_owned());
    assert!(Picture::of(&view).rooms[0].control.as_ref().unwrap().facts.contains(&fact));
    there.status["kubernetes"] = told("10.44.0.0/16");
    view.there = Some(there);
    let [found] = &Picture::of(&view).findings[..] else {
        panic!("{:?}", Picture::of(&view).findings)
    };
    assert_eq!(
        (found.tone, found.what.as_str()),
        (Tone::Bad, "Cluster-cidr is 10.42.0.0/16 here and 10.44.0.0/16 in the other room.")
    );
}

#[test]
fn whatever_comes_in_gives_a_picture() {
    for junk in [json!(null), json!([]), json!("x"), json!({ "node": 7, "findings": { "a": 1 } })] {
        let node = NodeView { status: junk.clone(), pair: junk.clone(), pair_events: junk.clone() };
        let view =
            View { here: node.clone(), there: Some(node), neighbours: junk, ..View::default() };
        let picture = Picture::of(&view);
        assert!(!table(&picture, &|_, text| text.to_owned()).is_empty());
    }
}
