//! The cables between the rooms, and to the witness, are cut: both ways and one way.

use std::time::Duration;

use tests::two_rooms::{Cable, Grants, Side, Site, alone};

use super::load::Load;

/// A leader's lease has run out by then, and the promise of a follower.
const LEASES: Duration = Duration::from_secs(3);

/// While the link is cut one room goes on, and the other one acknowledges nothing.
fn one_goes_on(load: &Load, site: &Site, begun: Duration) -> Side {
    load.go_on(LEASES);
    let side = load.one_goes_on(site);
    let _ = load.tell("the link is cut", side, begun);
    let other = load.book.acknowledged(side.other(), begun + LEASES, load.book.now());
    assert_eq!(other, 0, "both rooms acknowledge");
    side
}

#[test]
fn the_link_is_cut() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        let begun = load.book.now();
        site.cables.pull(Cable::Link);
        let _ = one_goes_on(&load, &site, begun);
        site.cables.plug(Cable::Link);
        load.finish(&site);
    });
}

/// Cut off from the other room and from the witness.
fn cut_off(site: &Site, side: Side) {
    let load = Load::start(site);
    let begun = load.book.now();
    site.cables.pull(Cable::Link);
    site.cables.pull(Cable::Out(side));
    assert_eq!(one_goes_on(&load, site, begun), side.other());
    site.cables.plug(Cable::Link);
    // The witness is still out of its reach; it needs it no more.
    load.writes_go_on(site, side);
    site.cables.plug(Cable::Out(side));
    load.finish(site);
}

#[test]
fn the_leader_is_cut_off() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        cut_off(&site, site.wait_for_leader());
    });
}

#[test]
fn the_follower_is_cut_off() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        cut_off(&site, site.wait_for_leader().other());
    });
}

#[test]
fn without_a_witness_nobody_goes_on() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        site.witness.as_mut().unwrap().stop();
        // Two good rooms need no witness.
        load.writes_go_on(&site, Side::A);
        let begun = load.book.now();
        site.cables.pull(Cable::Link);
        load.go_on(2 * LEASES);
        for side in Side::BOTH {
            let count = load.book.acknowledged(side, begun + LEASES, load.book.now());
            assert_eq!(count, 0, "room {} goes on without a grant", side.letter());
            let status = site.status(side).unwrap();
            assert_eq!(status["role"], "waits", "{status:#}");
            let refusal = status["refusal"].to_string();
            assert!(refusal.contains("the authority does not answer"), "{refusal}");
        }
        site.cables.plug(Cable::Link);
        load.writes_go_on(&site, Side::A);
        load.writes_go_on(&site, Side::B);
        let leads = Side::BOTH.map(|side| site.status(side).unwrap()["role"] == "leads");
        assert!(leads[0] != leads[1], "one leads again: {leads:?}");
        site.witness.as_mut().unwrap().go_on();
        load.finish(&site);
    });
}

#[test]
fn the_witness_comes_back_while_the_link_is_cut() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        site.witness.as_mut().unwrap().stop();
        let begun = load.book.now();
        site.cables.pull(Cable::Link);
        load.go_on(LEASES);
        site.witness.as_mut().unwrap().go_on();
        let _ = one_goes_on(&load, &site, begun);
        site.cables.plug(Cable::Link);
        load.finish(&site);
    });
}

/// What `side` sends is lost, and it hears all that the other room says.
fn mute(site: &Site, side: Side) {
    let load = Load::start(site);
    let begun = load.book.now();
    site.cables.mute(side);
    let _ = one_goes_on(&load, site, begun);
    site.cables.plug(Cable::Link);
    load.finish(site);
}

#[test]
fn the_leader_is_not_heard() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        mute(&site, site.wait_for_leader());
    });
}

#[test]
fn the_follower_is_not_heard() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        mute(&site, site.wait_for_leader().other());
    });
}
