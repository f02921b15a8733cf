//! FAT32 volumes: the ESP that firmware reads.
//!
//! Start at [`Volume::write`] and [`Reader::open`]. Source: Microsoft's "FAT: General Overview of
//! On-Disk Format" 1.03 (fatgen103), and UEFI 2.10, section 13.3, which adopts it. Sectors have 512
//! bytes and names are long ones with their case kept.
//!
//! The writer is a function of its input: folders come first, then the files, each in one piece, by
//! path. It gives the bytes that are not zero as extents, so a large volume with little in it
//! costs little.

mod date;
mod geometry;
mod name;
mod read;
mod write;

use std::borrow::Cow;
use std::io;

pub use read::{Item, Reader};
pub use write::needed;

/// Why a volume could not be written or read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FatError {
    /// What is to be on the volume does not fit.
    #[error("cannot lay out the FAT volume: it needs {needed} bytes and has {available}")]
    #[diagnostic(
        code(output::fat_size),
        help("make the ESP larger, or what is on it smaller; FAT32 itself needs some 34 MiB")
    )]
    TooSmall {
        /// Bytes of the smallest volume that would do.
        needed: u64,
        /// Bytes that the volume was to have.
        available: u64,
    },
    /// The volume would be larger than FAT32 can be.
    #[error("cannot lay out the FAT volume: {bytes} bytes are more than FAT32 holds")]
    #[diagnostic(code(output::fat_large), help("the ESP of a node needs some hundred MiB"))]
    TooLarge {
        /// Bytes that the volume was to have.
        bytes: u64,
    },
    /// A path cannot be on the volume.
    #[error("cannot put {path:?} on the FAT volume: {what}")]
    #[diagnostic(
        code(integrity::fat_path),
        help(
            "names have 1 to 255 characters, none of \\ : * ? \" < > |, and no dot or space last"
        )
    )]
    Path {
        /// The path.
        path: String,
        /// Why not.
        what: &'static str,
    },
    /// The label cannot be.
    #[error("cannot label the FAT volume {label:?}")]
    #[diagnostic(
        code(integrity::fat_label),
        help("a label has 1 to 11 capitals, digits, spaces, - and _")
    )]
    Label {
        /// The label.
        label: String,
    },
    /// The device could not be read.
    #[error("cannot read the FAT volume at byte {at}")]
    #[diagnostic(code(integrity::fat_read), help("see that the disk or image is whole"))]
    Read {
        /// Where, from the volume's start.
        at: u64,
        /// What the device says.
        #[source]
        source: io::Error,
    },
    /// The volume is not what the format says.
    #[error("cannot read the FAT volume: {what}")]
    #[diagnostic(
        code(integrity::fat),
        help("the ESP is damaged or no FAT32: write the image again, or try `fsck.fat` on it")
    )]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// There is nothing at the path.
    #[error("cannot read {path:?} on the FAT volume: it is not there, or not a file")]
    #[diagnostic(code(integrity::fat_missing), help("see what is there with `duet inspect`"))]
    Missing {
        /// The path that was asked for.
        path: String,
    },
}

/// A volume to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Size in bytes; what goes beyond whole sectors is left unused.
    pub bytes: u64,
    /// The number that stands for its UUID: `ABCD-1234` is 0xABCD1234.
    pub id: u32,
    /// The label: at most 11 of `A`-`Z`, `0`-`9`, space, `-` and `_`.
    pub label: String,
    /// The time that every entry bears, in seconds of the epoch. FAT knows 1980 to 2107 in steps
    /// of two seconds; the nearest that it knows is taken.
    pub time: u64,
}

/// What is to be on a volume. The folders above it come into being by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path without a leading `/`, such as `EFI/BOOT/BOOTX64.EFI`.
    pub path: Cow<'a, str>,
    /// What is there.
    pub content: Content<'a>,
}

/// A file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A folder.
    Folder,
    /// A file's bytes: less than 4 GiB.
    File(Cow<'a, [u8]>),
}

impl<'a> Entry<'a> {
    /// A file.
    pub fn file(path: impl Into<Cow<'a, str>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Entry { path: path.into(), content: Content::File(bytes.into()) }
    }

    /// A folder, for one that is to be empty.
    pub fn folder(path: impl Into<Cow<'a, str>>) -> Self {
        Entry { path: path.into(), content: Content::Folder }
    }
}

/// Bytes at a place of the volume. What no extent covers is zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent<'a> {
    /// Where, in bytes from the volume's start.
    pub offset: u64,
    /// What.
    pub bytes: Cow<'a, [u8]>,
}

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Bytes of an entry of a folder.
const ENTRY: usize = 32;
/// fatgen103, "FAT Directory Structure": a folder has at most 65,536 entries.
const MAX_FOLDER: usize = 65_536 * ENTRY;

/// Attribute bits of an entry (fatgen103, `DIR_Attr`).
mod attribute {
    pub(super) const LABEL: u8 = 0x08;
    pub(super) const FOLDER: u8 = 0x10;
    pub(super) const ARCHIVE: u8 = 0x20;
    /// Read-only, hidden, system and label together: an entry that is part of a long name.
    pub(super) const LONG_NAME: u8 = 0x0f;
    /// The bits that tell the kinds apart.
    pub(super) const KIND: u8 = 0x3f;
}

#[cfg(test)]
mod tests;
