//! What goes wrong, and what people do. Start at [`World::fault`].

use pair::{Command, InSync, Register, RoleView, Room};
use store::disk::sim::{Operation, SimDisk};
use store::recover;

use super::disk::End;
use super::machine::Strike;
use super::{CALM, Ending, HELP, Happens, Life, ROOMS, World};
use crate::moment::Moment;
use crate::plan::{Fault, Ways};
use crate::timeline::{Place, What};

impl World {
    pub(super) fn fault(&mut self, number: usize) {
        let fault = self.plan.faults[number].fault.clone();
        if self.ending != Ending::Not {
            return;
        }
        if !self.is_possible(&fault) {
            let place = fault.place();
            return self.timeline.add(self.now, place, What::Spared(fault));
        }
        self.timeline.add(self.now, fault.place(), What::Fault(fault.clone()));
        let until = self.now.after_millis(fault.lasts_ms());
        match fault {
            Fault::PowerCut { room, switch_too, .. } => {
                if switch_too {
                    let switch = &mut self.authority.switches[room as usize];
                    switch.dead_until = switch.dead_until.max(until);
                }
                self.power_off(room, until);
            }
            Fault::Kill { room, .. } => {
                self.end(room, End::Process);
                let boot = self.machine(room).boots;
                self.queue.put(until, Happens::Start(room, boot));
            }
            Fault::NewDisk { room, .. } => {
                self.power_off(room, until);
                let disk = SimDisk::new(self.dice.roll());
                self.replace(room, disk);
            }
            Fault::OldDisk { room, .. } => self.return_copy(room, until),
            Fault::HandOver => self.hand_over(),
            Fault::Leave { .. } => self.leave(until),
            Fault::GoOnAlone { .. } => self.go_on_alone(until),
            _ => self.wrong(&fault, until),
        }
    }

    /// What is wrong from now until then, and needs no more than that.
    fn wrong(&mut self, fault: &Fault, until: Moment) {
        let now = self.now;
        match *fault {
            Fault::Pause { room, .. } => {
                let machine = self.machine_mut(room);
                machine.paused_until = machine.paused_until.max(until);
            }
            Fault::Struck { room, writing, for_ms, power, link_too } => {
                let strike = Strike { writing, for_ms, power, link_too };
                self.machine_mut(room).strike = Some(strike);
            }
            Fault::Isolated { room, .. } => {
                self.link.cut(Ways::Both, until);
                self.authority.away[room as usize] = self.authority.away[room as usize].max(until);
            }
            Fault::Cut { ways, .. } => self.link.cut(ways, until),
            Fault::Flap { ways, every_ms, .. } => self.link.flap(ways, now, until, every_ms),
            Fault::Noise { lost_percent, repeated_percent, late_ms, .. } => {
                self.link.noise(until, lost_percent, repeated_percent, late_ms);
            }
            Fault::SlowDisk { room, sync_ms, .. } => {
                self.machine_mut(room).slow = (until, sync_ms);
            }
            Fault::StuckDisk { room, .. } => {
                let machine = self.machine_mut(room);
                machine.stuck_until = machine.stuck_until.max(until);
            }
            Fault::FullDisk { room, .. } => {
                let machine = self.machine_mut(room);
                machine.full_until = machine.full_until.max(until);
                machine.disk.set_capacity(machine.disk.used());
                self.queue.put(until, Happens::Roomy(room));
            }
            Fault::FailingSync { room } => {
                let disk = &self.machine(room).disk;
                disk.fail(Operation::Sync, 0, std::io::ErrorKind::Other);
            }
            Fault::CopyDisk { room } => {
                let copy = self.machine(room).disk.fork();
                copy.crash();
                self.machine_mut(room).copy = Some(copy);
            }
            Fault::WitnessAway { ways, .. } => {
                for room in ROOMS.into_iter().filter(|room| ways.has(*room)) {
                    let away = &mut self.authority.away[room as usize];
                    *away = (*away).max(until);
                }
            }
            Fault::NewWitness => self.restore_witness(None),
            Fault::CopyWitness => self.authority.backup = self.authority.witness.held,
            Fault::OldWitness => self.restore_witness(self.authority.backup),
            Fault::SwitchAway { room, says_on, .. } => {
                self.authority.switches[room as usize].away = (until, says_on);
            }
            Fault::SwitchSlow { room, late_ms, .. } => {
                self.authority.switches[room as usize].slow = (until, late_ms);
            }
            Fault::WallClock { room, by_s } => self.machine_mut(room).wall_s += by_s,
            _ => unreachable!("{fault:?} is begun elsewhere"),
        }
    }

