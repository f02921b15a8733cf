//! Drawing a plan from a seed. Start at [`Plan::draw`].

use pair::Room;
use store::disk::sim::Dice;

use super::{Authority, Fault, Plan, Planned, Ways, Writing};

/// What is drawn from.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Virtual seconds of a run.
    pub seconds: u64,
    /// Seconds from one fault to the next, on the average, while there are any.
    pub pause: u64,
}

impl Default for Mix {
    /// Short runs with many faults: what a fault leads to shows within a minute or never.
    fn default() -> Mix {
        Mix { seconds: 240, pause: 5 }
    }
}

/// Two clocks may differ by ten percent; these differ by less, whichever way the rooms have them.
const FASTEST_PPM: u64 = 45_000;

impl Plan {
    /// The plan of a seed. The authority is drawn too unless one is given.
    #[must_use]
    pub fn draw(seed: u64, authority: Option<Authority>, mix: &Mix) -> Plan {
        // The run has the seed too, for other things.
        let dice = &mut Dice::new(seed ^ 0x70_6c61_6e00);
        let drawn = Authority::ALL[[0, 0, 0, 1, 1, 2, 3][dice.below(7)]];
        let authority = authority.unwrap_or(drawn);
        let ppm = |dice: &mut Dice| dice.below(2 * FASTEST_PPM as usize) as i64 - 45_000;
        let clocks_ppm = [ppm(dice), ppm(dice)];
        let mut faults = Vec::new();
        // Some runs have faults upon faults, some have them one after the other.
        let pause = mix.pause * [1, 2, 4][dice.below(3)] * 1000;
        let longest = [1_000, 8_000, 30_000][dice.below(3)];
        let mut at_ms = 4_000;
        loop {
            at_ms += dice.below(2 * pause as usize) as u64;
            if at_ms >= mix.seconds * 1000 {
                break;
            }
            let fault = fault(dice, authority, longest);
            faults.push(Planned { at_ms, fault });
        }
        Plan {
            seed,
            authority,
            seconds: mix.seconds,
            clients: 3 + dice.below(3) as u32,
            think_ms: [100, 500, 1_000, 3_000][dice.below(4)],
            clocks_ppm,
            faults,
        }
    }
}

fn room(dice: &mut Dice) -> Room {
    if dice.one_in(2) { Room::A } else { Room::B }
}

fn ways(dice: &mut Dice) -> Ways {
    [Ways::ToA, Ways::ToB, Ways::Both][dice.below(3)]
}

fn fault(dice: &mut Dice, authority: Authority, longest: u64) -> Fault {
    // Short ones are as likely as long ones.
    let scale = [50, 500, longest][dice.below(3)].min(longest);
    let for_ms = 1 + dice.below(scale as usize) as u64;
    let room = room(dice);
    let ways = ways(dice);
    let late = [20, 300, 3000][dice.below(3)];
    match dice.below(45) {
        35..41 => Fault::Struck {
            room,
            writing: [Writing::Register, Writing::Entries, Writing::State][dice.below(3)],
            for_ms,
            power: dice.one_in(2),
            link_too: dice.one_in(2),
        },
        41.. => Fault::Isolated { room, for_ms: for_ms.max(dice.below(6_000) as u64) },
        0..4 => Fault::PowerCut { room, for_ms, switch_too: dice.one_in(2) },
        4..7 => Fault::Kill { room, for_ms },
        7..9 => Fault::Pause { room, for_ms },
        9..13 => Fault::Cut { ways, for_ms },
        13 => Fault::Flap { ways, for_ms, every_ms: 20 + dice.below(2000) as u64 },
        14..16 => Fault::Noise {
            for_ms,
            lost_percent: dice.below(40) as u8,
            repeated_percent: dice.below(30) as u8,
            late_ms: 1 + dice.below(late) as u64,
        },
        16 => Fault::SlowDisk { room, for_ms, sync_ms: 5 + dice.below(1000) as u64 },
        17 => Fault::StuckDisk { room, for_ms },
        18 => Fault::FullDisk { room, for_ms },
        19 => Fault::FailingSync { room },
        20 => Fault::NewDisk { room, for_ms },
        21 => Fault::CopyDisk { room },
        22 => Fault::OldDisk { room, for_ms },
        23 => Fault::WallClock { room, by_s: dice.below(1 << 20) as i64 - (1 << 19) },
        24..26 => Fault::HandOver,
        26 => Fault::Leave { for_ms },
        _ => of_authority(dice, authority, (room, ways, for_ms)),
    }
}

/// What can befall the authority; or the rooms, where nothing can.
fn of_authority(
    dice: &mut Dice,
    authority: Authority,
    (room, ways, for_ms): (Room, Ways, u64),
) -> Fault {
    match (authority, dice.below(6)) {
        (Authority::Witness, 0..3) => Fault::WitnessAway { ways, for_ms },
        (Authority::Witness, 3) => Fault::NewWitness,
        (Authority::Witness, 4) => Fault::CopyWitness,
        (Authority::Witness, _) => Fault::OldWitness,
        (Authority::Power, 0..2) => Fault::SwitchAway { room, for_ms, says_on: dice.one_in(3) },
        (Authority::Power, 2..=3) => {
            Fault::SwitchSlow { room, for_ms, late_ms: dice.below(8_000) as u64 }
        }
        (Authority::Operator, 0..3) => Fault::GoOnAlone { for_ms: 2_000 + for_ms },
        (_, 5) => Fault::Cut { ways, for_ms },
        _ => Fault::PowerCut { room, for_ms: for_ms.max(5_000), switch_too: dice.one_in(2) },
    }
}
