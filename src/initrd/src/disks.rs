//! Reads the disks that the kernel shows, and grows a partition table to its disk. Start at [`scan`].
//!
//! The kernel's own reading of the tables gives only the nodes: what a partition is called and which
//! UUID it has, /init reads itself, as no udev has been there before.

use crate::choose::{Disk, Partition, STATE};
use crate::failure::chain;
use crate::kernel;
use formats::Opened;
use formats::gpt::{self, Found, GptError, Guid, Table};
use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Names of block devices that are no disks: made of other devices, of memory, or with a medium that
/// spins up when it is looked at.
const NO_DISKS: [&str; 8] = ["dm-", "fd", "loop", "md", "nbd", "ram", "sr", "zram"];

/// More partitions than this on one disk are not looked at for nodes.
const MOST_DISKS: usize = 256;

/// Opens a disk or partition for reading.
pub fn open(node: &str) -> Result<Opened> {
    Opened::new(File::open(node)?)
}

/// All disks that are there now, with what their tables say.
pub fn scan() -> Vec<Disk> {
    let mut names: Vec<String> = names_in(Path::new("/sys/block"));
    names.retain(|name| !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.sort();
    names.truncate(MOST_DISKS);
    names.iter().filter_map(|name| look(name)).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// One disk; `None` if it has no medium.
fn look(name: &str) -> Option<Disk> {
    let sys = Path::new("/sys/block").join(name);
    let sectors: u64 = number_in(&sys.join("size"))?;
    if sectors == 0 {
        return None;
    }
    let on_usb = sys.canonicalize().is_ok_and(|path| path.to_string_lossy().contains("/usb"));
    // /sys writes the slash of an old controller's disks (cciss/c0d0) as an exclamation mark.
    let node = format!("/dev/{}", name.replace('!', "/"));
    let sector_bytes = number_in(&sys.join("queue/logical_block_size"));
    let (table, needs) = match sector_bytes {
        // The kernel would look for the table elsewhere, and so would the firmware.
        Some(bytes) if bytes != gpt::SECTOR => {
            let why = "Duet needs 512, which most such disks can be switched to";
            (Err(format!("has sectors of {bytes} bytes; {why}")), None)
        }
        _ => read_table(&node),
    };
    Some(Disk {
        table: table.map(|found| with_nodes(&found.table, &sys)),
        needs,
        node,
        bytes: sectors * 512,
        removable: on_usb || number_in(&sys.join("removable")) == Some(1),
    })
}

fn number_in(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The disk's table, or why there is none; and the bytes that the disk would need for it.
fn read_table(node: &str) -> (std::result::Result<Found, String>, Option<u64>) {
    match open(node) {
        Err(error) => (Err(format!("cannot be opened: {error}")), None),
        Ok(device) => match Table::parse(&device) {
            Ok(found) => (Ok(found), None),
            Err(error) => (Err(chain(&error)), needed(&error)),
        },
    }
}

/// How many bytes a disk would need, if that is what is wrong with it.
fn needed(error: &GptError) -> Option<u64> {
    match error {
        GptError::Shorter { wanted, .. } => wanted.checked_mul(gpt::SECTOR),
        _ => None,
    }
}

/// The table's partitions, each with the node of the kernel's partition that has its number and its
/// place.
fn with_nodes(table: &Table, sys: &Path) -> Vec<Partition> {
    let shown: Vec<(u64, u64, String)> = names_in(sys)
        .into_iter()
        .filter_map(|name| {
            let number = number_in(&sys.join(&name).join("partition"))?;
            let start = number_in(&sys.join(&name).join("start"))?;
            Some((number, start, format!("/dev/{}", name.replace('!', "/"))))
        })
        .collect();
    let node = |number: u32, entry: &gpt::Partition| {
        let same = |(its, start, _): &&(u64, u64, String)| {
            *its == u64::from(number) && *start == entry.first_lba
        };
        shown.iter().find(same).map(|(_, _, node)| node.clone())
    };
    table
        .used()
        .map(|(number, entry)| Partition {
            number,
            entry: entry.clone(),
            node: node(number, entry),
        })
        .collect()
}

/// What [`settle`] did to a disk's table.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing: it is as it should be.
    Already,
    /// It was written. Says how many bytes the state partition gained, and why it was written.
    Written {
        /// Bytes gained.
        gained: u64,
        /// A damaged copy was replaced by the sound one.
        mended: bool,
    },
}

/// The table as it should be on this disk: both copies sound, the backup at the disk's end, and the
/// state partition, if it is the last one, up to there. `None` if it is so already.
pub fn settled(found: &Found) -> Option<Table> {
    let mut table = found.table.clone();
    let last = table.used().max_by_key(|(_, partition)| partition.last_lba);
    let is_state = |one: &gpt::Partition| one.type_guid == Guid::VAR && one.name == STATE;
    if last.is_some_and(|(_, last)| is_state(last)) {
        // An error says that the disk is smaller than its table: then the table stays as it is.
        table.grow_last(found.device_sectors).ok()?;
    }
    let as_it_was = table == found.table && found.copy == gpt::Copy::Both;
    (!as_it_was).then_some(table)
}

/// Writes the table of the disk `node` as [`settled`] says, if need be, and tells the kernel.
///
/// The backup goes first and is synced before the primary is touched, so that at any moment one of
/// both is sound: either the primary still names the old backup, or the backup is the new one.
pub fn settle(node: &str) -> Result<Settled> {
    let found = Table::parse(&open(node)?).map_err(|error| Error::other(chain(&error)))?;
    let Some(table) = settled(&found) else { return Ok(Settled::Already) };
    let encoded = table.encode().map_err(|error| Error::other(chain(&error)))?;
    let disk = File::options().read(true).write(true).open(node)?;
    disk.write_all_at(&encoded.tail, table.sectors * gpt::SECTOR - encoded.tail.len() as u64)?;
    disk.sync_all()?;
    disk.write_all_at(&encoded.head, 0)?;
    disk.sync_all()?;
    let mut gained = 0;
    for ((number, new), (_, old)) in table.used().zip(found.table.used()) {
        if new.bytes() > old.bytes() {
            gained += new.bytes() - old.bytes();
            // Fails if the kernel shows no partitions at all; then it reads the table anew.
            let _ = kernel::resize_partition(&disk, number, new.offset(), new.bytes());
        }
    }
    if found.copy == gpt::Copy::Backup {
        kernel::reread_partitions(&disk)?;
    }
    Ok(Settled::Written { gained, mended: found.copy != gpt::Copy::Both })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use formats::gpt::{Copy, SECTOR, Wanted};

    fn table(last: &str) -> Table {
        let wanted = |name: &str, type_guid, number| Wanted {
            type_guid,
            guid: Guid::derived([number; 16]),
            bytes: 1 << 20,
            attributes: 0,
            name: name.to_owned(),
        };
        let all = vec![wanted("duet-esp", Guid::ESP, 1), wanted(last, Guid::VAR, 2)];
        Table::layout(Guid::derived([9; 16]), all).unwrap()
    }

    fn found(last: &str, more: u64, copy: Copy) -> Found {
        let table = table(last);
        Found { device_sectors: table.sectors + more, table, copy }
    }

    #[test]
    fn a_sound_table_of_its_disk_is_left_alone() {
        assert_eq!(settled(&found("duet-state", 0, Copy::Both)), None);
    }

    #[test]
    fn the_state_partition_grows_and_no_other() {
        let grown = settled(&found("duet-state", 4096, Copy::Both)).unwrap();
        assert_eq!(grown.partitions[1].bytes(), 3 << 20);
        assert_eq!(grown.partitions[0], table("duet-state").partitions[0]);
        assert_eq!(settled(&found("data", 4096, Copy::Both)), None);
    }

    #[test]
    fn a_damaged_copy_is_written_again() {
        for copy in [Copy::Primary, Copy::Backup] {
            assert_eq!(settled(&found("data", 0, copy)), Some(table("data")));
        }
    }

    #[test]
    fn settling_writes_both_copies() {
        let path = std::env::temp_dir().join(format!("duet-settle-{}", std::process::id()));
        let node = path.to_str().unwrap();
        let table = table("duet-state");
        let image = File::create(&path).unwrap();
        image.set_len((table.sectors + 8192) * SECTOR).unwrap();
        image.write_all_at(&table.encode().unwrap().head, 0).unwrap();
        // The old backup was never written: the primary alone is sound.
        let done = settle(node).unwrap();
        assert_eq!(done, Settled::Written { gained: 4 << 20, mended: true });
        let after = Table::parse(&open(node).unwrap()).unwrap();
        assert_eq!((after.copy, after.table.sectors), (Copy::Both, table.sectors + 8192));
        assert_eq!(settle(node).unwrap(), Settled::Already);
        std::fs::remove_file(&path).unwrap();
    }
}
