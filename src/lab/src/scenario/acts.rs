//! The scenarios themselves. Start at [`act`]. Each begins with both rooms in sync ([`Runner::settle`]), does
//! what its name says, and waits for what must come of it.

use std::thread;
use std::time::{Duration, Instant};

use site::Room;

use super::expect::Third;
use super::judge::{Goal, leading, pair};
use super::load::{Load, verified, verify_command};
use super::runner::{Owed, Runner, Stop};
use super::timeline::{moments, seconds};
use super::{Scenario, faults, kubernetes};

/// Power cuts of [`Scenario::FirstBootCuts`].
const CUTS: usize = 10;
/// The cable between the rooms, and the machine that is of another site: as `duet lab up` names them.
pub(super) const CABLE: &str = "rooms";
const STRANGER: &str = "x1";

pub(super) type Done = Result<(), Stop>;

/// Does a scenario.
pub(super) fn act(runner: &mut Runner<'_>, scenario: Scenario) -> Done {
    match scenario {
        Scenario::FirstBoot => first_boot(runner),
        Scenario::LoseLeader => lose(runner, true),
        Scenario::LoseFollower => lose(runner, false),
        Scenario::ComeBack => come_back(runner),
        Scenario::BothOff => both_off(runner),
        Scenario::OneAloneA => one_alone(runner, Room::A),
        Scenario::OneAloneB => one_alone(runner, Room::B),
        Scenario::CutLink => cut_link(runner),
        Scenario::Stranger => stranger(runner),
        Scenario::NewMachine => new_machine(runner),
        Scenario::FirstBootCuts => first_boot_cuts(runner),
        Scenario::Kubernetes => kubernetes::act(runner),
        Scenario::Clock1970 => faults::clock_1970(runner),
        Scenario::LateCarrier => faults::late_carrier(runner),
        Scenario::NoDhcp => faults::no_dhcp(runner),
        Scenario::SmallMtu => faults::small_mtu(runner),
        Scenario::AddressConflict => faults::address_conflict(runner),
        Scenario::SmallDisk => faults::small_disk(runner),
    }
}

fn first_boot(runner: &mut Runner<'_>) -> Done {
    if !runner.fresh {
        for room in [Room::A, Room::B] {
            runner.off(room)?;
            runner.new_disk(room)?;
        }
        runner.begin_anew();
        runner.on(Room::A)?;
        runner.on(Room::B)?;
    }
    let begun = Instant::now();
    let (mut screens, mut connected) = ([false, false], false);
    loop {
        for (seen, room) in screens.iter_mut().zip([Room::A, Room::B]) {
            if !*seen && runner.at_status_screen(room)? {
                *seen = true;
                let after = runner.since_power_on();
                // The last one counts.
                runner.boot = after;
                runner.measure("status_screen_seconds", seconds(after));
                let name = runner.machine(room)?;
                runner.say(format!("{name} shows its status screen"));
            }
        }
        let sights = runner.sights(begun)?;
        if !connected && Goal::Connected.met(&sights).is_ok() {
            connected = true;
            runner.measure("peer_found_seconds", seconds(runner.since_power_on()));
            runner.say("the rooms have found each other");
        }
        match Goal::InSync.met(&sights) {
            Ok(()) if connected && screens == [true, true] => break,
            Err(why) if begun.elapsed() > runner.pace.boot => return Err(why.into()),
            _ if begun.elapsed() > runner.pace.boot => {
                return Err("the status screens do not come".to_owned().into());
            }
            _ => thread::sleep(Duration::from_millis(200)),
        }
    }
    runner.measure("in_sync_seconds", seconds(runner.since_power_on()));
    runner.say("both rooms are in sync");
    Ok(())
}

