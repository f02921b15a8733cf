//! What a lab is made of: machines, the wires between them, the third place, how one logs in. Start at
//! [`LabPlan`]. Validated by [`LabPlan::check`] once; what follows makes no choice of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use site::{Label, Room};

use crate::argv::ADMIN;
use crate::data_disk::{self, DataDisk};
use crate::places::LONGEST_NAME;
use crate::{Accelerator, LabError};

/// Two cores carry two machines; more than this on one computer is a mistake in the plan.
const MOST_MACHINES: usize = 16;
/// Wires of one lab. Each takes one of a machine's slots behind [`crate::argv`]'s fixed ones.
const MOST_WIRES: usize = 12;

/// The network through which a machine reaches the third place. No wire may have this name.
pub(crate) const THIRD: &str = "third";
/// What the third place is called where machines are named.
pub(crate) const WITNESS: &str = "witness";
/// What this computer is called there.
pub(crate) const HOST: &str = "host";

/// A whole lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabPlan {
    /// Where disks, logs and notes are kept. An absolute path.
    pub dir: PathBuf,
    /// The machines; their names tell them apart.
    pub machines: Vec<MachinePlan>,
    /// Cables from one machine to another.
    pub wires: Vec<WirePlan>,
    /// The third place, if there is one. Each machine then has a cable to it: `third-a1`.
    pub witness: Option<WitnessPlan>,
    /// How one logs in.
    pub login: Login,
    /// `duet`, which is also what the machines need beside them: QEMU starts it as `duet lab relay` for
    /// each connection of a machine to the witness, the lab as `duet lab switch` for a wire of more than
    /// two ends.
    pub duet: PathBuf,
    /// Who executes the guests' instructions; `None` takes KVM if it really works.
    pub accelerator: Option<Accelerator>,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachinePlan {
    /// Its name in the lab, as in `a1`.
    pub name: Label,
    /// The room that it stands in.
    pub room: Room,
    /// The raw disk image that its disk is copied from.
    pub image: PathBuf,
    /// The size of its disk in GiB: the image is extended to this, so that the first boot has
    /// something to grow into.
    pub disk_gib: u32,
    /// What its disk is attached to.
    pub disk_bus: DiskBus,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its processors. One is the safest choice without KVM on a busy computer.
    pub cpus: u8,
    /// The port of this computer's loopback that leads to the machine's ssh.
    pub ssh_port: u16,
    /// The port of this computer's loopback that leads to the machine's status page (https).
    pub page_port: u16,
    /// Whether it has a TPM 2.0.
    #[serde(default)]
    pub tpm: bool,
    /// Its further disks.
    #[serde(default)]
    pub data_disks: Vec<DataDisk>,
    /// What its clock says whenever it is switched on, as `1970-01-01T00:00:00` in UTC: one whose battery is
    /// empty. Without it the right time.
    #[serde(default)]
    pub clock: Option<String>,
}

/// What a disk is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskBus {
    /// An NVMe drive, as real machines have.
    Nvme,
    /// A paravirtual disk, quicker to emulate.
    VirtioBlk,
}

/// A network cable between two machines; or, between more, a switch in each room and a cable between
/// the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WirePlan {
    /// Its name, as in `rooms`.
    pub name: Label,
    /// The machines.
    pub ends: Vec<Label>,
    /// Whether there are switches though there are two machines: so that neither sees the other one's link,
    /// and the cable can be made narrow.
    #[serde(default)]
    pub switches: bool,
}

impl WirePlan {
    /// Whether it takes switches.
    pub(crate) fn is_switched(&self) -> bool {
        self.switches || self.ends.len() > 2
    }
}

/// The witness of a lab's site. It runs as a process of the lab, on this computer's loopback; machines
/// reach it at [`LabPlan::WITNESS_AT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessPlan {
    /// `duetd`, one that runs on this computer.
    pub program: PathBuf,
    /// The witness' certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The site that it is the witness of.
    pub site: Label,
    /// The certificate of the site's authority, PEM.
    pub ca: PathBuf,
    /// The port of this computer's loopback at which it listens.
    pub port: u16,
}

