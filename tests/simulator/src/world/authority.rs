//! The witness and the rooms' power switches. Start at [`World::ask`]. What an operator does is among the
//! faults.

use pair::witness::Witness;
use pair::{Answer, Ask, PowerAnswer, Register, Room};

use super::disk::End;
use super::{Happens, Life, World};
use crate::moment::Moment;
use crate::timeline::Place;

/// Who is asked, and what is wrong with them until when.
pub(crate) struct Authority {
    pub(super) witness: Witness,
    pub(super) backup: Option<Register>,
    /// By room: the witness is out of its reach.
    pub(super) away: [Moment; 2],
    /// By the room that they switch.
    pub(super) switches: [Switch; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switch {
    /// No power of its own.
    pub(super) dead_until: Moment,
    /// Does not answer, or says that it could not.
    pub(super) away: (Moment, bool),
    /// Takes so many milliseconds more.
    pub(super) slow: (Moment, u64),
}

impl Default for Authority {
    fn default() -> Authority {
        Authority {
            witness: Witness::new(1),
            backup: None,
            away: [Moment::ZERO; 2],
            switches: [Switch::default(); 2],
        }
    }
}

impl Authority {
    /// Nothing is wrong any more.
    pub(super) fn mend(&mut self) {
        self.away = [Moment::ZERO; 2];
        self.switches = [Switch::default(); 2];
    }
}

impl World {
    pub(super) fn ask(&mut self, room: Room, life: Life, number: u64, ask: Ask) {
        let at = match ask {
            Ask::Witness(_) if self.is_away(room) => return self.unreachable(room, life, number),
            Ask::Witness(_) => self.soon(1_000, 60_000),
            Ask::PowerOff(peer) => {
                let (until, late_ms) = self.authority.switches[peer as usize].slow;
                let late = if self.now < until { late_ms * 1000 } else { 0 };
                self.soon(50_000 + late, 900_000 + late)
            }
        };
        self.queue.put(at, Happens::Asked(room, life, number, ask));
    }

    fn is_away(&self, room: Room) -> bool {
        self.now < self.authority.away[room as usize]
    }

    /// The driver's own patience ends, or it has none.
    fn unreachable(&mut self, room: Room, life: Life, number: u64) {
        if self.dice.one_in(2) {
            let at = self.soon(500_000, 1_500_000);
            self.queue.put(at, Happens::Answered(room, life, number, Answer::Unreachable));
        }
    }

    pub(super) fn asked(&mut self, room: Room, life: Life, number: u64, ask: Ask) {
        let answer = match ask {
            Ask::Witness(request) => {
                let before = self.authority.witness.held;
                let reply = self.authority.witness.step(&request);
                if let Some(held) =
                    self.authority.witness.held.filter(|_| before != self.authority.witness.held)
                {
                    self.note(Place::Authority, format!("the witness holds {held}"));
                }
                // What it has decided is decided, whether the room hears of it or not.
                if self.is_away(room) {
                    return self.unreachable(room, life, number);
                }
                Answer::Witness(reply)
            }
            Ask::PowerOff(peer) => {
                let switch = self.authority.switches[peer as usize];
                if self.now < switch.dead_until {
                    return self.unreachable(room, life, number);
                }
                if self.now < switch.away.0 {
                    if !switch.away.1 {
                        return self.unreachable(room, life, number);
                    }
                    Answer::Power(PowerAnswer::StillOn)
                } else {
                    self.switch_off(peer);
                    Answer::Power(PowerAnswer::Off)
                }
            }
        };
        let at = self.soon(1_000, 60_000);
        self.queue.put(at, Happens::Answered(room, life, number, answer));
    }

    fn switch_off(&mut self, peer: Room) {
        if self.machine(peer).on {
            self.note(Place::Authority, format!("the power switch turns room {peer} off"));
        }
        // Somebody, or something, turns it on again.
        let until = self.soon(5_000_000, 30_000_000);
        self.power_off(peer, until);
    }

    /// The machine has no power before then.
    pub(super) fn power_off(&mut self, room: Room, until: Moment) {
        let machine = self.machine_mut(room);
        machine.off_until = machine.off_until.max(until);
        let boot = machine.off_until;
        if machine.on {
            machine.on = false;
            self.end(room, End::Power);
        }
        self.queue.put(boot, Happens::Boot(room));
    }
}
