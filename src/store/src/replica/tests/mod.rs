//! Two rooms' stores, story by story; what can happen at random is the simulator's matter.
#![allow(clippy::unwrap_used)]

mod rooms;

use pair::{Command, InSync, Room};

use super::{Input, Request};
use crate::refusal::Refusal;
use rooms::{ROOMS, Rooms};

fn in_sync(rooms: &mut Rooms) -> [InSync; 2] {
    ROOMS.map(|room| rooms.process(room).replica.pair().register().unwrap().in_sync)
}

#[track_caller]
fn alike(rooms: &mut Rooms) {
    assert_eq!(in_sync(rooms), [InSync::Both; 2], "{:#?}", rooms.told);
    let [a, b] = ROOMS.map(|room| rooms.process(room).published.clone());
    assert!(a.content_eq(&b), "{a:?} {b:?}");
}

#[test]
fn two_empty_rooms_become_a_site_and_hold_the_same() {
    let mut rooms = Rooms::paired();
    alike(&mut rooms);
    let done = rooms.write(Room::A, "second").unwrap();
    assert_eq!((done.revision, rooms.published(Room::B).as_str()), (3, "first second"));
    assert_eq!(rooms.write(Room::B, "x"), Err(Some(Refusal::NotLeading)));
}

#[test]
fn an_answer_waits_for_both_disks() {
    for slow in ROOMS {
        let mut rooms = Rooms::paired();
        rooms.slow = Some(slow);
        let mut pending = rooms.ask(Room::A, "second");
        assert!(pending.try_recv().is_err(), "room {slow} has not synced");
        assert_eq!(rooms.published(Room::A), "first");
        rooms.hasten();
        assert!(pending.try_recv().unwrap().is_ok());
        alike(&mut rooms);
    }
}

#[test]
fn a_lost_leader_is_followed_by_the_other_room_with_all_that_was_acknowledged() {
    let mut rooms = Rooms::paired();
    rooms.cut_power(Room::A);
    rooms.run(4);
    assert_eq!(rooms.leader(), Some(Room::B), "{:#?}", rooms.told);
    rooms.write(Room::B, "second").unwrap();
    rooms.start(Room::A);
    rooms.run(5);
    alike(&mut rooms);
    assert_eq!(rooms.published(Room::A), "first second");
}

#[test]
fn what_was_never_acknowledged_is_cut_off() {
    let mut rooms = Rooms::paired();
    rooms.up = [false, false];
    let mut pending = rooms.ask(Room::A, "lost");
    assert!(pending.try_recv().is_err());
    rooms.run(1);
    // Room b asks first, since room a stands still.
    let stopped = rooms.rooms[0].process.take();
    rooms.run(4);
    assert_eq!(rooms.leader(), Some(Room::B));
    rooms.write(Room::B, "kept").unwrap();
    rooms.rooms[0].process = stopped;
    rooms.up = [true, true];
    rooms.run(5);
    assert_eq!(pending.try_recv().unwrap().err(), Some(Refusal::LeaderLost));
    alike(&mut rooms);
    assert_eq!(rooms.published(Room::A), "first kept");
    for room in ROOMS {
        rooms.cut_power(room);
        rooms.start(room);
    }
    rooms.run(5);
    assert_eq!(rooms.published(Room::A), "first kept", "the disk is cut, too");
}

#[test]
fn a_new_disk_is_sent_a_snapshot() {
    let mut rooms = Rooms::paired();
    rooms.cut_power(Room::B);
    rooms.run(5);
    for number in 0..40_000 {
        rooms.write(Room::A, &format!("key-{:03}", number % 500)).unwrap();
    }
    rooms.rooms[1].disk = crate::disk::sim::SimDisk::new(3);
    rooms.start(Room::B);
    rooms.run(5);
    alike(&mut rooms);
    rooms.write(Room::A, "last").unwrap();
    rooms.cut_power(Room::A);
    rooms.run(5);
    assert_eq!(rooms.leader(), Some(Room::B));
    assert_eq!(rooms.published(Room::B).split(' ').count(), 502);
}

