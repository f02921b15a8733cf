//! Each rule of `docs/protocol.md` as a story. Start at [`paired`]; a tick is a second.

use pair::{Authority, Command, Event, GrantedBy, InSync, RoleView, Room};

use crate::world::{Action, Rules, World, at};

const A: Room = Room::A;
const B: Room = Room::B;
const ALONE: Command = Command::GoOnAlone { accept_loss: false };

fn paired(authority: Authority) -> (World, Rules) {
    let rules = Rules { authority, flaw: None, fast: B };
    (World::paired(&rules), rules)
}

fn cut(world: &mut World, rules: &Rules) {
    world.act(rules, Action::Cut(A));
    world.act(rules, Action::Cut(B));
}

fn mend(world: &mut World, rules: &Rules) {
    world.act(rules, Action::Mend(A));
    world.act(rules, Action::Mend(B));
}

/// `leader` takes a write, which is acknowledged.
#[track_caller]
fn writes(world: &mut World, rules: &Rules, leader: Room) {
    let before = world.acknowledged.len();
    world.write(rules, leader);
    world.settle(rules);
    assert_eq!(world.acknowledged.len(), before + 1, "{:#?}", world.rooms);
}

#[track_caller]
fn leads(world: &World, leader: Room, in_sync: InSync, by: GrantedBy) {
    assert!(world.leads(leader) && !world.leads(leader.other()), "{:#?}", world.rooms);
    let register = world.register(leader);
    assert_eq!((register.in_sync, register.granted_by), (in_sync, by));
}

/// Nobody acknowledges, and `text` is what a person reads of why.
#[track_caller]
fn waits(world: &World, text: &str) {
    let may = |room| world.pair(room).is_some_and(|pair| pair.may_acknowledge(world.now(room)));
    assert!(!may(A) && !may(B), "{:#?}", world.rooms);
    let told = world.told.join("\n");
    assert!(told.contains(text), "{text:?} is not in\n{told}");
}

#[test]
fn two_rooms_come_together() {
    for authority in
        [Authority::Witness, Authority::Power, Authority::Preferred(A), Authority::Operator]
    {
        let (mut world, rules) = paired(authority);
        writes(&mut world, &rules, A);
        let role = world.pair(B).map(|pair| pair.role());
        assert_eq!(role, Some(RoleView::Following { aligned: true }));
    }
}

#[test]
fn an_acknowledgement_needs_both_disks() {
    let (mut world, rules) = paired(Authority::Witness);
    world.write(&rules, A);
    world.act(&rules, Action::Sync(A));
    world.act(&rules, Action::Deliver(B));
    assert_eq!(world.acknowledged.len(), 1, "b has it, but not on its disk");
    world.act(&rules, Action::Sync(B));
    world.act(&rules, Action::Deliver(A));
    assert_eq!(world.acknowledged.len(), 2);
}

#[test]
fn a_lost_follower_is_left_out_by_the_witness() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::Crash(B, false));
    world.write(&rules, A);
    world.run(&rules, 1);
    assert_eq!(world.acknowledged.len(), 1, "writes wait while it is not clear who lives");
    world.run(&rules, 2);
    leads(&world, A, InSync::Only(A), GrantedBy::Witness);
    assert_eq!(world.acknowledged.len(), 2, "what waited is acknowledged");
    world.act(&rules, Action::Restart(B));
    world.run(&rules, 5);
    leads(&world, A, InSync::Both, GrantedBy::Consent);
    writes(&mut world, &rules, A);
}

#[test]
fn a_lost_leader_is_followed_by_the_other_room() {
    for authority in [Authority::Witness, Authority::Power, Authority::Preferred(B)] {
        let (mut world, rules) = paired(authority);
        world.act(&rules, Action::Crash(A, false));
        world.run(&rules, 6);
        assert!(world.leads(B), "{authority:?}: {:#?}", world.rooms);
        writes(&mut world, &rules, B);
        world.act(&rules, Action::Restart(A));
        world.run(&rules, 6);
        leads(&world, B, InSync::Both, GrantedBy::Consent);
    }
}

