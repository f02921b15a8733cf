//! A disk in memory that stops wherever a test wants, by a seed. Start at [`SimDisk::crash`].
//!
//! What was written and not synced is there, gone, or torn after a crash; each rename and removal that was
//! not synced happened or did not, by itself. Clones are the same disk.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Disk, Folder, Stamp};
use crate::count::lock;

type Name = (Folder, String);

#[derive(Clone, Debug, Default)]
struct Content {
    number: u64,
    bytes: Vec<u8>,
    synced: bool,
}

#[derive(Debug, Default)]
struct Sim {
    fresh: BTreeMap<Name, Content>,
    files: BTreeMap<Name, Content>,
    /// Names as they are on the disk.
    durable: BTreeMap<Name, Content>,
    touched: BTreeMap<Name, SystemTime>,
    changes: BTreeMap<Folder, u64>,
    next: u64,
    /// Operations until the machine stops, or until one fails.
    stop_in: Option<u64>,
    fail_in: Option<(u64, ErrorKind)>,
    stopped: bool,
    operations: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Sim>>);

impl SimDisk {
    /// Stops the machine before the operation after so many more.
    pub(crate) fn stop_in(&self, operations: u64) {
        lock(&self.0).stop_in = Some(operations);
    }

    /// Lets the operation after so many more fail, once.
    pub(crate) fn fail_in(&self, operations: u64, kind: ErrorKind) {
        lock(&self.0).fail_in = Some((operations, kind));
    }

    /// How many operations that change something there were.
    pub(crate) fn operations(&self) -> u64 {
        lock(&self.0).operations
    }

    /// The disk as the next start finds it; `dice` gives the numbers that decide.
    pub(crate) fn crash(&self, mut dice: impl FnMut() -> u64) -> SimDisk {
        let old = lock(&self.0);
        let names: Vec<Name> = old.files.keys().chain(old.durable.keys()).cloned().collect();
        let mut files = BTreeMap::new();
        for name in names {
            let kept = if dice() % 2 == 0 { old.files.get(&name) } else { old.durable.get(&name) };
            let Some(content) = kept else { continue };
            let mut content = content.clone();
            if !content.synced {
                // A name whose content never reached the disk.
                let length = dice() as usize % (content.bytes.len() + 1);
                content.bytes.truncate(length);
                content.synced = true;
            }
            files.insert(name, content);
        }
        let durable = files.clone();
        let sim = Sim { files, durable, next: old.next + 1, ..Sim::default() };
        SimDisk(Arc::new(Mutex::new(sim)))
    }

    /// Changes a byte of a file that is synced.
    pub(crate) fn damage(&self, folder: Folder, name: &str, at: usize) {
        let Sim { files, durable, .. } = &mut *lock(&self.0);
        for names in [files, durable] {
            names.get_mut(&key(folder, name)).expect("it is there").bytes[at] ^= 1;
        }
    }

    fn change<T>(&self, work: impl FnOnce(&mut Sim) -> io::Result<T>) -> io::Result<T> {
        let mut sim = lock(&self.0);
        if sim.stop_in == Some(0) || sim.stopped {
            sim.stopped = true;
            return Err(io::Error::other("the machine has stopped"));
        }
        sim.stop_in = sim.stop_in.map(|left| left - 1);
        sim.operations += 1;
        match sim.fail_in {
            Some((0, kind)) => {
                sim.fail_in = None;
                return Err(kind.into());
            }
            Some((left, kind)) => sim.fail_in = Some((left - 1, kind)),
            None => {}
        }
        work(&mut sim)
    }
}

fn key(folder: Folder, name: &str) -> Name {
    (folder, name.to_owned())
}

impl Disk for SimDisk {
    fn names(&self, folder: Folder) -> io::Result<Vec<String>> {
        let sim = lock(&self.0);
        let names = sim.files.keys().filter(|(of, _)| *of == folder);
        Ok(names.map(|(_, name)| name.clone()).collect())
    }

    fn changed(&self, folder: Folder) -> io::Result<SystemTime> {
        let changes = lock(&self.0).changes.get(&folder).copied().unwrap_or(0);
        Ok(UNIX_EPOCH + Duration::from_secs(changes))
    }

    fn stamp(&self, folder: Folder, name: &str) -> io::Result<Stamp> {
        let sim = lock(&self.0);
        let file = sim.files.get(&key(folder, name)).ok_or(ErrorKind::NotFound)?;
        let modified = sim.touched.get(&key(folder, name)).copied().unwrap_or(UNIX_EPOCH);
        Ok(Stamp { inode: file.number, len: file.bytes.len() as u64, modified })
    }

    fn read(&self, folder: Folder, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        let sim = lock(&self.0);
        let file = sim.files.get(&key(folder, name)).ok_or(ErrorKind::NotFound)?;
        if file.bytes.len() > longest {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(file.bytes.clone())
    }

    fn write_fresh(&self, folder: Folder, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|sim| {
            sim.next += 1;
            let content = Content { number: sim.next, bytes: bytes.to_vec(), synced: false };
            sim.fresh.insert(key(folder, name), content);
            Ok(())
        })
    }

    fn sync_fresh(&self, folder: Folder, names: &[&str]) -> io::Result<()> {
        self.change(|sim| {
            for name in names {
                let fresh = sim.fresh.get_mut(&key(folder, name)).ok_or(ErrorKind::NotFound)?;
                fresh.synced = true;
            }
            Ok(())
        })
    }

    fn rename_fresh(&self, folder: Folder, name: &str) -> io::Result<()> {
        self.change(|sim| {
            let fresh = sim.fresh.remove(&key(folder, name)).ok_or(ErrorKind::NotFound)?;
            sim.files.insert(key(folder, name), fresh);
            *sim.changes.entry(folder).or_default() += 1;
            Ok(())
        })
    }

    fn remove(&self, folder: Folder, name: &str) -> io::Result<()> {
        self.change(|sim| {
            sim.files.remove(&key(folder, name)).ok_or(ErrorKind::NotFound)?;
            *sim.changes.entry(folder).or_default() += 1;
            Ok(())
        })
    }

    fn sync_names(&self, folder: Folder) -> io::Result<()> {
        self.change(|sim| {
            sim.durable.retain(|(of, _), _| *of != folder);
            let names = sim.files.iter().filter(|((of, _), _)| *of == folder);
            let names: Vec<_> =
                names.map(|(name, content)| (name.clone(), content.clone())).collect();
            sim.durable.extend(names);
            Ok(())
        })
    }

    fn touch(&self, folder: Folder, name: &str, at: SystemTime) -> io::Result<()> {
        lock(&self.0).touched.insert(key(folder, name), at);
        Ok(())
    }
}
