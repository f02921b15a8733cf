//! Scenarios of bad surroundings: a clock, a cable, a network, a disk that are not as they should be. Start at
//! [`clock_1970`]. In each of them the machine shows what is wrong and what to do, destroys nothing, and does
//! its work as soon as the fault is gone, or all the same.

use std::time::{Duration, Instant, SystemTime};

use site::Room;

use super::acts::{CABLE, Done};
use super::judge::{Goal, addresses};
use super::load::Load;
use super::runner::{Runner, Stop};
use super::timeline::seconds;

/// What a clock says whose battery is empty.
const NO_TIME: &str = "1970-01-01T00:00:00";
/// What the node says of such a clock, and of an address that another machine has.
const CLOCK_LOST: &str = "clock.lost";
const CONFLICT: &str = "network.conflict";
/// The largest packet of a cable that is too narrow for Ethernet's 1500 bytes, as a tunnel makes it.
const NARROW: u16 = 1400;
/// Less than the partitions of any image need, and enough for the first root.
const SMALL_MIB: u32 = 3 << 10;
/// A large value, close to the largest that etcd takes (1.5 MiB).
const LARGE: u32 = 1 << 20;

pub(super) fn clock_1970(runner: &mut Runner<'_>) -> Done {
    let room = Room::B;
    runner.settle()?;
    runner.off(room)?;
    if !runner.set_clock(room, Some(NO_TIME))? {
        return Err(Stop::LeftOut("nothing here has a clock of its own".into()));
    }
    runner.on(room)?;
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("in_sync_seconds", seconds(took));
    runner.until(Goal::Says(room, CLOCK_LOST), runner.pace.decision)?;
    runner.until_screen(
        room,
        &["The clock of this machine had lost the time", "Cure: Replace the clock's battery"],
    )?;
    runner.say("both rooms are in sync, and the screen says that the clock had lost the time");
    // A blank disk knows no later time than its image's.
    runner.off(room)?;
    runner.new_disk(room)?;
    runner.on(room)?;
    runner.until_either([Goal::InSync, Goal::Says(room, "pair.unmet")])?;
    if Goal::InSync.met(&runner.sights(runner.recently())?).is_err() {
        runner
            .until_screen(room, &["the clock of room a is", "Cure: Set the clock that is wrong"])?;
        runner.say("a new machine is too far behind: its screen says so, and what to do");
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        runner.carry_out(room, &format!("date --utc --set=@{now}"))?;
        runner.say("a person sets its clock");
        let took = runner.until(Goal::InSync, runner.pace.boot)?;
        runner.measure("in_sync_after_it_was_set_seconds", seconds(took));
    }
    runner.say("both rooms are in sync");
    runner.off(room)?;
    runner.set_clock(room, None)?;
    runner.on(room)?;
    runner.until(Goal::InSync, runner.pace.boot)?;
    runner.hold(Goal::SaysNothingOf(room, CLOCK_LOST), runner.pace.stays)?;
    runner.say("with a good clock nothing is said any more");
    Ok(())
}

pub(super) fn late_carrier(runner: &mut Runner<'_>) -> Done {
    let room = Room::B;
    if runner.site.is_switched(CABLE) {
        let why =
            "a machine does not see the cable behind its switch: start the lab without --switches";
        return Err(Stop::LeftOut(why.into()));
    }
    runner.settle()?;
    runner.off(room)?;
    runner.new_disk(room)?;
    for cable in [CABLE.to_owned(), admin(runner, room)?].into_iter().chain(third(runner, room)?) {
        runner.cut(&cable)?;
    }
    runner.on(room)?;
    runner.until_screen(room, &["No cable is connected.", "Cure: Connect one"])?;
    runner.say("the screen says that no cable is connected, and what to do");
    runner.mend_all()?;
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("in_sync_seconds", seconds(took));
    runner.say("both rooms are in sync");
    Ok(())
}

pub(super) fn no_dhcp(runner: &mut Runner<'_>) -> Done {
    runner.settle()?;
    for room in [Room::A, Room::B] {
        runner.off(room)?;
        // What is left is the wire between the rooms, on which nobody gives addresses.
        for cable in std::iter::once(admin(runner, room)?).chain(third(runner, room)?) {
            runner.cut(&cable)?;
        }
    }
    for room in [Room::A, Room::B] {
        runner.on(room)?;
    }
    for room in [Room::A, Room::B] {
        runner.until_screen(room, &["both in sync"])?;
    }
    runner.say("both rooms are in sync, by addresses of the wire alone");
    for room in [Room::A, Room::B] {
        runner.until_screen(room, &["No DHCP server answers", "Cure: See to the DHCP server"])?;
    }
    runner.say("both screens say that no DHCP server answers, and what to do");
    runner.mend_all()?;
    runner.until(Goal::InSync, runner.pace.boot)?;
    for room in [Room::A, Room::B] {
        runner.until(Goal::SaysNothingOf(room, "network.no-address"), runner.pace.decision)?;
    }
    runner.say("with a DHCP server nothing is said any more");
    Ok(())
}

