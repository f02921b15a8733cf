//! The third party of a site, as a pure function. Start at [`Witness::step`].
//!
//! It holds one register per site and grants at most one room: what it granted is what it holds. It
//! cannot tell by itself that its disk was rolled back, so whoever restores it must give it a new
//! generation; both rooms pin the generation, and another one never grants.

use serde::{Deserialize, Serialize};

use crate::register::{Epoch, GrantedBy, InSync, Register, Room};

/// What the witness keeps of a site, fsynced before it answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Witness {
    /// A number that is new whenever the witness is made or restored; never 0.
    pub generation: u64,
    /// The newest decision that it knows.
    pub held: Option<Register>,
}

/// What a room asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Request {
    /// May `room` go on alone?
    Grant {
        /// Who asks.
        room: Room,
        /// Its disk.
        incarnation: u64,
        /// What it has persisted.
        base: Register,
    },
    /// This is decided: all rooms of its set have persisted it, or the only one in sync is about to.
    Report(Register),
}

/// What the witness answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// Go on with this.
    Granted(Register),
    /// This is held now.
    Holds(Register),
    /// No.
    Refused {
        /// Why.
        why: Refusal,
        /// Which witness says so.
        generation: u64,
        /// The newest decision it knows.
        held: Option<Register>,
    },
}

/// Why the witness says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The rooms have pinned another witness, or this one before it was restored.
    #[error("it is of generation {0}, which the rooms did not register: both rooms together must")]
    OtherGeneration(u64),
    /// Nothing is held.
    #[error("it does not know this site: the leader registers it once the rooms hear each other")]
    Unknown,
    /// The register of another site.
    #[error("it holds the register of another cluster")]
    OtherCluster,
    /// The room that asks knows more.
    #[error("it knows epoch {held} only; the room has {asked}: both rooms together must register")]
    Behind {
        /// Held here.
        held: Epoch,
        /// Of the room that asks.
        asked: Epoch,
    },
    /// The room that asks knows less.
    #[error("it knows epoch {held}; the room has {asked}, and needs its peer")]
    Newer {
        /// Held here.
        held: Epoch,
        /// Of the room that asks.
        asked: Epoch,
    },
    /// The room that asks lacks writes.
    #[error("epoch {held} has {in_sync} in sync: the room that asks needs that one")]
    NotInSync {
        /// Held here.
        held: Epoch,
        /// Who is.
        in_sync: InSync,
    },
}

impl Witness {
    /// A witness that knows nothing.
    #[must_use]
    pub fn new(generation: u64) -> Witness {
        Witness { generation, held: None }
    }

    /// Decides. The caller has the new state on its disk before it sends the answer.
    pub fn step(&mut self, request: &Request) -> Reply {
        match self.decide(request) {
            Ok(reply @ (Reply::Granted(register) | Reply::Holds(register))) => {
                self.held = Some(register);
                reply
            }
            Ok(reply) => reply,
            Err(why) => Reply::Refused { why, generation: self.generation, held: self.held },
        }
    }

    fn decide(&self, request: &Request) -> Result<Reply, Refusal> {
        let (Request::Grant { base: asked, .. } | Request::Report(asked)) = request;
        if asked.witness != self.generation {
            return Err(Refusal::OtherGeneration(self.generation));
        }
        if self.held.is_some_and(|held| held.cluster != asked.cluster) {
            return Err(Refusal::OtherCluster);
        }
        match *request {
            Request::Grant { room, incarnation, base } => self.grant(room, incarnation, &base),
            Request::Report(register) => self.report(register),
        }
    }

    fn grant(&self, room: Room, incarnation: u64, base: &Register) -> Result<Reply, Refusal> {
        let held = self.held.ok_or(Refusal::Unknown)?;
        let (asked, known) = (base.epoch, held.epoch);
        if asked > known {
            return Err(Refusal::Behind { held: known, asked });
        }
        if !held.has_in_sync(room, incarnation) {
            return Err(Refusal::NotInSync { held: known, in_sync: held.in_sync });
        }
        if held.in_sync == InSync::Only(room) {
            // The answer to an earlier question was lost, or the room died before it persisted it.
            return Ok(Reply::Granted(held));
        }
        if !base.decides_as(&held) {
            return Err(Refusal::Newer { held: known, asked });
        }
        Ok(Reply::Granted(held.granted(room, GrantedBy::Witness)))
    }

    fn report(&self, register: Register) -> Result<Reply, Refusal> {
        match self.held {
            Some(held) if held.decides_as(&register) => Ok(Reply::Holds(held)),
            Some(held) if held.epoch >= register.epoch => {
                Err(Refusal::Newer { held: held.epoch, asked: register.epoch })
            }
            _ => Ok(Reply::Holds(register)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::Incarnations;

    fn both(epoch: Epoch) -> Register {
        Register {
            cluster: 7,
            epoch,
            leader: Room::A,
            in_sync: InSync::Both,
            granted_by: GrantedBy::Consent,
            witness: 1,
            boot_id: 0,
            incarnations: Incarnations { a: 1, b: 1 },
        }
    }

    fn grant(room: Room, base: Register) -> Request {
        Request::Grant { room, incarnation: 1, base }
    }

    #[track_caller]
    fn refused(witness: &mut Witness, request: Request, text: &str) {
        let before = witness.clone();
        let Reply::Refused { why, .. } = witness.step(&request) else { panic!("not refused") };
        assert!(why.to_string().contains(text), "{why}");
        assert_eq!(*witness, before, "a refusal changes nothing");
    }

    #[test]
    fn one_room_is_granted_and_again() {
        let mut witness = Witness { generation: 1, held: Some(both(4)) };
        let granted = both(4).granted(Room::B, GrantedBy::Witness);
        assert_eq!(witness.step(&grant(Room::B, both(4))), Reply::Granted(granted));
        refused(&mut witness, grant(Room::A, both(4)), "epoch 6 has {b} in sync");
        assert_eq!(witness.step(&grant(Room::B, both(4))), Reply::Granted(granted));
    }

    #[test]
    fn who_knows_more_or_less_is_refused() {
        let mut witness = Witness { generation: 1, held: Some(both(4)) };
        refused(&mut witness, grant(Room::A, both(5)), "it knows epoch 4 only; the room has 5");
        refused(&mut witness, grant(Room::A, both(3)), "it knows epoch 4; the room has 3");
        refused(&mut witness, Request::Report(both(3)), "it knows epoch 4; the room has 3");
    }

    #[test]
    fn strangers_are_refused() {
        let mut witness = Witness { generation: 2, held: Some(both(4)) };
        refused(&mut witness, grant(Room::A, both(4)), "it is of generation 2");
        let here = Register { witness: 2, ..both(4) };
        let elsewhere = Register { cluster: 8, ..here };
        refused(&mut witness, Request::Report(elsewhere), "another cluster");
        let replaced = Request::Grant { room: Room::A, incarnation: 2, base: here };
        refused(&mut witness, replaced, "the room that asks needs that one");
        refused(&mut Witness::new(2), grant(Room::A, here), "does not know this site");
    }

    #[test]
    fn a_report_is_held() {
        let mut witness = Witness::new(1);
        assert_eq!(witness.step(&Request::Report(both(4))), Reply::Holds(both(4)));
        assert_eq!(witness.step(&Request::Report(both(4))), Reply::Holds(both(4)));
        assert_eq!(witness.step(&Request::Report(both(6))), Reply::Holds(both(6)));
    }
}