/// A cable that can be cut, whatever is at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cable {
    /// What a person calls it.
    pub(crate) name: Label,
    /// The network that it carries, as the machines' cards are named.
    pub(crate) network: String,
    /// The machines at it.
    pub(crate) machines: Vec<Label>,
    /// Whether it is between switches: then no machine sees its own link go when it is cut.
    pub(crate) switched: bool,
}

/// How one logs in by ssh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user, as in `root`.
    pub user: String,
    /// The private key file.
    pub key: PathBuf,
}

impl LabPlan {
    /// Where machines reach the witness.
    pub const WITNESS_AT: &str = "10.0.3.100:7411";

    /// The machine of this name.
    pub fn machine(&self, name: &str) -> Result<&MachinePlan, LabError> {
        let found = self.machines.iter().find(|machine| machine.name.as_str() == name);
        found.ok_or_else(|| LabError::Machine {
            name: name.into(),
            known: list(self.machines.iter().map(|machine| &machine.name)),
        })
    }

    /// All cables: the wires, those to the third place, and those by which this computer reaches the
    /// machines.
    pub(crate) fn cables(&self) -> Vec<Cable> {
        let wires = self.wires.iter().map(|wire| Cable {
            name: wire.name.clone(),
            network: wire.name.to_string(),
            machines: wire.ends.clone(),
            switched: wire.is_switched(),
        });
        // A name that is too long for this was refused by `check`.
        let own = |machine: &MachinePlan, network: &str| {
            Some(Cable {
                name: format!("{network}-{}", machine.name).parse().ok()?,
                network: network.to_owned(),
                machines: vec![machine.name.clone()],
                switched: false,
            })
        };
        let third = self.machines.iter().filter(|_| self.witness.is_some());
        let third = third.filter_map(|machine| own(machine, THIRD));
        let admin = self.machines.iter().filter_map(|machine| own(machine, ADMIN));
        wires.chain(third).chain(admin).collect()
    }

    /// The cable of this name.
    pub(crate) fn cable(&self, name: &str) -> Result<Cable, LabError> {
        let cables = self.cables();
        let found = cables.iter().find(|cable| cable.name.as_str() == name).cloned();
        found.ok_or_else(|| LabError::Wire {
            name: name.into(),
            known: list(cables.iter().map(|cable| &cable.name)),
        })
    }

    /// Says what is impossible in the plan. Looks at no file.
    pub fn check(&self) -> Result<(), LabError> {
        self.check_size()?;
        self.check_names()?;
        self.check_machines()?;
        self.machines.iter().try_for_each(check_data_disks)?;
        self.check_wires()
    }

