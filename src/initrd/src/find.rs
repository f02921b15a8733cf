//! Finds where the root and the state lie. Start at [`on_disk`] and [`in_initramfs`].
//!
//! Proceeds at the very moment when what is wanted is there, and waits for nothing else.

use crate::choose::{Chosen, Disk, Missing, choose, choose_state, describe, size};
use crate::cmdline::{Request, RootHash, StateWish};
use crate::console::{Log, uptime};
use crate::devices::Drivers;
use crate::disks::{self, Settled};
use crate::failure::Failure;
use crate::netboot;
use formats::gpt::Guid;
use std::collections::BTreeSet;
use std::time::Duration;

/// The kernel announces a device before its disk can be read, so time tells as well.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A netbooted machine takes it that no further disk comes when none was announced for so long.
/// USB sticks show their disk one second after they show themselves.
const QUIET_SECONDS: f64 = 2.0;

/// Where everything lies.
#[derive(Debug)]
pub struct Places {
    /// What the root is checked against; none if nothing was given.
    pub hash: Option<RootHash>,
    /// `a` or `b`; none when netbooted.
    pub slot: Option<&'static str>,
    /// The disk that holds the partitions.
    pub disk: Option<String>,
    /// The device that holds the root's data.
    pub data: String,
    /// The device that holds its hash tree.
    pub tree: Option<String>,
    /// The state partition.
    pub state: Option<State>,
    /// The ESP.
    pub esp: Option<String>,
    /// The root came over the network.
    pub netboot: bool,
}

/// The state partition.
#[derive(Debug)]
pub struct State {
    /// Its node.
    pub node: String,
    /// Its size in bytes, before it grew.
    pub bytes_before: u64,
}

/// Finds the disk that holds the root that `hash` names.
pub fn on_disk(
    log: &Log,
    drivers: &mut Drivers<'_>,
    request: &Request,
    hash: RootHash,
) -> Result<Places, Failure> {
    let deadline = uptime() + request.wait_seconds as f64;
    let mut mended = BTreeSet::new();
    let chosen = loop {
        let disks = disks::scan();
        let missing = match choose(&disks, &hash) {
            Ok(chosen) => break chosen,
            Err(missing) => missing,
        };
        if let Missing::Node(disk) = &missing {
            // The kernel ignores a table whose primary copy is damaged; /init does not.
            if mended.insert(disk.clone()) {
                settle(log, disk);
            }
        }
        if drivers.load_next() {
            continue;
        }
        if uptime() >= deadline {
            return Err(not_found(&missing, &disks, &hash, request.wait_seconds));
        }
        drivers.wait(LOOK_AGAIN);
    };
    if let Some(twin) = &chosen.twin {
        log.note(format!("{twin} holds the same root as {}, which was started from", chosen.disk));
    }
    if request.state == StateWish::Disk && chosen.state.is_some() {
        settle(log, &chosen.disk);
    }
    places(chosen, hash, request)
}

fn places(chosen: Chosen, hash: RootHash, request: &Request) -> Result<Places, Failure> {
    let no_node = || {
        let problem = format!("the kernel shows no device for a partition of {}", chosen.disk);
        Failure::new("use the partitions of the disk", problem, DAMAGED_TABLE)
    };
    let state = match (request.state, &chosen.state) {
        (StateWish::Memory, _) => None,
        (StateWish::Disk, Some(state)) => {
            let node = state.node.clone().ok_or_else(no_node)?;
            Some(State { node, bytes_before: state.entry.bytes() })
        }
        (StateWish::Disk, None) => {
            let problem =
                format!("{} has no partition duet-state of the type for /var", chosen.disk);
            return Err(Failure::new("find the state partition", problem, DAMAGED_TABLE));
        }
    };
    Ok(Places {
        hash: Some(hash),
        slot: chosen.slot,
        data: chosen.root.node.clone().ok_or_else(no_node)?,
        tree: Some(chosen.verity.node.clone().ok_or_else(no_node)?),
        state,
        esp: chosen.esp.as_ref().and_then(|esp| esp.node.clone()),
        disk: Some(chosen.disk),
        netboot: false,
    })
}

const DAMAGED_TABLE: &str = "The disk's partition table was changed after the image was written. \
     Put it right with sfdisk from a rescue system, or write the image again.";

const TOO_SMALL: &str = "Write the image to a larger disk. Nothing was changed on this one.";

/// Writes the disk's table anew if need be. If that fails the machine starts with the old one.
fn settle(log: &Log, disk: &str) {
    match disks::settle(disk) {
        Ok(Settled::Already) => {}
        Ok(Settled::Written { gained, mended }) => {
            if mended {
                log.note(format!(
                    "one copy of the partition table of {disk} was damaged; it was mended"
                ));
            }
            log.say(&format!("the state partition of {disk} gained {} MiB", gained >> 20));
        }
        Err(error) => log.note(format!("cannot write the partition table of {disk}: {error}")),
    }
}