pub(super) fn small_mtu(runner: &mut Runner<'_>) -> Done {
    runner.settle()?;
    if !runner.site.narrow(CABLE, NARROW)? {
        let why = "nothing can be between the rooms: start the lab with --switches";
        return Err(Stop::LeftOut(why.into()));
    }
    runner.say(format!("what is longer than {NARROW} bytes is lost between the rooms"));
    let begun = Instant::now();
    runner.until(Goal::InSync, runner.pace.decision)?;
    let writes = writes(runner, Duration::from_millis(100), 1)?;
    runner.measure("without_small_writes_seconds", writes);
    let writes = self::writes(runner, Duration::from_secs(1), LARGE)?;
    runner.measure("without_large_writes_seconds", writes);
    runner.until(Goal::InSync, runner.pace.decision)?;
    runner.say(format!("in sync after {:.1} s of writes", begun.elapsed().as_secs_f64()));
    // All that there is goes through it at once.
    let room = Room::B;
    runner.until(Goal::WouldGoOn(room.other()), runner.pace.decision)?;
    runner.off(room)?;
    runner.new_disk(room)?;
    runner.on(room)?;
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("new_machine_in_sync_seconds", seconds(took));
    runner.say("a new machine is in sync");
    runner.mend(CABLE)
}

/// Writes through room a for a while, and returns for how many seconds nothing was acknowledged.
fn writes(runner: &mut Runner<'_>, every: Duration, bytes: u32) -> Result<f64, Stop> {
    let mut load = Load::of(runner.ssh(Room::A)?, runner.pace.load, every, bytes)?;
    load.until_acknowledged(runner.pace.decision)?;
    let written = runner.finish(load, &format!(" of {bytes} bytes"))?;
    Ok(seconds(written.longest_gap()))
}

pub(super) fn address_conflict(runner: &mut Runner<'_>) -> Done {
    runner.settle()?;
    if !addresses(&runner.sights(runner.recently())?) {
        return Err(Stop::LeftOut("the seeds of both rooms have no address in common".into()));
    }
    let first = runner.until_one_says(CONFLICT)?;
    runner.say(format!("room {first} does not take the address"));
    runner.until_screen(
        first,
        &[
            "Another machine has this node's address 192.0.2.10: 52:54:",
            "Cure: Give one of the two",
        ],
    )?;
    runner.hold(Goal::InSync, runner.pace.stays)?;
    runner.say("its screen says who has it, and both rooms are in sync all the same");
    runner.until(Goal::WouldGoOn(first), runner.pace.decision)?;
    runner.off(first.other())?;
    let took = runner.until(Goal::SaysNothingOf(first, CONFLICT), runner.pace.decision)?;
    runner.until_screen(first, &["192.0.2."])?;
    runner.measure("taken_seconds", seconds(took));
    runner.say(format!("room {first} takes the address when it is free"));
    runner.on(first.other())?;
    runner.until(Goal::Says(first.other(), CONFLICT), runner.pace.boot)?;
    runner.say(format!("now room {} does not take it", first.other()));
    runner.until(Goal::InSync, runner.pace.boot)?;
    Ok(())
}

pub(super) fn small_disk(runner: &mut Runner<'_>) -> Done {
    let room = Room::B;
    runner.settle()?;
    runner.off(room)?;
    runner.new_disk(room)?;
    let name = runner.machine(room)?;
    if !runner.site.cut_disk_off(&name, SMALL_MIB)? {
        return Err(Stop::LeftOut("nothing here has a disk".into()));
    }
    runner.say(format!("its disk has {} GiB", SMALL_MIB >> 10));
    runner.on(room)?;
    runner.until_screen(
        room,
        &["is too small: it has 3.0 GiB", "Write the image to a larger disk."],
    )?;
    runner.say("the screen says that the disk is too small, and what to do");
    runner.off(room)?;
    if !runner.site.disk_is_as_written(&name)? {
        return Err("something was written to the disk".to_owned().into());
    }
    runner.say("nothing was written to it");
    runner.new_disk(room)?;
    runner.on(room)?;
    runner.until(Goal::InSync, runner.pace.boot)?;
    runner.say("with a larger disk both rooms are in sync");
    Ok(())
}

/// The cable by which this computer reaches a room's machine.
fn admin(runner: &Runner<'_>, room: Room) -> Result<String, Stop> {
    Ok(format!("admin-{}", runner.machine(room)?))
}

/// The cable from a room's machine to the witness, if there is one.
fn third(runner: &Runner<'_>, room: Room) -> Result<Option<String>, Stop> {
    let name = runner.machine(room)?;
    Ok(runner.site.has_witness().then(|| format!("third-{name}")))
}