#[test]
fn a_hand_over_loses_no_request() {
    let mut rooms = Rooms::paired();
    rooms.command(Room::A, Command::HandOver).unwrap();
    assert_eq!(rooms.leader(), Some(Room::B), "{:#?}", rooms.told);
    rooms.write(Room::B, "second").unwrap();
    rooms.run(1);
    alike(&mut rooms);
    assert_eq!(rooms.command(Room::A, Command::HandOver), Err(pair::Refusal::NotLeading));
    assert_eq!(rooms.command(Room::A, Command::HandOver), Err(pair::Refusal::NotLeading), "again");
}

#[test]
fn a_request_during_a_hand_over_is_not_begun() {
    let mut rooms = Rooms::paired();
    rooms.slow = Some(Room::B);
    let mut first = rooms.ask(Room::A, "second");
    rooms.command(Room::A, Command::HandOver).unwrap();
    let mut late = rooms.ask(Room::A, "third");
    assert!(late.try_recv().is_err(), "it waits");
    rooms.hasten();
    assert!(first.try_recv().unwrap().is_ok());
    assert_eq!(late.try_recv().unwrap().err(), Some(Refusal::NotLeading));
    assert_eq!(rooms.leader(), Some(Room::B));
}

/// It waits for a write that is acknowledged in the very step that hands over.
#[test]
fn what_changes_nothing_is_asked_again_after_a_hand_over() {
    let mut rooms = Rooms::paired();
    rooms.slow = Some(Room::B);
    let mut write = rooms.ask(Room::A, "second");
    let keys = mvcc::KeyRange { key: b"absent"[..].into(), end: b""[..].into() };
    let (request, mut nothing) =
        Request::delete_range(mvcc::DeleteRangeRequest { keys, ..Default::default() });
    rooms.give(Room::A, Input::Request(request));
    assert!(nothing.try_recv().is_err(), "it tells what is not acknowledged yet");
    rooms.command(Room::A, Command::HandOver).unwrap();
    rooms.hasten();
    assert!(write.try_recv().unwrap().is_ok());
    assert_eq!(nothing.try_recv().unwrap().err(), Some(Refusal::NotLeading));
}

#[test]
fn who_goes_on_without_acknowledged_writes_leaps_and_the_other_room_begins_anew() {
    let mut rooms = Rooms::paired();
    rooms.cut_power(Room::B);
    rooms.run(5);
    rooms.write(Room::A, "only here").unwrap();
    rooms.cut_power(Room::A);
    rooms.start(Room::B);
    rooms.run(5);
    assert_eq!(rooms.leader(), None);
    rooms.command(Room::B, Command::GoOnAlone { accept_loss: false }).unwrap();
    let done = rooms.write(Room::B, "after").unwrap();
    assert!(done.revision > 1 << 32);
    rooms.start(Room::A);
    rooms.run(10);
    assert_eq!(rooms.published(Room::A), "after first", "{:#?}", rooms.told);
    let [a, b] = ROOMS.map(|room| rooms.process(room).published.clone());
    assert!(a.content_eq(&b));
}

#[test]
fn a_room_alone_carries_on_after_a_restart() {
    let mut rooms = Rooms::paired();
    rooms.cut_power(Room::B);
    rooms.run(5);
    for turn in 0..5 {
        rooms.write(Room::A, &format!("turn-{turn}")).unwrap();
        rooms.cut_power(Room::A);
        rooms.start(Room::A);
        assert_eq!(rooms.leader(), Some(Room::A), "it needs nobody");
    }
    rooms.start(Room::B);
    rooms.run(5);
    alike(&mut rooms);
    assert_eq!(rooms.published(Room::B).split(' ').count(), 6);
}
