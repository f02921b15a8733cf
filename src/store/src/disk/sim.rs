//! A disk in memory that breaks as real ones do, by a seed: for tests of everything that promises to
//! survive. Start at [`SimDisk`].
//!
//! A crash loses or keeps each unsynced 512-byte sector by itself, in any order, and each unsynced
//! change of a name likewise; a sector is never torn within. The same seed and the same calls give
//! the same bytes, whatever the machine. Nothing here sleeps: slow syncs pass on a clock of its own.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Disk, DiskFile, Entry};

/// What a disk writes as a whole or not at all.
pub const SECTOR: usize = 512;

/// Versions of one unsynced sector that may still be the one on the disk after a crash.
const VERSIONS: usize = 8;

/// Numbers by a seed (SplitMix64; Steele, Lea, Flood, 2014): the same everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below the bound, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writing to a file; a part may be written.
    Write,
    /// Syncing a file; what of it is durable is left to chance, and it is not written again.
    Sync,
    /// Syncing the folder.
    SyncFolder,
    /// Making a file.
    Create,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
}

/// A simulated disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<Sim>>);

#[derive(Clone, Debug)]
struct Sim {
    dice: Dice,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the folder was synced.
    unsynced: Vec<NameChange>,
    /// Handles of an earlier life are dead.
    life: u64,
    capacity: u64,
    faults: Vec<(Operation, u64, ErrorKind)>,
    cut_in: Option<u64>,
    down: bool,
    operations: u64,
    sync_time: Duration,
    clock: Duration,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set { name: String, file: u64 },
    Rename { from: String, to: String, file: u64 },
    Remove { name: String },
}

/// A file: as a reader sees it, as the disk holds it, and what may be on the disk instead.
#[derive(Clone, Debug, Default)]
struct Content {
    cache: Vec<u8>,
    disk: Vec<u8>,
    pending: BTreeMap<usize, Vec<[u8; SECTOR]>>,
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let old = self.cache.len();
        if end > old {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        for sector in offset.min(old) / SECTOR..end.div_ceil(SECTOR) {
            let versions = self.pending.entry(sector).or_default();
            if versions.len() == VERSIONS {
                versions.remove(0);
            }
            versions.push(sector_of(&self.cache, sector));
        }
    }

    /// Puts one version of a sector on the disk.
    fn settle(&mut self, sector: usize, bytes: &[u8; SECTOR]) {
        let start = sector * SECTOR;
        let end = self.disk.len().min(start + SECTOR);
        if start < end {
            self.disk[start..end].copy_from_slice(&bytes[..end - start]);
        }
    }

    fn sync(&mut self) {
        self.disk.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.pending).into_keys() {
            let bytes = sector_of(&self.cache, sector);
            self.settle(sector, &bytes);
        }
    }

    /// Each pending sector is on the disk, in one of its versions, or is not; the length likewise.
    fn decide(&mut self, luck: Luck, dice: &mut Dice) {
        if self.cache.len() > self.disk.len() && luck.keeps(dice) {
            self.disk.resize(self.cache.len(), 0);
        }
        for (sector, versions) in std::mem::take(&mut self.pending) {
            let chosen = match luck {
                Luck::Nothing => None,
                Luck::Chance => versions.get(dice.below(versions.len() + 1)),
                Luck::All => versions.last(),
            };
            if let Some(bytes) = chosen {
                self.settle(sector, bytes);
            }
        }
    }
}

/// What a crash keeps of what was not synced.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Nothing,
    Chance,
    All,
}

impl Luck {
    fn of(dice: &mut Dice) -> Luck {
        [Luck::Nothing, Luck::Chance, Luck::Chance, Luck::All][dice.below(4)]
    }

    fn keeps(self, dice: &mut Dice) -> bool {
        match self {
            Luck::Nothing => false,
            Luck::Chance => dice.one_in(2),
            Luck::All => true,
        }
    }
}

fn sector_of(bytes: &[u8], sector: usize) -> [u8; SECTOR] {
    let mut whole = [0; SECTOR];
    let start = sector * SECTOR;
    let end = bytes.len().min(start + SECTOR);
    if start < end {
        whole[..end - start].copy_from_slice(&bytes[start..end]);
    }
    whole
}

impl Sim {
    /// Whether the machine runs; counts an operation that changes something, and says whether the
    /// power goes in the middle of it.
    fn enter(&mut self, operation: Operation) -> io::Result<bool> {
        self.running()?;
        self.operations += 1;
        if let Some(left) = &mut self.cut_in {
            if *left == 0 {
                self.down = true;
                return Ok(true);
            }
            *left -= 1;
        }
        for (at, (kind, after, error)) in self.faults.iter_mut().enumerate() {
            if *kind == operation {
                if *after == 0 {
                    let error = *error;
                    self.faults.remove(at);
                    return Err(io::Error::new(error, Injected));
                }
                *after -= 1;
            }
        }
        Ok(false)
    }

