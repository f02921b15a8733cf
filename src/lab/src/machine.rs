//! One machine's power: how its QEMU is started, found again and ended. Start at [`Machine::start`].
//!
//! QEMU detaches itself and runs on when the command that started it ends. It is found again by
//! `run.json`; should the command have been interrupted before it wrote that, by the number that
//! QEMU wrote, if the process with that number was told to write it to this very file.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{Leave, remove_empty_dir};
use crate::notes::{self, Run};
use crate::places::{MachinePlaces, Places};
use crate::plan::MachinePlan;
use crate::process::{Held, ProcessId};
use crate::qmp::{self, Qmp};
use crate::{Accelerator, LabError, LabPlan, Tools, argv, disk, tpm};

/// How long QEMU may take until it has detached itself; it takes a tenth of a second.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long the kernel may take to end a killed QEMU and free its memory.
const KILL_PATIENCE: Duration = Duration::from_secs(30);
/// Serial logs of earlier power-ons that are kept.
const EARLIER_LOGS: u32 = 9;
/// How much of QEMU's complaint goes into an error.
const SAID: u64 = 4 << 10;

/// A machine of a lab.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) plan: &'a MachinePlan,
    pub(crate) places: MachinePlaces,
}

/// What is known of a machine's QEMU.
#[derive(Debug)]
pub(crate) enum Found {
    /// It runs.
    On(Run, Held),
    /// It is not there, and nobody expects it.
    Off,
    /// It should run and does not.
    Ended {
        /// Whether this computer was restarted since.
        with_host: bool,
    },
}