#[test]
fn an_isolated_leader_steps_down_and_says_why() {
    let (mut world, rules) = paired(Authority::Witness);
    cut(&mut world, &rules);
    for _ in 0..6 {
        world.act(&rules, Action::Tick(B));
        world.act(&rules, Action::Tick(A));
        // The leader does not reach the witness either.
        world.asks[at(A)] = None;
        world.settle(&rules);
    }
    assert!(world.told.iter().any(|line| line.contains("authority does not answer")));
    writes(&mut world, &rules, B);
    world.run(&rules, 3);
    leads(&world, B, InSync::Only(B), GrantedBy::Witness);
    assert!(world.told.iter().any(|line| line.contains("the witness refuses")));
}

#[test]
fn the_other_room_waits_for_the_lease() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::Crash(A, false));
    world.run(&rules, 3);
    assert!(world.asks[at(B)].is_none() && !world.leads(B));
    world.run(&rules, 1);
    assert!(world.leads(B));
}

#[test]
fn a_leader_reads_only_inside_its_lease() {
    let (mut world, rules) = paired(Authority::Witness);
    let read = |world: &World| world.pair(A).is_some_and(|pair| pair.may_read(world.now(A)));
    assert!(read(&world));
    cut(&mut world, &rules);
    for expected in [true, true, false] {
        world.act(&rules, Action::Tick(B));
        world.act(&rules, Action::Tick(A));
        assert_eq!(read(&world), expected, "at {:?}", world.now(A));
    }
}

#[test]
fn a_room_that_is_out_never_leads_by_itself() {
    let (mut world, rules) = paired(Authority::Witness);
    cut(&mut world, &rules);
    world.run(&rules, 3);
    writes(&mut world, &rules, A);
    world.act(&rules, Action::Crash(A, false));
    world.run(&rules, 8);
    waits(&world, "the witness refuses: epoch 5 has {a} in sync");
}

#[test]
fn a_restarted_room_may_not_use_the_switch() {
    let (mut world, rules) = paired(Authority::Power);
    cut(&mut world, &rules);
    world.run(&rules, 3);
    leads(&world, A, InSync::Only(A), GrantedBy::Power);
    world.power_off(A, false);
    world.act(&rules, Action::Restart(B));
    world.run(&rules, 8);
    waits(&world, "not met since this machine started");
}

#[test]
fn a_peer_whose_power_stays_on_is_not_left_out() {
    let (mut world, rules) = paired(Authority::Power);
    world.act(&rules, Action::Crash(B, false));
    world.run(&rules, 1);
    world.act(&rules, Action::Tick(A));
    let (number, _) = world.asks[at(A)].take().expect("it asks");
    let answer = pair::Answer::Power(pair::PowerAnswer::StillOn);
    world.step(&rules, A, Event::Answered(number, answer), &[]);
    waits(&world, "power is still on");
}

#[test]
fn only_the_preferred_room_goes_on() {
    let (mut world, rules) = paired(Authority::Preferred(B));
    world.act(&rules, Action::Crash(B, false));
    world.run(&rules, 8);
    waits(&world, "room b is the preferred one");
}

#[test]
fn an_operator_is_needed_where_nothing_is_automatic() {
    let (mut world, rules) = paired(Authority::Operator);
    world.act(&rules, Action::Crash(A, false));
    world.run(&rules, 6);
    waits(&world, "no automatic authority");
    world.act(&rules, Action::Command(B, ALONE));
    leads(&world, B, InSync::Only(B), GrantedBy::Operator);
    assert!(world.leaps == 1 && world.register(B).epoch > 1 << 20);
    writes(&mut world, &rules, B);
}

#[test]
fn a_loss_has_to_be_accepted() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::Command(B, Command::Leave));
    world.settle(&rules);
    world.act(&rules, Action::Crash(A, false));
    world.run(&rules, 6);
    world.act(&rules, Action::Command(B, ALONE));
    waits(&world, "this room may lack acknowledged writes");
    world.act(&rules, Action::Command(B, Command::GoOnAlone { accept_loss: true }));
    leads(&world, B, InSync::Only(B), GrantedBy::Operator);
}

/// Room a is in sync alone by the witness, and off; a person has let room b go on, which wrote.
pub(crate) fn overruled(world: &mut World, rules: &Rules) {
    world.act(rules, Action::Crash(B, false));
    world.run(rules, 6);
    world.act(rules, Action::Crash(A, true));
    world.act(rules, Action::Restart(B));
    world.run(rules, 2);
    world.act(rules, Action::Command(B, ALONE));
    world.write(rules, B);
    world.settle(rules);
}

