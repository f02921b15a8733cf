//! Whether a disk has data on it, and whose it is. Start at [`whose`] and [`content`]. Reads only.
//!
//! A byte that is not zero counts as data, wherever it is found, and what cannot be read counts as
//! unknown. All of a disk cannot be read at each boot; what is read is said at [`content`].

use formats::ReadAt;
use formats::gpt::{SECTOR, TAIL_SECTORS, Table};

use super::mark::{self, Mark, Whose};
use super::{signatures, write};

/// What was found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// It was not looked at, as it cannot be taken anyway.
    NotRead,
    /// It could not be read; why not.
    Unreadable(String),
    /// Nothing but zeros.
    Blank,
    /// Nothing but the beginning of this site's own mark: the power went off.
    Begun,
    /// It is this site's.
    Ours {
        /// Whether both copies of its table are sound.
        sound: bool,
    },
    /// It is this site's, but its partition was removed or changed.
    Changed,
    /// It is another site's.
    OtherSite,
    /// Something else; what, if that is known.
    Data(Option<String>),
}

/// The ends of a disk that are read whole: every partition table and nearly every file system, volume
/// manager and RAID has its signature here.
pub(crate) const ENDS: u64 = 4 << 20;

/// Between the ends, so many blocks are read at even distances: a disk that was filled, and of which only
/// the ends were wiped, is found by them.
const SAMPLES: u64 = 64;

/// The size of such a block.
const SAMPLE: u64 = 64 << 10;

/// How much is read at once.
const STEP: u64 = 1 << 20;

/// What a disk without data is compared with, in small parts: a large one would be in the program's file.
static ZEROS: [u8; 4096] = [0; 4096];

/// What the partition table alone says, if that is enough: a disk of this site, whatever else is on it.
pub(crate) fn whose(disk: &dyn ReadAt, mark: Option<&Mark>) -> Content {
    match Table::parse(disk) {
        Ok(found) => match mark::whose(&found.table, mark) {
            Whose::Ours => Content::Ours { sound: write::damage(disk, &found).is_none() },
            Whose::Changed => Content::Changed,
            Whose::OtherSite => Content::OtherSite,
            Whose::Nobodys => Content::NotRead,
        },
        Err(_) => Content::NotRead,
    }
}

/// What is on the disk: the table first, then the first and the last 4 MiB and 64 blocks of 64 KiB
/// between them.
pub(crate) fn content(disk: &dyn ReadAt, mark: Option<&Mark>) -> Content {
    match whose(disk, mark) {
        Content::NotRead => {}
        known => return known,
    }
    // Its own table, of which a part may have been written.
    let tail =
        mark.and_then(|mark| mark.table(disk.len()).ok()?.encode().ok()).map(|both| both.tail);
    let mut blank = true;
    for (at, bytes) in stretches(disk.len()) {
        match look(disk, at, bytes, tail.as_deref()) {
            Ok(Found::Zeros) => {}
            Ok(Found::OwnTable) => blank = false,
            Ok(Found::Data) => return Content::Data(signatures::name(disk)),
            Err(error) => return Content::Unreadable(error.to_string()),
        }
    }
    if blank { Content::Blank } else { Content::Begun }
}

/// The stretches of a disk that are read, as places and lengths in bytes; the ends first.
fn stretches(bytes: u64) -> Vec<(u64, u64)> {
    if bytes <= 2 * ENDS {
        return vec![(0, bytes)];
    }
    let mut all = vec![(0, ENDS), (bytes - ENDS, ENDS)];
    let between = bytes - 2 * ENDS;
    all.extend((1..=SAMPLES).map(|number| {
        // In this order nothing overflows, whatever the disk's size.
        let at = ENDS + between / (SAMPLES + 1) * number;
        let at = at / SECTOR * SECTOR;
        (at, SAMPLE.min(bytes - at))
    }));
    all
}

enum Found {
    Zeros,
    OwnTable,
    Data,
}