    fn running(&self) -> io::Result<()> {
        if self.down { Err(power()) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from(ErrorKind::NotFound))
    }

    fn content(&mut self, life: u64, file: u64) -> io::Result<&mut Content> {
        self.running()?;
        if life != self.life {
            return Err(io::Error::other("the simulated process that opened this file has ended"));
        }
        self.files.get_mut(&file).ok_or_else(|| io::Error::from(ErrorKind::NotFound))
    }

    fn used(&self) -> u64 {
        let size = |file: &u64| {
            let bytes = self.files.get(file).map_or(0, |content| content.cache.len());
            (bytes.div_ceil(SECTOR) * SECTOR) as u64
        };
        self.names.values().map(size).sum()
    }

    fn write(&mut self, life: u64, file: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.content(life, file)?;
        let entered = self.enter(Operation::Write);
        let room = self.capacity.saturating_sub(self.used());
        let injected = entered.is_err().then(|| self.dice.below(bytes.len() * 4 / 3 + 1));
        let content = self.files.get_mut(&file).expect("it was found above");
        let allocated = content.cache.len().div_ceil(SECTOR) * SECTOR;
        let fits = (allocated as u64).saturating_add(room).saturating_sub(offset as u64);
        let fits = bytes.len().min(usize::try_from(fits).unwrap_or(usize::MAX));
        // A write that fails has written whole sectors, or all.
        let whole = |part: usize| ((offset + part) / SECTOR * SECTOR).saturating_sub(offset);
        let part = injected.filter(|part| *part < bytes.len()).map_or(bytes.len(), whole).min(fits);
        if part > 0 {
            content.write(offset, &bytes[..part]);
        }
        match entered {
            Err(error) => Err(error),
            Ok(true) => Err(power()),
            Ok(false) if fits < bytes.len() => Err(io::Error::from(ErrorKind::StorageFull)),
            Ok(false) => Ok(()),
        }
    }

    fn sync_file(&mut self, life: u64, file: u64) -> io::Result<()> {
        self.content(life, file)?;
        // Stalls of seconds do happen.
        let stall = if self.dice.one_in(64) { 1000 } else { 1 };
        self.clock += self.sync_time * stall;
        let entered = self.enter(Operation::Sync);
        let content = self.files.get_mut(&file).expect("it was found above");
        match entered {
            Ok(true) => Err(power()),
            Ok(false) => {
                content.sync();
                Ok(())
            }
            Err(error) => {
                content.decide(Luck::Chance, &mut self.dice);
                Err(error)
            }
        }
    }

    /// The disk after the power went: unsynced changes are decided, one by one.
    fn lose(&mut self) {
        let luck = Luck::of(&mut self.dice);
        for change in std::mem::take(&mut self.unsynced) {
            if !luck.keeps(&mut self.dice) {
                continue;
            }
            match change {
                NameChange::Set { name, file } => {
                    self.durable_names.insert(name, file);
                }
                NameChange::Rename { from, to, file } => {
                    if self.durable_names.get(&from) == Some(&file) {
                        self.durable_names.remove(&from);
                    }
                    self.durable_names.insert(to, file);
                }
                NameChange::Remove { name } => {
                    self.durable_names.remove(&name);
                }
            }
        }
        self.names = self.durable_names.clone();
        self.forget();
        let luck = Luck::of(&mut self.dice);
        for content in self.files.values_mut() {
            content.decide(luck, &mut self.dice);
            content.cache.clone_from(&content.disk);
        }
    }

    /// Files that no name leads to are gone.
    fn forget(&mut self) {
        let (names, durable) = (&self.names, &self.durable_names);
        self.files
            .retain(|file, _| names.values().chain(durable.values()).any(|named| named == file));
    }
}

/// The cause inside of every injected error.
#[derive(Debug, thiserror::Error)]
#[error("injected by the simulated disk")]
pub struct Injected;

fn power() -> io::Error {
    io::Error::other("the simulated machine has no power")
}

