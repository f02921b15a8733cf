//! Machines that boot the demo's images, for one test at a time.
//!
//! Start at [`Machines::both`] or [`Machines::one`]. Dropping the value switches everything off, also
//! when the test fails; the logs stay in the lab's folder, which a failure names.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lab::{
    DiskBus, Goal, Lab, LabPlan, Leave, Login, MachinePlan, Places, Sight, Stage, Switch, Tools,
};
use site::Room;

use crate::demo::{Demo, cache, login_key};
use crate::programs::{Hold, duet, hold, kept, plain};
use crate::run::{Said, run};
use crate::tools::unpacked;

/// A boot to the status screen takes 20 to 40 seconds in software emulation on a quiet computer, 70
/// on a busy one; two at once take longer.
pub const BOOT: Duration = Duration::from_secs(300);

/// One command over ssh, on a machine that is still busy starting.
const COMMAND: Duration = Duration::from_secs(120);

/// Machines that are on. Only one value of this type exists on a computer at a time, since two
/// cores carry two machines.
pub struct Machines {
    lab: Option<Lab>,
    _alone: Hold,
}

impl Machines {
    /// Both rooms of the demo site, with these disks, started as a person would: by `duet lab up`, which
    /// returns when both status screens are there. `more` are further words for it.
    ///
    /// # Panics
    /// If one does not come up.
    #[track_caller]
    #[must_use]
    pub fn both(demo: &Demo, disks: [&Path; 2], more: &[OsString]) -> Machines {
        let alone = hold("machines");
        let dir = fresh("lab-both");
        let mut up = duet();
        up.args(["lab", "up", "--wait"]).arg("--dir").arg(&dir).env("DUET_CACHE", cache());
        up.arg("--image-a").arg(disks[0]).arg("--image-b").arg(disks[1]).args(more);
        up.arg("--key").arg(login_key(demo));
        up.arg("--site").arg(&demo.site).arg("--witness").arg(demo.witness());
        let said = run(&mut up, 2 * BOOT);
        let lab = Lab::open(&dir, &short());
        let machines = Machines { lab: lab.ok(), _alone: alone };
        let _ = said.well();
        assert!(machines.lab.is_some(), "`duet lab up` left no lab in its folder");
        machines
    }

    /// One machine, `a1`, with a copy of `disk`; on, and no more.
    ///
    /// # Panics
    /// If it cannot be switched on.
    #[track_caller]
    #[must_use]
    pub fn one(name: &str, disk: &Path, key: &Path) -> Machines {
        Machines::alone(name, disk, key, false)
    }

    /// As [`Machines::one`], with a TPM.
    ///
    /// # Panics
    /// If it cannot be switched on.
    #[track_caller]
    #[must_use]
    pub fn one_with_tpm(name: &str, disk: &Path, key: &Path) -> Machines {
        Machines::alone(name, disk, key, true)
    }

    #[track_caller]
    fn alone(name: &str, disk: &Path, key: &Path, tpm: bool) -> Machines {
        let alone = hold("machines");
        let dir = fresh(name);
        let ports = lab::free_ports(2).expect("the loopback has free ports");
        let machine = MachinePlan {
            name: "a1".parse().expect("a1 is a label"),
            room: Room::A,
            image: disk.to_owned(),
            disk_gib: 8,
            disk_bus: DiskBus::VirtioBlk,
            memory_mib: 512,
            cpus: 1,
            ssh_port: ports[0],
            page_port: ports[1],
            tpm,
            data_disks: Vec::new(),
            clock: None,
        };
        let login = Login { user: "root".into(), key: key.to_owned() };
        let (machines, wires) = (vec![machine], Vec::new());
        let plan = LabPlan {
            dir,
            machines,
            wires,
            witness: None,
            login,
            // Neither a witness nor a switch needs it.
            duet: PathBuf::new(),
            accelerator: None,
        };
        let lab = Lab::up(&lab_tools(), plan, &short(), &mut |_| {});
        let lab = lab.unwrap_or_else(|error| panic!("{error:?}"));
        Machines { lab: Some(lab), _alone: alone }
    }

