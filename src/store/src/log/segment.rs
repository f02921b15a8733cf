//! The first bytes of a segment, and its name. Start at [`Title`]. Pure: the caller reads the file.
//!
//! ```text
//!  0  magic          8   "DUETLOG\n"
//!  8  format         4   1
//! 12  previous       4   the own checksum of the last frame of the segment before; 0 if there is none
//! 16  cluster       8
//! 24  member        8
//! 32  first          8   the index of its first record
//! 40  own            4   CRC-32C of the 40 bytes above
//! ```
//!
//! Frames begin at [`START`]; up to there, and after them, are zeros. A title is synced before the
//! file gets its name, so a file with such a name and without a title was damaged.

use super::frame::{Frames, is_zero};

/// Where the first frame begins: a page, so that titles are never written again.
pub(crate) const START: usize = 4096;

const MAGIC: [u8; 8] = *b"DUETLOG\n";
/// The version of what a segment holds, records aside.
pub(crate) const FORMAT: u32 = 1;
const SIZE: usize = 44;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Title {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    /// The index of its first record.
    pub(crate) first: u64,
    /// The own checksum of the frame before its first one.
    pub(crate) previous: u32,
}

/// Why bytes are no segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TitleError {
    /// A newer store wrote it.
    Format(u32),
    /// It is something else, or damaged.
    Damaged(&'static str),
}

impl Title {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.previous.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.cluster_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.member_id.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        let own = crc32c::crc32c(&bytes[..40]);
        bytes[40..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Title, TitleError> {
        let short = TitleError::Damaged("the file is shorter than a segment's title");
        let Some(title) = bytes.first_chunk::<START>() else { return Err(short) };
        let four = |at: usize| {
            u32::from_le_bytes([title[at], title[at + 1], title[at + 2], title[at + 3]])
        };
        let eight = |at| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
        if title[..8] != MAGIC {
            return Err(TitleError::Damaged("it does not begin as a segment of the log does"));
        }
        if four(40) != crc32c::crc32c(&title[..40]) {
            return Err(TitleError::Damaged("the segment's title has changed"));
        }
        if four(8) != FORMAT {
            return Err(TitleError::Format(four(8)));
        }
        if !is_zero(&title[SIZE..]) {
            return Err(TitleError::Damaged("there are bytes between the title and the groups"));
        }
        let (cluster_id, member_id, first) = (eight(16), eight(24), eight(32));
        Ok(Title { cluster_id, member_id, first, previous: four(12) })
    }

    /// The groups in the bytes that this title was read from.
    pub(crate) fn frames<'a>(&self, bytes: &'a [u8]) -> Frames<'a> {
        Frames::new(bytes, START, self.first, self.previous)
    }
}

/// The file of the segment that begins with this record: names sort as the segments do.
pub(crate) fn name(first: u64) -> String {
    format!("log-{first:020}")
}

/// The index in a segment's name.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    name.strip_prefix("log-").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// The next segment, while it is made.
pub(crate) const SPARE: &str = "log-next";
