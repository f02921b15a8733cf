//! What will go wrong in a run, as data. Start at [`Plan::draw`]: a plan follows from a seed, is run by
//! [`crate::run`], can be made smaller while it still fails, and can be kept as a file.
//!
//! A plan says what happens from outside. What it leads to, and all small chances (how late a packet is,
//! which sector survives), follow from its seed while it runs.

mod draw;

use pair::Room;
use serde::{Deserialize, Serialize};

pub use draw::Mix;

/// All that a run depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Of all chances while it runs.
    pub seed: u64,
    /// Who grants.
    pub authority: Authority,
    /// How long faults and clients go on, in virtual seconds; then all is mended, and must be well.
    pub seconds: u64,
    /// How many clients there are.
    pub clients: u32,
    /// How long a client thinks between two questions at most, in milliseconds.
    pub think_ms: u64,
    /// How far the speed of each room's clock is off, in millionths.
    pub clocks_ppm: [i64; 2],
    /// What goes wrong, by time.
    #[serde(default)]
    pub faults: Vec<Planned>,
}

/// The site's authority, as one types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// A third party.
    Witness,
    /// The rooms' power switches.
    Power,
    /// Room a is preferred.
    Preferred,
    /// A person.
    Operator,
}

impl Authority {
    /// All of them.
    pub const ALL: [Authority; 4] =
        [Authority::Witness, Authority::Power, Authority::Preferred, Authority::Operator];

    /// As the protocol has it.
    #[must_use]
    pub fn of_pair(self) -> pair::Authority {
        match self {
            Authority::Witness => pair::Authority::Witness,
            Authority::Power => pair::Authority::Power,
            Authority::Preferred => pair::Authority::Preferred(Room::A),
            Authority::Operator => pair::Authority::Operator,
        }
    }
}

/// A fault and when it begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Milliseconds after the beginning.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub fault: Fault,
}

/// What the link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ways {
    /// Only what goes to room a.
    ToA,
    /// Only what goes to room b.
    ToB,
    /// Both.
    Both,
}

impl Ways {
    /// Whether what goes to `room` is meant.
    #[must_use]
    pub fn has(self, room: Room) -> bool {
        matches!((self, room), (Ways::Both, _) | (Ways::ToA, Room::A) | (Ways::ToB, Room::B))
    }
}

/// What a disk may be writing when it is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writing {
    /// A decision.
    Register,
    /// Entries of the log.
    Entries,
    /// A whole state in the place of the log.
    State,
}

/// What can go wrong, or be wanted. Times are virtual milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the variant's sentence says what the fields are")]
pub enum Fault {
    /// The room has no power for so long; what was not synced is lost, kept or torn. Its power switch may be
    /// dead with it.
    PowerCut { room: Room, for_ms: u64, switch_too: bool },
    /// The store's process ends, and is started again; what it wrote is in the machine's cache.
    Kill { room: Room, for_ms: u64 },
    /// The machine does nothing for so long, and then everything at once.
    Pause { room: Room, for_ms: u64 },
    /// As soon as the room's disk writes such a thing, its power goes for so long, or its process only. The
    /// link may go with it.
    Struck { room: Room, writing: Writing, for_ms: u64, power: bool, link_too: bool },
    /// The room reaches neither its peer nor the witness; clients do reach it.
    Isolated { room: Room, for_ms: u64 },
    /// The link carries nothing.
    Cut { ways: Ways, for_ms: u64 },
    /// The link comes and goes.
    Flap { ways: Ways, for_ms: u64, every_ms: u64 },
    /// The link loses, repeats and delays, so that later packets overtake.
    Noise { for_ms: u64, lost_percent: u8, repeated_percent: u8, late_ms: u64 },
    /// Syncs take up to so long.
    SlowDisk { room: Room, for_ms: u64, sync_ms: u64 },
    /// No sync ends.
    StuckDisk { room: Room, for_ms: u64 },
    /// Nothing more fits.
    FullDisk { room: Room, for_ms: u64 },
    /// The next sync fails.
    FailingSync { room: Room },
    /// The machine is off for so long, and comes back with an empty disk. Not done while that disk is the
    /// only one that holds everything.
    NewDisk { room: Room, for_ms: u64 },
    /// Somebody copies the disk of the room while it runs.
    CopyDisk { room: Room },
    /// The machine is off for so long, and comes back with the copy, known as another disk. Not done while
    /// that disk is the only one that holds everything.
    OldDisk { room: Room, for_ms: u64 },
    /// Rooms do not reach the witness.
    WitnessAway { ways: Ways, for_ms: u64 },
    /// Another witness, which knows nothing.
    NewWitness,
    /// Somebody makes a backup of the witness.
    CopyWitness,
    /// The witness is restored from the backup, with a new generation.
    OldWitness,
    /// The power switch of the room does not answer, or says that it could not.
    SwitchAway { room: Room, for_ms: u64, says_on: bool },
    /// The power switch of the room takes so long.
    SwitchSlow { room: Room, for_ms: u64, late_ms: u64 },
    /// The time of day of the room jumps.
    WallClock { room: Room, by_s: i64 },
    /// Somebody wants the other room to lead.
    HandOver,
    /// The follower is asked to leave the set in sync, and to return after so long.
    Leave { for_ms: u64 },
    /// An operator lets a room go on alone, if the other one is off, and keeps that one off for so long.
    GoOnAlone { for_ms: u64 },
}

