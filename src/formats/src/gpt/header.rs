//! The records of a GPT on disk: protective MBR, header, entries. UEFI 2.10, 5.2.3 and 5.3.

use super::{
    ENTRIES, ENTRY, GptError, Guid, MAX_SECTORS, NAME_UNITS, Partition, SECTOR, Table,
    check_partitions,
};
use crate::ReadAt;
use crate::field::{array, le16, le32, le64, put};

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
/// Bytes of the header that its checksum covers.
const HEADER: usize = 92;
/// Linux reads no larger table; ours has 16 KiB.
const MAX_ENTRIES_BYTES: u64 = 1 << 20;

/// A header, primary or backup (UEFI 2.10, table 5.5).
pub(super) struct Header {
    pub(super) my_lba: u64,
    pub(super) other_lba: u64,
    pub(super) first_usable: u64,
    pub(super) last_usable: u64,
    pub(super) disk_guid: Guid,
    pub(super) entries_lba: u64,
    pub(super) entry_count: u32,
    pub(super) entry_size: u32,
    pub(super) entries_crc: u32,
}

impl Header {
    /// One sector.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut sector = vec![0; SECTOR as usize];
        put(&mut sector, 0, SIGNATURE);
        put(&mut sector, 8, &REVISION.to_le_bytes());
        put(&mut sector, 12, &(HEADER as u32).to_le_bytes());
        put(&mut sector, 24, &self.my_lba.to_le_bytes());
        put(&mut sector, 32, &self.other_lba.to_le_bytes());
        put(&mut sector, 40, &self.first_usable.to_le_bytes());
        put(&mut sector, 48, &self.last_usable.to_le_bytes());
        put(&mut sector, 56, &self.disk_guid.to_disk());
        put(&mut sector, 72, &self.entries_lba.to_le_bytes());
        put(&mut sector, 80, &self.entry_count.to_le_bytes());
        put(&mut sector, 84, &self.entry_size.to_le_bytes());
        put(&mut sector, 88, &self.entries_crc.to_le_bytes());
        let crc = crc32fast::hash(&sector[..HEADER]);
        put(&mut sector, 16, &crc.to_le_bytes());
        sector
    }

    fn decode(sector: &[u8]) -> Option<Self> {
        Some(Header {
            my_lba: le64(sector, 24)?,
            other_lba: le64(sector, 32)?,
            first_usable: le64(sector, 40)?,
            last_usable: le64(sector, 48)?,
            disk_guid: Guid::from_disk(array(sector, 56)?),
            entries_lba: le64(sector, 72)?,
            entry_count: le32(sector, 80)?,
            entry_size: le32(sector, 84)?,
            entries_crc: le32(sector, 88)?,
        })
    }

    fn parse(sector: &[u8], lba: u64, device_sectors: u64) -> Result<Self, GptError> {
        let broken = |what| Err(GptError::Header { what });
        if !sector.starts_with(SIGNATURE) {
            return broken("has no `EFI PART`");
        }
        if le32(sector, 8) != Some(REVISION) {
            return broken("has an unknown revision");
        }
        let size = le32(sector, 12).unwrap_or(0) as usize;
        if !(HEADER..=sector.len()).contains(&size) {
            return broken("has a header of odd size");
        }
        let mut covered = sector[..size].to_vec();
        covered[16..20].fill(0);
        if le32(sector, 16) != Some(crc32fast::hash(&covered)) {
            return broken("has a header that does not match its checksum");
        }
        let Some(header) = Self::decode(sector) else { return broken("is too short") };
        let ends = [header.entries_lba, header.other_lba, header.my_lba, header.last_usable];
        if ends.iter().any(|lba| *lba >= MAX_SECTORS) {
            return broken("points beyond any disk");
        }
        if header.my_lba != lba {
            return broken("lies at another place than it says");
        }
        if header.last_usable >= device_sectors {
            return Err(GptError::Shorter {
                sectors: device_sectors,
                wanted: header.my_lba.max(header.other_lba) + 1,
            });
        }
        if header.first_usable < 2 || header.first_usable > header.last_usable {
            return broken("has no room for partitions");
        }
        if !header.entry_size.is_power_of_two() || header.entry_size < ENTRY as u32 {
            return broken("has entries of odd size");
        }
        if header.entries_bytes() > MAX_ENTRIES_BYTES {
            return broken("has too many entries");
        }
        if header.entries_lba < 2 {
            return broken("has its entries in the place of its header");
        }
        Ok(header)
    }

    fn entries_bytes(&self) -> u64 {
        u64::from(self.entry_count) * u64::from(self.entry_size)
    }
}

