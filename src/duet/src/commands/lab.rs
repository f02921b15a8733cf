//! `duet lab`: both rooms as virtual machines on this computer.

mod console;
mod cut_link;
mod data_disk;
mod down;
mod logs;
mod mend_link;
mod narrow_link;
mod power_off;
mod power_on;
mod relay;
mod run;
mod screen;
mod setup;
mod ssh;
mod status;
mod switch;
mod up;
mod witness;

use std::path::PathBuf;

use ::lab::{Lab, LabError, Places};
use clap::Subcommand;

use super::Ended;
use crate::console::Console;

/// The cable between the rooms.
const CABLE: &str = "rooms";

/// Both rooms as virtual machines on this computer
///
/// Machines are named by room and number: `a1` and `b1`. They run on by themselves until
/// `duet lab down`; nothing here needs root, and the machines can be reached from this computer only.
#[derive(Debug, clap::Args)]
pub(crate) struct LabCommand {
    #[command(subcommand)]
    command: Command,
}

/// What can be done with a lab.
#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Status(status::Status),
    Ssh(ssh::Ssh),
    Console(console::ConsoleCommand),
    Screen(screen::Screen),
    PowerOff(power_off::PowerOff),
    PowerOn(power_on::PowerOn),
    CutLink(cut_link::CutLink),
    MendLink(mend_link::MendLink),
    NarrowLink(narrow_link::NarrowLink),
    Witness(witness::Witness),
    Run(run::Run),
    Logs(logs::Logs),
    Down(down::Down),
    #[command(hide = true)]
    Relay(relay::Relay),
    #[command(hide = true)]
    Switch(switch::Switch),
}

impl LabCommand {
    pub(super) fn run(&self, console: &Console) -> Ended {
        match &self.command {
            Command::Up(command) => command.run(console),
            Command::Status(command) => command.run(console),
            Command::Ssh(command) => command.run(console),
            Command::Console(command) => command.run(console),
            Command::Screen(command) => command.run(console),
            Command::PowerOff(command) => command.run(console),
            Command::PowerOn(command) => command.run(console),
            Command::CutLink(command) => command.run(console),
            Command::MendLink(command) => command.run(console),
            Command::NarrowLink(command) => command.run(console),
            Command::Witness(command) => command.run(console),
            Command::Run(command) => command.run(console),
            Command::Logs(command) => command.run(console),
            Command::Down(command) => command.run(console),
            Command::Relay(command) => command.run(),
            Command::Switch(command) => command.run(console),
        }
    }
}

/// Where the lab lies: the same for every command on it.
#[derive(Debug, clap::Args)]
struct Dir {
    /// The lab's folder
    #[arg(long, value_name = "DIR", env = "DUET_LAB", hide_env_values = true)]
    #[arg(default_value = "build/lab")]
    dir: PathBuf,
}

impl Dir {
    /// The lab that an earlier command started.
    fn open(&self) -> Result<Lab, LabError> {
        Lab::open(&self.dir, &short())
    }
}

/// Where sockets go when the lab's own folder has too long a name for them.
fn short() -> PathBuf {
    Places::short(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from))
}