#[test]
fn what_a_person_decided_stands_when_the_other_room_comes_back() {
    let (mut world, rules) = paired(Authority::Witness);
    overruled(&mut world, &rules);
    leads(&world, B, InSync::Only(B), GrantedBy::Operator);
    world.act(&rules, Action::Restart(A));
    world.run(&rules, 8);
    leads(&world, B, InSync::Both, GrantedBy::Consent);
    assert_eq!(world.acknowledged.len(), 2);
    assert_eq!(world.rooms[at(A)].disk.log, world.rooms[at(B)].disk.log);
}

#[test]
fn nobody_goes_on_alone_beside_a_living_leader() {
    let (mut world, rules) = paired(Authority::Operator);
    world.act(&rules, Action::Command(A, ALONE));
    world.act(&rules, Action::Command(B, ALONE));
    leads(&world, A, InSync::Both, GrantedBy::Consent);
    assert!(world.told.iter().any(|line| line.contains("the peer lives")));
}

#[test]
fn both_rooms_cold_need_each_other() {
    for first in [A, B] {
        let (mut world, rules) = paired(Authority::Operator);
        world.act(&rules, Action::Crash(A, false));
        world.act(&rules, Action::Crash(B, false));
        world.act(&rules, Action::Restart(first));
        world.run(&rules, 8);
        waits(&world, "no automatic authority");
        world.act(&rules, Action::Restart(first.other()));
        world.run(&rules, 3);
        leads(&world, A, InSync::Both, GrantedBy::Consent);
        writes(&mut world, &rules, A);
    }
}

#[test]
fn a_room_in_sync_alone_starts_alone_in_a_new_epoch() {
    let (mut world, rules) = paired(Authority::Witness);
    cut(&mut world, &rules);
    world.run(&rules, 3);
    let before = world.register(A).epoch;
    world.act(&rules, Action::Crash(A, false));
    world.act(&rules, Action::Restart(A));
    leads(&world, A, InSync::Only(A), GrantedBy::Alone);
    assert_eq!(world.register(A).epoch, before + 1);
    writes(&mut world, &rules, A);
}

#[test]
fn what_was_never_acknowledged_is_cut_off() {
    let (mut world, rules) = paired(Authority::Witness);
    cut(&mut world, &rules);
    world.write(&rules, A);
    world.act(&rules, Action::Crash(A, true));
    world.run(&rules, 5);
    writes(&mut world, &rules, B);
    mend(&mut world, &rules);
    world.act(&rules, Action::Restart(A));
    world.run(&rules, 6);
    leads(&world, B, InSync::Both, GrantedBy::Consent);
    assert_eq!(world.rooms[at(A)].disk.log, world.acknowledged);
    assert!(world.told.iter().any(|line| line.contains("cut its log from 2 back to 1")));
}

#[test]
fn a_replaced_disk_starts_from_nothing() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::Crash(B, false));
    world.act(&rules, Action::ReplaceDisk(B));
    world.act(&rules, Action::Restart(B));
    world.run(&rules, 8);
    leads(&world, A, InSync::Both, GrantedBy::Consent);
    assert_eq!(world.register(A).incarnations.b, 2);
    assert_eq!(world.rooms[at(B)].disk.log, world.acknowledged);
}

#[test]
fn a_log_that_no_longer_reaches_back_is_replaced_by_a_snapshot() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::Crash(B, false));
    world.run(&rules, 3);
    writes(&mut world, &rules, A);
    world.step(&rules, A, Event::Compacted(2), &[]);
    world.act(&rules, Action::ReplaceDisk(B));
    world.act(&rules, Action::Restart(B));
    world.run(&rules, 6);
    assert!(world.told.iter().any(|line| line.contains("installed a snapshot of entry 2")));
    leads(&world, A, InSync::Both, GrantedBy::Consent);
    assert_eq!(world.rooms[at(B)].disk.log, world.acknowledged);
}

#[test]
fn a_restored_witness_does_not_grant_until_both_rooms_registered() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::RestoreWitness);
    cut(&mut world, &rules);
    world.run(&rules, 8);
    waits(&world, "it is of generation 2, which the rooms did not register");
    mend(&mut world, &rules);
    world.run(&rules, 6);
    assert_eq!(world.register(A).witness, 2);
    assert!(world.witness.held.is_some_and(|held| held.decides_as(&world.register(A))));
    world.act(&rules, Action::Crash(A, false));
    world.run(&rules, 6);
    leads(&world, B, InSync::Only(B), GrantedBy::Witness);
}