/// The leading room, or the following one, loses its power while the other one is written to.
fn lose(runner: &mut Runner<'_>, leader: bool) -> Done {
    runner.settle()?;
    let authority = runner.authority()?;
    let leads = who_leads(runner)?;
    let lost = if leader { leads } else { leads.other() };
    let survivor = lost.other();
    if !authority.lets_go_on(survivor) {
        runner.off(lost)?;
        return waits(runner, survivor);
    }
    runner.until(Goal::WouldGoOn(survivor), runner.pace.decision)?;
    let mut load = Load::start(runner.ssh(survivor)?, runner.pace.load)?;
    load.until_acknowledged(runner.pace.decision)?;
    runner.say(format!("room {survivor} is written to, ten times a second"));
    thread::sleep(runner.pace.run_up);
    runner.off(lost)?;
    let alone = runner.until(Goal::Alone(survivor), runner.pace.decision)?;
    runner.measure("alone_seconds", seconds(alone));
    runner.say(format!("room {survivor} goes on alone"));
    let written = runner.finish(load, "")?;
    runner.measure("without_writes_seconds", seconds(written.longest_gap()));
    runner.measure("acknowledged_writes", written.acknowledged as f64);
    runner.owed.push(Owed { run: written.run, acknowledged: written.acknowledged });
    runner.hold(Goal::Alone(survivor), runner.pace.stays)
}

/// A room that may not go on waits, says why, and keeps waiting.
fn waits(runner: &mut Runner<'_>, room: Room) -> Done {
    runner.until(Goal::Waits(room), runner.pace.boot)?;
    say_why(runner, room)?;
    runner.hold(Goal::Waits(room), runner.pace.stays)
}

fn say_why(runner: &mut Runner<'_>, room: Room) -> Done {
    let sights = runner.sights(runner.recently())?;
    if let Some(why) = pair(&sights, room).ok().and_then(|pair| pair.why_not()) {
        let why = why.to_owned();
        runner.say(format!("room {room} waits: {why}"));
    }
    Ok(())
}

pub(super) fn who_leads(runner: &mut Runner<'_>) -> Result<Room, Stop> {
    match leading(&runner.sights(runner.recently())?)[..] {
        [one] => Ok(one),
        _ => Err("nobody leads".to_owned().into()),
    }
}

fn come_back(runner: &mut Runner<'_>) -> Done {
    let mut off = Vec::new();
    for room in [Room::A, Room::B] {
        let name = runner.machine(room)?;
        if !runner.site.is_on(&name)? {
            off.push(room);
        }
    }
    let [room] = off[..] else {
        return Err(Stop::LeftOut(format!("{} rooms are off, not one", off.len())));
    };
    runner.on(room)?;
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("in_sync_seconds", seconds(took));
    runner.say("both rooms are in sync again");
    for Owed { run, acknowledged } in std::mem::take(&mut runner.owed) {
        let said = runner.carry_out(room, &verify_command(&run))?;
        let there = verified(&said, acknowledged)?;
        runner.say(format!("room {room} has all {there} writes that were acknowledged without it"));
    }
    Ok(())
}

fn both_off(runner: &mut Runner<'_>) -> Done {
    runner.settle()?;
    runner.off(Room::A)?;
    runner.off(Room::B)?;
    runner.on(Room::A)?;
    runner.on(Room::B)?;
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("in_sync_seconds", seconds(took));
    runner.say("both rooms are in sync again");
    Ok(())
}

fn one_alone(runner: &mut Runner<'_>, room: Room) -> Done {
    runner.settle()?;
    let authority = runner.authority()?;
    if authority.lets_come_up_alone() {
        runner.until(Goal::WouldGoOn(room), runner.pace.decision)?;
    }
    runner.off(Room::A)?;
    runner.off(Room::B)?;
    runner.on(room)?;
    if authority.lets_come_up_alone() {
        let took = runner.until(Goal::Alone(room), runner.pace.boot)?;
        runner.measure("alone_seconds", seconds(took));
        runner.say(format!("room {room} goes on alone"));
        runner.hold(Goal::Alone(room), runner.pace.stays)?;
    } else {
        waits(runner, room)?;
    }
    runner.on(room.other())?;
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("in_sync_seconds", seconds(took));
    runner.say("both rooms are in sync again");
    Ok(())
}