impl<'a> Machine<'a> {
    pub(crate) fn new(plan: &'a MachinePlan, places: &Places) -> Machine<'a> {
        Machine { plan, places: places.machine(plan.name.as_str()) }
    }

    fn name(&self) -> String {
        self.plan.name.to_string()
    }

    /// A fresh disk, fresh firmware variables, and a TPM that was never used. Logs of an earlier lab stay.
    pub(crate) fn prepare(
        &self,
        tools: &Tools,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), LabError> {
        let dir = &self.places.dir;
        fs::create_dir_all(dir).map_err(LabError::system("make", dir))?;
        let bytes = u64::from(self.plan.disk_gib) << 30;
        disk::copy(&self.plan.image, &self.places.disk, bytes, progress)?;
        tpm::forget(&self.places)?;
        let variables = &self.places.variables;
        // Not fs::copy: the packaged file is read-only, and so would be the copy.
        fs::read(tools.variables())
            .and_then(|bytes| fs::write(variables, bytes))
            .map_err(LabError::system("make", variables))
    }

    /// Its further disks, as they are planned.
    pub(crate) fn prepare_data_disks(&self) -> Result<(), LabError> {
        let disks = self.plan.data_disks.iter().enumerate();
        disks.into_iter().try_for_each(|(at, disk)| disk.prepare(&self.places.data_disk(at)))
    }

    /// Looks for the machine's QEMU.
    pub(crate) fn find(&self) -> Result<Found, LabError> {
        let looked = |error| LabError::system("look for the process of", &self.places.run)(error);
        let Some(run) = notes::read::<Run>(&self.places.run)? else {
            return Ok(match self.adopt() {
                Some((run, held)) => Found::On(run, held),
                None => Found::Off,
            });
        };
        Ok(match run.process.hold().map_err(looked)? {
            Some(held) => Found::On(run, held),
            None => Found::Ended { with_host: run.process.is_of_earlier_boot() },
        })
    }

    /// A QEMU that was started by a command which then was interrupted.
    fn adopt(&self) -> Option<(Run, Held)> {
        let pid = self.written_pid()?;
        let process = ProcessId::of(pid).ok()??;
        let held = process.hold().ok()??;
        let told = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let pid_file = self.places.pid.as_os_str().as_encoded_bytes();
        let is_ours = told.split(|byte| *byte == 0).any(|argument| argument == pid_file);
        is_ours.then_some((Run { process, powered_on_ms: millis(notes::now()) }, held))
    }

    fn written_pid(&self) -> Option<u32> {
        fs::read_to_string(&self.places.pid).ok()?.trim().parse().ok()
    }

    /// Switches the machine on. `cut` are the networks whose cable is cut.
    pub(crate) fn start(
        &self,
        lab: &LabPlan,
        places: &Places,
        tools: &Tools,
        accelerator: Accelerator,
        cut: &[&str],
    ) -> Result<(), LabError> {
        if let Found::On(..) = self.find()? {
            return Err(LabError::On { machine: self.name() });
        }
        self.clear()?;
        self.turn_logs()?;
        make_private(places.sockets())?;
        let argv = argv::compose(lab, self.plan, places, &tools.firmware(), accelerator)?;
        if self.plan.tpm {
            tpm::start(self.plan.name.as_str(), &self.places, tools)?;
        }
        self.launch(tools, &argv).inspect_err(|_| {
            // A TPM would wait for its machine for ever. The first error is the one to tell.
            let _ = self.clear();
        })?;
        let process = self.written_pid().and_then(|pid| ProcessId::of(pid).ok().flatten());
        let Some(process) = process else { return Err(self.complaint(&self.said_later())) };
        let run = Run { process, powered_on_ms: millis(notes::now()) };
        notes::write(&self.places.run, &run)?;
        self.release(run, cut).inspect_err(|_| {
            // It would wait for its first instruction for ever. The first error is the one to tell.
            let _ = self.kill();
        })
    }

    /// Lets the machine, which QEMU holds at its first instruction, go.
    fn release(&self, mut run: Run, cut: &[&str]) -> Result<(), LabError> {
        let mut qmp = self.qmp(qmp::PATIENCE)?;
        for network in cut {
            self.set_link_by(&mut qmp, network, false)?;
        }
        self.execute(&mut qmp, "cont", json!({}))?;
        run.powered_on_ms = millis(notes::now());
        notes::write(&self.places.run, &run)
    }

    /// Starts QEMU and waits until it has opened everything and detached itself.
    fn launch(&self, tools: &Tools, argv: &[String]) -> Result<(), LabError> {
        let mut command = tools.qemu();
        command.args(argv).current_dir(&self.places.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(LabError::system("start QEMU from", tools.root()))?;
        let waited = wait(&mut child, START_PATIENCE)
            .map_err(LabError::system("wait for QEMU from", tools.root()))?;
        if waited == Some(true) {
            return Ok(());
        }
        let mut said = String::new();
        if waited.is_none() {
            // Fails only if it ended just now.
            let _ = child.kill();
            let _ = child.wait();
            said = format!("it did not come up in {} s", START_PATIENCE.as_secs());
        } else if let Some(stderr) = child.stderr.take() {
            let mut bytes = Vec::new();
            let _ = stderr.take(SAID).read_to_end(&mut bytes);
            said = String::from_utf8_lossy(&bytes).trim().to_owned();
        }
        if said.is_empty() {
            said = self.said_later();
        }
        Err(self.complaint(&said))
    }

    /// What QEMU wrote to its log.
    fn said_later(&self) -> String {
        let said = fs::read_to_string(&self.places.qemu_log).unwrap_or_default();
        said.lines().last().unwrap_or("it ended without a word").to_owned()
    }

    fn complaint(&self, said: &str) -> LabError {
        let cure = if said.contains("Could not set up host forwarding rule") {
            "the machine's ssh port is taken by another program: choose another one"
        } else if said.contains("Failed to get \"write\" lock") {
            "another QEMU uses the machine's disk: end it, or use another directory"
        } else if said.contains("Cannot allocate memory") {
            "give the machines less memory, or end other programs"
        } else {
            "lay the tools tree out again; if it stays, the message above says more"
        };
        LabError::Start { machine: self.name(), said: said.to_owned(), cure }
    }

    /// Ends the machine's QEMU as a pulled plug would, and verifies that it is gone.
    pub(crate) fn kill(&self) -> Result<bool, LabError> {
        let was_on = match self.find()? {
            Found::On(run, held) => {
                let pid = run.process.pid;
                let failed =
                    |error| LabError::system("kill the process of", &self.places.run)(error);
                held.kill().map_err(failed)?;
                if !held.ends_within(KILL_PATIENCE).map_err(failed)? {
                    return Err(LabError::Survived { machine: self.name(), pid });
                }
                true
            }
            Found::Off | Found::Ended { .. } => false,
        };
        self.clear()?;
        Ok(was_on)
    }

    /// Presses the power button, and waits until the guest has shut itself down.
    pub(crate) fn press_button(&self, patience: Duration) -> Result<(), LabError> {
        let Found::On(_, held) = self.find()? else {
            return Err(LabError::Off { machine: self.name() });
        };
        let mut qmp = self.qmp(qmp::PATIENCE)?;
        self.execute(&mut qmp, "system_powerdown", json!({}))?;
        drop(qmp);
        let ended = held.ends_within(patience);
        if !ended.map_err(LabError::system("wait for the process of", &self.places.run))? {
            let log = self.places.serial_log.clone();
            let serial = fs::read(&log).unwrap_or_default();
            return Err(LabError::TimedOut {
                machine: self.name(),
                goal: "power-off by its button".into(),
                limit: patience,
                last: crate::screen::tail(&crate::screen::last(&serial), 20),
                log,
            });
        }
        self.clear()
    }

    /// Plugs the machine's end of a cable in, or pulls it.
    pub(crate) fn set_link(&self, network: &str, up: bool) -> Result<(), LabError> {
        let mut qmp = self.qmp(qmp::PATIENCE)?;
        self.set_link_by(&mut qmp, network, up)
    }

    fn set_link_by(&self, qmp: &mut Qmp, network: &str, up: bool) -> Result<(), LabError> {
        let arguments = json!({ "name": argv::card(network), "up": up });
        self.execute(qmp, "set_link", arguments).map(drop)
    }

    /// What QEMU says about the guest: `running`, or why not. `None` if it does not answer.
    pub(crate) fn condition(&self, patience: Duration) -> Option<String> {
        let mut qmp = Qmp::connect(&self.places.qmp, patience).ok()?;
        let status = qmp.execute("query-status", json!({})).ok()?;
        status["status"].as_str().map(str::to_owned)
    }

    /// Writes what the machine's video card shows, as PNG.
    pub(crate) fn screendump(&self, file: &Path) -> Result<(), LabError> {
        let mut qmp = self.qmp(qmp::PATIENCE)?;
        let arguments = json!({ "filename": file, "format": "png" });
        self.execute(&mut qmp, "screendump", arguments).map(drop)
    }

    fn qmp(&self, patience: Duration) -> Result<Qmp, LabError> {
        Qmp::connect(&self.places.qmp, patience).map_err(|error| LabError::Qmp {
            machine: self.name(),
            command: "greeting",
            said: error.to_string(),
        })
    }

    fn execute(
        &self,
        qmp: &mut Qmp,
        command: &'static str,
        arguments: Value,
    ) -> Result<Value, LabError> {
        let machine = || self.name();
        qmp.execute(command, arguments).map_err(|error| LabError::Qmp {
            machine: machine(),
            command,
            said: error.to_string(),
        })
    }

    /// Removes what a QEMU that is gone left behind.
    pub(crate) fn clear(&self) -> Result<(), LabError> {
        let own = &self.places;
        if self.plan.tpm {
            tpm::clear(self.plan.name.as_str(), own)?;
        }
        [&own.run, &own.pid, &own.qmp, &own.serial]
            .into_iter()
            .try_for_each(|path| notes::remove(path))
    }

    /// Removes what is on the disk of a machine that is off.
    pub(crate) fn remove(&self, leave: Leave) -> Result<(), LabError> {
        let own = &self.places;
        notes::remove(&own.disk)?;
        for at in 0..self.plan.data_disks.len() {
            notes::remove(&own.data_disk(at))?;
        }
        notes::remove(&own.variables)?;
        tpm::remove(own, leave)?;
        if leave == Leave::Nothing {
            for ago in 0..=EARLIER_LOGS {
                notes::remove(&own.earlier_serial_log(ago))?;
            }
            notes::remove(&own.qemu_log)?;
            remove_empty_dir(&own.dir);
        }
        Ok(())
    }

    /// Each power-on gets a serial log of its own; the last ones are kept.
    fn turn_logs(&self) -> Result<(), LabError> {
        for ago in (0..EARLIER_LOGS).rev() {
            let (from, to) =
                (self.places.earlier_serial_log(ago), self.places.earlier_serial_log(ago + 1));
            if from.exists() {
                fs::rename(&from, &to).map_err(LabError::system("put aside", &from))?;
            }
        }
        let mut log = OpenOptions::new();
        log.write(true).create(true).truncate(true);
        // Watchers may open it before QEMU does.
        let path = &self.places.serial_log;
        log.open(path).map(drop).map_err(LabError::system("make", path))
    }
}

/// Milliseconds, for notes.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The sockets control the machines, so nobody else may come near them. A directory of another
/// owner, laid in our way in a shared place, is refused.
fn make_private(dir: &Path) -> Result<(), LabError> {
    use std::os::unix::fs::MetadataExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(LabError::system("make the sockets' directory", dir))?;
    let found = fs::symlink_metadata(dir).map_err(LabError::system("look at", dir))?;
    let mine = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !mine || found.mode() & 0o077 != 0 {
        return Err(LabError::Plan {
            why: format!("{} is not private to you", dir.display()),
            cure: "remove it, or use another directory".into(),
        });
    }
    Ok(())
}

/// Waits for a child: whether it succeeded, or `None` if it still runs.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<bool>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
