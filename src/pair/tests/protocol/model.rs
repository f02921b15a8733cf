//! The exhaustive check: every order of events that an instance's budget allows, and each promise at
//! every state. Start at [`Instance`]. `DUET_MODEL=deep` gives larger budgets.

use std::hash::{DefaultHasher, Hash, Hasher};

use pair::{Authority, Command, InSync, RoleView, Room};
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::flaw::Flaw;
use crate::world::{Action, Budget, ROOMS, Rules, World, at};

/// One in so many states is followed until the rooms go on again.
const SAMPLE: u64 = 64;

/// The largest instance has fewer states; one that grows beyond is a mistake, not a proof.
const MOST_STATES: usize = 40_000_000;

pub(crate) const ONE_WRITER: &str = "at most one room may acknowledge";
pub(crate) const NOTHING_LOST: &str = "every leader has every acknowledged write";
const NO_STALE_READ: &str = "no linearizable read misses an acknowledged write";
const ONE_CONTENT: &str = "no index is acknowledged with two contents";
const ONE_WRITE: &str = "an entry of one leadership is the same in both logs";
const GOES_ON: &str = "when faults stop, both rooms are in sync again and writes go on";

/// One authority with one budget of what goes wrong.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) name: &'static str,
    pub(crate) rules: Rules,
    pub(crate) budget: Budget,
    /// What happened before the walk begins.
    pub(crate) opening: fn(&mut World, &Rules),
}

impl Instance {
    pub(crate) fn new(name: &'static str, authority: Authority, budget: Budget) -> Instance {
        let rules = Rules { authority, flaw: None, fast: Room::B };
        Instance { name, rules, budget, opening: |_, _| {} }
    }

    pub(crate) fn after(mut self, opening: fn(&mut World, &Rules)) -> Instance {
        self.opening = opening;
        self
    }

    pub(crate) fn fast(mut self, fast: Room) -> Instance {
        self.rules.fast = fast;
        self
    }

    pub(crate) fn with(mut self, flaw: Flaw) -> Instance {
        self.rules.flaw = Some(flaw);
        self
    }
}