    fn check_size(&self) -> Result<(), LabError> {
        let dir = &self.dir;
        if !dir.is_absolute() || dir.to_str().is_none() {
            return refuse(
                format!("its directory {} is not an absolute path in UTF-8", dir.display()),
                "name another directory",
            );
        }
        if self.machines.is_empty() || self.machines.len() > MOST_MACHINES {
            return refuse(
                format!("it has {} machines", self.machines.len()),
                format!("plan 1 to {MOST_MACHINES}"),
            );
        }
        if self.wires.len() > MOST_WIRES {
            return refuse(
                format!("it has {} wires", self.wires.len()),
                format!("plan at most {MOST_WIRES}"),
            );
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), LabError> {
        let machines = self.machines.iter().map(|machine| &machine.name);
        let mut names = machines.chain(self.wires.iter().map(|wire| &wire.name));
        match names.find(|name| name.as_str().len() > LONGEST_NAME) {
            Some(name) => refuse(
                format!("the name {name} is too long"),
                format!("use at most {LONGEST_NAME} characters"),
            ),
            None => Ok(()),
        }
    }

    fn check_machines(&self) -> Result<(), LabError> {
        let (mut names, mut ports) = (BTreeSet::new(), BTreeSet::new());
        for machine in &self.machines {
            let name = &machine.name;
            if !names.insert(name) {
                return refuse(format!("two machines are named {name}"), "give each its own name");
            }
            if [WITNESS, HOST].contains(&name.as_str()) {
                return refuse(format!("a machine is named {name}"), "that is another place");
            }
            for (what, port) in [("ssh", machine.ssh_port), ("page", machine.page_port)] {
                if port < 1024 || !ports.insert(port) {
                    return refuse(
                        format!("the {what} port {port} of machine {name} is taken or below 1024"),
                        "give each machine ports of its own",
                    );
                }
            }
            let limits: [(&str, u32, u32, u32); 3] = [
                ("MiB of memory", machine.memory_mib, 128, 1 << 18),
                ("processors", machine.cpus.into(), 1, 64),
                ("GiB of disk", machine.disk_gib, 1, 1 << 14),
            ];
            for (what, value, least, most) in limits {
                if !(least..=most).contains(&value) {
                    return refuse(
                        format!("machine {name} has {value} {what}"),
                        format!("plan {least} to {most}"),
                    );
                }
            }
        }
        match &self.witness {
            Some(witness) if witness.port < 1024 || !ports.insert(witness.port) => refuse(
                format!("the port {} of the witness is taken or below 1024", witness.port),
                "give it a port of its own",
            ),
            _ => Ok(()),
        }
    }

    fn check_wires(&self) -> Result<(), LabError> {
        let mut names = BTreeSet::new();
        for wire in &self.wires {
            let name = wire.name.as_str();
            let reserved = name.starts_with(ADMIN) || name.starts_with(THIRD);
            if !names.insert(&wire.name) || reserved {
                return refuse(
                    format!("the name of wire {} is taken", wire.name),
                    "give each wire its own name",
                );
            }
            let different: BTreeSet<_> = wire.ends.iter().collect();
            if different.len() < 2 || different.len() < wire.ends.len() {
                return refuse(
                    format!("wire {} ends twice in one machine, or nowhere", wire.name),
                    "connect two machines or more, each once",
                );
            }
            for end in &wire.ends {
                self.machine(end.as_str())?;
            }
        }
        Ok(())
    }
}

fn check_data_disks(machine: &MachinePlan) -> Result<(), LabError> {
    let MachinePlan { name, data_disks: disks, .. } = machine;
    if disks.len() > data_disk::MOST {
        return refuse(
            format!("machine {name} has {} data disks", disks.len()),
            format!("plan at most {}", data_disk::MOST),
        );
    }
    let mut serials = BTreeSet::new();
    if let Some(twin) = disks.iter().find(|disk| !serials.insert(&disk.serial)) {
        return refuse(
            format!("two data disks of machine {name} are named {}", twin.serial),
            "give each its own serial number",
        );
    }
    match disks.iter().find_map(DataDisk::fault) {
        Some((why, cure)) => refuse(format!("{why}, on machine {name}"), cure),
        None => Ok(()),
    }
}

fn refuse(why: String, cure: impl Into<String>) -> Result<(), LabError> {
    Err(LabError::Plan { why, cure: cure.into() })
}

pub(crate) fn list<'a>(names: impl Iterator<Item = &'a Label>) -> String {
    let names: Vec<_> = names.map(Label::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(crate) fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    /// Two rooms, one machine in each, one wire between them.
    pub(crate) fn two_rooms() -> LabPlan {
        let machine = |name: &str, room, ssh_port| MachinePlan {
            name: label(name),
            room,
            image: "/images/control.img".into(),
            disk_gib: 8,
            disk_bus: DiskBus::Nvme,
            memory_mib: 512,
            cpus: 1,
            ssh_port,
            page_port: ssh_port + 6000,
            tpm: false,
            data_disks: Vec::new(),
            clock: None,
        };
        LabPlan {
            dir: "/lab".into(),
            machines: vec![machine("a1", Room::A, 2201), machine("b1", Room::B, 2202)],
            wires: vec![WirePlan {
                name: label("rooms"),
                ends: vec![label("a1"), label("b1")],
                switches: false,
            }],
            witness: None,
            login: Login { user: "root".into(), key: "/keys/login".into() },
            duet: "/my bin/duet".into(),
            accelerator: None,
        }
    }

    pub(crate) fn witness() -> WitnessPlan {
        WitnessPlan {
            program: "/bin/duetd".into(),
            cert: "/keys/witness.crt".into(),
            key: "/keys/witness.key".into(),
            site: label("demo"),
            ca: "/keys/ca.crt".into(),
            port: 7411,
        }
    }

    pub(crate) fn data_disk(gib: u32, serial: &str) -> DataDisk {
        DataDisk { gib, serial: serial.to_owned(), content: None }
    }

    fn refused(change: impl FnOnce(&mut LabPlan)) -> String {
        let mut plan = two_rooms();
        change(&mut plan);
        plan.check().unwrap_err().to_string()
    }

    #[test]
    fn two_rooms_with_a_wire_are_fine() {
        two_rooms().check().unwrap();
    }

    #[test]
    fn impossible_plans_are_refused_by_name() {
        let cases = [
            (refused(|plan| plan.machines.clear()), "0 machines"),
            (refused(|plan| plan.machines[1].name = label("a1")), "two machines are named a1"),
            (refused(|plan| plan.wires[0].name = label(&"w".repeat(33))), "is too long"),
            (refused(|plan| plan.machines[1].ssh_port = 2201), "port 2201 of machine b1"),
            (refused(|plan| plan.machines[0].ssh_port = 22), "port 22 of machine a1"),
            (refused(|plan| plan.machines[1].page_port = 2201), "page port 2201 of machine b1"),
            (refused(|plan| plan.machines[0].name = label("witness")), "named witness"),
            (refused(|plan| plan.wires[0].name = label("third-a1")), "wire third-a1 is taken"),
            (
                refused(|plan| plan.witness = Some(WitnessPlan { port: 2201, ..witness() })),
                "port 2201 of the witness",
            ),
            (refused(|plan| plan.machines[0].memory_mib = 16), "a1 has 16 MiB of memory"),
            (refused(|plan| plan.machines[0].cpus = 0), "a1 has 0 processors"),
            (refused(|plan| plan.machines[0].disk_gib = 0), "a1 has 0 GiB of disk"),
            (refused(|plan| plan.machines[0].data_disks = vec![data_disk(0, "s")]), "s has 0 GiB"),
            (
                refused(|plan| plan.machines[0].data_disks = vec![data_disk(1, "a,b")]),
                "serial number is \"a,b\", on machine a1",
            ),
            (
                refused(|plan| plan.machines[0].data_disks = vec![data_disk(1, "s"); 2]),
                "two data disks of machine a1 are named s",
            ),
            (
                refused(|plan| plan.machines[0].data_disks = vec![data_disk(1, "s"); 9]),
                "a1 has 9 data disks",
            ),
            (
                refused(|plan| plan.wires[0].ends[1] = label("a1")),
                "wire rooms ends twice in one machine",
            ),
            (refused(|plan| plan.wires[0].ends[1] = label("c1")), "no machine `c1`"),
            (refused(|plan| plan.wires.push(plan.wires[0].clone())), "wire rooms is taken"),
            (refused(|plan| plan.wires[0].name = label("admin")), "wire admin is taken"),
            (refused(|plan| plan.dir = "lab".into()), "not an absolute path"),
        ];
        for (error, expected) in cases {
            assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let plan = two_rooms();
        let help = |error: LabError| miette::Diagnostic::help(&error).unwrap().to_string();
        assert_eq!(help(plan.machine("a2").unwrap_err()), "its machines are a1, b1");
        assert_eq!(
            help(plan.cable("room").unwrap_err()),
            "its wires are rooms, admin-a1, admin-b1"
        );
        let plan = LabPlan { witness: Some(witness()), ..plan };
        let error = plan.cable("third").unwrap_err();
        assert_eq!(help(error), "its wires are rooms, third-a1, third-b1, admin-a1, admin-b1");
        let cable = plan.cable("third-b1").unwrap();
        assert_eq!((cable.network.as_str(), cable.machines), ("third", vec![label("b1")]));
    }
}
