//! Why a partition table is refused.

use std::io;

/// Why a partition table could not be read or made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum GptError {
    /// The device could not be read.
    #[error("cannot read the partition table at sector {lba}")]
    #[diagnostic(code(integrity::gpt_read), help("see that the disk or image is whole"))]
    Read {
        /// The sector.
        lba: u64,
        /// What the device says.
        #[source]
        source: io::Error,
    },
    /// The disk has sectors of 4096 bytes.
    #[error("cannot read the partition table: it is for sectors of 4096 bytes")]
    #[diagnostic(
        code(integrity::gpt_sector_size),
        help("use a disk with 512-byte sectors, real or emulated (512e); most can be switched")
    )]
    SectorSize,
    /// A header is not what UEFI says.
    #[error("cannot use the partition table: it {what}")]
    #[diagnostic(
        code(integrity::gpt),
        help("the disk or image is damaged or has no GPT: write the image again")
    )]
    Header {
        /// What is wrong, as "it …".
        what: &'static str,
    },
    /// The disk is too small.
    #[error("cannot use the partition table: the disk has {sectors} sectors, it needs {wanted}")]
    #[diagnostic(
        code(integrity::gpt_short),
        help("the image is cut off, or the disk is smaller than the image: use a larger disk")
    )]
    Shorter {
        /// What the disk has.
        sectors: u64,
        /// What the table needs.
        wanted: u64,
    },
    /// A partition cannot be so.
    #[error("cannot use the partition table: partition {number} {what}")]
    #[diagnostic(
        code(integrity::gpt_partition),
        help("see `sfdisk --verify` on the disk or image")
    )]
    Partition {
        /// Number, from 1.
        number: u32,
        /// What is wrong, as "partition …".
        what: &'static str,
    },
    /// Two partitions share sectors.
    #[error("cannot use the partition table: partitions {one} and {other} overlap")]
    #[diagnostic(code(integrity::gpt_overlap), help("see `sfdisk --verify` on the disk or image"))]
    Overlap {
        /// Number of one, from 1.
        one: u32,
        /// Number of the other.
        other: u32,
    },
}
