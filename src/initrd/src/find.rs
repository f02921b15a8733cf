//! Finds where the root and the state lie. Start at [`on_disk`] and [`in_initramfs`].
//!
//! Proceeds at the very moment when what is wanted is there, and waits for nothing else.

use crate::choose::{Chosen, Disk, Missing, choose, choose_state, describe};
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
    Failure::new("find the root file system that the command line names", problem, cure)
        .with_seen(describe(disks))
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