    /// What was planned for the moment at which something is written.
    pub(super) fn struck(&mut self, room: Room, life: Life, strike: Strike) {
        if self.machine_mut(room).living(life).is_none() {
            return;
        }
        let until = self.now.after_millis(strike.for_ms);
        self.note(Place::Room(room), format!("struck while it writes, as planned: {strike:?}"));
        if strike.link_too {
            // For a little longer, so that nobody hears of the new start.
            self.link.cut(Ways::Both, until.after_millis(strike.for_ms / 2));
        }
        if strike.power {
            self.power_off(room, until);
        } else {
            self.end(room, End::Process);
            let boot = self.machine(room).boots;
            self.queue.put(until, Happens::Start(room, boot));
        }
    }

    /// Whoever restores a witness gives it a new generation.
    fn restore_witness(&mut self, held: Option<Register>) {
        let witness = &mut self.authority.witness;
        witness.generation += 1;
        witness.held = held;
    }

    /// Room on the disk again.
    pub(super) fn roomy(&mut self, room: Room) {
        let now = self.now;
        let machine = self.machine_mut(room);
        if now >= machine.full_until {
            machine.disk.set_capacity(u64::MAX);
        }
    }

    fn replace(&mut self, room: Room, disk: SimDisk) {
        let machine = self.machine_mut(room);
        machine.disk = disk;
        machine.incarnation += 1;
        machine.full_until = Moment::ZERO;
    }

    /// The copy takes the disk's place. It is known to be one: a folder that is restored is marked.
    fn return_copy(&mut self, room: Room, until: Moment) {
        self.power_off(room, until);
        let Some(copy) = &self.machine(room).copy else { return };
        let disk = copy.fork();
        disk.crash();
        // Room for the mark, and for what comes then.
        disk.set_capacity(u64::MAX);
        if let Err(error) = recover::void(&disk, "it was restored from a copy") {
            return self.break_off(format!("a copy of the disk cannot be marked: {error}"));
        }
        self.replace(room, disk);
    }

    /// What would break what docs/protocol.md assumes is not done.
    fn is_possible(&self, fault: &Fault) -> bool {
        match *fault {
            Fault::NewDisk { room, .. } => self.is_in_sync(room.other()),
            Fault::OldDisk { room, .. } => {
                self.is_in_sync(room.other()) && self.machine(room).copy.is_some()
            }
            Fault::Kill { room, .. } => self.machine(room).process.is_some(),
            Fault::GoOnAlone { .. } => self.survivor().is_some(),
            Fault::OldWitness => self.authority.backup.is_some(),
            _ => true,
        }
    }

    /// The newest decision on any disk and at the witness.
    fn newest(&self) -> Option<Register> {
        let disks = ROOMS.into_iter().filter_map(|room| self.register(room));
        disks.chain(self.authority.witness.held).max_by_key(|register| register.epoch)
    }

    /// As it is on the room's disk.
    fn register(&self, room: Room) -> Option<Register> {
        recover::register(&self.machine(room).disk).ok().flatten()
    }

    /// Whether the disk of the room surely holds everything that is acknowledged, and says so itself.
    fn is_in_sync(&self, room: Room) -> bool {
        let own = self.machine(room).incarnation;
        let says = |register: Register| register.has_in_sync(room, own);
        self.newest().is_some_and(says) && self.register(room).is_some_and(says)
    }

    /// The room that a careful operator may let go on alone: the other one is off, and this one has all.
    fn survivor(&self) -> Option<Room> {
        ROOMS.into_iter().find(|room| {
            let alive = self.machine(*room).process.is_some();
            alive && !self.machine(room.other()).on && self.is_in_sync(*room)
        })
    }

