//! The project's words: [`Room`], [`Role`], [`Slot`] and [`Naming`].

use std::fmt;
use std::str::FromStr;

use crate::text::text_serde;

/// One of the two rooms (buildings, halls, racks) of a site. Written `a` and `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// The first room.
    A,
    /// The second room.
    B,
}

impl Room {
    /// Both rooms, in order.
    pub const ALL: [Room; 2] = [Room::A, Room::B];

    /// The room across the campus.
    pub fn other(self) -> Room {
        match self {
            Room::A => Room::B,
            Room::B => Room::A,
        }
    }
}

/// What a machine is for. Written `control` and `worker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Carries the room's control plane; there is one such machine in each room.
    Control,
    /// Carries workloads only.
    Worker,
}

impl Role {
    /// Both roles, in order.
    pub const ALL: [Role; 2] = [Role::Control, Role::Worker];
}

/// Where a machine's name comes from. Written `seed` and `machine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// The seed says it: one seed for each machine.
    #[default]
    Seed,
    /// The seed says what it begins with, and what identifies the machine's hardware follows: one seed for
    /// all workers of a room.
    Machine,
}

impl Naming {
    /// Whether the seed says the whole name.
    pub fn is_seed(&self) -> bool {
        *self == Naming::Seed
    }
}

/// One of the two places on a disk that hold a whole system. Written `a` and `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The slot that a new disk is filled with.
    A,
    /// The slot that the first upgrade goes to.
    B,
}

impl Slot {
    /// Both slots, in the order in which they lie on the disk.
    pub const ALL: [Slot; 2] = [Slot::A, Slot::B];

    /// The slot that is not this one: where an upgrade goes.
    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

/// A text that is not one of the words it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{found}` is not a {what}")]
#[diagnostic(code(usage::word), help("write {choices}"))]
pub struct WordError {
    /// What was asked for: `room`, `role`, `slot` or `naming`.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// The possible words, ready to be shown.
    pub choices: &'static str,
}

macro_rules! word {
    ($name:ident, $what:literal, $choices:literal, $($variant:ident = $text:literal),+) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $text),+ })
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(WordError { what: $what, found: text.into(), choices: $choices }),
                }
            }
        }
    };
}

word!(Room, "room", "`a` or `b`", A = "a", B = "b");
word!(Role, "role", "`control` or `worker`", Control = "control", Worker = "worker");
word!(Slot, "slot", "`a` or `b`", A = "a", B = "b");
word!(Naming, "naming", "`seed` or `machine`", Seed = "seed", Machine = "machine");
text_serde!(Room, Role, Slot, Naming);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_word_is_read_back_as_written() {
        for room in Room::ALL {
            assert_eq!(room.to_string().parse::<Room>().unwrap(), room);
            assert_ne!(room.other(), room);
        }
        for role in Role::ALL {
            assert_eq!(role.to_string().parse::<Role>().unwrap(), role);
        }
        for slot in Slot::ALL {
            assert_eq!(slot.to_string().parse::<Slot>().unwrap(), slot);
            assert_eq!(slot.other().other(), slot);
        }
    }

    #[test]
    fn another_word_is_refused_with_the_choice() {
        let error = "A".parse::<Room>().unwrap_err();
        assert_eq!(error.to_string(), "`A` is not a room");
        assert_eq!(miette::Diagnostic::help(&error).unwrap().to_string(), "write `a` or `b`");
    }
}