    /// The lab itself.
    ///
    /// # Panics
    /// If it is not up.
    #[track_caller]
    #[must_use]
    pub fn lab(&self) -> &Lab {
        self.lab.as_ref().expect("the lab is up")
    }

    /// Waits until the machine looks as wanted, and returns how it looked.
    ///
    /// # Panics
    /// If it does not within `limit`, or goes off before; with the end of its screen.
    #[track_caller]
    pub fn wait<'a>(
        &self,
        machine: &'a str,
        what: &str,
        limit: Duration,
        mut until: impl FnMut(&Sight<'_>) -> bool,
    ) -> Sight<'a> {
        let goal = Goal { what, limit };
        let seen = self.lab().wait_for(&[machine], goal, &mut until, &mut |_| {});
        let mut seen = seen.unwrap_or_else(|error| panic!("{error}\n{error:?}"));
        seen.remove(0)
    }

    /// Waits for the status screen to say `text`.
    ///
    /// # Panics
    /// As [`Machines::wait`].
    #[track_caller]
    pub fn wait_for_screen<'a>(&self, machine: &'a str, text: &str) -> Sight<'a> {
        self.wait(machine, &format!("a status screen that says {text:?}"), BOOT, |sight| {
            sight.stages.reached(Stage::StatusScreen).is_some() && sight.screen.contains(text)
        })
    }

    /// Carries out a command on the machine, once its ssh server answers.
    ///
    /// # Panics
    /// If the server does not answer.
    #[track_caller]
    pub fn ssh(&self, machine: &str, command: &str) -> Said {
        let _ = self.wait(machine, "a status screen", BOOT, |sight| {
            sight.stages.reached(Stage::StatusScreen).is_some()
        });
        let words = self.lab().ssh(machine, &[command.to_owned()]);
        let words = words.unwrap_or_else(|error| panic!("{error:?}"));
        let begun = Instant::now();
        loop {
            let said = run(plain(&words[0]).args(&words[1..]), COMMAND);
            // Nobody listens yet, or hangs up at once. To knock and go away instead would be held against us
            // (sshd_config(5), `PerSourcePenalties`).
            let early = ["kex_exchange_identification", "banner exchange", "connect to host"];
            if begun.elapsed() > BOOT || !early.iter().any(|word| said.err.contains(word)) {
                return said;
            }
            thread::sleep(Duration::from_secs(2));
        }
    }

    /// Pulls the plug.
    ///
    /// # Panics
    /// If the machine is off already.
    #[track_caller]
    pub fn pull_plug(&mut self, machine: &str) {
        let lab = self.lab.as_mut().expect("the lab is up");
        lab.power_off(machine, Switch::Plug).unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Switches the machine on again.
    ///
    /// # Panics
    /// If it does not come on.
    #[track_caller]
    pub fn switch_on(&mut self, machine: &str) {
        let lab = self.lab.as_mut().expect("the lab is up");
        lab.power_on(machine).unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// All that the machine's serial console said since it was switched on.
    ///
    /// # Panics
    /// If there is no log.
    #[must_use]
    pub fn said(&self, machine: &str) -> String {
        let log = self.lab().places().machine(machine).serial_log;
        let bytes = fs::read(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if let Some(lab) = self.lab.take() {
            let down = lab.down(Leave::Logs);
            // A panic in a drop during a panic would end the process and hide the first.
            assert!(down.is_ok() || std::thread::panicking(), "{down:?}");
        }
    }
}

/// Where the lab's sockets go if the checkout's path is too long for them.
fn short() -> PathBuf {
    Places::short(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from))
}

/// The lab's folder, as it was never used.
fn fresh(name: &str) -> PathBuf {
    let dir = kept("labs").join(name);
    // A test that was killed may have left machines on.
    if let Ok(lab) = Lab::open(&dir, &short()) {
        lab.down(Leave::Nothing).unwrap_or_else(|error| panic!("{error:?}"));
    }
    let _ = fs::remove_dir_all(&dir);
    dir
}

/// QEMU and its firmware.
///
/// # Panics
/// If they cannot be downloaded and unpacked.
#[must_use]
pub fn lab_tools() -> Tools {
    Tools::open(unpacked("lab-tools").root()).expect("the profile has all that the lab needs")
}
