//! The other authorities: a power switch, and preference.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use store::client::Client;

use tests::two_rooms::{Cable, Grants, LONG, SITE, Side, Site, alone};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use super::load::Load;

/// Leases, promises and the switch's delay have passed by then.
const ALL: Duration = Duration::from_secs(7);

fn switched(site: &Site) -> String {
    fs::read_to_string(site.folder().join("switched")).unwrap_or_default()
}

#[test]
fn power_the_leader_is_lost() {
    alone(|| {
        let mut site = Site::start(Grants::Power);
        let load = Load::start(&site);
        let leader = site.wait_for_leader();
        let begun = load.book.now();
        site.room_mut(leader).kill();
        load.writes_go_on(&site, leader.other());
        let _ = load.tell("power: the leader is lost", leader.other(), begun);
        assert!(switched(&site).starts_with(leader.letter()), "{}", switched(&site));
        site.room_mut(leader).start();
        load.finish(&site);
    });
}

/// Each room's switch works; the leader's is used first.
#[test]
fn power_the_link_is_cut() {
    alone(|| {
        let mut site = Site::start(Grants::Power);
        let load = Load::start(&site);
        let leader = site.wait_for_leader();
        let begun = load.book.now();
        site.cables.pull(Cable::Link);
        load.writes_go_on(&site, leader);
        let _ = load.tell("power: the link is cut", leader, begun);
        assert!(!site.room_mut(leader.other()).runs(), "the other room was not switched off");
        assert!(site.room_mut(leader).runs());
        site.cables.plug(Cable::Link);
        site.room_mut(leader.other()).start();
        load.finish(&site);
    });
}

#[test]
fn power_a_switch_that_is_stuck_grants_nothing() {
    alone(|| {
        let mut site = Site::start(Grants::Power);
        let load = Load::start(&site);
        let leader = site.wait_for_leader();
        let stuck = site.folder().join("stuck");
        fs::write(&stuck, "").unwrap();
        let begun = load.book.now();
        site.room_mut(leader).kill();
        load.go_on(ALL);
        let count = load.book.acknowledged(leader.other(), begun + ALL / 2, load.book.now());
        assert_eq!(count, 0, "it goes on although the other room may be on");
        site.room(leader.other()).says("the peer's power is still on");
        fs::remove_file(&stuck).unwrap();
        load.writes_go_on(&site, leader.other());
        site.room_mut(leader).start();
        load.finish(&site);
    });
}

#[test]
fn preferred_the_other_room_is_lost() {
    alone(|| {
        let mut site = Site::start(Grants::PreferA);
        let load = Load::start(&site);
        let begun = load.book.now();
        site.room_mut(Side::B).kill();
        load.writes_go_on(&site, Side::A);
        let _ = load.tell("preferred: the other room is lost", Side::A, begun);
        site.room_mut(Side::B).start();
        load.finish(&site);
    });
}

#[test]
fn preferred_the_preferred_room_is_lost_and_waited_for() {
    alone(|| {
        let mut site = Site::start(Grants::PreferA);
        let load = Load::start(&site);
        let begun = load.book.now();
        site.room_mut(Side::A).kill();
        site.room(Side::B).says("no: room a is the preferred one");
        load.go_on(Duration::from_secs(2));
        let count =
            load.book.acknowledged(Side::B, begun + Duration::from_secs(1), load.book.now());
        assert_eq!(count, 0, "it goes on although it is not preferred");
        site.room_mut(Side::A).start();
        load.finish(&site);
    });
}

/// Puts a key, however long that takes, and gives its revision.
fn put(site: &Site, side: Side, key: &'static str) -> i64 {
    let endpoint = site.room(side).endpoint();
    Runtime::new().unwrap().block_on(async {
        let until = Instant::now() + LONG;
        loop {
            let mut client = Client::connect(&endpoint, None).await.unwrap();
            let request =
                pb::PutRequest { key: Bytes::from_static(key.as_bytes()), ..Default::default() };
            match client.kv.put(request).await {
                Ok(answer) => return answer.into_inner().header.unwrap().revision,
                Err(status) => assert!(Instant::now() < until, "{status}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
}

/// The keys of a store, as it surely has them.
fn keys(site: &Site, side: Side) -> Vec<String> {
    let endpoint = site.room(side).endpoint();
    Runtime::new().unwrap().block_on(async {
        let mut client = Client::connect(&endpoint, None).await.unwrap();
        let all = Bytes::from_static(b"\0");
        let range = pb::RangeRequest { key: all.clone(), range_end: all, ..Default::default() };
        let answer = client.kv.range(range).await.unwrap().into_inner();
        answer.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
    })
}

/// Revisions leap, so that none comes twice with other contents; and what only the room had that was left
/// behind is gone, as the person was told.
#[test]
fn operator_a_person_goes_on_alone() {
    alone(|| {
        let mut site = Site::start(Grants::Operator);
        let leader = site.wait_for_leader();
        let other = leader.other();
        let before = put(&site, leader, "both");
        // The follower ends, and so leaves the set; then the leader has what nobody else has.
        site.room_mut(other).stop();
        let _ = put(&site, leader, "leader");
        site.room_mut(leader).kill();
        site.room_mut(other).start();
        site.room(other).says("ready on");
        let ask = |words: &[&str]| site.room(other).command(&[&["go-on-alone"], words].concat());
        let wrong = ask(&["--site", "other"]);
        assert!(wrong.code != Some(0) && wrong.err.contains("name"), "{wrong}");
        let refused = ask(&["--site", SITE]);
        assert!(refused.code != Some(0) && refused.err.contains("--accept-loss"), "{refused}");
        let _ = ask(&["--site", SITE, "--accept-loss"]).well();
        let after = put(&site, other, "other");
        assert!(after > before + (1 << 31), "{after} after {before}");
        // Its data is void: it says so, ends, and begins anew.
        site.room_mut(leader).start();
        let ended = site.room_mut(leader).ended();
        assert!(!ended.success(), "{ended}");
        site.room(leader).says("this room's data is given up");
        site.room_mut(leader).start();
        site.in_sync();
        for side in Side::BOTH {
            assert_eq!(keys(&site, side), ["both", "other"]);
        }
    });
}
