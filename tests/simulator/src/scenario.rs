//! Runs with a name: what each authority must survive, one thing at a time. Start at [`ALL`].

use pair::Room;

use crate::plan::{Authority, Fault, Plan, Planned, Ways, Writing};

/// A run with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// As one types it.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub what: &'static str,
    /// The authority that it is about, unless another one is asked for.
    pub authority: Authority,
    /// Writes go on after at most so many milliseconds under that authority.
    pub gap_ms: u64,
    faults: fn() -> Vec<Planned>,
}

impl Scenario {
    /// The scenario with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Scenario> {
        ALL.iter().find(|scenario| scenario.name == name)
    }

    /// Its plan.
    #[must_use]
    pub fn plan(&self, authority: Option<Authority>, seed: u64) -> Plan {
        let faults = (self.faults)();
        let last = faults.iter().map(|planned| planned.at_ms + planned.fault.lasts_ms()).max();
        Plan {
            seed,
            authority: authority.unwrap_or(self.authority),
            seconds: last.unwrap_or(0) / 1000 + 15,
            clients: 6,
            think_ms: 40,
            clocks_ppm: [20_000, -20_000],
            faults,
        }
    }
}

const A: Room = Room::A;
const B: Room = Room::B;

/// Writes within so long of a room's loss: silence, the grant, and the clients' own turn to the other room,
/// which takes them up to a second.
const LOSS: u64 = 5_000;
/// Nobody needs a grant for it, but a client may wait for an answer that never comes.
const BLINK: u64 = 2_500;

/// All of them.
pub const ALL: &[Scenario] = &[
    scenario("leader-lost", "the leader's room loses its power, switch and all", LOSS, || {
        vec![at(10, power_cut(A, 20))]
    }),
    scenario("follower-lost", "the follower's room loses its power, switch and all", LOSS, || {
        vec![at(10, power_cut(B, 20))]
    }),
    scenario("one-way-to-leader", "the leader is heard, and hears nothing", LOSS, || {
        vec![at(10, Fault::Cut { ways: Ways::ToA, for_ms: 20_000 })]
    }),
    scenario("one-way-to-follower", "the follower is heard, and hears nothing", LOSS, || {
        vec![at(10, Fault::Cut { ways: Ways::ToB, for_ms: 20_000 })]
    }),
    scenario("leader-isolated", "the leader reaches nobody but clients", LOSS, || {
        vec![at(10, Fault::Isolated { room: A, for_ms: 20_000 })]
    }),
    scenario("flapping-link", "the link is up and down every 700 ms", LOSS, || {
        vec![at(10, Fault::Flap { ways: Ways::Both, for_ms: 30_000, every_ms: 700 })]
    }),
    scenario(
        "both-off-leader-back",
        "both rooms lose power, the leader's comes back",
        25_000,
        || vec![at(10, power_cut(A, 10)), at(10, power_cut(B, 40))],
    ),
    scenario(
        "both-off-follower-back",
        "both rooms lose power, the other one comes back",
        25_000,
        || vec![at(10, power_cut(A, 40)), at(10, power_cut(B, 10))],
    ),
    scenario("stale-disk", "the follower's disk is replaced by a copy of long ago", LOSS, || {
        vec![at(10, Fault::CopyDisk { room: B }), at(20, Fault::OldDisk { room: B, for_ms: 5_000 })]
    }),
    scenario("new-disk", "the leader's disk is replaced by an empty one", LOSS, || {
        vec![at(10, Fault::NewDisk { room: A, for_ms: 5_000 })]
    }),
    scenario(
        "witness-then-room",
        "the witness is lost, then a room: nobody goes on alone",
        30_000,
        || {
            vec![
                at(10, Fault::WitnessAway { ways: Ways::Both, for_ms: 40_000 }),
                at(15, power_cut(A, 20)),
            ]
        },
    ),
    scenario(
        "witness-restored",
        "the witness is restored from a backup, then a room is lost",
        LOSS,
        || {
            vec![
                at(5, Fault::CopyWitness),
                at(10, Fault::Cut { ways: Ways::Both, for_ms: 8_000 }),
                at(25, Fault::OldWitness),
                at(40, power_cut(A, 15)),
            ]
        },
    ),
    scenario("slow-follower", "the follower's disk takes up to 900 ms for a sync", 4_000, || {
        vec![at(10, Fault::SlowDisk { room: B, for_ms: 20_000, sync_ms: 900 })]
    }),
    scenario("stuck-leader", "the leader's disk sticks", 9_000, || {
        vec![at(10, Fault::StuckDisk { room: A, for_ms: 20_000 })]
    }),
    scenario("clock-jump", "the time of day jumps in both rooms", 500, || {
        vec![
            at(10, Fault::WallClock { room: A, by_s: 3_600 }),
            at(11, Fault::WallClock { room: B, by_s: -86_400 }),
        ]
    }),
    scenario("leader-pauses", "the leader stands still for 30 s, and wakes up", LOSS, || {
        vec![at(10, Fault::Pause { room: A, for_ms: 30_000 })]
    }),
    scenario("hand-over", "the leadership goes to and fro under load", BLINK, || {
        vec![at(10, Fault::HandOver), at(15, Fault::HandOver), at(20, Fault::HandOver)]
    }),
    scenario("leave", "the follower leaves for maintenance, is off, and returns", BLINK, || {
        vec![at(10, Fault::Leave { for_ms: 20_000 }), at(12, power_cut(B, 10))]
    }),
    // The witness has granted the leader, so nobody else may go on.
    scenario("struck-at-a-decision", "the leader dies while it writes its grant", 12_000, || {
        let writing = Writing::Register;
        let struck = Fault::Struck { room: A, writing, for_ms: 5_000, power: true, link_too: true };
        vec![at(10, struck), at(11, Fault::Cut { ways: Ways::Both, for_ms: 4_000 })]
    }),
    Scenario {
        authority: Authority::Power,
        ..scenario("switched-off", "the link is cut, and a power switch decides", LOSS, || {
            vec![at(10, Fault::Cut { ways: Ways::Both, for_ms: 20_000 })]
        })
    },
    Scenario {
        authority: Authority::Preferred,
        ..scenario(
            "preferred-stays",
            "the link is cut, and the preferred room goes on",
            LOSS,
            || vec![at(10, Fault::Cut { ways: Ways::Both, for_ms: 20_000 })],
        )
    },
    Scenario {
        authority: Authority::Operator,
        ..scenario("operator-decides", "a room is lost, and a person decides", 16_000, || {
            vec![at(10, power_cut(A, 25)), at(20, Fault::GoOnAlone { for_ms: 10_000 })]
        })
    },
];

const fn scenario(
    name: &'static str,
    what: &'static str,
    gap_ms: u64,
    faults: fn() -> Vec<Planned>,
) -> Scenario {
    Scenario { name, what, authority: Authority::Witness, gap_ms, faults }
}

fn at(seconds: u64, fault: Fault) -> Planned {
    Planned { at_ms: seconds * 1000, fault }
}

fn power_cut(room: Room, seconds: u64) -> Fault {
    Fault::PowerCut { room, for_ms: seconds * 1000, switch_too: true }
}
