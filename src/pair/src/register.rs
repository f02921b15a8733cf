//! The record that says who may write. Start at [`Register`]: each room keeps one on its disk.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Room {
    /// The first.
    A,
    /// The second.
    B,
}

impl Room {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Room {
        match self {
            Room::A => Room::B,
            Room::B => Room::A,
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Room::A => "a",
            Room::B => "b",
        })
    }
}

/// The number of a decision. It grows with each change of the leader or of the set in sync, and with
/// each start of a leadership.
pub type Epoch = u64;

/// The number of an entry of the log; the first one is 1.
pub type Index = u64;

/// Which rooms hold every acknowledged write: an acknowledgement needs all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InSync {
    /// This room alone.
    Only(Room),
    /// Both.
    Both,
}

impl InSync {
    /// Whether `room` is in it.
    #[must_use]
    pub fn contains(self, room: Room) -> bool {
        self == InSync::Both || self == InSync::Only(room)
    }
}

impl fmt::Display for InSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InSync::Only(room) => write!(f, "{{{room}}}"),
            InSync::Both => f.write_str("{a,b}"),
        }
    }
}

/// Who decides, when rooms do not hear each other, which of them goes on. A site has exactly one: two
/// authorities could grant two rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Authority {
    /// A small third party that holds a copy of the register.
    Witness,
    /// The peer's power switch says that the peer is off.
    Power,
    /// This room may, the other one may not.
    Preferred(Room),
    /// A person.
    Operator,
}

/// What allowed an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GrantedBy {
    /// The first epoch of a site.
    Founding,
    /// The witness.
    Witness,
    /// The peer's power was confirmed off.
    Power,
    /// The room is the preferred one.
    Preferred,
    /// A person said so.
    Operator,
    /// Both rooms agree.
    Consent,
    /// The only room in sync needs nobody.
    Alone,
}

impl fmt::Display for GrantedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GrantedBy::Founding => "the founding of the site",
            GrantedBy::Witness => "the witness",
            GrantedBy::Power => "the power switch",
            GrantedBy::Preferred => "preference",
            GrantedBy::Operator => "an operator",
            GrantedBy::Consent => "consent of both rooms",
            GrantedBy::Alone => "being the only room in sync",
        })
    }
}

/// Which disk each room had. A replaced or rolled-back disk has a larger number than the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnations {
    /// Of room a; 0 when it never was in sync.
    pub a: u64,
    /// Of room b; 0 when it never was in sync.
    pub b: u64,
}

impl Incarnations {
    /// That of `room`.
    #[must_use]
    pub fn of(self, room: Room) -> u64 {
        match room {
            Room::A => self.a,
            Room::B => self.b,
        }
    }

    /// The same with another one for `room`.
    #[must_use]
    pub fn with(mut self, room: Room, incarnation: u64) -> Incarnations {
        match room {
            Room::A => self.a = incarnation,
            Room::B => self.b = incarnation,
        }
        self
    }
}

/// Who leads and who is in sync, and since which decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Register {
    /// The history that it belongs to, drawn when the site was founded.
    pub cluster: u128,
    /// The number of this decision.
    pub epoch: Epoch,
    /// The only room that may acknowledge.
    pub leader: Room,
    /// Who holds every acknowledged write.
    pub in_sync: InSync,
    /// What allowed it.
    pub granted_by: GrantedBy,
    /// The generation of the witness that knows this site; 0 when none does.
    pub witness: u64,
    /// The boot in which this room last met its peer; 0 when never. Each room has its own.
    pub boot_id: u128,
    /// The disks that `in_sync` speaks of.
    pub incarnations: Incarnations,
}

impl Register {
    /// Whether the disk `incarnation` of `room` holds every acknowledged write.
    #[must_use]
    pub fn has_in_sync(&self, room: Room, incarnation: u64) -> bool {
        self.in_sync.contains(room) && self.incarnations.of(room) == incarnation
    }

    /// Whether both say the same about who leads and who is in sync.
    #[must_use]
    pub fn decides_as(&self, other: &Register) -> bool {
        let decision = |r: &Register| (r.cluster, r.epoch, r.leader, r.in_sync, r.incarnations);
        decision(self) == decision(other)
    }

    /// The next decision that both rooms, or the only one in sync, agree on.
    #[must_use]
    pub fn agreed(&self, granted_by: GrantedBy) -> Register {
        Register { epoch: self.epoch + 1, granted_by, ..*self }
    }

    /// The decision by which `room` goes on alone. It skips an epoch: the other room may just have
    /// persisted an agreed one that this room has not heard of.
    #[must_use]
    pub fn granted(&self, room: Room, granted_by: GrantedBy) -> Register {
        let (epoch, in_sync) = (self.epoch + 2, InSync::Only(room));
        Register { epoch, leader: room, in_sync, granted_by, ..*self }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Register { epoch, leader, in_sync, granted_by, .. } = self;
        write!(f, "epoch {epoch}: {leader} leads, in sync {in_sync}, by {granted_by}")
    }
}
