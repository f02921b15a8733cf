//! A room that stands still and does not know it (SIGSTOP), as a machine that its host has put to sleep.

use std::time::Duration;

use rustix::process::Signal;
use tests::two_rooms::{Grants, Site, alone};

use super::load::Load;

/// Longer than the other room needs to take over.
const FROZEN: Duration = Duration::from_secs(5);

/// Clients that ask a room while it stands still.
const READERS: usize = 16;

/// A quiet computer takes 2 s.
const BAR: Duration = Duration::from_secs(6);

#[test]
fn the_leader_stands_still_and_goes_on() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        let leader = site.wait_for_leader();
        let other = leader.other();
        let mut load = Load::start(&site);
        let idle = load.idle(&site, leader, READERS);
        let begun = load.book.now();
        site.room(leader).signal(Signal::STOP);
        load.writes_go_on(&site, other);
        // Also those that wait for an answer of the leader, whose connections do not break.
        let pause = load.tell("the leader stands still", other, begun);
        assert!(pause < BAR, "writes stood still for {pause:?}");
        load.go_on(FROZEN.saturating_sub(load.book.now() - begun));
        // Asked now, it will find these questions when it wakes up. It may believe for a moment that it leads, and
        // must not answer from what it has: that is older than what the other room told.
        load.read_now(idle);
        load.go_on(Duration::from_millis(50));
        site.room(leader).signal(Signal::CONT);
        site.until("the other room leads", || site.leader() == Some(other));
        load.finish(&site);
    });
}

#[test]
fn the_follower_stands_still_and_goes_on() {
    alone(|| {
        let site = Site::start(Grants::Witness);
        let leader = site.wait_for_leader();
        let load = Load::start(&site);
        let begun = load.book.now();
        site.room(leader.other()).signal(Signal::STOP);
        load.writes_go_on(&site, leader);
        let _ = load.tell("the follower stands still", leader, begun);
        load.go_on(FROZEN.saturating_sub(load.book.now() - begun));
        site.room(leader.other()).signal(Signal::CONT);
        assert_eq!(load.book.failures(leader).len(), 0, "writes of the leader's room failed");
        load.finish(&site);
    });
}