/// Looks at a stretch. The backup of a table is written and synced before the primary, so a disk on which
/// this was interrupted has zeros everywhere but in its last 33 sectors, and each of those is either as it
/// was or as it should be: a sector is written whole.
fn look(disk: &dyn ReadAt, from: u64, bytes: u64, tail: Option<&[u8]>) -> std::io::Result<Found> {
    let tail_at = (disk.len() / SECTOR).saturating_sub(TAIL_SECTORS) * SECTOR;
    let own = |at: u64, sector: &[u8]| {
        let start = usize::try_from(at.checked_sub(tail_at)?).ok()?;
        tail?.get(start..start + sector.len()).filter(|own| *own == sector)
    };
    let mut found = Found::Zeros;
    let mut at = from;
    while at < from + bytes {
        let mut chunk = vec![0; STEP.min(from + bytes - at) as usize];
        disk.read_at(at, &mut chunk)?;
        if !is_blank(&chunk) {
            for (sector, place) in
                chunk.chunks(SECTOR as usize).zip((at..).step_by(SECTOR as usize))
            {
                if is_blank(sector) {
                    continue;
                }
                if own(place, sector).is_none() {
                    return Ok(Found::Data);
                }
                found = Found::OwnTable;
            }
        }
        at += chunk.len() as u64;
    }
    Ok(found)
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;

    use super::*;
    use crate::disks::mark::Identity;

    const BYTES: u64 = 64 << 20;

    fn mark() -> Mark {
        Mark::of(&"x".parse().unwrap(), &Identity::Serial("S1".parse().unwrap()))
    }

    fn with(at: u64, bytes: &[u8]) -> Vec<u8> {
        let mut disk = vec![0; BYTES as usize];
        disk[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        disk
    }

    #[test]
    fn one_byte_is_data_at_each_end_and_where_it_is_looked() {
        let mark = mark();
        assert_eq!(content(&with(0, &[0]), Some(&mark)), Content::Blank);
        for at in [0, 511, ENDS - 1, BYTES - ENDS, BYTES - 1] {
            assert_eq!(content(&with(at, &[1]), Some(&mark)), Content::Data(None), "{at}");
            assert_eq!(content(&with(at, &[1]), None), Content::Data(None), "{at}");
        }
    }

    #[test]
    fn a_full_disk_whose_ends_were_wiped_has_data() {
        let mut disk = vec![7; BYTES as usize];
        disk[..ENDS as usize].fill(0);
        let end = (BYTES - ENDS) as usize;
        disk[end..].fill(0);
        assert_eq!(content(&disk, Some(&mark())), Content::Data(None));
        // A sixty-fifth of the rest is enough, wherever it is.
        let part = ((BYTES - 2 * ENDS) / 65) as usize;
        for start in (ENDS as usize..end - 2 * part).step_by(part) {
            let full = with(start as u64, &vec![7; part]);
            assert_eq!(content(&full, Some(&mark())), Content::Data(None), "{start}");
        }
    }

    #[test]
    fn small_disks_are_read_whole() {
        for bytes in [0, 512, ENDS, 2 * ENDS] {
            assert_eq!(stretches(bytes), [(0, bytes)]);
        }
        for bytes in [2 * ENDS + 512, BYTES, 1 << 40, u64::MAX] {
            let all = stretches(bytes);
            assert_eq!(all.len(), 66);
            assert!(
                all.iter().all(|(at, long)| at.checked_add(*long).is_some_and(|end| end <= bytes))
            );
        }
    }

    #[test]
    fn a_half_written_backup_is_this_sites_own_beginning_and_nobody_elses() {
        let mark = mark();
        let encoded = mark.table(BYTES).unwrap().encode().unwrap();
        let at = BYTES - encoded.tail.len() as u64;
        // The header alone, the entries alone.
        for part in [encoded.tail.len() - 512..encoded.tail.len(), 0..512] {
            let disk = with(at + part.start as u64, &encoded.tail[part]);
            assert_eq!(content(&disk, Some(&mark)), Content::Begun);
            let other = Mark::of(&"y".parse().unwrap(), &Identity::Wwid("S1".into()));
            assert_eq!(content(&disk, Some(&other)), Content::Data(None));
            assert_eq!(content(&disk, None), Content::Data(None));
        }
        // Whole, it makes the disk this site's; a byte elsewhere does not matter any more.
        let mut disk = with(at, &encoded.tail);
        assert_eq!(content(&disk, Some(&mark)), Content::Ours { sound: false });
        disk[5 << 20] = 1;
        assert_eq!(content(&disk, Some(&mark)), Content::Ours { sound: false });
    }

    #[test]
    fn what_cannot_be_read_is_not_blank() {
        struct Broken;
        impl ReadAt for Broken {
            fn len(&self) -> u64 {
                BYTES
            }
            fn read_at(&self, offset: u64, _: &mut [u8]) -> io::Result<()> {
                // Only the very middle.
                let middle = BYTES / 2..BYTES / 2 + (2 << 20);
                if middle.contains(&offset) { Err(io::Error::other("worn out")) } else { Ok(()) }
            }
        }
        let found = content(&Broken, Some(&mark()));
        assert_eq!(found, Content::Unreadable("worn out".to_owned()));
    }
}
