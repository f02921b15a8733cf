//! `duetd disks` on disks that are played by memory: what is decided in [`decisions`], power cuts in [`cuts`].
#![allow(clippy::unwrap_used)]

mod cuts;
mod decisions;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use formats::ReadAt;
use formats::gpt::SECTOR;

use super::*;

/// Both ends that are read whole, and something between them.
const BYTES: u64 = (8 << 20) + (2 << 20);

/// Rules of a machine of the site `x` for disks of any size.
fn settings(empty: bool, erase: &[&str]) -> Settings {
    let erase = erase.iter().map(|one| one.parse().unwrap()).collect();
    let rules = Disks { empty, min_gib: 0, erase };
    Settings { site: "x".parse().unwrap(), own_seed: true, rules }
}

/// A disk that nothing speaks against, with a serial number like its name.
fn disk(name: &str) -> Disk {
    Disk {
        name: name.to_owned(),
        serial: Some(format!("serial-of-{name}").parse().unwrap()),
        wwid: None,
        model: None,
        bytes: BYTES,
        sector_bytes: 512,
        removable: false,
        remote: false,
        read_only: false,
        system: false,
        uses: Vec::new(),
        content: Content::NotRead,
    }
}

fn mark(name: &str) -> Mark {
    mark_of(Some(&settings(true, &[])), &disk(name)).unwrap()
}

/// Which sectors of what was written and not synced are there after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Torn {
    None,
    All,
    Even,
    Odd,
    FirstHalf,
    LastHalf,
}

impl Torn {
    const ALL: [Torn; 6] =
        [Torn::None, Torn::All, Torn::Even, Torn::Odd, Torn::FirstHalf, Torn::LastHalf];

    fn keeps(self, sector: usize, of: usize) -> bool {
        match self {
            Torn::None => false,
            Torn::All => true,
            Torn::Even => sector % 2 == 0,
            Torn::Odd => sector % 2 == 1,
            Torn::FirstHalf => sector < of / 2,
            Torn::LastHalf => sector >= of / 2,
        }
    }
}

/// What is on a disk.
#[derive(Debug, Clone, Default)]
struct Platter {
    durable: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
    /// Writes and syncs since it was made.
    operations: usize,
    /// At which of them the power goes off, if it does.
    cut_at: Option<usize>,
}

impl Platter {
    /// The end of a machine's power: what was not synced is there in part.
    fn power_off(&mut self, torn: Torn) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            let sectors = bytes.len().div_ceil(SECTOR as usize);
            for (number, sector) in bytes.chunks(SECTOR as usize).enumerate() {
                if torn.keeps(number, sectors) {
                    let at = offset as usize + number * SECTOR as usize;
                    self.durable[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
    }

    fn operate(&mut self) -> io::Result<()> {
        if self.cut_at == Some(self.operations) {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        Ok(())
    }
}

/// A machine with such disks.
#[derive(Default)]
struct Toy {
    disks: Vec<Disk>,
    platters: BTreeMap<String, RefCell<Platter>>,
    /// Disks that another program has for itself.
    busy: Vec<String>,
}

impl Toy {
    /// A machine with one disk.
    fn with(name: &str, bytes: Vec<u8>) -> Toy {
        Toy::default().and(disk(name), bytes)
    }

    fn and(mut self, disk: Disk, bytes: Vec<u8>) -> Toy {
        let platter = Platter { durable: bytes, ..Platter::default() };
        self.platters.insert(disk.name.clone(), RefCell::new(platter));
        self.disks.push(disk);
        self
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.platters[name].borrow().durable.clone()
    }

    fn run(&self, settings: &Settings) -> Report {
        apply(self, Some(settings), &[], false)
    }
}

struct Opened<'a>(&'a RefCell<Platter>, Access);

impl ReadAt for Opened<'_> {
    fn len(&self) -> u64 {
        self.0.borrow().durable.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let platter = self.0.borrow();
        platter.durable.read_at(offset, buf)?;
        let wanted = offset..offset + buf.len() as u64;
        for (at, bytes) in &platter.pending {
            let start = wanted.start.max(*at);
            let end = wanted.end.min(at + bytes.len() as u64);
            if start < end {
                let (to, from) = ((start - offset) as usize, (start - at) as usize);
                let long = (end - start) as usize;
                buf[to..to + long].copy_from_slice(&bytes[from..from + long]);
            }
        }
        Ok(())
    }
}

impl Medium for Opened<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(self.1, Access::Write, "it was opened for reading");
        let mut platter = self.0.borrow_mut();
        assert!(offset + bytes.len() as u64 <= platter.durable.len() as u64);
        assert!(offset % SECTOR == 0 && bytes.len() as u64 % SECTOR == 0);
        platter.operate()?;
        platter.pending.push((offset, bytes.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut platter = self.0.borrow_mut();
        platter.operate()?;
        platter.power_off(Torn::All);
        Ok(())
    }
}

impl Machine for Toy {
    fn disks(&self) -> Vec<Disk> {
        self.disks.clone()
    }

    fn open(&self, disk: &str, access: Access) -> io::Result<Box<dyn Medium + '_>> {
        if access != Access::Look && self.busy.iter().any(|busy| busy == disk) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        match self.platters.get(disk) {
            Some(platter) => Ok(Box::new(Opened(platter, access))),
            None => Err(io::Error::other("input/output error")),
        }
    }

    fn show_partition(&self, disk: &str) -> Result<(), String> {
        let open = self.open(disk, Access::Look).unwrap();
        match content::whose(&*open, Some(&mark(disk))) {
            Content::Ours { sound: true } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

fn blank() -> Vec<u8> {
    vec![0; BYTES as usize]
}

/// The beginning of an ext4 file system, and something in its middle.
fn ext4() -> Vec<u8> {
    let mut disk = blank();
    disk[1080..1082].copy_from_slice(&[0x53, 0xef]);
    disk[(5 << 20)..(5 << 20) + 7].copy_from_slice(b"letters");
    disk
}

/// A disk that another site has taken.
fn of_another_site(name: &str) -> Vec<u8> {
    let other = Settings { site: "y".parse().unwrap(), ..settings(true, &[]) };
    let toy = Toy::with(name, blank());
    assert_eq!(toy.run(&other).disks[0].state, State::Taken);
    toy.bytes(name)
}
