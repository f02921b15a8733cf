//! What may be wrong around a machine: its clock, its disk, the cable between the rooms. Start at
//! [`Lab::set_clock`]. Nothing here is done to a machine that is on, but for the cable.

use std::fs::File;
use std::io::{self, Read};

use formats::gpt::Table;
use formats::{Opened, ReadAt as _};

use crate::lab::Lab;
use crate::machine::Found;
use crate::{LabError, notes, switch};

/// How much is compared at once.
const CHUNK: usize = 1 << 20;

impl Lab {
    /// What a machine's clock says whenever it is switched on from now on, such as `1970-01-01T00:00:00`;
    /// none for the right time.
    ///
    /// # Errors
    /// If the machine is on.
    pub fn set_clock(&mut self, name: &str, clock: Option<&str>) -> Result<(), LabError> {
        let _lock = self.lock()?;
        self.must_be_off(name)?;
        let machines = self.notes.plan.machines.iter_mut();
        for machine in machines.filter(|machine| machine.name.as_str() == name) {
            machine.clock = clock.map(str::to_owned);
        }
        notes::write(&self.places.notes(), &self.notes)
    }

    /// Lets the cable between switches lose what is longer than a packet of so many bytes, and say nothing,
    /// until it is mended.
    ///
    /// # Errors
    /// If there are no switches at this wire.
    pub fn narrow_link(&mut self, wire: &str, mtu: u16) -> Result<(), LabError> {
        let _lock = self.lock()?;
        if !self.notes.plan.cable(wire)?.switched {
            return Err(LabError::Plan {
                why: format!(
                    "the cable {wire} goes from one machine to the other, and nothing can be between"
                ),
                cure: "start the lab with --switches".into(),
            });
        }
        switch::narrow_trunk(&self.places, wire, mtu)
    }

    /// Cuts a machine's disk off behind so many MiB, as if the image had been written to a disk of this size.
    ///
    /// # Errors
    /// If the machine is on.
    pub fn cut_disk_off(&mut self, name: &str, mib: u32) -> Result<(), LabError> {
        let _lock = self.lock()?;
        self.must_be_off(name)?;
        let disk = self.machine(name)?.places.disk;
        let cut = File::options().write(true).open(&disk);
        cut.and_then(|file| file.set_len(u64::from(mib) << 20))
            .map_err(LabError::system("cut off the disk", &disk))
    }

    /// Whether a machine's disk still is what its image is, as far as it goes. The EFI partition does not
    /// count, as the boot loader counts its tries there.
    ///
    /// # Errors
    /// If either cannot be read.
    pub fn disk_is_as_written(&self, name: &str) -> Result<bool, LabError> {
        let machine = self.machine(name)?;
        let (disk, image) = (&machine.places.disk, &machine.plan.image);
        let same = || -> io::Result<bool> {
            let (mut disk, image) = (File::open(disk)?, Opened::new(File::open(image)?)?);
            let table = Table::parse(&image).map_err(io::Error::other)?.table;
            let end = table.partitions.get(1).map_or(0, |root| root.offset());
            let (mut at, mut one, mut other) = (0, vec![0; CHUNK], vec![0; CHUNK]);
            loop {
                let length = disk.read(&mut one)?;
                if length == 0 {
                    return Ok(true);
                }
                image.read_at(at, &mut other[..length])?;
                let from = usize::try_from(end.saturating_sub(at)).unwrap_or(length).min(length);
                if one[from..length] != other[from..length] {
                    return Ok(false);
                }
                at += length as u64;
            }
        };
        same().map_err(LabError::system("compare with its image", disk))
    }

    fn must_be_off(&self, name: &str) -> Result<(), LabError> {
        match self.machine(name)?.find()? {
            Found::On(..) => Err(LabError::On { machine: name.into() }),
            Found::Off | Found::Ended { .. } => Ok(()),
        }
    }
}