/// The copy of a table whose header is at `lba`, and where it says the other header is.
pub(super) fn read_copy(device: &dyn ReadAt, lba: u64) -> Result<(Table, u64), GptError> {
    let read = |lba: u64, buf: &mut [u8]| {
        device.read_at(lba * SECTOR, buf).map_err(|source| GptError::Read { lba, source })
    };
    let device_sectors = device.len() / SECTOR;
    if lba >= device_sectors {
        return Err(GptError::Shorter { sectors: device_sectors, wanted: lba + 1 });
    }
    let mut sector = vec![0; SECTOR as usize];
    read(lba, &mut sector)?;
    let header = match Header::parse(&sector, lba, device_sectors) {
        Err(_) if lba == 1 && is_for_large_sectors(device) => return Err(GptError::SectorSize),
        result => result?,
    };
    // Bounded by MAX_ENTRIES_BYTES.
    let mut entries = vec![0; header.entries_bytes() as usize];
    read(header.entries_lba, &mut entries)?;
    if crc32fast::hash(&entries) != header.entries_crc {
        return Err(GptError::Header { what: "has entries that do not match their checksum" });
    }
    let mut partitions: Vec<Partition> =
        entries.chunks_exact(header.entry_size as usize).filter_map(get_entry).collect();
    while partitions.last().is_some_and(|last| last.type_guid == Guid::NIL) {
        partitions.pop();
    }
    if partitions.len() > ENTRIES {
        return Err(GptError::Header { what: "has more than 128 entries" });
    }
    let sectors = header.my_lba.max(header.other_lba) + 1;
    let table = Table { disk_guid: header.disk_guid, sectors, partitions };
    check_partitions(table.used(), header.first_usable, header.last_usable + 1)?;
    Ok((table, header.other_lba))
}

fn is_for_large_sectors(device: &dyn ReadAt) -> bool {
    let mut start = [0; 8];
    device.read_at(4096, &mut start).is_ok() && start == *SIGNATURE
}

/// UEFI 2.10, table 5.6.
pub(super) fn put_entry(entry: &mut [u8], partition: &Partition) {
    if partition.type_guid == Guid::NIL {
        return;
    }
    put(entry, 0, &partition.type_guid.to_disk());
    put(entry, 16, &partition.guid.to_disk());
    put(entry, 32, &partition.first_lba.to_le_bytes());
    put(entry, 40, &partition.last_lba.to_le_bytes());
    put(entry, 48, &partition.attributes.to_le_bytes());
    for (unit, at) in partition.name.encode_utf16().take(NAME_UNITS).zip((56..).step_by(2)) {
        put(entry, at, &unit.to_le_bytes());
    }
}

/// An entry; an unused one is empty, whatever else it holds.
fn get_entry(entry: &[u8]) -> Option<Partition> {
    let type_guid = Guid::from_disk(array(entry, 0)?);
    if type_guid == Guid::NIL {
        return Some(Partition::default());
    }
    let units = (0..NAME_UNITS).map_while(|unit| le16(entry, 56 + 2 * unit));
    let name: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    Some(Partition {
        type_guid,
        guid: Guid::from_disk(array(entry, 16)?),
        first_lba: le64(entry, 32)?,
        last_lba: le64(entry, 40)?,
        attributes: le64(entry, 48)?,
        name: String::from_utf16_lossy(&name),
    })
}

/// The MBR that keeps old programs off the disk: one partition of type 0xEE over all of it.
pub(super) fn protective_mbr(sectors: u64) -> Vec<u8> {
    let mut mbr = vec![0; SECTOR as usize];
    let size = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    put(&mut mbr, 446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    put(&mut mbr, 454, &1u32.to_le_bytes());
    put(&mut mbr, 458, &size.to_le_bytes());
    put(&mut mbr, 510, &[0x55, 0xaa]);
    mbr
}
