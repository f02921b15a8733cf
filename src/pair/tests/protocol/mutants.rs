//! Each rule broken on purpose: the check finds what it was for. A mutant that survives means that the
//! check is blind there. Start at [`finds`].

use pair::{Authority, Command, Room};

use crate::flaw::Flaw;
use crate::model::{Instance, NOTHING_LOST, ONE_WRITER, alone, back, walk};
use crate::stories::overruled;
use crate::world::{Action, Budget, Rules, World};

const NONE: Budget = Budget {
    ticks: 0,
    writes: 0,
    crashes: 0,
    kills: 0,
    cuts: 0,
    repeats: 0,
    restores: 0,
    hand_overs: 0,
    leaves: 0,
    disks: 0,
    lies: 0,
    operators: 0,
    delays: 4,
};

/// The flaw breaks one of these promises. That the honest rules do not is what the model's own
/// instances show.
#[track_caller]
fn finds(instance: Instance, flaw: Flaw, promises: &[&str]) {
    let found = walk(instance.with(flaw));
    assert!(found.iter().any(|promise| promises.contains(promise)), "{flaw:?}: {found:?}");
}

#[test]
fn an_acknowledgement_before_the_peers_sync() {
    let budget = Budget { ticks: 1, writes: 1, crashes: 2, operators: 1, ..NONE };
    let instance = Instance::new("ack early", Authority::Operator, budget);
    finds(instance, Flaw::AckBeforeThePeersSync, &[NOTHING_LOST]);
}

#[test]
fn going_on_without_a_grant() {
    let budget = Budget { ticks: 5, cuts: 1, ..NONE };
    let instance = Instance::new("no grant", Authority::Witness, budget);
    finds(instance, Flaw::GoOnWithoutGrant, &[ONE_WRITER]);
}

#[test]
fn a_lease_from_the_receive_time() {
    let budget = Budget { ticks: 5, cuts: 1, repeats: 1, ..NONE };
    let instance = Instance::new("lease by receipt", Authority::Witness, budget);
    finds(instance, Flaw::LeaseFromReceiveTime, &[ONE_WRITER]);
}

#[test]
fn a_grant_sought_before_the_promise_ran_out() {
    let budget = Budget { ticks: 3, cuts: 1, ..NONE };
    let instance = Instance::new("promise broken", Authority::Witness, budget);
    finds(instance, Flaw::SeekBeforeThePromise, &[ONE_WRITER]);
}

#[test]
fn a_restart_that_forgets_the_promise() {
    let budget = Budget { ticks: 2, crashes: 1, cuts: 1, ..NONE };
    let instance = Instance::new("promise forgotten", Authority::Witness, budget);
    finds(instance, Flaw::RestartForgetsThePromise, &[ONE_WRITER]);
}

#[test]
fn promotion_without_being_in_sync() {
    let budget = Budget { ticks: 1, writes: 1, crashes: 2, leaves: 1, operators: 1, ..NONE };
    let instance = Instance::new("not in sync", Authority::Operator, budget);
    finds(instance, Flaw::PromoteThoughNotInSync, &[NOTHING_LOST]);
}

#[test]
fn speaking_before_persisting() {
    let budget = Budget { ticks: 1, writes: 1, crashes: 2, leaves: 1, operators: 1, ..NONE };
    let instance = Instance::new("not persisted", Authority::Operator, budget);
    finds(instance, Flaw::SpeakBeforePersisting, &[ONE_WRITER, NOTHING_LOST]);
}

#[test]
fn power_without_having_met() {
    let budget = Budget { ticks: 7, ..NONE };
    let instance = Instance::new("not met", Authority::Power, budget).after(alone);
    finds(instance, Flaw::PowerWithoutHavingMet, &[NOTHING_LOST]);
}

#[test]
fn a_witness_that_was_rolled_back() {
    let budget = Budget { ticks: 4, restores: 1, ..NONE };
    let instance = Instance::new("rolled back", Authority::Witness, budget).after(alone);
    finds(instance, Flaw::WitnessForgetsItsGeneration, &[ONE_WRITER, NOTHING_LOST]);
}

#[test]
fn a_return_without_truncation() {
    let budget = Budget { ticks: 1, hand_overs: 1, ..NONE };
    let instance = Instance::new("no cut", Authority::Operator, budget).after(divergent);
    finds(instance, Flaw::RejoinWithoutTruncation, &[NOTHING_LOST]);
}

#[test]
fn a_cold_start_alone() {
    let budget = Budget { ticks: 1, crashes: 2, ..NONE };
    let instance = Instance::new("cold start", Authority::Operator, budget);
    finds(instance, Flaw::ColdStartAlone, &[ONE_WRITER]);
}

#[test]
fn growing_before_it_is_caught_up() {
    let budget = Budget { ticks: 2, crashes: 2, operators: 1, ..NONE };
    let instance = Instance::new("grow early", Authority::Operator, budget).after(back);
    finds(instance, Flaw::GrowBeforeCaughtUp, &[NOTHING_LOST]);
}

#[test]
fn a_witness_that_hides_that_a_person_decided() {
    let budget = Budget { ticks: 2, ..NONE };
    let instance = Instance::new("overruled", Authority::Witness, budget).after(overruled);
    finds(instance, Flaw::WitnessHidesThePerson, &[NOTHING_LOST]);
}

/// Not a flaw of the rules but what `power` is trusted with: a switch that says off is off.
#[test]
fn a_power_switch_that_lies() {
    let budget = Budget { ticks: 6, writes: 1, lies: 1, ..NONE };
    let cut = |world: &mut World, rules: &Rules| {
        world.act(rules, Action::Cut(Room::A));
        world.act(rules, Action::Cut(Room::B));
    };
    let found = walk(Instance::new("lying switch", Authority::Power, budget).after(cut));
    assert!(!found.is_empty(), "a lie is not seen");
}

/// Room a has an entry that was never acknowledged; b went on without it; both are in sync again.
fn divergent(world: &mut World, rules: &Rules) {
    world.act(rules, Action::Cut(Room::B));
    world.write(rules, Room::A);
    world.act(rules, Action::Crash(Room::A, true));
    world.act(rules, Action::Crash(Room::B, true));
    world.act(rules, Action::Restart(Room::B));
    let alone = Command::GoOnAlone { accept_loss: false };
    world.act(rules, Action::Command(Room::B, alone));
    world.write(rules, Room::B);
    world.settle(rules);
    world.act(rules, Action::Mend(Room::B));
    world.act(rules, Action::Restart(Room::A));
    world.run(rules, 4);
    assert_eq!(world.acknowledged.len(), 2, "{:#?}", world.rooms);
}
