//! What a lab looks like now. Start at [`LabStatus`]; made by [`Lab::status`](crate::Lab::status).

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use site::{Label, Room};

use crate::{Probe, Stage};

/// A whole lab.
#[derive(Clone, Debug, Serialize)]
pub struct LabStatus {
    /// Where it lies.
    pub dir: PathBuf,
    /// What executes its machines, and why.
    pub probe: Probe,
    /// Its machines, as in the plan.
    pub machines: Vec<MachineStatus>,
    /// Its wires, as in the plan, and the cables to the third place.
    pub wires: Vec<WireStatus>,
    /// The third place, if the lab has one.
    pub witness: Option<WitnessStatus>,
}

/// The witness.
#[derive(Clone, Debug, Serialize)]
pub struct WitnessStatus {
    /// Its process; none if it was stopped.
    pub pid: Option<u32>,
    /// The site that it is the witness of.
    pub site: Label,
    /// The port of this computer's loopback at which it listens.
    pub port: u16,
    /// What it said.
    pub log: PathBuf,
}

/// One machine.
#[derive(Clone, Debug, Serialize)]
pub struct MachineStatus {
    /// Its name.
    pub name: Label,
    /// Its room.
    pub room: Room,
    /// Whether it is on.
    pub power: Power,
    /// How far its boot has come.
    pub stage: Option<Stage>,
    /// How often it began again by itself since it was switched on.
    pub restarts: u32,
    /// The port of this computer's loopback that leads to its ssh.
    pub ssh_port: u16,
    /// Where its status page is on this computer, as `https://127.0.0.1:8443/`.
    pub page: String,
    /// Its serial log.
    pub serial_log: PathBuf,
}

/// Whether a machine is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Power {
    /// It is on.
    On {
        /// QEMU's process.
        pid: u32,
        /// For how long.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        since: Duration,
        /// QEMU's word on the guest: `running`, `paused`, `internal-error` …; `None` if QEMU does not
        /// answer.
        condition: Option<String>,
    },
    /// It was switched off.
    Off,
    /// It went off by itself: it was shut down from inside, or QEMU crashed.
    WentOff,
    /// This computer was restarted since it was switched on.
    HostRestarted,
}

/// One wire.
#[derive(Clone, Debug, Serialize)]
pub struct WireStatus {
    /// Its name.
    pub name: Label,
    /// The machines at its ends, or `witness`.
    pub ends: Vec<Label>,
    /// Whether it is cut.
    pub cut: bool,
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}
