//! The third place of a lab: the witness of its site, as a process on this computer. Start at
//! [`Lab::witness_start`]. Machines reach it by a cable each (`third-a1`), which [`Lab::cut_link`] cuts.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::process::{Command, Stdio};

use crate::daemon::{Daemon, Ready};
use crate::lab::{Leave, remove_dir, remove_empty_dir};
use crate::notes;
use crate::plan::{LabPlan, WITNESS, WitnessPlan};
use crate::status::WitnessStatus;
use crate::{Lab, LabError, Places};

/// What the witness says when it serves.
const READY: Ready = Ready::Says("ready on");
/// Errors of a command that go into ours.
const SAID: usize = 2 << 10;

impl Lab {
    /// Starts the witness again, with what it held.
    pub fn witness_start(&mut self) -> Result<(), LabError> {
        let _lock = self.lock()?;
        self.witness()?.start()
    }

    /// Ends the witness at once. What it holds stays.
    pub fn witness_stop(&mut self) -> Result<(), LabError> {
        let _lock = self.lock()?;
        match self.witness()?.kill()? {
            true => Ok(()),
            false => Err(LabError::DaemonOff { name: WITNESS.into() }),
        }
    }

    fn witness(&self) -> Result<Daemon, LabError> {
        match &self.plan().witness {
            Some(plan) => Ok(daemon(plan, self.places())),
            None => Err(LabError::NoWitness),
        }
    }

    pub(crate) fn witness_status(&self) -> Result<Option<WitnessStatus>, LabError> {
        let Some(plan) = &self.plan().witness else { return Ok(None) };
        let daemon = daemon(plan, self.places());
        let found = daemon.find()?;
        Ok(Some(WitnessStatus {
            pid: found.map(|(run, _)| run.process.pid),
            site: plan.site.clone(),
            port: plan.port,
            log: daemon.places.log,
        }))
    }
}

/// A witness that knows the site and holds nothing, and its start.
pub(crate) fn come_up(plan: &LabPlan, places: &Places) -> Result<(), LabError> {
    let Some(witness) = &plan.witness else { return Ok(()) };
    let daemon = daemon(witness, places);
    let data = &daemon.places.data;
    remove_dir(data)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(LabError::system("make", data))?;
    let mut add = Command::new(&witness.program);
    add.args(["witness", "site", "add", witness.site.as_str(), "--ca"]).arg(&witness.ca);
    add.arg("--data-dir").arg(data).env_clear().stdin(Stdio::null());
    let said = add.output().map_err(LabError::system("start", &witness.program))?;
    if !said.status.success() {
        let said = String::from_utf8_lossy(&said.stderr).trim().chars().take(SAID).collect();
        let log = daemon.places.log;
        return Err(LabError::Daemon { name: WITNESS.into(), said, log });
    }
    daemon.start()
}

/// Ends the witness, and removes what it held.
pub(crate) fn end(plan: &LabPlan, places: &Places, leave: Leave) -> Result<(), LabError> {
    let Some(witness) = &plan.witness else { return Ok(()) };
    let daemon = daemon(witness, places);
    daemon.kill()?;
    let data = &daemon.places.data;
    remove_dir(data)?;
    if leave == Leave::Nothing {
        notes::remove(&daemon.places.log)?;
    }
    remove_empty_dir(&daemon.places.dir);
    Ok(())
}

fn daemon(plan: &WitnessPlan, places: &Places) -> Daemon {
    let own = places.witness();
    let flag = |name: &str, value: &std::path::Path| {
        let mut word = OsString::from(name);
        word.push("=");
        word.push(value);
        word
    };
    let arguments = vec![
        "witness".into(),
        "run".into(),
        flag("--data-dir", &own.data),
        format!("--listen=127.0.0.1:{}", plan.port).into(),
        flag("--cert-file", &plan.cert),
        flag("--key-file", &plan.key),
    ];
    let program = plan.program.clone();
    Daemon { name: WITNESS.into(), program, arguments, ready: READY, places: own }
}
