//! Where things lie on a volume: the boot sector, read and written. fatgen103, "Boot Sector and
//! BPB", and "FAT32 FSInfo Sector Structure".

use super::{FatError, SECTOR};
use crate::field::{le16, le32, put};

/// A volume with fewer clusters is FAT16 by definition, whatever it says of itself.
const MIN_CLUSTERS: u64 = 65_525;
/// Numbers from 0x0FFFFFF6 on have other meanings.
const MAX_CLUSTERS: u64 = 0x0fff_fff4;
/// Sectors before the first table, at the least: boot sector, FSInfo and their backups.
const RESERVED: u64 = 32;
const FATS: u64 = 2;
/// Sector of the backup of the boot sector.
const BACKUP: usize = 6;

/// How a volume is divided. Clusters count from 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) sectors: u64,
    pub(super) cluster_sectors: u64,
    pub(super) reserved: u64,
    pub(super) fats: u64,
    pub(super) fat_sectors: u64,
    pub(super) clusters: u64,
    pub(super) root: u32,
}

impl Geometry {
    /// The division of a new volume, if it is large enough and not too large.
    pub(super) fn of(bytes: u64) -> Option<Self> {
        let sectors = bytes / SECTOR;
        // fatgen103, DskTableFAT32; below 260 MiB the smallest cluster, so that it is FAT32 at all.
        let cluster_sectors = match bytes >> 20 {
            0..260 => 1,
            260..8192 => 8,
            8192..16_384 => 16,
            16_384..32_768 => 32,
            _ => 64,
        };
        // Each cluster costs its sectors and four bytes in each table; two more numbers are kept.
        let per_fat_sector = SECTOR / 4;
        let fat_sectors = (sectors.checked_sub(RESERVED)? + 2 * cluster_sectors)
            .div_ceil(per_fat_sector * cluster_sectors + FATS);
        // Clusters begin at multiples of their size, as flash likes it.
        let data = (RESERVED + FATS * fat_sectors).next_multiple_of(cluster_sectors);
        let clusters = sectors.checked_sub(data)? / cluster_sectors;
        let sound = (MIN_CLUSTERS..=MAX_CLUSTERS).contains(&clusters)
            && sectors <= u64::from(u32::MAX)
            && (clusters + 2) * 4 <= fat_sectors * SECTOR;
        let reserved = data - FATS * fat_sectors;
        let fats = FATS;
        sound.then_some(Geometry {
            sectors,
            cluster_sectors,
            reserved,
            fats,
            fat_sectors,
            clusters,
            root: 2,
        })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster_bytes(&self) -> u64 {
        self.cluster_sectors * SECTOR
    }

    /// Whether this is the number of a cluster with data.
    pub(super) fn has(&self, cluster: u32) -> bool {
        (2..self.clusters + 2).contains(&u64::from(cluster))
    }

    /// Where a table lies, in bytes.
    pub(super) fn fat_offset(&self, index: u64) -> u64 {
        (self.reserved + index * self.fat_sectors) * SECTOR
    }

    /// Where a cluster lies, in bytes.
    pub(super) fn offset(&self, cluster: u32) -> u64 {
        let data = self.reserved + self.fats * self.fat_sectors;
        (data + (u64::from(cluster) - 2) * self.cluster_sectors) * SECTOR
    }

    /// Sectors 0 to 7: boot sector, FSInfo, and the backup of both.
    pub(super) fn encode(&self, id: u32, label: &[u8; 11], used: u64) -> Vec<u8> {
        let mut boot = vec![0; 2 * SECTOR as usize];
        put(&mut boot, 0, &[0xeb, 0x58, 0x90]);
        put(&mut boot, 3, b"MSWIN4.1"); // what fatgen103 advises; some readers look for it
        put(&mut boot, 11, &(SECTOR as u16).to_le_bytes());
        boot[13] = self.cluster_sectors as u8;
        put(&mut boot, 14, &(self.reserved as u16).to_le_bytes());
        boot[16] = self.fats as u8;
        boot[21] = 0xf8; // a fixed disk
        put(&mut boot, 24, &63u16.to_le_bytes());
        put(&mut boot, 26, &255u16.to_le_bytes());
        put(&mut boot, 32, &(self.sectors as u32).to_le_bytes());
        put(&mut boot, 36, &(self.fat_sectors as u32).to_le_bytes());
        put(&mut boot, 44, &self.root.to_le_bytes());
        put(&mut boot, 48, &1u16.to_le_bytes());
        put(&mut boot, 50, &(BACKUP as u16).to_le_bytes());
        boot[64] = 0x80;
        boot[66] = 0x29; // id, label and type follow
        put(&mut boot, 67, &id.to_le_bytes());
        put(&mut boot, 71, label);
        put(&mut boot, 82, b"FAT32   ");
        put(&mut boot, 510, &[0x55, 0xaa]);
        let info = SECTOR as usize;
        put(&mut boot, info, b"RRaA");
        put(&mut boot, info + 484, b"rrAa");
        put(&mut boot, info + 488, &((self.clusters - used) as u32).to_le_bytes());
        // The last cluster that was given out: the search for free ones goes on from there.
        put(&mut boot, info + 492, &(used as u32 + 1).to_le_bytes());
        put(&mut boot, info + 510, &[0x55, 0xaa]);
        let mut all = boot.clone();
        all.resize(BACKUP * SECTOR as usize, 0);
        all.extend(boot);
        all
    }

    /// Reads the boot sector of a volume of `bytes` bytes.
    pub(super) fn parse(boot: &[u8], bytes: u64) -> Result<Self, FatError> {
        Self::decode(boot, bytes).map_err(|what| FatError::Damaged { what })
    }

    fn decode(boot: &[u8], bytes: u64) -> Result<Self, &'static str> {
        const SHORT: &str = "its boot sector is cut off";
        let byte = |at: usize| boot.get(at).copied().map(u64::from).ok_or(SHORT);
        let short = |at| le16(boot, at).map(u64::from).ok_or(SHORT);
        let long = |at| le32(boot, at).map(u64::from).ok_or(SHORT);
        if short(510)? != 0xaa55 {
            return Err("its boot sector has no signature");
        }
        if short(11)? != SECTOR {
            return Err("its sectors do not have 512 bytes");
        }
        if short(22)? != 0 || short(17)? != 0 {
            return Err("it is FAT12 or FAT16, not FAT32");
        }
        let (cluster_sectors, reserved, fats) = (byte(13)?, short(14)?, byte(16)?);
        let (sectors, fat_sectors, root) = (long(32)?, long(36)?, long(44)?);
        if !cluster_sectors.is_power_of_two() || cluster_sectors > 128 {
            return Err("its clusters have an odd size");
        }
        if reserved == 0 || !(1..=2).contains(&fats) || fat_sectors == 0 {
            return Err("its tables are missing");
        }
        if sectors * SECTOR > bytes {
            return Err("it is cut off");
        }
        let data = reserved + fats * fat_sectors;
        let clusters = sectors.checked_sub(data).ok_or("its tables are larger than itself")?;
        let clusters = clusters / cluster_sectors;
        if clusters > MAX_CLUSTERS || (clusters + 2) * 4 > fat_sectors * SECTOR {
            return Err("its tables are too small for its clusters");
        }
        let root = u32::try_from(root).map_err(|_| SHORT)?;
        let geometry =
            Geometry { sectors, cluster_sectors, reserved, fats, fat_sectors, clusters, root };
        if geometry.has(root) { Ok(geometry) } else { Err("its root folder lies outside of it") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_size_is_divided_soundly() {
        let mut sizes: Vec<u64> = (30..300).map(|mib| mib << 20).collect();
        sizes.extend((8190..8200).map(|mib| mib << 20));
        sizes.extend((0..3000).map(|sector| (512 << 20) + sector * SECTOR));
        sizes.extend([16_384 << 20, 32_768 << 20, 2 << 40]);
        let mut smallest = u64::MAX;
        for bytes in sizes {
            let Some(geometry) = Geometry::of(bytes) else {
                assert!(bytes < 34 << 20 || bytes == 2 << 40, "{bytes}");
                continue;
            };
            smallest = smallest.min(bytes);
            let end = geometry.offset(geometry.clusters as u32 + 2);
            assert!(end <= bytes && bytes - end < 2 * geometry.cluster_bytes(), "{bytes}");
            assert_eq!(geometry.offset(2) % geometry.cluster_bytes(), 0);
            let boot = geometry.encode(0, b"LABEL      ", 1);
            assert_eq!(Geometry::parse(&boot, bytes).unwrap(), geometry);
        }
        assert_eq!(smallest, 33 << 20);
    }
}
