//! What scenarios are done to. Start at [`Site`]: a lab is one, and in a test two stores on the loopback are.

use std::ffi::OsString;
use std::time::Duration;

use site::{Label, Room};

use crate::plan::WirePlan;
use crate::status::Power;
use crate::watch::Watcher;
use crate::{Lab, LabError, Stage, Switch, ssh};

/// Makes the command line that carries out a command on a machine.
pub type Words = Box<dyn Fn(&str) -> Vec<OsString> + Send>;
/// Says whether a machine would take such a command now.
pub type Answers = Box<dyn Fn() -> bool + Send>;

/// Two rooms that can be hurt.
pub trait Site {
    /// The machines and their rooms; of each room the control machine first.
    fn machines(&self) -> Vec<(Label, Room)>;
    /// Whether a machine's power is on.
    fn is_on(&self, machine: &str) -> Result<bool, LabError>;
    /// Since when the machine is on that is on for the longest time.
    fn on_for(&self) -> Duration;
    /// Whether a machine shows its status screen.
    fn shows_status_screen(&self, machine: &str) -> Result<bool, LabError>;
    /// Pulls a machine's plug.
    fn power_off(&mut self, machine: &str) -> Result<(), LabError>;
    /// Gives a machine its power back.
    fn power_on(&mut self, machine: &str) -> Result<(), LabError>;
    /// Makes a machine that is off a blank one.
    fn new_disk(&mut self, machine: &str) -> Result<(), LabError>;
    /// The cables that are cut.
    fn cut(&self) -> Result<Vec<Label>, LabError>;
    /// Cuts a cable, or mends it.
    fn set_cable(&mut self, cable: &str, whole: bool) -> Result<(), LabError>;
    /// Whether machines reach a witness of the site's over a cable each, `third-a1`.
    fn has_witness(&self) -> bool;
    /// Sees to it that the witness, if there is one, runs. False if it did.
    fn mend_witness(&mut self) -> Result<bool, LabError>;
    /// What a machine's clock says whenever it is switched on. False where there is none to set.
    fn set_clock(&mut self, _machine: &str, _clock: Option<&str>) -> Result<bool, LabError> {
        Ok(false)
    }
    /// Whether a cable is between switches: machines do not see it then.
    fn is_switched(&self, _cable: &str) -> bool {
        false
    }
    /// Has a cable lose longer packets without a word, until it is mended. False where it cannot.
    fn narrow(&mut self, _cable: &str, _mtu: u16) -> Result<bool, LabError> {
        Ok(false)
    }
    /// Cuts off the disk of a machine that is off. False where there is none.
    fn cut_disk_off(&mut self, _machine: &str, _mib: u32) -> Result<bool, LabError> {
        Ok(false)
    }
    /// Whether nothing was written to the disk of a machine that is off, but for the boot loader's count.
    fn disk_is_as_written(&self, _machine: &str) -> Result<bool, LabError> {
        Ok(true)
    }
    /// What a machine's screen shows; nothing where there is none.
    fn screen(&self, _machine: &str) -> Result<String, LabError> {
        Ok(String::new())
    }
    /// How commands are carried out on a machine.
    fn ssh(&self, machine: &str) -> Result<(Words, Answers), LabError>;
}

impl Site for Lab {
    fn machines(&self) -> Vec<(Label, Room)> {
        let machines = self.plan().machines.iter();
        machines.map(|machine| (machine.name.clone(), machine.room)).collect()
    }

    fn is_on(&self, machine: &str) -> Result<bool, LabError> {
        Ok(matches!(self.machine_power(machine)?, Power::On { .. }))
    }

    fn on_for(&self) -> Duration {
        let machines = self.plan().machines.iter();
        let on = machines.filter_map(|one| match self.machine_power(one.name.as_str()) {
            Ok(Power::On { since, .. }) => Some(since),
            _ => None,
        });
        on.max().unwrap_or_default()
    }

    fn shows_status_screen(&self, machine: &str) -> Result<bool, LabError> {
        let stages = self.stages(machine)?;
        Ok(stages.reached(Stage::StatusScreen).is_some())
    }

    fn power_off(&mut self, machine: &str) -> Result<(), LabError> {
        Lab::power_off(self, machine, Switch::Plug)
    }

    fn power_on(&mut self, machine: &str) -> Result<(), LabError> {
        Lab::power_on(self, machine)
    }

    fn new_disk(&mut self, machine: &str) -> Result<(), LabError> {
        Lab::new_disk(self, machine)
    }

    fn cut(&self) -> Result<Vec<Label>, LabError> {
        Ok(self.cables_cut().to_vec())
    }

    fn set_cable(&mut self, cable: &str, whole: bool) -> Result<(), LabError> {
        if whole { self.mend_link(cable) } else { self.cut_link(cable) }
    }

    fn has_witness(&self) -> bool {
        self.plan().witness.is_some()
    }

    fn mend_witness(&mut self) -> Result<bool, LabError> {
        match self.witness_status()? {
            Some(witness) if witness.pid.is_none() => self.witness_start().map(|()| true),
            _ => Ok(false),
        }
    }

    fn set_clock(&mut self, machine: &str, clock: Option<&str>) -> Result<bool, LabError> {
        Lab::set_clock(self, machine, clock).map(|()| true)
    }

    fn is_switched(&self, cable: &str) -> bool {
        let wire = self.plan().wires.iter().find(|wire| wire.name.as_str() == cable);
        wire.is_some_and(WirePlan::is_switched)
    }

    fn narrow(&mut self, cable: &str, mtu: u16) -> Result<bool, LabError> {
        match self.is_switched(cable) {
            true => self.narrow_link(cable, mtu).map(|()| true),
            false => Ok(false),
        }
    }

    fn cut_disk_off(&mut self, machine: &str, mib: u32) -> Result<bool, LabError> {
        Lab::cut_disk_off(self, machine, mib).map(|()| true)
    }

    fn disk_is_as_written(&self, machine: &str) -> Result<bool, LabError> {
        Lab::disk_is_as_written(self, machine)
    }

    fn screen(&self, machine: &str) -> Result<String, LabError> {
        Lab::screen(self, machine)
    }

    fn ssh(&self, machine: &str) -> Result<(Words, Answers), LabError> {
        let machine = self.plan().machine(machine)?.clone();
        let (login, hosts) = (self.plan().login.clone(), self.places().known_hosts());
        let serial_log = self.places().machine(machine.name.as_str()).serial_log;
        let words = move |command: &str| ssh::argv(&machine, &login, &hosts, &[command.to_owned()]);
        // Not its ssh server itself: it counts who comes and does not log in, and after fifteen of them it
        // refuses everybody from there for a while (sshd_config(5), `PerSourcePenalties`).
        let answers = move || {
            let mut watcher = Watcher::new(&serial_log);
            watcher.look(Duration::ZERO).is_ok()
                && watcher.stages().reached(Stage::StatusScreen).is_some()
        };
        Ok((Box::new(words), Box::new(answers)))
    }
}
