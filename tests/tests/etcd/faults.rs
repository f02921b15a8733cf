//! What happens to two rooms in the middle of a program. Start at [`with_faults`].
//!
//! A fault falls between two steps, when everything that was asked has been answered: so there is no
//! request whose outcome nobody knows, and both sides must still say the same.

use tests::chance::Chance;

use crate::program::Op;

/// Steps between two faults, about.
const EVERY: usize = 330;

/// Steps until a room that is away comes back.
const AWAY: (i64, i64) = (10, 150);

/// Which room, at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leader,
    Follower,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The leader hands over.
    HandOver,
    /// A room is killed (SIGKILL). It stays away if the other one may go on.
    Kill(Role),
    /// A room is asked to end (SIGTERM), and stays away.
    Stop(Role),
    /// The room that is away, if one is, comes back.
    Return,
}

/// One of each, but for the return.
const KINDS: [Fault; 5] = [
    Fault::HandOver,
    Fault::Kill(Role::Leader),
    Fault::Kill(Role::Follower),
    Fault::Stop(Role::Leader),
    Fault::Stop(Role::Follower),
];

impl Fault {
    /// Whether watches that a room serves end with it, or move.
    pub(crate) fn ends_streams(self) -> bool {
        self != Fault::HandOver
    }

    /// Its name, in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::HandOver => "a hand-over",
            Fault::Kill(Role::Leader) => "the leader is killed",
            Fault::Kill(Role::Follower) => "the follower is killed",
            Fault::Stop(Role::Leader) => "the leader is stopped",
            Fault::Stop(Role::Follower) => "the follower is stopped",
            Fault::Return => "a room returns",
        }
    }
}

/// The program with faults in it, of all kinds equally often; a function of the seed.
pub(crate) fn with_faults(program: Vec<Op>, seed: u64) -> Vec<Op> {
    let mut chance = Chance::new(seed);
    let mut kinds: Vec<Fault> = Vec::new();
    let mut faulty = Vec::with_capacity(program.len());
    let (mut next, mut back) = (EVERY / 2, usize::MAX);
    for (at, op) in program.into_iter().enumerate() {
        if at == next {
            if kinds.is_empty() {
                kinds = KINDS.into();
            }
            faulty.push(Op::Fault(kinds.swap_remove(chance.below(kinds.len()))));
            let after = |range: (i64, i64), chance: &mut Chance| {
                at + usize::try_from(chance.between(range.0, range.1)).unwrap()
            };
            back = after(AWAY, &mut chance);
            let every = i64::try_from(EVERY).unwrap();
            next = after((every / 2 + AWAY.1 / 2, every * 3 / 2 - AWAY.1 / 2), &mut chance);
        } else if at == back {
            faulty.push(Op::Fault(Fault::Return));
        }
        faulty.push(op);
    }
    faulty
}

#[test]
fn faults_are_of_all_kinds_and_a_function_of_the_seed() {
    use crate::program::program;

    let faulty = |seed| with_faults(program(1, 5000), seed);
    assert_eq!(faulty(7), faulty(7));
    assert_ne!(faulty(7), faulty(8));
    let happens = |fault| faulty(7).iter().filter(|op| **op == Op::Fault(fault)).count();
    assert!(KINDS.into_iter().all(|fault| happens(fault) >= 2), "{:?}", KINDS.map(happens));
    assert!(happens(Fault::Return) >= 10);
    let rest = faulty(7).into_iter().filter(|op| !matches!(op, Op::Fault(_)));
    assert!(rest.eq(program(1, 5000)), "nothing else is changed");
}
