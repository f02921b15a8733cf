//! What it is that a disk holds, for a person. Start at [`name`]. Pure.
//!
//! Nothing depends on this: whether there is data is decided by bytes that are not zero
//! ([`content`](super::content)). The places and values are those that util-linux' libblkid looks for.

use formats::ReadAt;
use formats::gpt::{GptError, Partition, Table};

/// From where a signature's place is counted.
#[derive(Clone, Copy)]
enum From {
    Start,
    /// The end of the disk, rounded down to a multiple of this.
    End(u64),
}

/// Where a signature is, in bytes, its value, and what it is of.
const SIGNATURES: [(From, u64, &[u8], &str); 25] = [
    (From::Start, 0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
    (From::Start, 0, b"XFSB", "an XFS file system"),
    (From::Start, 0x438, &[0x53, 0xef], "an ext2, ext3 or ext4 file system"),
    (From::Start, 0x1_0040, b"_BHRfS_M", "a btrfs file system"),
    (From::Start, 3, b"NTFS    ", "an NTFS file system"),
    (From::Start, 3, b"EXFAT   ", "an exFAT file system"),
    (From::Start, 3, b"-FVE-FS-", "an encrypted BitLocker volume"),
    (From::Start, 0x52, b"FAT32   ", "a FAT file system"),
    (From::Start, 0x36, b"FAT1", "a FAT file system"),
    (From::Start, 0x400, &[0x10, 0x20, 0xf5, 0xf2], "an F2FS file system"),
    (From::Start, 0x1018, &[0xc6, 0x85, 0x73, 0xf6], "a bcache device"),
    (From::Start, 4086, b"SWAPSPACE2", "swap space"),
    (From::Start, 0x8001, b"CD001", "an ISO 9660 file system"),
    (From::Start, 0, b"bluestore block device", "an OSD of Ceph"),
    (From::Start, 0x10_0000, &[0x0d, 0xd0, 0x01, 0xc0], "a VMFS file system"),
    (From::Start, 0, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a software RAID"),
    (From::Start, 4096, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a software RAID"),
    // Version 1.0 is 8 KiB before the end, version 0.90 in the last whole 64 KiB but one.
    (From::End(4096), 8192, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a software RAID"),
    (From::End(65536), 65536, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a software RAID"),
    (From::End(512), 1024, b"Intel Raid ISM Cfg Sig. ", "a member of an Intel RAID"),
    (From::End(512), 512, &[0xde, 0x11, 0xde, 0x11], "a member of a DDF RAID"),
    (From::End(512), 512, &[0x11, 0xde, 0x11, 0xde], "a member of a DDF RAID"),
    // DRBD's internal metadata of 8.4, of 8.4 in use and of 9: the magic number is 60 bytes into the
    // last whole 4 KiB (drbd_meta_data.c, `meta_data_on_disk`).
    (From::End(4096), 4096 - 60, &[0x83, 0x74, 0x02, 0x6b], "a DRBD volume"),
    (From::End(4096), 4096 - 60, &[0x83, 0x74, 0x02, 0x6c], "a DRBD volume"),
    (From::End(4096), 4096 - 60, &[0x83, 0x74, 0x02, 0x6d], "a DRBD volume"),
];

/// What is on the disk, as in "an XFS file system"; nothing if it is unknown.
pub(crate) fn name(disk: &dyn ReadAt) -> Option<String> {
    if let Some(found) = table(disk) {
        return Some(found);
    }
    if is_physical_volume(disk) {
        return Some("a physical volume of LVM".to_owned());
    }
    if is_zfs(disk) {
        return Some("a part of a ZFS pool".to_owned());
    }
    let found = SIGNATURES.iter().find(|(from, at, value, _)| {
        let place = match from {
            From::Start => Some(*at),
            From::End(multiple) => (disk.len() / multiple * multiple).checked_sub(*at),
        };
        place.is_some_and(|place| has(disk, place, value))
    });
    let known = found.map(|(.., what)| (*what).to_owned());
    known.or_else(|| is_mbr(disk).then(|| "a partition table of the old kind (MBR)".to_owned()))
}

fn has(disk: &dyn ReadAt, at: u64, value: &[u8]) -> bool {
    let mut found = vec![0; value.len()];
    disk.read_at(at, &mut found).is_ok() && found == value
}

/// A GUID partition table, with what its partitions are called.
fn table(disk: &dyn ReadAt) -> Option<String> {
    /// So many are named; one line is enough for a person to remember what it is.
    const NAMED: usize = 4;
    let table = match Table::parse(disk) {
        Ok(found) => found.table,
        Err(GptError::SectorSize) => {
            return Some("a partition table for sectors of 4096 bytes".to_owned());
        }
        Err(_) => return None,
    };
    let partitions: Vec<&Partition> = table.used().map(|(_, one)| one).collect();
    let count = partitions.len();
    let names = partitions.iter().filter(|one| !one.name.is_empty()).take(NAMED);
    let names: Vec<String> = names.map(|one| one.name.escape_debug().to_string()).collect();
    let (names, of) = (names.join(", "), if count == 1 { "partition" } else { "partitions" });
    let names = if names.is_empty() { names } else { format!(" ({names})") };
    Some(format!("a partition table with {count} {of}{names}"))
}

/// The label is in one of the first four sectors (lvm2, lib/label/label.h).
fn is_physical_volume(disk: &dyn ReadAt) -> bool {
    (0..4).any(|sector| {
        has(disk, sector * 512, b"LABELONE") && has(disk, sector * 512 + 24, b"LVM2 001")
    })
}

/// Uberblocks lie in the second half of each label of 256 KiB (ZFS On-Disk Specification, 1.3).
fn is_zfs(disk: &dyn ReadAt) -> bool {
    const MAGIC: [u8; 8] = [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0];
    (128..256).any(|kib| has(disk, kib * 1024, &MAGIC))
}

/// A master boot record with at least one partition.
fn is_mbr(disk: &dyn ReadAt) -> bool {
    !super::write::mbr_partitions(disk).is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_signature_is_found_at_its_place() {
        const BYTES: u64 = (4 << 20) + 512 * 5;
        for (from, at, value, what) in SIGNATURES {
            let place = match from {
                From::Start => at,
                From::End(multiple) => BYTES / multiple * multiple - at,
            };
            let mut disk = vec![0; BYTES as usize];
            disk[place as usize..place as usize + value.len()].copy_from_slice(value);
            assert_eq!(name(&disk).as_deref(), Some(what), "{at:#x}");
            assert_eq!(name(&vec![0; BYTES as usize]), None);
        }
    }

    #[test]
    fn what_is_not_at_one_place_is_found_too() {
        let mut disk = vec![0; 4 << 20];
        disk[1024..1032].copy_from_slice(b"LABELONE");
        assert_eq!(name(&disk), None, "that alone is nothing");
        disk[1048..1056].copy_from_slice(b"LVM2 001");
        assert_eq!(name(&disk).as_deref(), Some("a physical volume of LVM"));

        let mut disk = vec![0; 4 << 20];
        disk[200 << 10..(200 << 10) + 4].copy_from_slice(&[0x0c, 0xb1, 0xba, 0]);
        assert_eq!(name(&disk).as_deref(), Some("a part of a ZFS pool"));
    }

    #[test]
    fn a_disk_too_small_for_a_signature_has_none() {
        assert_eq!(name(&vec![0; 512]), None);
        assert_eq!(name(&Vec::new()), None);
    }
}
