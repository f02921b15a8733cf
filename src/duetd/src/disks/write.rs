//! Puts a site's mark on a disk, so that the power may go off at any moment. Start at [`claim`],
//! [`erase`] and [`mend`]. Decides nothing: [`plan`](super::plan) has decided, and
//! [`act`](super::act) has looked again.
//!
//! The table's backup is written and synced before its primary. So a disk that was blank is blank, begun or
//! this site's at every moment, and one that is erased keeps its own table until all else is wiped.

use std::io::{Error, Result};

use formats::ReadAt;
use formats::gpt::{Copy, Found, Guid, SECTOR, Table};

use super::content::ENDS;
use super::mark::Mark;

/// A disk that can be written.
pub(crate) trait Medium: ReadAt {
    /// Writes at a place. What was written may be lost, in whole sectors, until [`sync`](Medium::sync).
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Returns when all that was written is there after a power cut.
    fn sync(&self) -> Result<()>;
}

/// How much is wiped at both ends of each old partition: where file systems, volume managers and RAIDs have
/// their signatures.
const SIGNED: u64 = 1 << 20;

/// Writes the mark on a disk on which nothing is kept.
pub(crate) fn claim(disk: &dyn Medium, mark: &Mark) -> Result<()> {
    let table = mark.table(disk.len()).map_err(Error::other)?;
    put_backup(disk, &table)?;
    put_primary(disk, &table)?;
    let found = Table::parse(disk).map_err(Error::other)?;
    if found.table != table || found.copy != Copy::Both {
        return Err(Error::other("what was written is not what is there"));
    }
    Ok(())
}

/// Wipes what tells programs that there is data: the ends of each old partition, then those of the disk.
/// The disk's table goes last, since it says where the partitions are. Everything else stays on the disk until
/// something is written over it.
pub(crate) fn erase(disk: &dyn Medium) -> Result<()> {
    for (start, bytes) in partitions(disk) {
        wipe(disk, start, bytes.min(SIGNED))?;
        wipe(disk, start + bytes - bytes.min(SIGNED), bytes.min(SIGNED))?;
    }
    disk.sync()?;
    let ends = ENDS.min(disk.len());
    wipe(disk, 0, ends)?;
    wipe(disk, disk.len() - ends, ends)?;
    disk.sync()
}

/// Writes the damaged copy of a table anew, from the sound one.
pub(crate) fn mend(disk: &dyn Medium) -> Result<()> {
    let found = Table::parse(disk).map_err(Error::other)?;
    if found.table.sectors > found.device_sectors {
        return Err(Error::other("the disk is smaller than its partition table says"));
    }
    match damage(disk, &found) {
        None => Ok(()),
        Some(Damage::Backup) => put_backup(disk, &found.table),
        Some(Damage::Primary) => put_primary(disk, &found.table),
        Some(Damage::Both) => {
            put_backup(disk, &found.table)?;
            put_primary(disk, &found.table)
        }
    }
}

/// Which copy of a table is damaged, although the table is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    Primary,
    Backup,
    /// The protective MBR in the first sector, and the backup.
    Both,
}

/// What is damaged of the table that was found, if anything. Without a protective MBR the kernel does not
/// look for the rest.
pub(super) fn damage(disk: &dyn ReadAt, found: &Found) -> Option<Damage> {
    let mbr = mbr_entries(disk).iter().any(|entry| entry[4] == PROTECTIVE);
    match (found.copy, mbr) {
        (Copy::Both, true) => None,
        (Copy::Both, false) | (Copy::Backup, _) => Some(Damage::Primary),
        (Copy::Primary, true) => Some(Damage::Backup),
        (Copy::Primary, false) => Some(Damage::Both),
    }
}

fn put_backup(disk: &dyn Medium, table: &Table) -> Result<()> {
    let tail = table.encode().map_err(Error::other)?.tail;
    disk.write_at(table.sectors * SECTOR - tail.len() as u64, &tail)?;
    disk.sync()
}

fn put_primary(disk: &dyn Medium, table: &Table) -> Result<()> {
    disk.write_at(0, &table.encode().map_err(Error::other)?.head)?;
    disk.sync()
}

fn wipe(disk: &dyn Medium, from: u64, bytes: u64) -> Result<()> {
    /// Bounds what is in memory.
    const STEP: u64 = 1 << 20;
    let zeros = vec![0; STEP.min(bytes) as usize];
    let mut at = from;
    while at < from + bytes {
        let step = STEP.min(from + bytes - at);
        disk.write_at(at, &zeros[..step as usize])?;
        at += step;
    }
    Ok(())
}

/// Places and lengths in bytes of the partitions that the disk's table names, of whichever kind it is.
fn partitions(disk: &dyn ReadAt) -> Vec<(u64, u64)> {
    match Table::parse(disk) {
        Ok(found) => {
            let used = found.table.used().map(|(_, one)| (one.offset(), one.bytes()));
            used.filter(|(start, bytes)| start + bytes <= disk.len()).collect()
        }
        Err(_) => mbr_partitions(disk),
    }
}

/// The same of a master boot record. Those in an extended partition lie within it.
pub(super) fn mbr_partitions(disk: &dyn ReadAt) -> Vec<(u64, u64)> {
    let number =
        |bytes: &[u8]| u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let entries = mbr_entries(disk);
    let entries = entries.iter().filter(|entry| ![0, PROTECTIVE].contains(&entry[4]));
    let places = entries.map(|entry| (number(&entry[8..]) * SECTOR, number(&entry[12..]) * SECTOR));
    let fits =
        |(start, bytes): &(u64, u64)| *start > 0 && *bytes > 0 && start + bytes <= disk.len();
    places.filter(fits).collect()
}

/// Stands for a GPT in a master boot record.
const PROTECTIVE: u8 = 0xee;

/// The entries of a master boot record: four of 16 bytes from byte 446 on, with their type at 4, their first
/// sector at 8 and their length at 12 (UEFI 2.10, table 5.1).
fn mbr_entries(disk: &dyn ReadAt) -> Vec<[u8; 16]> {
    let mut sector = [0; SECTOR as usize];
    if disk.read_at(0, &mut sector).is_err() || sector[510..] != [0x55, 0xaa] {
        return Vec::new();
    }
    sector[446..510].chunks_exact(16).filter_map(|entry| entry.try_into().ok()).collect()
}

/// The link that udev makes for a partition.
pub(crate) fn link(partition: Guid) -> String {
    format!("/dev/disk/by-partuuid/{partition}")
}