#[test]
fn a_hand_over_is_quick() {
    let (mut world, rules) = paired(Authority::Witness);
    writes(&mut world, &rules, A);
    world.act(&rules, Action::Command(A, Command::HandOver));
    world.settle(&rules);
    leads(&world, B, InSync::Both, GrantedBy::Consent);
    world.run(&rules, 1);
    writes(&mut world, &rules, B);
}

#[test]
fn a_hand_over_that_nobody_hears_is_undone_by_the_authority() {
    let (mut world, rules) = paired(Authority::Witness);
    cut(&mut world, &rules);
    world.act(&rules, Action::Command(A, Command::HandOver));
    assert!(!world.leads(A));
    world.run(&rules, 6);
    leads(&world, B, InSync::Only(B), GrantedBy::Witness);
    mend(&mut world, &rules);
    world.run(&rules, 6);
    leads(&world, B, InSync::Both, GrantedBy::Consent);
}

#[test]
fn a_room_alone_has_nobody_to_hand_over_to() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::Crash(B, false));
    world.run(&rules, 3);
    world.act(&rules, Action::Command(A, Command::HandOver));
    leads(&world, A, InSync::Only(A), GrantedBy::Witness);
    assert!(world.told.iter().any(|line| line.contains("not in sync, so it cannot take over")));
}

#[test]
fn a_follower_leaves_without_a_write_waiting() {
    let (mut world, rules) = paired(Authority::Operator);
    world.act(&rules, Action::Command(B, Command::Leave));
    world.settle(&rules);
    leads(&world, A, InSync::Only(A), GrantedBy::Consent);
    world.act(&rules, Action::Crash(B, false));
    writes(&mut world, &rules, A);
    world.act(&rules, Action::Restart(B));
    world.run(&rules, 4);
    leads(&world, A, InSync::Both, GrantedBy::Consent);
}

#[test]
fn a_leader_whose_disk_sticks_hands_over() {
    let (mut world, rules) = paired(Authority::Witness);
    world.step(&rules, A, Event::DiskStuck, &[]);
    world.settle(&rules);
    leads(&world, B, InSync::Only(B), GrantedBy::Witness);
}

#[test]
fn a_follower_whose_disk_sticks_is_left_out() {
    let (mut world, rules) = paired(Authority::Witness);
    world.step(&rules, B, Event::DiskStuck, &[]);
    world.run(&rules, 3);
    leads(&world, A, InSync::Only(A), GrantedBy::Witness);
    world.step(&rules, B, Event::DiskBack, &[]);
    world.run(&rules, 4);
    leads(&world, A, InSync::Both, GrantedBy::Consent);
}

#[test]
fn a_stranger_is_refused() {
    let (mut world, rules) = paired(Authority::Witness);
    world.act(&rules, Action::Tick(A));
    let mut packet = world.net[at(B)].remove(0).message;
    if let Some(register) = &mut packet.register {
        register.cluster += 1;
    }
    world.step(&rules, B, Event::Received(packet.clone()), &[]);
    packet.from = B;
    world.step(&rules, B, Event::Received(packet), &[]);
    let told = world.told.join("\n");
    assert!(told.contains("another cluster") && told.contains("it is room b too"), "{told}");
}

#[test]
fn a_timeline_reads_like_one() {
    let (mut world, rules) = paired(Authority::Witness);
    world.told.clear();
    world.act(&rules, Action::Crash(A, false));
    world.run(&rules, 5);
    world.act(&rules, Action::Restart(A));
    world.run(&rules, 4);
    expect_test::expect![[r#"
        room b, epoch 3: its peer is silent
        room b, epoch 3: asks the witness
        room b, epoch 5: leads, by the witness; in sync {b}
        room b, epoch 5: the witness knows this decision
        room a, epoch 5: took over its peer's decision; in sync {b}
        room a, epoch 5: follows
        room a, epoch 5: met its peer
        room b, epoch 5: met its peer
        room b, epoch 6: takes its peer into the set in sync
        room a, epoch 6: took over its peer's decision; in sync {a,b}"#]]
    .assert_eq(&world.told.join("\n"));
}
