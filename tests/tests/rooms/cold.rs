//! Both rooms are lost, and come back: both, or one alone.

use tests::two_rooms::{Grants, Side, Site, alone};

use super::load::Load;

fn kill_both(site: &mut Site) -> Load {
    let load = Load::start(site);
    for side in Side::BOTH {
        site.room_mut(side).kill();
    }
    load
}

#[test]
fn both_are_killed_and_come_back() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let load = kill_both(&mut site);
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        load.finish(&site);
    });
}

/// One of two rooms in sync comes back; the witness says that the other one did not go on.
fn one_comes_back(site: &mut Site, side: Side) {
    let load = kill_both(site);
    let begun = load.book.now();
    site.room_mut(side).start();
    load.writes_go_on(site, side);
    let _ = load.tell("one room is back", side, begun);
    site.room_mut(side.other()).start();
    load.finish(site);
}

#[test]
fn both_are_killed_and_the_leader_comes_back() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let leader = site.wait_for_leader();
        one_comes_back(&mut site, leader);
    });
}

#[test]
fn both_are_killed_and_the_follower_comes_back() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let follower = site.wait_for_leader().other();
        one_comes_back(&mut site, follower);
    });
}

/// The room that went on alone has what the other one lacks, so that one waits for it.
#[test]
fn who_went_on_alone_is_waited_for() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        let leader = site.wait_for_leader();
        site.room_mut(leader).kill();
        load.writes_go_on(&site, leader.other());
        site.room_mut(leader.other()).kill();
        let begun = load.book.now();
        site.room_mut(leader).start();
        site.room(leader).says("no: the witness refuses");
        assert_eq!(load.book.acknowledged(leader, begun, load.book.now()), 0);
        site.room_mut(leader.other()).start();
        load.finish(&site);
    });
}
