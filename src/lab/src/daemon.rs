//! A program that runs beside the machines: the witness, a TPM. Start at [`Daemon::start`]. Like QEMU it runs on
//! when the command that started it ends, and is found again by its note; should the command have been
//! interrupted before it wrote that, by its command line, which names files of this lab.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::notes::{self, Run};
use crate::places::DaemonPlaces;
use crate::process::{Held, ProcessId};
use crate::{LabError, machine};

/// How long it may take until it says that it is ready; it takes some milliseconds.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long the kernel may take to end it after it was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(30);
/// How much of what it said goes into an error.
const SAID: usize = 2 << 10;

/// By what it is known that a program is ready.
#[derive(Debug)]
pub(crate) enum Ready {
    /// It says this.
    Says(&'static str),
    /// It makes this socket, which is not there before.
    Opens(PathBuf),
}

/// One such program.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// What it is called in messages.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) ready: Ready,
    pub(crate) places: DaemonPlaces,
}

impl Daemon {
    /// Its process, if it runs.
    pub(crate) fn find(&self) -> Result<Option<(Run, Held)>, LabError> {
        let looked = |error| LabError::system("look for the process of", &self.places.run)(error);
        let Some(run) = notes::read::<Run>(&self.places.run)? else { return Ok(self.adopt()) };
        Ok(run.process.hold().map_err(looked)?.map(|held| (run, held)))
    }

    /// One that was started by a command which then was interrupted.
    fn adopt(&self) -> Option<(Run, Held)> {
        let own = |pid: &u32| {
            let told = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let told: Vec<_> = told.split(|byte| *byte == 0).collect();
            let arguments = self.arguments.iter().map(|word| word.as_encoded_bytes());
            let arguments: Vec<_> = arguments.chain([&b""[..]]).collect();
            told.len() > arguments.len() && told.ends_with(&arguments)
        };
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(own).find_map(|pid| {
            let process = ProcessId::of(pid).ok()??;
            let held = process.hold().ok()??;
            Some((Run { process, powered_on_ms: machine::millis(notes::now()) }, held))
        })
    }

    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Result<(), LabError> {
        if self.find()?.is_some() {
            return Err(LabError::DaemonRuns { name: self.name.clone() });
        }
        let places = &self.places;
        fs::create_dir_all(&places.dir).map_err(LabError::system("make", &places.dir))?;
        let log = OpenOptions::new().append(true).create(true).open(&places.log);
        let mut log = log.map_err(LabError::system("open", &places.log))?;
        let from = log.seek(SeekFrom::End(0)).map_err(LabError::system("read", &places.log))?;
        let again = log.try_clone().map_err(LabError::system("open", &places.log))?;
        let mut command = Command::new(&self.program);
        // A process group of its own: Ctrl-C in the terminal is not meant for it.
        command.args(&self.arguments).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(log).stderr(again);
        let child = command.spawn().map_err(LabError::system("start", &self.program))?;
        let process = ProcessId::of(child.id());
        let process = process.map_err(LabError::system("look for", &self.program))?;
        let Some(process) = process else { return Err(self.complaint(from)) };
        let powered_on_ms = machine::millis(notes::now());
        notes::write(&places.run, &Run { process, powered_on_ms })?;
        self.wait(child, from).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = self.kill();
        })
    }

    fn wait(&self, mut child: Child, from: u64) -> Result<(), LabError> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let ended = child.try_wait().map_err(LabError::system("wait for", &self.program))?;
            let ready = match &self.ready {
                Ready::Says(word) => self.said(from).contains(word),
                Ready::Opens(socket) => ended.is_none() && socket.exists(),
            };
            if ready {
                return Ok(());
            }
            if ended.is_some() || Instant::now() >= deadline {
                return Err(self.complaint(from));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it said behind this place of its log.
    fn said(&self, from: u64) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut log = File::open(&self.places.log)?;
            log.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            // Readiness is said early; more than this is not looked at.
            log.take(1 << 20).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    fn complaint(&self, from: u64) -> LabError {
        let said = self.said(from);
        let said = said.trim();
        let tail: String = said.chars().skip(said.chars().count().saturating_sub(SAID)).collect();
        let said = if tail.is_empty() { "it said nothing".to_owned() } else { tail };
        LabError::Daemon { name: self.name.clone(), said, log: self.places.log.clone() }
    }

    /// Ends it as a pulled plug would, and verifies that it is gone. False if it did not run.
    pub(crate) fn kill(&self) -> Result<bool, LabError> {
        let ran = match self.find()? {
            Some((run, held)) => {
                let failed =
                    |error| LabError::system("kill the process of", &self.places.run)(error);
                held.kill().map_err(failed)?;
                if !held.ends_within(KILL_PATIENCE).map_err(failed)? {
                    let (machine, pid) = (self.name.clone(), run.process.pid);
                    return Err(LabError::Survived { machine, pid });
                }
                true
            }
            None => false,
        };
        notes::remove(&self.places.run)?;
        Ok(ran)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    fn daemon(dir: &Path, program: &str, arguments: &[&str]) -> Daemon {
        let places = crate::Places::new(dir, Path::new("/tmp")).witness();
        let arguments = arguments.iter().map(OsString::from).collect();
        let ready = Ready::Says("up");
        Daemon { name: "witness".into(), program: program.into(), arguments, ready, places }
    }

    #[test]
    fn it_is_started_found_again_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let word = dir.path().join("word");
        fs::write(&word, "up\n").unwrap();
        // Says the word, and stays.
        let one = || daemon(dir.path(), "tail", &["-f", word.to_str().unwrap()]);
        one().start().unwrap();
        let (run, _) = one().find().unwrap().unwrap();
        assert!(matches!(one().start(), Err(LabError::DaemonRuns { .. })));
        // As if the command had been interrupted before it wrote its note.
        fs::remove_file(&one().places.run).unwrap();
        let (adopted, _) = one().find().unwrap().unwrap();
        assert_eq!(adopted.process, run.process);
        assert!(one().kill().unwrap());
        assert!(!run.process.runs());
        assert!(!one().kill().unwrap());
        // The log of the time before does not make it ready.
        let other = daemon(dir.path(), "sh", &["-c", "echo no room >&2; exit 1"]);
        let error = other.start().unwrap_err().to_string();
        assert!(error.contains("no room") && !error.contains("up"), "{error}");
        assert!(other.find().unwrap().is_none());
    }
}
