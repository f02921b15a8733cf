//! What is on the state partition already, told from its bytes. Start at [`Content::of`].
//!
//! Reads no file. The offsets are those of blkid's probes and of the formats' own documents; a
//! format whose mark is not listed is taken for rubbish, so the list errs on the long side.

/// How much of the partition's beginning [`Content::of`] wants to see: past ZFS's first uberblocks.
pub const HEAD_BYTES: usize = 256 << 10;

/// The block size that /init makes its file system with; other sizes are not looked for.
pub const BLOCK_BYTES: u64 = 4096;

/// Where a second superblock lies in a file system with 4 KiB blocks: block group 1.
pub const BACKUP_OFFSET: u64 = 32768 * BLOCK_BYTES;

/// What the beginning of a partition shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing that has a name: zeros, or what is left of something.
    Nothing,
    /// An ext2, ext3 or ext4 file system.
    Ext4(Ext4),
    /// Something that is not ours to overwrite, by name.
    Foreign(&'static str),
}

/// The facts of an ext4 superblock that decisions need (kernel: fs/ext4/ext4.h, `ext4_super_block`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ext4 {
    /// Volume name, without the NULs that pad it.
    pub label: String,
    /// Size of the file system in bytes.
    pub bytes: u64,
    /// The kernel or e2fsck has found an error that is not mended yet.
    pub has_errors: bool,
}

impl Ext4 {
    /// Reads a superblock of 1024 bytes; `None` if it has not the magic number.
    pub fn parse(superblock: &[u8]) -> Option<Self> {
        let superblock = superblock.get(..1024)?;
        let half = |at: usize| u16::from_le_bytes([superblock[at], superblock[at + 1]]);
        let word = |at: usize| u64::from(half(at)) | u64::from(half(at + 2)) << 16;
        const MAGIC: u16 = 0xef53;
        const STATE_ERROR: u16 = 0x0002;
        const FEATURE_64BIT: u64 = 0x0080;
        if half(0x38) != MAGIC {
            return None;
        }
        let high = if word(0x60) & FEATURE_64BIT != 0 { word(0x150) } else { 0 };
        let blocks = word(0x04) | high << 32;
        let label: Vec<u8> =
            superblock[0x78..0x88].iter().copied().take_while(|&b| b != 0).collect();
        Some(Self {
            label: String::from_utf8_lossy(&label).into_owned(),
            // A block of more than 64 KiB (shift 6) is nonsense; then the size saturates.
            bytes: blocks.saturating_mul(1024 << word(0x18).min(6)),
            has_errors: half(0x3a) & STATE_ERROR != 0,
        })
    }
}

/// Marks of other formats: offset, bytes, name.
const MARKS: &[(usize, &[u8], &str)] = &[
    (0, b"XFSB", "an XFS file system"),
    (0x10040, b"_BHRfS_M", "a Btrfs file system"),
    (0, b"LUKS\xba\xbe", "a LUKS container"),
    (0, b"LABELONE", "an LVM physical volume"),
    (512, b"LABELONE", "an LVM physical volume"),
    (1024, b"LABELONE", "an LVM physical volume"),
    (1536, b"LABELONE", "an LVM physical volume"),
    (0, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID"),
    (4096, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID"),
    (4086, b"SWAPSPACE2", "a swap area"),
    (4086, b"SWAP-SPACE", "a swap area"),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS file system"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
    (0, b"hsqs", "a SquashFS file system"),
    (32769, b"CD001", "an ISO 9660 file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (82, b"FAT32   ", "a FAT file system"),
    (54, b"FAT16   ", "a FAT file system"),
    (54, b"FAT12   ", "a FAT file system"),
    (512, b"EFI PART", "a GPT partition table"),
    (0, b"verity\0\0", "a dm-verity hash tree"),
    (0, b"integrt\0", "a dm-integrity device"),
    (0, b"bluestore block device", "a Ceph BlueStore device"),
    // One magic for bcache and bcachefs.
    (
        4120,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
        "a bcache or bcachefs device",
    ),
];

impl Content {
    /// Names what the first [`HEAD_BYTES`] of a partition (or all of a smaller one) hold.
    pub fn of(head: &[u8]) -> Self {
        if let Some(ext4) = head.get(1024..).and_then(Ext4::parse) {
            return Self::Ext4(ext4);
        }
        let marked =
            |&&(at, mark, _): &&(usize, &[u8], &str)| head.get(at..at + mark.len()) == Some(mark);
        if let Some((_, _, name)) = MARKS.iter().find(marked) {
            return Self::Foreign(name);
        }
        if is_zfs(head) { Self::Foreign("a ZFS pool") } else { Self::Nothing }
    }
}

/// ZFS writes uberblocks in turn into 128 slots of at least 1 KiB, from 128 KiB on.
fn is_zfs(head: &[u8]) -> bool {
    const UBERBLOCK: u64 = 0x00ba_b10c;
    let slots = head.get(128 << 10..).unwrap_or_default();
    slots.chunks_exact(1024).any(|slot| {
        slot.starts_with(&UBERBLOCK.to_le_bytes()) || slot.starts_with(&UBERBLOCK.to_be_bytes())
    })
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A superblock of `blocks` blocks of 4 KiB.
    pub(crate) fn superblock(label: &str, blocks: u64, state: u16) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0x04, &(blocks as u32).to_le_bytes());
        put(0x18, &2u32.to_le_bytes());
        put(0x38, &0xef53u16.to_le_bytes());
        put(0x3a, &state.to_le_bytes());
        put(0x60, &0x80u32.to_le_bytes());
        put(0x78, label.as_bytes());
        put(0x150, &((blocks >> 32) as u32).to_le_bytes());
        bytes
    }

    #[test]
    fn an_ext4_superblock_is_read() {
        let huge = (1 << 33) + 5;
        let mut head = vec![0xaa; 1024];
        head.extend(superblock("duet-state", huge, 3));
        let Content::Ext4(facts) = Content::of(&head) else { panic!("{:?}", Content::of(&head)) };
        assert_eq!((facts.label.as_str(), facts.bytes), ("duet-state", huge * 4096));
        assert!(facts.has_errors);
        assert_eq!(Ext4::parse(&superblock("x", 1, 1)).map(|facts| facts.has_errors), Some(false));
    }

    #[test]
    fn a_nonsense_block_size_does_not_overflow() {
        let mut bytes = superblock("sixteen-letters!", u64::MAX, 1);
        bytes[0x18] = 0xff;
        let facts = Ext4::parse(&bytes).unwrap();
        assert_eq!((facts.bytes, facts.label.len()), (u64::MAX, 16));
        assert_eq!(Ext4::parse(&bytes[..1023]), None);
    }

    #[test]
    fn each_foreign_mark_is_found_where_it_lies() {
        for (at, mark, name) in MARKS {
            let mut head = vec![0; HEAD_BYTES];
            head[*at..at + mark.len()].copy_from_slice(mark);
            assert_eq!(Content::of(&head), Content::Foreign(name));
        }
        let mut zfs = vec![0; HEAD_BYTES];
        zfs[(128 << 10) + 3 * 1024..][..8].copy_from_slice(&0x00ba_b10cu64.to_le_bytes());
        assert_eq!(Content::of(&zfs), Content::Foreign("a ZFS pool"));
    }

    #[test]
    fn zeros_rubbish_and_a_short_partition_are_nothing() {
        for head in [vec![0; HEAD_BYTES], vec![0x5a; HEAD_BYTES], vec![0; 100], Vec::new()] {
            assert_eq!(Content::of(&head), Content::Nothing);
        }
    }
}
