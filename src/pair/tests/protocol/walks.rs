//! Long walks with many faults, drawn by chance: further than the exhaustive check can go. Start at
//! [`walks`].

use pair::{Authority, Room};
use proptest::prelude::*;
use stateright::Model;

use crate::model::{Instance, deep, goes_on};
use crate::world::Budget;

const BUDGET: Budget = Budget {
    ticks: 60,
    writes: 6,
    crashes: 5,
    kills: 3,
    cuts: 6,
    repeats: 6,
    restores: 2,
    hand_overs: 2,
    leaves: 2,
    disks: 0,
    lies: 0,
    operators: 0,
    delays: 40,
};

/// Each choice takes one of what can happen next; every promise holds at every step, and at the end
/// both rooms find each other.
fn walks(authority: Authority, choices: &[u16]) -> Result<(), TestCaseError> {
    let restores = if authority == Authority::Witness { BUDGET.restores } else { 0 };
    let budget = Budget { restores, ..BUDGET };
    let instance = Instance::new("walk", authority, budget);
    let mut world = instance.init_states().remove(0);
    let mut way = Vec::new();
    for choice in choices {
        let mut actions = Vec::new();
        instance.actions(&world, &mut actions);
        if actions.is_empty() {
            break;
        }
        let action = actions[usize::from(*choice) % actions.len()];
        way.push(action);
        world.act(&instance.rules, action);
        for property in instance.properties() {
            let holds = (property.condition)(&instance, &world);
            prop_assert!(holds, "{} after {:?}", property.name, way);
        }
    }
    prop_assert!(goes_on(&instance, &world), "does not go on after {:?}", way);
    Ok(())
}

fn cases() -> u32 {
    u32::try_from(1000 + deep(49_000)).expect("small")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn with_a_witness(choices in prop::collection::vec(any::<u16>(), 0..400)) {
        walks(Authority::Witness, &choices)?;
    }

    #[test]
    fn with_power(choices in prop::collection::vec(any::<u16>(), 0..400)) {
        walks(Authority::Power, &choices)?;
    }

    #[test]
    fn with_a_preferred_room(choices in prop::collection::vec(any::<u16>(), 0..400)) {
        walks(Authority::Preferred(Room::B), &choices)?;
    }
}