    fn role(&self, room: Room) -> Option<RoleView> {
        Some(self.machine(room).process.as_ref()?.replica.pair().role())
    }

    fn hand_over(&mut self) {
        let leader = ROOMS.into_iter().find(|room| self.role(*room) == Some(RoleView::Leading));
        if let Some(room) = leader {
            self.command(room, Command::HandOver);
        }
    }

    /// Nobody has the follower leave a leader that is gone: the set would be a room that may never come
    /// back.
    fn leave(&mut self, until: Moment) {
        let follows = |room: &Room| {
            let leads = self.role(room.other()) == Some(RoleView::Leading);
            leads && matches!(self.role(*room), Some(RoleView::Following { .. }))
        };
        if let Some(room) = ROOMS.into_iter().find(follows) {
            self.command(room, Command::Leave);
            self.queue.put(until, Happens::Return(room));
        }
    }

    /// A process that starts anew does not know that it was asked to leave.
    pub(super) fn returns(&mut self, room: Room) {
        if self.machine(room).process.is_some() && !self.command(room, Command::Return) {
            self.queue.put(self.now.after_millis(500), Happens::Return(room));
        }
    }

    /// The other room stays off until the operator's word is over, and it can hear this one.
    fn go_on_alone(&mut self, until: Moment) {
        let Some(room) = self.survivor() else { return };
        if self.command(room, Command::GoOnAlone { accept_loss: false }) {
            self.machine_mut(room.other()).kept_off = true;
            self.queue.put(until, Happens::Release(room.other()));
        }
    }

    pub(super) fn release(&mut self, room: Room) {
        let other = room.other();
        let went = self.register(other).is_some_and(|r| r.in_sync == InSync::Only(other));
        let paused = self.machine(other).paused(self.now).is_some();
        let leads = went && self.role(other) == Some(RoleView::Leading) && !paused;
        let heard = ROOMS.into_iter().all(|room| self.link.is_up(room, self.now));
        if self.ending == Ending::Not && !(leads && heard) && self.machine(room).kept_off {
            return self.queue.put(self.now.after_millis(500), Happens::Release(room));
        }
        self.machine_mut(room).kept_off = false;
        self.boot(room);
    }

    /// All that was wrong is over.
    pub(super) fn mend(&mut self) {
        self.note(Place::Run, "nothing is wrong from here on");
        self.ending = Ending::Mended { since: self.now, help: self.now + HELP };
        self.link.mend();
        self.authority.mend();
        let now = self.now;
        for room in ROOMS {
            let machine = self.machine_mut(room);
            machine.off_until = machine.off_until.min(now);
            machine.paused_until = machine.paused_until.min(now);
            machine.stuck_until = machine.stuck_until.min(now);
            machine.full_until = machine.full_until.min(now);
            machine.slow.0 = machine.slow.0.min(now);
            machine.disk.set_capacity(u64::MAX);
            machine.disk.mend();
            machine.strike = None;
            machine.kept_off = false;
            if machine.on && machine.process.is_none() {
                let boot = machine.boots;
                self.queue.put(now.after_millis(1000), Happens::Start(room, boot));
            }
            self.boot(room);
            self.returns(room);
        }
        self.queue.put(now + CALM, Happens::Look);
    }

    /// What a careful operator does where the rooms cannot know: of the two, the one that does not have
    /// everything is switched off for a moment.
    pub(super) fn help(&mut self) {
        if ROOMS.into_iter().any(|room| self.role(room) == Some(RoleView::Leading)) {
            return;
        }
        let how = self.describe();
        if !self.plan.takes_things_away() {
            return self.break_off(format!("the rooms need a person, and nothing was lost: {how}"));
        }
        self.note(Place::Operator, format!("helps, since nobody goes on: {how}"));
        let Some(room) = ROOMS.into_iter().find(|room| self.is_in_sync(*room)) else { return };
        let until = self.now.after_millis(10_000);
        self.power_off(room.other(), until);
        self.command(room, Command::GoOnAlone { accept_loss: false });
    }
}
