//! Rules broken on purpose, around the honest state machine: what it is told, or what becomes of its
//! effects, is changed. Start at [`Flaw`]; the check has to find each of them.

use std::time::Duration;

use pair::witness::{Reply, Request};
use pair::{Answer, Ask, Body, GrantedBy, InSync, Message, PowerAnswer, Register, Room, Timing};

use crate::world::{World, at};

/// A rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The follower says that its log is synced when it is only written.
    AckBeforeThePeersSync,
    /// A silent peer is enough.
    GoOnWithoutGrant,
    /// The leader's lease counts from when the answer came.
    LeaseFromReceiveTime,
    /// The follower seeks a grant before its promise ran out.
    SeekBeforeThePromise,
    /// A process that starts forgets what the one before it promised.
    RestartForgetsThePromise,
    /// A room that is out of the set believes that it is in.
    PromoteThoughNotInSync,
    /// A restarted room may use the power switch at once.
    PowerWithoutHavingMet,
    /// The witness answers as if it had never been restored.
    WitnessForgetsItsGeneration,
    /// What the leader does not have stays in the follower's log.
    RejoinWithoutTruncation,
    /// A room that was in sync leads alone after a restart.
    ColdStartAlone,
    /// A follower counts as caught up when it is not.
    GrowBeforeCaughtUp,
    /// The register is not on the disk when its effects are.
    SpeakBeforePersisting,
    /// The witness does not say that a person decided.
    WitnessHidesThePerson,
}

impl Flaw {
    /// What a starting process reads.
    pub(crate) fn recovers(self, register: &mut Register, room: Room, boot: u128) {
        match self {
            Flaw::PowerWithoutHavingMet => register.boot_id = boot,
            Flaw::ColdStartAlone if register.in_sync == InSync::Both => {
                (register.in_sync, register.leader) = (InSync::Only(room), room);
            }
            Flaw::PromoteThoughNotInSync => register.in_sync = InSync::Both,
            _ => {}
        }
    }

    /// The times that a room goes by.
    pub(crate) fn timing(self, room: Room, starts: u64, timing: Timing) -> Timing {
        let lease = match self {
            // Less than the three seconds that the leader counts on.
            Flaw::SeekBeforeThePromise if room == Room::B => Duration::from_secs(2),
            Flaw::RestartForgetsThePromise if starts > 1 => Duration::from_secs(1),
            _ => timing.lease,
        };
        Timing { lease, ..timing }
    }

    /// What a room hears instead of what was said.
    pub(crate) fn hears(self, message: &mut Message, world: &World, room: Room) {
        let Body::Alive { answered, last, synced, .. } = &mut message.body else { return };
        match self {
            Flaw::AckBeforeThePeersSync => *synced = *last,
            Flaw::LeaseFromReceiveTime if answered.is_some() => *answered = Some(world.now(room)),
            Flaw::GrowBeforeCaughtUp => {
                let own = world.rooms[at(room)].disk.register;
                if own.is_some_and(|own| own.in_sync == InSync::Only(room)) {
                    *synced = world.rooms[at(room)].disk.log.len() as u64;
                }
            }
            _ => {}
        }
    }

    /// Whether a register reaches the disk.
    pub(crate) fn persists(self, register: &Register, room: Room) -> bool {
        let shrinks = register.in_sync == InSync::Only(room.other());
        !(self == Flaw::SpeakBeforePersisting && shrinks)
    }

    /// An answer without an authority.
    pub(crate) fn grants(self, own: &Option<Register>, room: Room, ask: &Ask) -> Option<Answer> {
        if self != Flaw::GoOnWithoutGrant {
            return None;
        }
        match ask {
            Ask::Witness(Request::Grant { .. }) => {
                let granted = own.as_ref()?.granted(room, GrantedBy::Witness);
                Some(Answer::Witness(Reply::Granted(granted)))
            }
            Ask::PowerOff(_) => Some(Answer::Power(PowerAnswer::Off)),
            Ask::Witness(_) => None,
        }
    }

    /// What the witness answers instead.
    pub(crate) fn answers(self, reply: &mut Reply) {
        if let (Flaw::WitnessHidesThePerson, Reply::Refused { held: Some(held), .. }) =
            (self, reply)
        {
            held.granted_by = GrantedBy::Witness;
        }
    }

    /// What reaches the witness instead of what was asked.
    pub(crate) fn asks_witness(self, request: &mut Request, generation: u64) {
        if self == Flaw::WitnessForgetsItsGeneration {
            let (Request::Grant { base: register, .. } | Request::Report(register)) = request;
            register.witness = generation;
        }
    }
}
