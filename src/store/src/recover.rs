//! From a data folder to a state and an open log. Start at [`open`]; [`check`] and [`records()`] look at
//! a folder and change nothing.
//!
//! ```text
//!  meta ─► whose folder      newest whole checkpoint ─► state ─► + the log after it ─► state, log
//! ```
//!
//! Everything that was acknowledged is in the state, or there is no state. What a crash interrupted
//! at the end of the log is overwritten with zeros and reported; any other damage is refused, with its
//! file and offset, and the folder stays as it is. No time is read and no choice is made by chance.

mod error;
mod folder;
mod install;
mod read;
mod recent;
mod records;
mod report;
mod room;
mod text;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use mvcc::State;

use crate::checkpoint::Stamp;
use crate::disk::{Disk, DiskFile};
use crate::log::frame::End;
use crate::log::segment::{self, START, Title};
use crate::log::{self, Log, Resume};
use folder::Folder;
use read::{Found, Tail};

pub use error::OpenError;
pub use install::install;
pub use read::check;
pub use recent::Recent;
pub use records::{Records, records};
pub use report::{CheckpointReport, Problem, Report, SegmentReport, Torn};
pub use room::{Place, RoomFiles, counts, open_room, persist, register, void};

/// Zeros that are written at once.
const STRIDE: usize = 1 << 20;

/// Zeros behind the last group that are always written: more than a group is, unless one record of it
/// is that large.
const DOUBTFUL: usize = 8 << 20;

/// Whose data it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The cluster; not 0.
    pub cluster_id: u64,
    /// This member of it; not 0.
    pub member_id: u64,
}

/// How far reading has come, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The checkpoint is read.
    Checkpoint {
        /// Bytes read.
        done: u64,
        /// Bytes there are.
        total: u64,
    },
    /// The log is read and replayed.
    Log {
        /// Bytes read.
        done: u64,
        /// Bytes there are, unused ones too.
        total: u64,
    },
}

/// A store's data, ready to go on.
pub struct Opened {
    /// Everything that was acknowledged, and perhaps the last group that was not.
    pub state: State,
    /// The log, to append to.
    pub log: Log,
    /// The last record, and whose data it is.
    pub stamp: Stamp,
    /// What was found.
    pub report: Report,
}

/// Reads a folder, or begins one with these identities, and makes it ready for writing.
pub fn open(
    disk: Arc<dyn Disk>,
    ids: Ids,
    progress: &dyn Fn(Progress),
) -> Result<Opened, OpenError> {
    open_sized(disk, ids, log::SEGMENT_BYTES, progress)
}

/// The same, with segments of another size, which simulations want small.
pub fn open_sized(
    disk: Arc<dyn Disk>,
    ids: Ids,
    segment_bytes: u64,
    progress: &dyn Fn(Progress),
) -> Result<Opened, OpenError> {
    if let Some(register) = room::register(&*disk)? {
        return Err(OpenError::Paired(register.to_string()));
    }
    open_any(disk, ids, segment_bytes, progress, false).map(|(opened, _)| opened)
}

/// Reads the folder of a room of a pair, after [`open_room`]. Besides what there is it gives what of it is
/// surely acknowledged; [`Opened::state`] holds all of the log.
pub fn open_paired(
    disk: Arc<dyn Disk>,
    ids: Ids,
    segment_bytes: u64,
    progress: &dyn Fn(Progress),
) -> Result<(Opened, Recent), OpenError> {
    let (opened, recent) = open_any(disk, ids, segment_bytes, progress, true)?;
    Ok((opened, recent.expect("it was asked for")))
}

fn open_any(
    disk: Arc<dyn Disk>,
    ids: Ids,
    segment_bytes: u64,
    progress: &dyn Fn(Progress),
    paired: bool,
) -> Result<(Opened, Option<Recent>), OpenError> {
    install::finish(&*disk)?;
    let folder = Folder::survey(&*disk)?;
    let (mut report, mut found) = (Report::default(), Found { paired, ..Found::default() });
    read::all(&*disk, &folder, progress, &mut report, &mut found)?;
    let Found { recent, state, mut stamp, ids: known, start, tail, extent, newest, .. } = found;
    let ids = known.unwrap_or(ids);
    (stamp.cluster_id, stamp.member_id) = (ids.cluster_id, ids.member_id);

    let mut segments: VecDeque<u64> =
        folder.segments[start..].iter().map(|part| part.index).collect();
    let (file, size, offset, previous) = match tail {
        Some(tail) => (mend(&*disk, &tail)?, tail.size, tail.offset, tail.previous),
        None => {
            segments.push_back(stamp.index + 1);
            (begin(&disk, &stamp, segment_bytes)?, segment_bytes, START, 0)
        }
    };
    // Names that an earlier process left unsynced have been believed: now they must last.
    disk.sync().map_err(OpenError::io("sync", "the names"))?;
    clear(&*disk, &folder, start, newest)?;
    if !matches!(folder.meta, Some(Ok(_))) {
        folder::write_meta(&*disk, &ids)?;
    }
    let log = Log::resume(Resume {
        disk,
        segment_bytes,
        ids: (ids.cluster_id, ids.member_id),
        segments,
        file,
        size,
        offset,
        last: stamp.index,
        term: stamp.term,
        previous,
        extent,
    });
    Ok((Opened { state, log, stamp, report }, recent))
}

/// Begins a log behind what the stamp says.
fn begin(disk: &Arc<dyn Disk>, stamp: &Stamp, size: u64) -> Result<Box<dyn DiskFile>, OpenError> {
    let Stamp { cluster_id, member_id, .. } = *stamp;
    let first = stamp.index + 1;
    let title = Title { cluster_id, member_id, first, previous: 0 };
    log::begin(disk, size, &title).map_err(|error| OpenError::log(&segment::name(first), error))
}

/// Makes the end of the last segment what it seems to be.
fn mend(disk: &dyn Disk, tail: &Tail) -> Result<Box<dyn DiskFile>, OpenError> {
    let mut file = disk.open(&tail.file).map_err(OpenError::io("open", &tail.file))?;
    rewrite(&mut *file, tail).map_err(OpenError::io("mend", &tail.file))?;
    Ok(file)
}

/// Writes again what the last group may have left in the machine's memory only: the group itself, and
/// the zeros behind it. An earlier process can have ended because a sync failed, and then a mere sync
/// would not write them (Linux marks such pages clean). All groups before it were synced.
fn rewrite(file: &mut dyn DiskFile, tail: &Tail) -> io::Result<()> {
    if let Some((offset, size)) = tail.frame {
        let mut bytes = vec![0; size];
        let read = file.read_at(offset as u64, &mut bytes)?;
        if read != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(offset as u64, &bytes)?;
    }
    let torn = if let End::Torn(upto) = tail.end { upto } else { 0 };
    let end = torn.max(tail.offset + DOUBTFUL).min(tail.size as usize);
    let zeros = vec![0; STRIDE];
    for offset in (tail.offset..end).step_by(STRIDE) {
        file.write_at(offset as u64, &zeros[..STRIDE.min(end - offset)])?;
    }
    file.sync()
}

/// Removes what is not needed any more, or never got its name.
fn clear(disk: &dyn Disk, folder: &Folder, start: usize, newest: bool) -> Result<(), OpenError> {
    let old = folder.checkpoints.split_last().map_or(&[][..], |(_, old)| old);
    let covered = folder.segments[..start].iter().chain(old).filter(|_| newest);
    let names = covered.map(|part| &part.name).chain(&folder.unfinished);
    for name in names {
        match disk.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::io("remove", name)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
