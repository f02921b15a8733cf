//! What a lab is made of: machines, the wires between them, how one logs in. Start at [`LabPlan`].
//! Validated by [`LabPlan::check`] once; what follows makes no choice of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use site::{Label, Room};

use crate::places::LONGEST_NAME;
use crate::{Accelerator, LabError};

/// Two cores carry two machines; more than this on one computer is a mistake in the plan.
const MOST_MACHINES: usize = 16;
/// Wires of one lab. Each takes one of a machine's slots behind [`crate::argv`]'s fixed ones.
const MOST_WIRES: usize = 12;

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
    /// How one logs in.
    pub login: Login,
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

/// A network cable between two machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WirePlan {
    /// Its name, as in `rooms`.
    pub name: Label,
    /// The two machines.
    pub ends: [Label; 2],
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
    /// The machine of this name.
    pub fn machine(&self, name: &str) -> Result<&MachinePlan, LabError> {
        let found = self.machines.iter().find(|machine| machine.name.as_str() == name);
        found.ok_or_else(|| LabError::Machine {
            name: name.into(),
            known: list(self.machines.iter().map(|machine| &machine.name)),
        })
    }

    /// The wire of this name.
    pub fn wire(&self, name: &str) -> Result<&WirePlan, LabError> {
        let found = self.wires.iter().find(|wire| wire.name.as_str() == name);
        found.ok_or_else(|| LabError::Wire {
            name: name.into(),
            known: list(self.wires.iter().map(|wire| &wire.name)),
        })
    }

    /// Says what is impossible in the plan. Looks at no file.
    pub fn check(&self) -> Result<(), LabError> {
        self.check_size()?;
        self.check_names()?;
        self.check_machines()?;
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
            let port = machine.ssh_port;
            if port < 1024 || !ports.insert(port) {
                return refuse(
                    format!("the ssh port {port} of machine {name} is taken or below 1024"),
                    "give each machine a port of its own",
                );
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
        Ok(())
    }

    fn check_wires(&self) -> Result<(), LabError> {
        let mut names = BTreeSet::new();
        for wire in &self.wires {
            if !names.insert(&wire.name) || wire.name.as_str() == crate::argv::ADMIN {
                return refuse(
                    format!("the name of wire {} is taken", wire.name),
                    "give each wire its own name",
                );
            }
            let [one, other] = &wire.ends;
            if one == other {
                return refuse(
                    format!("both ends of wire {} are in machine {one}", wire.name),
                    "connect two machines",
                );
            }
            self.machine(one.as_str())?;
            self.machine(other.as_str())?;
        }
        Ok(())
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
        };
        LabPlan {
            dir: "/lab".into(),
            machines: vec![machine("a1", Room::A, 2201), machine("b1", Room::B, 2202)],
            wires: vec![WirePlan { name: label("rooms"), ends: [label("a1"), label("b1")] }],
            login: Login { user: "root".into(), key: "/keys/login".into() },
            accelerator: None,
        }
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
            (refused(|plan| plan.machines[0].memory_mib = 16), "a1 has 16 MiB of memory"),
            (refused(|plan| plan.machines[0].cpus = 0), "a1 has 0 processors"),
            (refused(|plan| plan.machines[0].disk_gib = 0), "a1 has 0 GiB of disk"),
            (refused(|plan| plan.wires[0].ends[1] = label("a1")), "both ends of wire rooms"),
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
        assert_eq!(help(plan.wire("room").unwrap_err()), "its wires are rooms");
    }
}
