//! GUID partition tables.
//!
//! Start at [`Table`]. Source: UEFI specification 2.10, chapter 5 ("GUID Partition Table (GPT) Disk
//! Layout"). Sectors have 512 bytes here; a disk of 4096-byte sectors is recognised and refused.
//! The reader believes nothing that its checksum does not cover.

mod error;
mod guid;
mod header;

use std::fmt::Write as _;

pub use error::GptError;
pub use guid::{Guid, GuidError};
use header::Header;

use crate::{ReadAt, show};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Partitions begin at multiples of this many sectors: 1 MiB suits every flash and RAID.
pub const ALIGNMENT: u64 = 2048;
/// Sectors at the start that the table fills: protective MBR, header, 128 entries.
pub const HEAD_SECTORS: u64 = 34;
/// Sectors at the end that the table fills: 128 entries, header.
pub const TAIL_SECTORS: u64 = 33;

/// Byte addresses have 64 bits.
const MAX_SECTORS: u64 = u64::MAX / SECTOR;
/// Entries that are written, as UEFI asks for at the least.
const ENTRIES: usize = 128;
/// Bytes of an entry.
const ENTRY: usize = 128;
/// A partition's name has 36 UTF-16 units.
const NAME_UNITS: usize = 36;

/// A partition table: what is on a disk of `sectors` sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk's own GUID.
    pub disk_guid: Guid,
    /// Size of the disk, in sectors of 512 bytes.
    pub sectors: u64,
    /// Partition `n` is at index `n - 1`. A number that is not used between others that are has an
    /// entry of type [`Guid::NIL`]; [`Table::used`] leaves those out.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Partition {
    /// What it is for.
    pub type_guid: Guid,
    /// Which one it is: the PARTUUID.
    pub guid: Guid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector; it belongs to the partition.
    pub last_lba: u64,
    /// Bits of UEFI and, from 48 on, of the type.
    pub attributes: u64,
    /// The label: at most 36 UTF-16 units.
    pub name: String,
}

/// Attribute bit 60 of the Discoverable Partitions Specification: read-only.
pub const READ_ONLY: u64 = 1 << 60;
/// Attribute bit 59: the filesystem is to grow to the partition's size when it is mounted.
pub const GROW_FILESYSTEM: u64 = 1 << 59;
/// Attribute bit 63: not to be mounted by itself.
pub const NO_AUTO: u64 = 1 << 63;

/// A table as bytes, for the two ends of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Sectors 0 to 33: protective MBR, primary header, entries.
    pub head: Vec<u8>,
    /// The last 33 sectors: entries, backup header.
    pub tail: Vec<u8>,
}

/// A table that was read, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The table. Its `sectors` are those of the disk it was written for.
    pub table: Table,
    /// Which copy it is from.
    pub copy: Copy,
    /// Size of the device it was read from, in sectors.
    pub device_sectors: u64,
}

/// The state of a table's two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// Primary and backup are sound and say the same.
    Both,
    /// The primary is sound; the backup is damaged, differs or lies beyond the device.
    Primary,
    /// The primary is damaged; this is the backup.
    Backup,
}

/// A partition to be placed by [`Table::layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it is for.
    pub type_guid: Guid,
    /// Which one it is.
    pub guid: Guid,
    /// How large it must be, in bytes; rounded up to 1 MiB.
    pub bytes: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// The label.
    pub name: String,
}

impl Partition {
    /// Size in sectors.
    pub fn sectors(&self) -> u64 {
        (self.last_lba + 1).saturating_sub(self.first_lba)
    }

    /// First byte on the disk.
    pub fn offset(&self) -> u64 {
        self.first_lba * SECTOR
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.sectors() * SECTOR
    }
}