impl Model for Instance {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::paired(&self.rules);
        (self.opening)(&mut world, &self.rules);
        world.told.clear();
        world.silent = true;
        let start = world.rooms[0].clock;
        world.budget = Budget { ticks: start + self.budget.ticks, ..self.budget };
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let budget = &world.budget;
        let (fast, slow) = (self.rules.fast, self.rules.fast.other());
        let ahead = world.rooms[at(fast)].clock > world.rooms[at(slow)].clock;
        let next = if ahead { slow } else { fast };
        if world.rooms[at(next)].clock < budget.ticks && (budget.delays > 0 || !world.waits()) {
            actions.push(Action::Tick(next));
        }
        for room in ROOMS {
            let busy = [
                Action::Deliver(room),
                Action::Sync(room),
                Action::Decide(room),
                Action::Answer(room),
            ];
            actions.extend(busy.into_iter().filter(|action| world.is_due(*action)));
            if budget.lies > 0 && world.asks[at(room)].is_some() {
                actions.push(Action::Lie(room));
            }
            if budget.cuts > 0 && world.up[at(room)] {
                actions.push(Action::Cut(room));
            }
            if !world.up[at(room)] {
                actions.push(Action::Mend(room));
            }
            if budget.repeats > 0 && !world.net[at(room)].is_empty() && world.late.is_none() {
                actions.push(Action::Repeat(room));
            }
            match world.rooms[at(room)].process {
                Some(_) => running(world, room, actions),
                None => {
                    actions.push(Action::Restart(room));
                    let lost = world.rooms[at(room)].disk.register.is_some();
                    if budget.disks > 0 && lost {
                        actions.push(Action::ReplaceDisk(room));
                    }
                }
            }
        }
        if world.late.is_some() {
            actions.push(Action::DeliverLate);
        }
        if budget.restores > 0 {
            actions.push(Action::RestoreWitness);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(&self.rules, action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Instance>> {
        vec![
            Property::always(ONE_WRITER, |_, world: &World| {
                !ROOMS.iter().all(|room| may(world, *room, false))
            }),
            Property::always(NOTHING_LOST, |_, world: &World| {
                ROOMS.iter().all(|room| !may(world, *room, false) || has_everything(world, *room))
            }),
            Property::always(NO_STALE_READ, |_, world: &World| {
                let misses = |room: Room| {
                    let seen = world.pair(room).map_or(0, pair::Pair::acknowledged);
                    may(world, room, true) && seen < world.acknowledged.len() as u64
                };
                !ROOMS.into_iter().any(misses)
            }),
            Property::always(ONE_CONTENT, |_, world: &World| world.broken.is_none()),
            Property::always(ONE_WRITE, |_, world: &World| same_where_both(world)),
            Property::always(GOES_ON, |instance: &Instance, world: &World| {
                let broken = instance.rules.flaw.is_some() || instance.budget.lies > 0;
                broken || !sampled(world) || goes_on(instance, world)
            }),
        ]
    }
}

/// What can happen to a room whose process runs.
fn running(world: &World, room: Room, actions: &mut Vec<Action>) {
    let (budget, leads) = (&world.budget, world.leads(room));
    if budget.writes > 0 && leads {
        actions.push(Action::Write(room));
    }
    if budget.crashes > 0 {
        actions.push(Action::Crash(room, false));
        if world.is_due(Action::Sync(room)) {
            actions.push(Action::Crash(room, true));
        }
    }
    if budget.kills > 0 {
        actions.push(Action::Kill(room));
    }
    if budget.hand_overs > 0 && leads {
        actions.push(Action::Command(room, Command::HandOver));
    }
    let follows = matches!(world.pair(room).map(|p| p.role()), Some(RoleView::Following { .. }));
    if budget.leaves > 0 && follows {
        actions.push(Action::Command(room, Command::Leave));
    }
    // What the operator is trusted with: the other room is off, and this one is in sync.
    let off = world.rooms[at(room.other())].process.is_none();
    let register = world.pair(room).and_then(pair::Pair::register);
    let in_sync = register.is_some_and(|r| r.in_sync == InSync::Both);
    if budget.operators > 0 && off && in_sync {
        let accept_loss = false;
        actions.push(Action::Command(room, Command::GoOnAlone { accept_loss }));
    }
}

fn may(world: &World, room: Room, read: bool) -> bool {
    let now = world.now(room);
    world.pair(room).is_some_and(|p| if read { p.may_read(now) } else { p.may_acknowledge(now) })
}

fn has_everything(world: &World, room: Room) -> bool {
    let process = world.rooms[at(room)].process.as_ref();
    process.is_some_and(|process| process.log.starts_with(&world.acknowledged))
}

/// What comparing logs by epochs alone relies on.
fn same_where_both(world: &World) -> bool {
    let [one, other] = [0, 1].map(|room| {
        let machine = &world.rooms[room];
        machine.process.as_ref().map_or(&machine.disk.log, |process| &process.log)
    });
    one.iter().zip(other).all(|(one, other)| one.epoch != other.epoch || one == other)
}

fn sampled(world: &World) -> bool {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish() % SAMPLE == 0
}

/// From here on nothing goes wrong: the rooms find each other and take a write.
pub(crate) fn goes_on(instance: &Instance, world: &World) -> bool {
    if world.budget.disks < instance.budget.disks {
        // The disk that went may have been the only one in sync, or the one that the witness just
        // granted: that takes a person.
        return true;
    }
    let mut world = world.clone();
    for room in ROOMS {
        world.up[at(room)] = true;
        if world.rooms[at(room)].process.is_none() {
            world.act(&instance.rules, Action::Restart(room));
        }
        world.act(&instance.rules, Action::Command(room, Command::Return));
    }
    // Whoever leads takes a write in the end, also when it changes meanwhile.
    for _ in 0..20 {
        world.run(&instance.rules, 1);
        for room in ROOMS {
            // A switch that was asked before may still act.
            if world.rooms[at(room)].process.is_none() {
                world.act(&instance.rules, Action::Restart(room));
            }
        }
    }
    let before = world.acknowledged.len();
    if let Some(leader) = ROOMS.into_iter().find(|room| world.leads(*room)) {
        world.write(&instance.rules, leader);
        world.run(&instance.rules, 1);
    }
    let registers = ROOMS.map(|room| world.rooms[at(room)].disk.register);
    let together = |r: &Option<pair::Register>| r.is_some_and(|r| r.in_sync == InSync::Both);
    world.acknowledged.len() > before && registers.iter().all(together)
}

/// Walks through all of `instance`; gives the names of the promises that broke.
pub(crate) fn walk(instance: Instance) -> Vec<&'static str> {
    let name = instance.name;
    let begun = std::time::Instant::now();
    let checker = instance
        .checker()
        .threads(2)
        .target_state_count(MOST_STATES)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    assert!(states < MOST_STATES, "{name} is too large");
    let found = checker.discoveries();
    let seconds = begun.elapsed().as_secs_f32();
    println!("{name}: {states} states, depth {}, {seconds:.1} s", checker.max_depth());
    let mut broken: Vec<&'static str> = found.keys().copied().collect();
    broken.sort_unstable();
    for (promise, path) in found {
        println!("{name} breaks \"{promise}\":");
        for action in path.into_actions() {
            println!("  {action:?}");
        }
    }
    broken
}

/// `more` where time does not matter.
pub(crate) fn deep(more: u64) -> u64 {
    if std::env::var_os("DUET_MODEL").is_some_and(|value| value == "deep") { more } else { 0 }
}

#[track_caller]
fn holds(instance: Instance) {
    assert_eq!(walk(instance), [""; 0]);
}

#[test]
fn witness_with_a_crash_and_a_cut() {
    let ticks = 3 + deep(3);
    let budget = Budget { ticks, writes: 1, crashes: 1, cuts: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("witness: a crash and a cut", Authority::Witness, budget));
}

#[test]
fn witness_restored_from_a_backup() {
    let ticks = 2 + deep(2);
    let budget = Budget { ticks, cuts: 2, restores: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("witness: restored", Authority::Witness, budget).after(alone));
}

#[test]
fn witness_with_late_and_repeated_messages() {
    let ticks = 5 + deep(2);
    let budget = Budget { ticks, cuts: 1, repeats: 1, delays: 1, ..Budget::default() };
    let instance = Instance::new("witness: late messages", Authority::Witness, budget);
    holds(instance.clone());
    holds(instance.fast(Room::A));
}

#[test]
fn witness_with_a_hand_over() {
    let ticks = 4 + deep(2);
    let budget =
        Budget { ticks, writes: 1, crashes: 1, hand_overs: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("witness: hand-over", Authority::Witness, budget));
}

#[test]
fn witness_with_a_leave() {
    let ticks = 3 + deep(3);
    let budget = Budget { ticks, writes: 1, crashes: 1, leaves: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("witness: leave", Authority::Witness, budget));
}

#[test]
fn a_follower_that_comes_back() {
    let ticks = 4 + deep(3);
    let budget = Budget { ticks, writes: 1, crashes: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("witness: come back", Authority::Witness, budget).after(back));
    let budget = Budget { operators: 1, crashes: 2, ..budget };
    holds(Instance::new("operator: come back", Authority::Operator, budget).after(back));
}

#[test]
fn a_room_that_takes_over() {
    let ticks = 2 + deep(3);
    let budget = Budget { ticks, writes: 1, crashes: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("witness: take over", Authority::Witness, budget).after(lost));
    holds(Instance::new("power: take over", Authority::Power, budget).after(lost));
}

#[test]
fn a_leader_that_lost_what_its_follower_kept() {
    let ticks = 2 + deep(2);
    let budget = Budget { ticks, writes: 2, crashes: 1, delays: 2, ..Budget::default() };
    let again = |world: &mut World, rules: &Rules| {
        // The follower stays out of the set, and takes entries all the same.
        world.act(rules, Action::Command(Room::B, Command::Leave));
        world.settle(rules);
        world.act(rules, Action::Crash(Room::A, true));
        world.act(rules, Action::Restart(Room::A));
        world.run(rules, 1);
    };
    holds(Instance::new("lost entries: alone", Authority::Operator, budget).after(again));
    holds(Instance::new("lost entries: both", Authority::Operator, budget));
}

#[test]
fn power_with_a_crash_and_a_cut() {
    let ticks = 3 + deep(3);
    let budget = Budget { ticks, writes: 1, crashes: 1, cuts: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("power: a crash and a cut", Authority::Power, budget));
}

#[test]
fn power_after_a_first_shot() {
    let ticks = 7 + deep(3);
    let budget = Budget { ticks, kills: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("power: after a shot", Authority::Power, budget).after(alone));
}

#[test]
fn preferred_with_a_crash_and_a_cut() {
    let ticks = 5 + deep(2);
    let budget = Budget { ticks, writes: 1, crashes: 1, cuts: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("preferred a", Authority::Preferred(Room::A), budget));
    holds(Instance::new("preferred b", Authority::Preferred(Room::B), budget));
}

#[test]
fn operator_with_crashes() {
    let ticks = 4 + deep(2);
    let budget =
        Budget { ticks, writes: 1, crashes: 2, operators: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("operator", Authority::Operator, budget));
}

#[test]
fn a_replaced_disk() {
    let ticks = 4 + deep(2);
    let budget = Budget { ticks, writes: 1, crashes: 1, disks: 1, delays: 1, ..Budget::default() };
    holds(Instance::new("witness: replaced disk", Authority::Witness, budget));
    holds(Instance::new("power: replaced disk", Authority::Power, budget));
}

/// The link was cut, and room a went on alone and took a write.
pub(crate) fn alone(world: &mut World, rules: &Rules) {
    world.act(rules, Action::Cut(Room::A));
    world.act(rules, Action::Cut(Room::B));
    world.run(rules, 3);
    world.write(rules, Room::A);
    world.settle(rules);
    assert_eq!(world.acknowledged.len(), 2, "{:#?}", world.rooms);
}

/// The leader's power went some time ago.
fn lost(world: &mut World, rules: &Rules) {
    world.act(rules, Action::Crash(Room::A, false));
    world.run(rules, 3);
}

/// Room b left, room a took a write alone; b may come back, and hears a again.
pub(crate) fn back(world: &mut World, rules: &Rules) {
    world.act(rules, Action::Command(Room::B, Command::Leave));
    world.settle(rules);
    world.act(rules, Action::Cut(Room::B));
    world.write(rules, Room::A);
    world.settle(rules);
    assert_eq!(world.acknowledged.len(), 2, "{:#?}", world.rooms);
    world.act(rules, Action::Mend(Room::B));
    world.act(rules, Action::Command(Room::B, Command::Return));
}