fn not_found(missing: &Missing, disks: &[Disk], hash: &RootHash, seconds: u64) -> Failure {
    let wanted = "find the root file system that the command line names";
    if let (Missing::Root, Some(problem)) = (missing, too_small(disks)) {
        return Failure::new(wanted, problem, TOO_SMALL).with_seen(describe(disks));
    }
    let (data, tree) = Guid::of_verity(hash.bytes());
    let (problem, cure) = match missing {
        Missing::Root => (
            format!("no disk has the root partition {data}; waited {seconds} s"),
            "Check that the disk is connected and that the firmware shows it. If the slot was \
             overwritten, start the other one, or write the image again.",
        ),
        Missing::Verity(disk) => (
            format!("{disk} has the root partition {data} but not its hash tree {tree}"),
            "An upgrade of this slot was interrupted. Start the other slot, or write the image again.",
        ),
        Missing::Node(disk) => (
            format!("{disk} has the root partition {data} but the kernel shows no device for it"),
            DAMAGED_TABLE,
        ),
    };
    Failure::new(wanted, problem, cure).with_seen(describe(disks))
}

/// Names a disk that is too small for the table that is on it, and so probably for the image.
fn too_small(disks: &[Disk]) -> Option<String> {
    let (disk, needs) = disks.iter().find_map(|disk| Some((disk, disk.needs?)))?;
    let (node, has, needs) = (&disk.node, size(disk.bytes), size(needs));
    Some(format!(
        "the disk {node} is too small: it has {has}, and what was written to it needs {needs}"
    ))
}

/// Takes the root from the initramfs, and the state from a disk that has one.
pub fn in_initramfs(
    log: &Log,
    drivers: &mut Drivers<'_>,
    request: &Request,
    hash: Option<RootHash>,
) -> Result<Places, Failure> {
    drivers.load_named("loop");
    let data = netboot::attach(netboot::ROOT)?;
    let tree = hash.map(|_| netboot::attach(netboot::VERITY)).transpose()?;
    if hash.is_none() {
        log.note("the command line has no duet.root: the root from the network is not verified");
    }
    let mut places =
        Places { hash, slot: None, disk: None, data, tree, state: None, esp: None, netboot: true };
    if request.state == StateWish::Memory {
        return Ok(places);
    }
    let Some(disks) = wait_for_state(drivers, request.wait_seconds) else {
        log.note("no disk has a partition duet-state: /var is in memory and forgets everything");
        return Ok(places);
    };
    if let Some((disk, state, esp)) = choose_state(&disks) {
        settle(log, &disk.node);
        places.disk = Some(disk.node.clone());
        places.esp = esp.and_then(|esp| esp.node.clone());
        let bytes_before = state.entry.bytes();
        places.state = state.node.clone().map(|node| State { node, bytes_before });
    }
    Ok(places)
}

/// The disks, as soon as one of them has a state partition; `None` when the machine has been quiet.
fn wait_for_state(drivers: &mut Drivers<'_>, seconds: u64) -> Option<Vec<Disk>> {
    let deadline = uptime() + seconds as f64;
    let mut heard = uptime();
    loop {
        let disks = disks::scan();
        if choose_state(&disks).is_some_and(|(_, state, _)| state.node.is_some()) {
            return Some(disks);
        }
        if drivers.load_next() || drivers.wait(LOOK_AGAIN) {
            heard = uptime();
        }
        if uptime() >= deadline || uptime() - heard > QUIET_SECONDS {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_named_with_what_it_needs() {
        let hash = RootHash::parse(&"ab".repeat(32)).expect("these are the digits of a hash");
        let disk = Disk {
            node: "/dev/sda".to_owned(),
            bytes: 3 << 30,
            removable: false,
            needs: Some(4 << 30),
            table: Err("cannot use the partition table".to_owned()),
        };
        let failure = not_found(&Missing::Root, std::slice::from_ref(&disk), &hash, 60);
        assert_eq!(
            failure.problem,
            "the disk /dev/sda is too small: it has 3.0 GiB, and what was written to it needs 4.0 GiB"
        );
        assert_eq!(failure.cure, TOO_SMALL);
        // Another disk has part of the root: that is nearer to a cure.
        let other = not_found(&Missing::Verity("/dev/sdb".to_owned()), &[disk], &hash, 60);
        assert!(other.problem.contains("hash tree"), "{}", other.problem);
    }
}