fn cut_link(runner: &mut Runner<'_>) -> Done {
    runner.settle()?;
    let authority = runner.authority()?;
    for third in authority.cuts() {
        runner.settle()?;
        for room in [Room::A, Room::B] {
            if authority.lets_go_on(room) {
                runner.until(Goal::WouldGoOn(room), runner.pace.decision)?;
            }
        }
        let apart: &[Room] = match third {
            Third::Both => &[],
            Third::Only(room) => &[room.other()],
            Third::None if runner.site.has_witness() => &[Room::A, Room::B],
            Third::None => &[],
        };
        for room in apart {
            let cable = format!("third-{}", runner.machine(*room)?);
            runner.cut(&cable)?;
        }
        runner.cut(CABLE)?;
        let goal = authority.when_cut(*third);
        let took = runner.until(goal, runner.pace.decision)?;
        runner.measure(measured(*third), seconds(took));
        for room in [Room::A, Room::B] {
            say_why(runner, room)?;
        }
        runner.hold(goal, runner.pace.stays)?;
        match goal {
            Goal::Nobody => runner.say("nobody goes on, and both say why"),
            _ => {
                let room = who_leads(runner)?;
                runner.say(format!("room {room} alone goes on"));
            }
        }
        runner.settle()?;
        runner.say("both rooms are in sync again");
    }
    Ok(())
}

/// The name of how long a decision took.
fn measured(third: Third) -> &'static str {
    match third {
        Third::Both => "both_reach_the_witness_seconds",
        Third::Only(Room::A) => "a_reaches_the_witness_seconds",
        Third::Only(Room::B) => "b_reaches_the_witness_seconds",
        Third::None => "nobody_reaches_a_witness_seconds",
    }
}

fn stranger(runner: &mut Runner<'_>) -> Done {
    if !runner.site.machines().iter().any(|(name, _)| name.as_str() == STRANGER) {
        return Err(Stop::LeftOut("the lab has no stranger: start it with --stranger".into()));
    }
    runner.settle()?;
    let took = runner.until(Goal::StrangerReported, runner.pace.boot)?;
    runner.measure("reported_seconds", seconds(took));
    runner.say("both rooms say that another site is on the wire");
    runner.hold(Goal::InSync, runner.pace.stays)?;
    runner.say("and are in sync all the same");
    Ok(())
}

fn new_machine(runner: &mut Runner<'_>) -> Done {
    let (old, stays) = (Room::B, Room::A);
    runner.settle()?;
    if !runner.authority()?.lets_go_on(stays) {
        let why =
            format!("room {stays} does not go on without a person, so there is nobody to join");
        return Err(Stop::LeftOut(why));
    }
    runner.until(Goal::WouldGoOn(stays), runner.pace.decision)?;
    let before = host_key(runner, old)?;
    runner.off(old)?;
    runner.until(Goal::Alone(stays), runner.pace.decision)?;
    runner.say(format!("room {stays} goes on alone"));
    runner.new_disk(old)?;
    runner.on(old)?;
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("in_sync_seconds", seconds(took));
    if host_key(runner, old)? == before {
        return Err(format!("room {old} has the ssh host key of the machine before it").into());
    }
    runner.say(format!("the new machine of room {old} is in sync"));
    Ok(())
}

/// The ssh host key that a room's machine has.
fn host_key(runner: &mut Runner<'_>, room: Room) -> Result<Option<String>, Stop> {
    let [a, b] = runner.sights(runner.recently())?;
    Ok((if room == Room::A { a } else { b }).and_then(|seen| seen.host_key))
}

fn first_boot_cuts(runner: &mut Runner<'_>) -> Done {
    let room = Room::B;
    runner.settle()?;
    // Twice on each disk: what the first cut leaves half done must stand a second one.
    for cuts in moments(runner.seed, CUTS, runner.boot).chunks(2) {
        runner.off(room)?;
        runner.new_disk(room)?;
        for moment in cuts {
            runner.on(room)?;
            thread::sleep(*moment);
            runner.say(format!("{:.1} s into its boot", moment.as_secs_f64()));
            runner.off(room)?;
        }
        runner.on(room)?;
        let begun = Instant::now();
        while !runner.at_status_screen(room)? {
            if begun.elapsed() > runner.pace.boot {
                return Err(format!("no status screen after power cuts at {cuts:?}").into());
            }
            thread::sleep(Duration::from_millis(500));
        }
        runner.say("it shows its status screen");
    }
    let took = runner.until(Goal::InSync, runner.pace.boot)?;
    runner.measure("in_sync_seconds", seconds(took));
    runner.say("both rooms are in sync");
    Ok(())
}