impl Table {
    /// Places partitions one behind the other, each at a multiple of 1 MiB, on the smallest disk
    /// that holds them: 1 MiB before and 1 MiB after for the table's two copies.
    ///
    /// # Errors
    /// As [`Table::check`]; a partition of no size.
    pub fn layout(disk_guid: Guid, wanted: Vec<Wanted>) -> Result<Self, GptError> {
        let mut next = ALIGNMENT;
        let mut partitions = Vec::new();
        for (wanted, number) in wanted.into_iter().zip(1..) {
            let broken = |what| GptError::Partition { number, what };
            if wanted.bytes == 0 {
                return Err(broken("has no size"));
            }
            let sectors = wanted.bytes.div_ceil(SECTOR).checked_next_multiple_of(ALIGNMENT);
            let end = sectors.and_then(|sectors| next.checked_add(sectors));
            let end = end.filter(|end| *end < MAX_SECTORS - ALIGNMENT);
            let end = end.ok_or_else(|| broken("is larger than any disk"))?;
            partitions.push(Partition {
                type_guid: wanted.type_guid,
                guid: wanted.guid,
                first_lba: next,
                last_lba: end - 1,
                attributes: wanted.attributes,
                name: wanted.name,
            });
            next = end;
        }
        let table = Table { disk_guid, sectors: next + ALIGNMENT, partitions };
        table.check()?;
        Ok(table)
    }

    /// The partitions that are there, with their numbers.
    pub fn used(&self) -> impl Iterator<Item = (u32, &Partition)> {
        (1..).zip(&self.partitions).filter(|(_, partition)| partition.type_guid != Guid::NIL)
    }

    /// Extends the partition that lies last to the end of a larger disk, down to a whole MiB, and
    /// returns whether that made it larger.
    ///
    /// # Errors
    /// If the disk is smaller than the table says, or larger than there can be.
    pub fn grow_last(&mut self, sectors: u64) -> Result<bool, GptError> {
        if sectors < self.sectors {
            return Err(GptError::Shorter { sectors, wanted: self.sectors });
        }
        if sectors > MAX_SECTORS {
            return Err(GptError::Header { what: "would be for a disk larger than there can be" });
        }
        self.sectors = sectors;
        let end = sectors.saturating_sub(TAIL_SECTORS) / ALIGNMENT * ALIGNMENT;
        let used = self.partitions.iter_mut().filter(|one| one.type_guid != Guid::NIL);
        let last = used.max_by_key(|partition| partition.last_lba);
        Ok(match last {
            Some(last) if last.last_lba + 1 < end => {
                last.last_lba = end - 1;
                true
            }
            _ => false,
        })
    }

    /// Whether this can be a disk's table.
    ///
    /// # Errors
    /// If a partition lies outside the disk or over another, two bear one GUID, or one has too
    /// long a name.
    pub fn check(&self) -> Result<(), GptError> {
        let smallest = HEAD_SECTORS + TAIL_SECTORS;
        if self.sectors < smallest {
            return Err(GptError::Shorter { sectors: self.sectors, wanted: smallest });
        }
        if self.sectors > MAX_SECTORS {
            return Err(GptError::Header { what: "is for a disk larger than there can be" });
        }
        if self.partitions.len() > ENTRIES {
            return Err(GptError::Header { what: "has more than 128 entries" });
        }
        check_partitions(self.used(), HEAD_SECTORS, self.sectors - TAIL_SECTORS)
    }

    /// The table as bytes.
    ///
    /// # Errors
    /// As [`Table::check`].
    pub fn encode(&self) -> Result<Encoded, GptError> {
        self.check()?;
        let mut entries = vec![0; ENTRIES * ENTRY];
        for (entry, partition) in entries.chunks_exact_mut(ENTRY).zip(&self.partitions) {
            header::put_entry(entry, partition);
        }
        let mut primary = Header {
            my_lba: 1,
            other_lba: self.sectors - 1,
            first_usable: HEAD_SECTORS,
            last_usable: self.sectors - TAIL_SECTORS - 1,
            disk_guid: self.disk_guid,
            entries_lba: 2,
            entry_count: ENTRIES as u32,
            entry_size: ENTRY as u32,
            entries_crc: crc32fast::hash(&entries),
        };
        let mut head = header::protective_mbr(self.sectors);
        head.extend(primary.encode());
        head.extend(&entries);
        std::mem::swap(&mut primary.my_lba, &mut primary.other_lba);
        primary.entries_lba = self.sectors - TAIL_SECTORS;
        let mut tail = entries;
        tail.extend(primary.encode());
        Ok(Encoded { head, tail })
    }

