//! A room is lost, as with its power: its process is killed (SIGKILL).

use std::fs;
use std::time::Duration;

use tests::two_rooms::{Cable, Grants, Side, Site, alone};

use super::load::Load;

/// What a controller's leadership bears is 10 s; a quiet computer takes 3 to 4.
const BAR: Duration = Duration::from_secs(8);

/// Kills a room under load, and has the other one go on; starts it again, and has both find together.
fn kill(site: &mut Site, lost: Side) -> Load {
    let load = lose(site, lost, |_| {});
    site.room_mut(lost).start();
    load
}

/// The same, before it is started again; `first` is done just before it is killed.
fn lose(site: &mut Site, lost: Side, first: impl FnOnce(&Site)) -> Load {
    let load = Load::start(site);
    let begun = load.book.now();
    first(site);
    site.room_mut(lost).kill();
    let survivor = lost.other();
    load.writes_go_on(site, survivor);
    load.go_on(Duration::from_millis(500));
    let pause = load.tell("a room is lost", survivor, begun);
    assert!(pause < BAR, "writes stood still for {pause:?}");
    assert_eq!(site.leader(), Some(survivor));
    let alone = &site.status(survivor).unwrap()["in_sync"];
    assert_eq!(alone, &serde_json::json!([survivor.letter()]));
    load
}

#[test]
fn the_leader_is_killed() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let leader = site.wait_for_leader();
        kill(&mut site, leader).finish(&site);
    });
}

#[test]
fn the_follower_is_killed() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let follower = site.wait_for_leader().other();
        let load = kill(&mut site, follower);
        let failures = load.book.failures(follower.other());
        assert!(failures.is_empty(), "writes of the leader's room failed: {failures:#?}");
        load.finish(&site);
    });
}

/// Nobody is told: no connection is closed, there is only silence.
#[test]
fn the_leaders_room_loses_its_power() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let leader = site.wait_for_leader();
        let load = lose(&mut site, leader, |site| {
            site.cables.pull(Cable::Link);
            site.cables.pull(Cable::Out(leader));
        });
        site.cables.plug(Cable::Link);
        site.cables.plug(Cable::Out(leader));
        site.room_mut(leader).start();
        load.finish(&site);
    });
}

/// A room comes back with an empty disk, and gets everything from the other one.
#[test]
fn a_room_gets_a_new_disk() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let leader = site.wait_for_leader();
        let load = lose(&mut site, leader, |_| {});
        fs::remove_dir_all(&site.room(leader).plan.data).unwrap();
        site.room_mut(leader).start();
        site.in_sync();
        // The other disk of the site is needed no more.
        site.room_mut(leader.other()).kill();
        load.writes_go_on(&site, leader);
        site.room_mut(leader.other()).start();
        load.finish(&site);
    });
}