/// Why a file is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is not what [`Plan::to_text`] writes.
    #[error("it is no plan: {0}")]
    Read(#[from] toml::de::Error),
}

impl Plan {
    /// The plan as a file.
    ///
    /// # Panics
    /// Never: a plan holds nothing that TOML does not.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a plan is numbers and words")
    }

    /// Reads what [`Plan::to_text`] wrote.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn from_text(text: &str) -> Result<Plan, PlanError> {
        Ok(toml::from_str(text)?)
    }

    /// The same without one fault.
    #[must_use]
    pub fn without(&self, fault: usize) -> Plan {
        let mut plan = self.clone();
        plan.faults.remove(fault);
        plan
    }

    /// Whether a disk is replaced or a witness is lost in it: then it may take a person to go on.
    #[must_use]
    pub fn takes_things_away(&self) -> bool {
        self.faults.iter().any(|planned| {
            matches!(
                planned.fault,
                Fault::NewDisk { .. }
                    | Fault::OldDisk { .. }
                    | Fault::NewWitness
                    | Fault::OldWitness
                    | Fault::FailingSync { .. }
            )
        })
    }
}

impl Fault {
    /// How long it lasts, in milliseconds; 0 for what is over at once.
    #[must_use]
    pub fn lasts_ms(&self) -> u64 {
        match *self {
            Fault::PowerCut { for_ms, .. }
            | Fault::Kill { for_ms, .. }
            | Fault::Pause { for_ms, .. }
            | Fault::Struck { for_ms, .. }
            | Fault::Isolated { for_ms, .. }
            | Fault::Cut { for_ms, .. }
            | Fault::Flap { for_ms, .. }
            | Fault::Noise { for_ms, .. }
            | Fault::SlowDisk { for_ms, .. }
            | Fault::StuckDisk { for_ms, .. }
            | Fault::FullDisk { for_ms, .. }
            | Fault::NewDisk { for_ms, .. }
            | Fault::OldDisk { for_ms, .. }
            | Fault::WitnessAway { for_ms, .. }
            | Fault::SwitchAway { for_ms, .. }
            | Fault::SwitchSlow { for_ms, .. }
            | Fault::Leave { for_ms }
            | Fault::GoOnAlone { for_ms } => for_ms,
            Fault::FailingSync { .. }
            | Fault::CopyDisk { .. }
            | Fault::NewWitness
            | Fault::CopyWitness
            | Fault::OldWitness
            | Fault::WallClock { .. }
            | Fault::HandOver => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_kept_as_it_is() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, None, &Mix::default());
            let text = plan.to_text();
            let read = Plan::from_text(&text).expect("it was just written");
            assert_eq!(read, plan, "{text}");
            assert_eq!(plan, Plan::draw(seed, None, &Mix::default()));
        }
        assert!(Plan::from_text("seed = 1").is_err());
    }

    #[test]
    fn one_fault_less() {
        let plan = Plan::draw(7, None, &Mix::default());
        let less = plan.without(1);
        assert_eq!(less.faults.len() + 1, plan.faults.len());
        assert_eq!(less.faults[1], plan.faults[2]);
    }
}