    /// Reads the table of a device: the primary copy or, if that is damaged, the backup at the end.
    ///
    /// A device that is larger than the table says is accepted: an image written to a disk has its
    /// backup where the image ended.
    ///
    /// # Errors
    /// If neither copy is sound, or the sectors do not have 512 bytes.
    pub fn parse(device: &dyn ReadAt) -> Result<Found, GptError> {
        let device_sectors = device.len() / SECTOR;
        let wanted = HEAD_SECTORS + TAIL_SECTORS;
        if device_sectors < wanted {
            return Err(GptError::Shorter { sectors: device_sectors, wanted });
        }
        match header::read_copy(device, 1) {
            Ok((table, other_lba)) => {
                let backup = header::read_copy(device, other_lba);
                let same = backup.is_ok_and(|(backup, lba)| lba == 1 && backup == table);
                let copy = if same { Copy::Both } else { Copy::Primary };
                Ok(Found { table, copy, device_sectors })
            }
            Err(error @ GptError::SectorSize | error @ GptError::Read { .. }) => Err(error),
            Err(primary) => match header::read_copy(device, device_sectors - 1) {
                Ok((table, _)) => Ok(Found { table, copy: Copy::Backup, device_sectors }),
                Err(_) => Err(primary),
            },
        }
    }

    /// What is on the disk, for a person.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        let (disk, sectors) = (self.disk_guid, self.sectors);
        let _ = writeln!(text, "GPT {disk}, {sectors} sectors of {SECTOR} bytes");
        for (number, one) in self.used() {
            let kind = one.type_guid.type_name().map_or(one.type_guid.to_string(), str::to_owned);
            let _ = writeln!(
                text,
                "{number:>4} {:<36} {:>12} +{:<12} {} {kind}{}",
                show::line(&one.name),
                one.first_lba,
                one.sectors(),
                one.guid,
                attributes(one.attributes),
            );
        }
        text
    }
}

fn attributes(bits: u64) -> String {
    let known = [
        (READ_ONLY, " read-only"),
        (GROW_FILESYSTEM, " grow"),
        (NO_AUTO, " no-auto"),
        (1, " required"),
    ];
    let mut text: String =
        known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    let others = known.iter().fold(bits, |bits, (bit, _)| bits & !bit);
    if others != 0 {
        let _ = write!(text, " {others:#x}");
    }
    text
}

fn check_partitions<'a>(
    used: impl Iterator<Item = (u32, &'a Partition)>,
    first_usable: u64,
    end_usable: u64,
) -> Result<(), GptError> {
    let mut used: Vec<_> = used.collect();
    for &(number, partition) in &used {
        let broken = |what| Err(GptError::Partition { number, what });
        if partition.first_lba > partition.last_lba {
            return broken("ends before it begins");
        }
        if partition.first_lba < first_usable || partition.last_lba >= end_usable {
            return broken("lies outside the part of the disk that may be used");
        }
        if partition.guid == Guid::NIL {
            return broken("has no GUID");
        }
        if partition.name.encode_utf16().count() > NAME_UNITS {
            return broken("has a name of more than 36 characters");
        }
    }
    used.sort_by_key(|(_, partition)| partition.first_lba);
    for pair in used.windows(2) {
        if pair[1].1.first_lba <= pair[0].1.last_lba {
            return Err(GptError::Overlap { one: pair[0].0, other: pair[1].0 });
        }
    }
    used.sort_by_key(|(_, partition)| partition.guid);
    match used.windows(2).find(|pair| pair[0].1.guid == pair[1].1.guid) {
        Some(pair) => {
            let what = "has the GUID of another partition";
            Err(GptError::Partition { number: pair[0].0.max(pair[1].0), what })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
