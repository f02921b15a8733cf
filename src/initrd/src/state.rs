//! What is to be done with the state partition. Start at [`decide`]. Touches no disk.
//!
//! A file system is made under the label [`LABEL_NEW`] and gets [`LABEL`] when it is complete and
//! synced. mke2fs writes the superblock last, but the disk may keep it first: so neither a
//! superblock nor its absence proves anything, and only the label [`LABEL`] means "this holds data".
//!
//! ```text
//!  nothing, or duet-new ──► Format ──► duet-new ──► duet-state ──► Mount
//!        ▲                               │ power cut
//!        └───────────────────────────────┘
//! ```

use crate::content::{BACKUP_OFFSET, Content, Ext4};

/// Label of a complete state file system.
pub const LABEL: &str = "duet-state";
/// Label of one that is being made.
pub const LABEL_NEW: &str = "duet-new";

/// A file system or a partition is grown only if it gains this much. ext4 leaves a last block group
/// that is too small for its own tables (below 3 MiB) unused, which is no reason to try at every boot.
pub const LEAST_GROWTH: u64 = 8 << 20;

/// Below this a file system with a journal is of no use, and mke2fs refuses near it.
const LEAST_PARTITION: u64 = 8 << 20;

/// What is known about the state partition.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What its beginning shows.
    pub content: Content,
    /// The superblock at [`BACKUP_OFFSET`], if the partition was that large before this boot grew
    /// it. Beyond that lies what an earlier use of the disk left.
    pub backup: Option<Ext4>,
    /// Its size now.
    pub bytes: u64,
}

/// What to do, and nothing more than that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Make a file system: there is none, or an unfinished one.
    Format,
    /// Mount it.
    Mount {
        /// Run e2fsck first: the superblock says that there are errors.
        check: bool,
        /// Run resize2fs afterwards: the partition is larger than the file system.
        grow: bool,
    },
    /// Restore the first superblock from the one at [`BACKUP_OFFSET`], then mount.
    Repair {
        /// Run resize2fs after mounting.
        grow: bool,
    },
    /// Leave it alone and stop, for this reason.
    Refuse(String),
}

/// Whether block group 1 has a superblock that may be read, given the size before growth.
pub fn may_have_backup(bytes_before: u64) -> bool {
    bytes_before > BACKUP_OFFSET + crate::content::BLOCK_BYTES
}

/// Decides what to do with a state partition.
pub fn decide(facts: &Facts) -> Decision {
    let grow = |ext4: &Ext4| facts.bytes.saturating_sub(ext4.bytes) >= LEAST_GROWTH;
    match (&facts.content, &facts.backup) {
        (Content::Ext4(ext4), _) if ext4.label == LABEL && ext4.bytes > facts.bytes => {
            Decision::Refuse(format!(
                "its file system has {} bytes, more than the partition's {}: it was copied from a \
                 larger disk, or the partition table is from another one",
                ext4.bytes, facts.bytes
            ))
        }
        (Content::Ext4(ext4), _) if ext4.label == LABEL => {
            Decision::Mount { check: ext4.has_errors, grow: grow(ext4) }
        }
        (Content::Ext4(ext4), _) if ext4.label != LABEL_NEW => Decision::Refuse(format!(
            "it holds an ext4 file system labelled '{}', which Duet did not make",
            ext4.label
        )),
        (Content::Foreign(name), _) => Decision::Refuse(format!("it holds {name}")),
        (Content::Nothing, Some(backup)) if backup.label == LABEL => {
            Decision::Repair { grow: grow(backup) }
        }
        _ if facts.bytes < LEAST_PARTITION => Decision::Refuse(format!(
            "it has {} bytes; a file system needs at least {LEAST_PARTITION}",
            facts.bytes
        )),
        _ => Decision::Format,
    }
}

/// Arguments of mkfs.ext4 for a partition of this size.
///
/// Quick: inode tables are initialised later by the kernel, which is safe at any power cut since
/// each group's checksum says whether its table is valid; blocks are not discarded. Safe: the
/// journal is zeroed now. A journal above 64 MiB would make the first boot wait for a slow disk.
pub fn mkfs_arguments(bytes: u64) -> Vec<&'static str> {
    let mut arguments = vec!["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-L", LABEL_NEW];
    arguments.extend([
        "-e",
        "remount-ro",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=0,nodiscard",
    ]);
    if bytes >= 1 << 30 {
        arguments.extend(["-J", "size=64"]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn ext4(label: &str, bytes: u64, has_errors: bool) -> Ext4 {
        Ext4 { label: label.to_owned(), bytes, has_errors }
    }

    fn decision(content: Content, backup: Option<Ext4>) -> Decision {
        decide(&Facts { content, backup, bytes: GIB })
    }

    #[test]
    fn nothing_or_an_unfinished_file_system_is_made_anew() {
        assert_eq!(decision(Content::Nothing, None), Decision::Format);
        let unfinished = ext4(LABEL_NEW, GIB, true);
        assert_eq!(decision(Content::Ext4(unfinished.clone()), None), Decision::Format);
        assert_eq!(decision(Content::Nothing, Some(unfinished)), Decision::Format);
    }

    #[test]
    fn ours_is_mounted_checked_and_grown() {
        let mount = |ext4| decision(Content::Ext4(ext4), None);
        let just = GIB - LEAST_GROWTH + 1;
        assert_eq!(mount(ext4(LABEL, just, false)), Decision::Mount { check: false, grow: false });
        assert_eq!(
            mount(ext4(LABEL, just - 1, false)),
            Decision::Mount { check: false, grow: true }
        );
        assert_eq!(mount(ext4(LABEL, GIB, true)), Decision::Mount { check: true, grow: false });
    }

    #[test]
    fn ours_is_never_formatted() {
        // Whatever the first block shows, a backup superblock of ours keeps the data.
        for grow in [false, true] {
            let bytes = if grow { GIB / 2 } else { GIB };
            let lost = decision(Content::Nothing, Some(ext4(LABEL, bytes, false)));
            assert_eq!(lost, Decision::Repair { grow });
        }
        let larger = decision(Content::Ext4(ext4(LABEL, 2 * GIB, false)), None);
        assert!(matches!(larger, Decision::Refuse(why) if why.contains("larger disk")));
    }

    #[test]
    fn what_is_not_ours_is_refused_by_name() {
        let Decision::Refuse(why) = decision(Content::Ext4(ext4("photos", GIB, false)), None)
        else {
            panic!("an ext4 file system of someone else was not refused");
        };
        assert!(why.contains("'photos'"), "{why}");
        let foreign = decision(Content::Foreign("a LUKS container"), None);
        assert_eq!(foreign, Decision::Refuse("it holds a LUKS container".to_owned()));
    }

    #[test]
    fn a_partition_too_small_is_refused() {
        let facts = Facts { content: Content::Nothing, backup: None, bytes: LEAST_PARTITION - 1 };
        assert!(matches!(decide(&facts), Decision::Refuse(why) if why.contains("at least")));
        assert!(!may_have_backup(BACKUP_OFFSET));
        assert!(may_have_backup(BACKUP_OFFSET + (8 << 20)));
    }

    #[test]
    fn the_file_system_is_born_unfinished() {
        let small = mkfs_arguments(GIB - 1);
        let at = small.iter().position(|&word| word == "-L");
        assert_eq!(at.map(|at| small[at + 1]), Some(LABEL_NEW));
        assert!(!small.contains(&"-J"));
        assert!(mkfs_arguments(GIB).contains(&"size=64"));
    }
}
