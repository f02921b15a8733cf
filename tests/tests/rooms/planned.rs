//! What people do on purpose: handing over, and ending a room's store (SIGTERM).

use std::time::Duration;

use rustix::process::Signal;
use tests::two_rooms::{Grants, Side, Site, alone};

use super::load::Load;

/// The bar is 100 ms, of a quiet computer (docs/bench-rooms.md); here it is much less than finding out takes.
const BAR: Duration = Duration::from_millis(1000);

/// The class of docs/exit-codes.md.
const REFUSED: i32 = 12;

#[test]
fn leadership_is_handed_over_and_back() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        for _ in 0..2 {
            let leader = site.wait_for_leader();
            let begun = load.book.now();
            let _ = site.room(leader).command(&["hand-over"]).well();
            for side in Side::BOTH {
                load.writes_go_on(&site, side);
                let pause = load.tell("hand-over", side, begun);
                assert!(pause < BAR, "writes in room {} stood still for {pause:?}", side.letter());
            }
            assert_eq!(site.wait_for_leader(), leader.other());
            site.in_sync();
            let refused = site.room(leader).command(&["hand-over"]).with(REFUSED);
            assert!(refused.err.contains("this room does not lead"), "{refused}");
            let said = site.room(leader).command(&["status"]).well();
            assert!(said.out.contains("follows"), "{said}");
        }
        let failed = Side::BOTH.map(|side| load.book.failures(side));
        assert!(failed.iter().all(Vec::is_empty), "a hand-over fails no write: {failed:#?}");
        load.finish(&site);
    });
}

#[test]
fn the_leader_ends() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        let leader = site.wait_for_leader();
        let begun = load.book.now();
        site.room_mut(leader).stop();
        load.writes_go_on(&site, leader.other());
        let pause = load.tell("the leader ends", leader.other(), begun);
        assert!(pause < BAR, "writes stood still for {pause:?}");
        let failed = load.book.failures(leader.other());
        assert!(failed.is_empty(), "writes of the other room failed: {failed:#?}");
        site.room_mut(leader).start();
        load.finish(&site);
    });
}

#[test]
fn the_follower_ends() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        let leader = site.wait_for_leader();
        let begun = load.book.now();
        site.room_mut(leader.other()).stop();
        load.writes_go_on(&site, leader);
        load.go_on(Duration::from_millis(500));
        let pause = load.tell("the follower ends", leader, begun);
        assert!(pause < BAR, "writes stood still for {pause:?}");
        let failed = load.book.failures(leader);
        assert!(failed.is_empty(), "writes of the leader's room failed: {failed:#?}");
        site.room_mut(leader.other()).start();
        load.finish(&site);
    });
}

/// As when one computer carries both, or a person restarts everything.
#[test]
fn both_end_at_once() {
    alone(|| {
        let mut site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        for side in Side::BOTH {
            site.room(side).signal(Signal::TERM);
        }
        for side in Side::BOTH {
            assert!(site.room_mut(side).ended().success());
        }
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        load.finish(&site);
    });
}
