//! What happened in a run, line by line, for a person. Start at [`Timeline`]. Nothing here prints: the
//! program's console does.

use std::fmt;
use std::time::Duration;

use pair::{Happening, Room};
use serde_json::{Value, json};

use crate::moment::Moment;
use crate::plan::{Fault, Ways, Writing};

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Moment,
    /// Where.
    pub place: Place,
    /// What.
    pub what: What,
}

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a room.
    Room(Room),
    /// Between the rooms.
    Link,
    /// At the authority.
    Authority,
    /// A person.
    Operator,
    /// All of it, as the one who watches the run sees it.
    Run,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// Something goes wrong, as planned.
    Fault(Fault),
    /// A planned fault is not done, since it would break what is assumed.
    Spared(Fault),
    /// What a room tells people.
    Told(Happening),
    /// A machine or a process begins or ends; the authority answers.
    Note(String),
    /// Writes were not possible for so long, and are again.
    Gap(Duration),
    /// A promise is broken.
    Broken(String),
}

impl What {
    /// One word for programs, and for the colour.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            What::Fault(_) => "fault",
            What::Spared(_) => "spared",
            What::Told(_) => "told",
            What::Note(_) => "note",
            What::Gap(_) => "gap",
            What::Broken(_) => "broken",
        }
    }
}

/// All lines of a run, by time.
#[derive(Clone, Debug, Default)]
pub struct Timeline(pub Vec<Line>);

impl Timeline {
    /// One more line.
    pub fn add(&mut self, at: Moment, place: Place, what: What) {
        self.0.push(Line { at, place, what });
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Room(room) => write!(f, "room {room}"),
            Place::Link => f.write_str("link"),
            Place::Authority => f.write_str("authority"),
            Place::Operator => f.write_str("operator"),
            Place::Run => f.write_str("run"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Fault(fault) => write!(f, "{fault}"),
            What::Spared(fault) => {
                write!(f, "not done, since it would take the only copy: {fault}")
            }
            What::Told(happening) => write!(f, "{} (epoch {})", happening.what, happening.epoch),
            What::Note(text) | What::Broken(text) => f.write_str(text),
            What::Gap(gap) => write!(f, "writes go on, after {} without", seconds(*gap)),
        }
    }
}

/// `t+12.345s  room a     leads …`.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12}  {:<9}  {}", self.at.to_string(), self.place.to_string(), self.what)
    }
}

impl Line {
    /// The line for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "at_us": self.at.0,
            "place": self.place.to_string(),
            "kind": self.what.kind(),
            "text": self.what.to_string(),
        })
    }
}

/// A duration for people: `1.234 s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasts = seconds(Duration::from_millis(self.lasts_ms()));
        match self {
            Fault::PowerCut { switch_too: true, .. } => {
                write!(f, "the power and the power switch are gone for {lasts}")
            }
            Fault::PowerCut { .. } => write!(f, "the power is gone for {lasts}"),
            Fault::Kill { .. } => write!(f, "the store is killed, and started again after {lasts}"),
            Fault::Pause { .. } => write!(f, "the machine stands still for {lasts}"),
            Fault::Struck { writing, power, link_too, .. } => {
                let what = match writing {
                    Writing::Register => "a decision",
                    Writing::Entries => "entries",
                    Writing::State => "a whole state",
                };
                let goes = if *power { "its power goes" } else { "it is killed" };
                let link = if *link_too { ", and the link" } else { "" };
                write!(f, "when it next writes {what}, {goes} for {lasts}{link}")
            }
            Fault::Isolated { .. } => {
                write!(f, "neither the peer nor the witness is reached for {lasts}")
            }
            Fault::Cut { ways, .. } => write!(f, "nothing passes {ways} for {lasts}"),
            Fault::Flap { ways, every_ms, .. } => {
                write!(f, "{ways} is up and down every {every_ms} ms for {lasts}")
            }
            Fault::Noise { lost_percent, repeated_percent, late_ms, .. } => write!(
                f,
                "{lost_percent} % are lost, {repeated_percent} % come twice, up to {late_ms} ms late, \
                 for {lasts}"
            ),
            Fault::SlowDisk { sync_ms, .. } => {
                write!(f, "syncs take up to {sync_ms} ms for {lasts}")
            }
            Fault::StuckDisk { .. } => write!(f, "the disk sticks for {lasts}"),
            Fault::FullDisk { .. } => write!(f, "the disk is full for {lasts}"),
            Fault::FailingSync { .. } => f.write_str("the next sync fails"),
            Fault::NewDisk { .. } => write!(f, "the disk is replaced by an empty one in {lasts}"),
            Fault::CopyDisk { .. } => f.write_str("somebody copies the disk"),
            Fault::OldDisk { .. } => {
                write!(f, "the disk is replaced by the copy made before in {lasts}")
            }
            Fault::WitnessAway { ways, .. } => {
                let whom = match ways {
                    Ways::ToA => "room a does not reach the witness",
                    Ways::ToB => "room b does not reach the witness",
                    Ways::Both => "nobody reaches the witness",
                };
                write!(f, "{whom} for {lasts}")
            }
            Fault::NewWitness => f.write_str("another witness, which knows nothing"),
            Fault::CopyWitness => f.write_str("somebody makes a backup of the witness"),
            Fault::OldWitness => f.write_str("the witness is restored, as a new generation"),
            Fault::SwitchAway { says_on: true, .. } => {
                write!(f, "the power switch cannot switch for {lasts}")
            }
            Fault::SwitchAway { .. } => write!(f, "the power switch does not answer for {lasts}"),
            Fault::SwitchSlow { late_ms, .. } => {
                write!(f, "the power switch takes {late_ms} ms for {lasts}")
            }
            Fault::WallClock { by_s, .. } => write!(f, "the time of day jumps by {by_s} s"),
            Fault::HandOver => f.write_str("wants the other room to lead"),
            Fault::Leave { .. } => write!(f, "wants the follower out of the set for {lasts}"),
            Fault::GoOnAlone { .. } => {
                write!(f, "lets the living room go on alone, and keeps the other off for {lasts}")
            }
        }
    }
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ways::ToA => "from room b to room a",
            Ways::ToB => "from room a to room b",
            Ways::Both => "between the rooms",
        })
    }
}

impl Fault {
    /// Where it takes place.
    #[must_use]
    pub fn place(&self) -> Place {
        match *self {
            Fault::PowerCut { room, .. }
            | Fault::Kill { room, .. }
            | Fault::Pause { room, .. }
            | Fault::Struck { room, .. }
            | Fault::Isolated { room, .. }
            | Fault::SlowDisk { room, .. }
            | Fault::StuckDisk { room, .. }
            | Fault::FullDisk { room, .. }
            | Fault::FailingSync { room }
            | Fault::NewDisk { room, .. }
            | Fault::CopyDisk { room }
            | Fault::OldDisk { room, .. }
            | Fault::SwitchAway { room, .. }
            | Fault::SwitchSlow { room, .. }
            | Fault::WallClock { room, .. } => Place::Room(room),
            Fault::Cut { .. } | Fault::Flap { .. } | Fault::Noise { .. } => Place::Link,
            Fault::WitnessAway { .. }
            | Fault::NewWitness
            | Fault::CopyWitness
            | Fault::OldWitness => Place::Authority,
            Fault::HandOver | Fault::Leave { .. } | Fault::GoOnAlone { .. } => Place::Operator,
        }
    }
}