impl SimDisk {
    /// An empty disk, whose misfortunes follow from the seed.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Sim {
            dice: Dice::new(seed),
            files: BTreeMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced: Vec::new(),
            life: 0,
            capacity: u64::MAX,
            faults: Vec::new(),
            cut_in: None,
            down: false,
            operations: 0,
            sync_time: Duration::from_millis(1),
            clock: Duration::ZERO,
        })))
    }

    /// Another disk, in the same condition and with the same future; files that are open stay with
    /// this one.
    #[must_use]
    pub fn fork(&self) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(self.sim().clone())))
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        // A test that panicked while it held the lock has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes during the operation that comes after so many more; from then on all fail.
    pub fn cut_power_in(&self, operations: u64) {
        self.sim().cut_in = Some(operations);
    }

    /// Whether the power has gone.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.sim().down
    }

    /// The machine crashes, if it has not, and comes back: what was not synced is lost, torn or kept.
    /// Planned faults are forgotten; what is open is dead.
    pub fn crash(&self) {
        let sim = &mut *self.sim();
        sim.lose();
        sim.restart();
    }

    /// Only the process ends: everything it wrote is still in the machine's cache, synced or not. If
    /// the power is gone, this is [`SimDisk::crash`].
    pub fn kill(&self) {
        let sim = &mut *self.sim();
        if sim.down {
            sim.lose();
        }
        sim.restart();
    }

    /// After so many more operations of this kind, one fails.
    pub fn fail(&self, operation: Operation, after: u64, kind: ErrorKind) {
        self.sim().faults.push((operation, after, kind));
    }

    /// Takes back every planned fault.
    pub fn mend(&self) {
        let sim = &mut *self.sim();
        sim.faults.clear();
        sim.cut_in = None;
    }

    /// Bytes that the disk holds; writing into a file's existing bytes needs no more.
    pub fn set_capacity(&self, bytes: u64) {
        self.sim().capacity = bytes;
    }

    /// Bytes that are used.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.sim().used()
    }

    /// Inverts one bit of a file, on the disk and for readers; false if there is no such bit.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) -> bool {
        let sim = &mut *self.sim();
        let (Some(file), Ok(offset)) = (sim.names.get(name), usize::try_from(offset)) else {
            return false;
        };
        let Some(content) = sim.files.get_mut(file) else { return false };
        let mut found = false;
        for bytes in [&mut content.cache, &mut content.disk] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
                found = true;
            }
        }
        for version in content.pending.get_mut(&(offset / SECTOR)).into_iter().flatten() {
            version[offset % SECTOR] ^= 1 << (bit % 8);
        }
        found
    }

    /// How many operations have changed, or tried to change, something.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.sim().operations
    }

    /// How long one sync takes on the simulated clock; one of 64 takes a thousand times as long.
    pub fn set_sync_time(&self, time: Duration) {
        self.sim().sync_time = time;
    }

    /// How long all syncs have taken together.
    #[must_use]
    pub fn clock(&self) -> Duration {
        self.sim().clock
    }
}

impl Sim {
    fn restart(&mut self) {
        self.life += 1;
        self.down = false;
        self.cut_in = None;
        self.faults.clear();
    }

    /// The error of an operation on names that was carried out just before the power went.
    fn left(cut: bool) -> io::Result<()> {
        if cut { Err(power()) } else { Ok(()) }
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let sim = &mut *self.sim();
        let cut = sim.enter(Operation::Create)?;
        if sim.names.contains_key(name) {
            return Err(io::Error::from(ErrorKind::AlreadyExists));
        }
        let file = sim.next_file;
        sim.next_file += 1;
        sim.files.insert(file, Content::default());
        sim.names.insert(name.to_owned(), file);
        sim.unsynced.push(NameChange::Set { name: name.to_owned(), file });
        Sim::left(cut)?;
        Ok(Box::new(SimFile { disk: self.clone(), life: sim.life, file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let sim = self.sim();
        sim.running()?;
        let file = sim.find(name)?;
        Ok(Box::new(SimFile { disk: self.clone(), life: sim.life, file }))
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let sim = self.sim();
        sim.running()?;
        let entry = |(name, file): (&String, &u64)| {
            let len = sim.files.get(file).map_or(0, |content| content.cache.len() as u64);
            Entry { name: name.clone(), len }
        };
        Ok(sim.names.iter().map(entry).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let sim = &mut *self.sim();
        let cut = sim.enter(Operation::Rename)?;
        let file = sim.find(from)?;
        sim.names.remove(from);
        sim.names.insert(to.to_owned(), file);
        sim.unsynced.push(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file });
        Sim::left(cut)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let sim = &mut *self.sim();
        let cut = sim.enter(Operation::Remove)?;
        sim.find(name)?;
        sim.names.remove(name);
        sim.unsynced.push(NameChange::Remove { name: name.to_owned() });
        Sim::left(cut)
    }

    fn sync(&self) -> io::Result<()> {
        let sim = &mut *self.sim();
        if sim.enter(Operation::SyncFolder)? {
            return Err(power());
        }
        sim.unsynced.clear();
        sim.durable_names = sim.names.clone();
        sim.forget();
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        let sim = self.sim();
        sim.running()?;
        Ok(sim.capacity.saturating_sub(sim.used()))
    }
}

struct SimFile {
    disk: SimDisk,
    life: u64,
    file: u64,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let sim = &mut *self.disk.sim();
        Ok(sim.content(self.life, self.file)?.cache.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let sim = &mut *self.disk.sim();
        let cache = &sim.content(self.life, self.file)?.cache;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(cache.len());
        let end = start.saturating_add(into.len()).min(cache.len());
        into[..end - start].copy_from_slice(&cache[start..end]);
        Ok(end - start)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset =
            usize::try_from(offset).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        self.disk.sim().write(self.life, self.file, offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sim().sync_file(self.life, self.file)
    }
}

#[cfg(test)]
mod tests;
