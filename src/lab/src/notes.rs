//! What the lab remembers between two commands. Start at [`Notes`] and [`Run`]. Every file is
//! replaced as a whole, so that an interrupted command leaves the one before.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use site::Label;

use crate::process::ProcessId;
use crate::{LabError, LabPlan, Places, Probe};

/// How long a command waits for another one on the same lab.
const PATIENCE: Duration = Duration::from_secs(30);

/// `lab.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notes {
    /// What the lab is made of.
    pub(crate) plan: LabPlan,
    /// The tools tree that it runs with.
    pub(crate) tools: PathBuf,
    /// What its machines are executed by.
    pub(crate) probe: Probe,
    /// The wires that are cut.
    pub(crate) cut: Vec<Label>,
}

/// `run.json` of a machine: there is one while it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Its QEMU.
    pub(crate) process: ProcessId,
    /// When it was switched on, in milliseconds since this computer was.
    pub(crate) powered_on_ms: u64,
}

impl Run {
    /// How long the machine is on.
    pub(crate) fn since(&self) -> Duration {
        now().saturating_sub(Duration::from_millis(self.powered_on_ms))
    }
}

/// Held while a command changes the lab.
#[derive(Debug)]
pub(crate) struct Lock {
    #[cfg_attr(not(test), expect(dead_code, reason = "it is held, not read"))]
    file: File,
}

impl Lock {
    pub(crate) fn take(places: &Places) -> Result<Lock, LabError> {
        let path = places.lock();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut open = OpenOptions::new();
            let file = open.write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(LabError::system("open", &path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Whoever held it may have removed the file with the lab: then another one counts.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Ok(Lock { file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(LabError::Busy { dir: places.dir().into() });
                }
                Err(error) => return Err(LabError::system("lock", &path)(error)),
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let place = |meta: Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => place(held) == place(there),
        _ => false,
    }
}

/// Reads a note; `None` if there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LabError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LabError::system("read", path)(error)),
    };
    let note = serde_json::from_slice(&text);
    note.map(Some).map_err(|source| LabError::Notes { path: path.into(), source })
}

/// Writes a note, under another name first.
pub(crate) fn write<T: Serialize>(path: &Path, note: &T) -> Result<(), LabError> {
    let new = path.with_extension("new");
    let mut text = serde_json::to_vec_pretty(note)
        .map_err(|source| LabError::Notes { path: path.into(), source })?;
    text.push(b'\n');
    let write = || {
        File::create(&new)?.write_all(&text)?;
        fs::rename(&new, path)
    };
    write().map_err(LabError::system("write", path))
}

/// Removes a file; that there is none is fine.
pub(crate) fn remove(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LabError::system("remove", path)(error)),
    }
}

/// Takes a machine's lines out of the file of ssh host keys, which begin with its name (sshd(8)).
pub(crate) fn forget_host(path: &Path, name: &str) -> Result<(), LabError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LabError::system("read", path)(error)),
    };
    let of_others = |line: &&str| line.split_whitespace().next() != Some(name);
    let kept: String = text.lines().filter(of_others).map(|line| format!("{line}\n")).collect();
    let new = path.with_extension("new");
    fs::write(&new, kept)
        .and_then(|()| fs::rename(&new, path))
        .map_err(LabError::system("write", path))
}

/// The time since this computer was switched on, sleep included. Unlike the time of day it never
/// jumps, and all processes agree on it.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Accelerator;
    use crate::plan::tests::{label, two_rooms};

    #[test]
    fn notes_are_read_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lab.json");
        assert_eq!(read::<Notes>(&path).unwrap(), None);
        let probe = Probe { accelerator: Accelerator::Tcg, reason: "no KVM".into() };
        let (plan, tools) = (two_rooms(), "/tools".into());
        let notes = Notes { plan, tools, probe, cut: vec![label("rooms")] };
        write(&path, &notes).unwrap();
        assert_eq!(read::<Notes>(&path).unwrap(), Some(notes));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing half-written stays");
    }

    #[test]
    fn a_machines_host_key_is_forgotten_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        forget_host(&path, "b1").unwrap();
        fs::write(&path, "a1 ssh-ed25519 AA\nb1 ssh-ed25519 BB\nb11 ssh-ed25519 CC\n").unwrap();
        forget_host(&path, "b1").unwrap();
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(left, "a1 ssh-ed25519 AA\nb11 ssh-ed25519 CC\n");
    }

    #[test]
    fn damaged_notes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        fs::write(&path, "{\"process\": 7}").unwrap();
        let error = read::<Run>(&path).unwrap_err().to_string();
        assert!(error.contains("run.json"), "{error}");
    }

    #[test]
    fn a_second_command_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path(), Path::new("/tmp"));
        let first = Lock::take(&places).unwrap();
        let start = Instant::now();
        let second = thread::spawn(move || Lock::take(&places).unwrap());
        thread::sleep(Duration::from_millis(200));
        drop(first);
        second.join().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(200));
    }

    #[test]
    fn a_lock_that_went_with_its_lab_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path(), Path::new("/tmp"));
        let first = Lock::take(&places).unwrap();
        let again = places.clone();
        let waiting = thread::spawn(move || Lock::take(&again).unwrap());
        thread::sleep(Duration::from_millis(100));
        remove(&places.lock()).unwrap();
        drop(first);
        let lock = waiting.join().unwrap();
        assert!(is_at(&lock.file, &places.lock()));
    }
}
