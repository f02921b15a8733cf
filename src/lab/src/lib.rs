//! Two rooms of QEMU machines on this computer, with their cables, their power switches and
//! their witness. Start at [`Lab::up`], and at [`scenario::run`] for what is done to them.
//!
//! Needs no root, opens no port but on the loopback, and leaves no process behind: whatever
//! [`Lab::up`] starts is ended by [`Lab::down`]. In between machines run on by themselves. Each
//! command finds them again by the lab's directory, and none ever signals a process that it has
//! not recognised ([`process`]).
//!
//! QEMU and the firmware come from a tools tree ([`Tools`]), not from this computer.

mod accel;
mod argv;
mod attach;
mod daemon;
mod data_disk;
mod disk;
mod error;
#[allow(clippy::module_inception)]
mod lab;
mod machine;
mod notes;
mod places;
mod plan;
pub mod process;
mod qmp;
mod relay;
pub mod scenario;
pub mod screen;
mod ssh;
mod status;
mod surroundings;
mod switch;
mod third;
mod tools;
mod tpm;
mod wait;
mod watch;

pub use accel::{Accelerator, Probe};
pub use attach::Left;
pub use data_disk::DataDisk;
pub use error::LabError;
pub use lab::{Lab, Leave, Step, Switch, free_ports};
pub use places::{MachinePlaces, Places};
pub use plan::{DiskBus, LabPlan, Login, MachinePlan, WirePlan, WitnessPlan};
pub use relay::relay;
pub use status::{LabStatus, MachineStatus, Power, WireStatus, WitnessStatus};
pub use switch::{SwitchError, Switching};
pub use tools::Tools;
pub use wait::{Goal, Sight};
pub use watch::{Stage, Stages, Watcher};
