//! The mark of a site on a disk: a GPT with one partition, whose GUIDs follow from the site's name and the
//! disk's serial number. Start at [`Mark::of`]. Pure.
//!
//! So a disk of this site is recognised on any machine and after any installation, and one of another
//! site is told apart. There is no file system in the partition: whoever makes volumes gets it as it is.

use formats::gpt::{ALIGNMENT, GptError, Guid, Partition, SECTOR, TAIL_SECTORS, Table};
use ring::digest::{SHA256, digest};
use site::{Label, Serial};

/// The partition's name.
pub(crate) const NAME: &str = "duet-data";

/// What is hashed begins so: nothing else of Duet gives the same GUIDs.
const DOMAIN: &str = "duet data disk v1";

/// By what a disk is told from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identity {
    /// Its serial number.
    Serial(Serial),
    /// Its World Wide Identifier, where it says no serial number (the kernel's
    /// Documentation/ABI/stable/sysfs-block, `wwid`).
    Wwid(String),
}

impl Identity {
    /// That of a disk which says so: the serial number, or else the other.
    pub(crate) fn of(serial: Option<Serial>, wwid: Option<String>) -> Option<Identity> {
        serial.map(Identity::Serial).or_else(|| wwid.map(Identity::Wwid))
    }

    /// As one line of text; no two identities have the same.
    pub(crate) fn text(&self) -> String {
        match self {
            Identity::Serial(serial) => format!("serial {serial}"),
            Identity::Wwid(wwid) => format!("wwid {wwid}"),
        }
    }
}

/// The two GUIDs of a site's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The disk's own.
    pub disk: Guid,
    /// That of its one partition.
    pub partition: Guid,
}

/// What a partition table says about whose the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This site's, with its partition.
    Ours,
    /// This site's, but somebody removed or changed its partition.
    Changed,
    /// Some site's of Duet, by its partition's name and type.
    OtherSite,
    /// No site's.
    Nobodys,
}

impl Mark {
    /// The mark that a site gives to a disk.
    pub(crate) fn of(site: &Label, disk: &Identity) -> Mark {
        let guid = |what: &str| {
            let text = format!("{DOMAIN}\n{site}\n{}\n{what}\n", disk.text());
            let hash = digest(&SHA256, text.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hash.as_ref()[..16]);
            Guid::derived(bytes)
        };
        Mark { disk: guid("disk"), partition: guid("partition") }
    }

    /// The table of a disk of so many bytes: one partition, from 1 MiB to the last whole MiB before the
    /// table's backup.
    ///
    /// # Errors
    /// If the disk is too small for that.
    pub(crate) fn table(&self, bytes: u64) -> Result<Table, GptError> {
        let sectors = bytes / SECTOR;
        let end = sectors.saturating_sub(TAIL_SECTORS) / ALIGNMENT * ALIGNMENT;
        let partition = Partition {
            type_guid: Guid::LINUX_LVM,
            guid: self.partition,
            first_lba: ALIGNMENT,
            last_lba: end.saturating_sub(1),
            attributes: 0,
            name: NAME.to_owned(),
        };
        let table = Table { disk_guid: self.disk, sectors, partitions: vec![partition] };
        table.check().map(|()| table)
    }
}

/// Whose a disk with this table is. Without a mark, no disk can be told to be this site's.
pub(crate) fn whose(table: &Table, mark: Option<&Mark>) -> Whose {
    let of_duet = |one: &Partition| one.type_guid == Guid::LINUX_LVM && one.name == NAME;
    match mark {
        Some(mark) if table.disk_guid == mark.disk => {
            let kept = |one: &Partition| of_duet(one) && one.guid == mark.partition;
            let found = table.used().any(|(_, one)| kept(one));
            if found { Whose::Ours } else { Whose::Changed }
        }
        _ if table.used().any(|(_, one)| of_duet(one)) => Whose::OtherSite,
        _ => Whose::Nobodys,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn serial(text: &str) -> Identity {
        Identity::Serial(text.parse().unwrap())
    }

    #[test]
    fn the_mark_stays_the_same_for_ever() {
        // These are on people's disks.
        let mark = Mark::of(&"my-campus".parse().unwrap(), &serial("S6Z1NX0T500123"));
        assert_eq!(mark.disk.to_string(), "b71b9d23-d124-856e-930c-e5dea85f71df");
        assert_eq!(mark.partition.to_string(), "b3749532-3507-8cbb-94fb-c5b48e2d8429");
    }

    #[test]
    fn each_site_and_each_disk_has_its_own() {
        let sites = ["x", "y"].map(|name| name.parse::<Label>().unwrap());
        let disks = [serial("S1"), serial("S2"), Identity::Wwid("S1".into())];
        let mut seen = Vec::new();
        for (site, disk) in sites.iter().flat_map(|site| disks.iter().map(move |d| (site, d))) {
            let Mark { disk, partition } = Mark::of(site, disk);
            seen.extend([disk, partition]);
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }

    #[test]
    fn the_partition_fills_the_disk_in_whole_mib() {
        let mark = Mark::of(&"x".parse().unwrap(), &serial("S1"));
        let table = mark.table((1 << 30) + 12_345).unwrap();
        assert_eq!(table.partitions[0].offset(), 1 << 20);
        assert_eq!(table.partitions[0].bytes(), (1 << 30) - (2 << 20));
        assert_eq!(whose(&table, Some(&mark)), Whose::Ours);
        assert!(mark.table(1 << 20).is_err(), "there is no room for a partition");
    }

    #[test]
    fn a_table_says_whose_it_is() {
        let mark = Mark::of(&"x".parse().unwrap(), &serial("S1"));
        let other = Mark::of(&"y".parse().unwrap(), &serial("S1"));
        let table = other.table(1 << 30).unwrap();
        assert_eq!(whose(&table, Some(&mark)), Whose::OtherSite);
        assert_eq!(whose(&table, None), Whose::OtherSite);
        let mut changed = mark.table(1 << 30).unwrap();
        changed.partitions[0].name = "else".to_owned();
        assert_eq!(whose(&changed, Some(&mark)), Whose::Changed);
        changed.disk_guid = Guid::ESP;
        assert_eq!(whose(&changed, Some(&mark)), Whose::Nobodys);
    }
}
