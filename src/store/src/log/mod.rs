//! The log: every change, in order, on the disk before anybody hears of it. Start at [`Log::append`];
//! what lies on the disk is described in `frame.rs` and `segment.rs`, and read by [`crate::recover`].
//!
//! A group of records is one frame, one write and one sync. Nothing that was acknowledged is ever
//! written again; nothing is forgiven either: after an error whose outcome is unknown, every further
//! append fails, and the process must end.

pub(crate) mod frame;
pub(crate) mod segment;
mod spare;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, is_full};
use crate::record::Record;
use frame::{Draft, Place, SEAL_SIZE};
use segment::{START, Title};
use spare::{Blank, Spare};

pub use spare::Preparer;

/// Bytes of a segment: large enough that making one is rare, small enough that what a checkpoint
/// covers is soon given back, and that one is read into memory.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Bytes of groups between two marks that tell how much of the log a checkpoint covers: a mark is 16
/// bytes, so they stay a thousandth of the log.
const MARK_EVERY: u64 = 16 << 10;

/// Why a group is not in the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no room. Nothing of the group will ever be read back; the log can go on, and it may
    /// be tried again later.
    #[error("there is no room for the log")]
    NoSpace(#[source] io::Error),
    /// Whether the group is durable is unknown. The process must end.
    #[error("writing the log failed")]
    Fatal(#[source] io::Error),
}

impl LogError {
    /// The error of a step before anything of the group was written.
    fn before_write(error: io::Error) -> LogError {
        if is_full(&error) { LogError::NoSpace(error) } else { LogError::Fatal(error) }
    }
}

/// The end of the log, to append to. One thread owns it.
pub struct Log {
    disk: Arc<dyn Disk>,
    spare: Spare,
    ids: (u64, u64),
    current: Current,
    /// The first indices of the segments before the current one, oldest first. Bounded by the disk.
    older: VecDeque<u64>,
    /// The index of the last record.
    last: u64,
    term: u64,
    /// The own checksum of the last frame.
    previous: u32,
    draft: Draft,
    extent: Extent,
    broken: bool,
}

/// The segment that is written to.
struct Current {
    file: Box<dyn DiskFile>,
    first: u64,
    size: u64,
    /// Where the next frame begins.
    offset: usize,
}

/// How many bytes of groups there are behind which record.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    total: u64,
    released: u64,
    marks: VecDeque<(u64, u64)>,
}

impl Extent {
    /// A group of so many bytes ends with record `last`.
    pub(crate) fn add(&mut self, last: u64, bytes: usize) {
        let marked = self.marks.len().checked_sub(2).map_or(self.released, |at| self.marks[at].1);
        self.total += bytes as u64;
        match self.marks.back_mut() {
            Some(mark) if self.total - marked <= MARK_EVERY => *mark = (last, self.total),
            _ => self.marks.push_back((last, self.total)),
        }
    }

    fn release(&mut self, index: u64) {
        while let Some((_, total)) = self.marks.front().filter(|(last, _)| *last <= index) {
            self.released = *total;
            self.marks.pop_front();
        }
    }
}

/// What recovery knows of a log when it has read all of it.
pub(crate) struct Resume {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) segment_bytes: u64,
    pub(crate) ids: (u64, u64),
    /// The first indices of its segments, oldest first.
    pub(crate) segments: VecDeque<u64>,
    /// The last segment's file, size and free offset.
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) size: u64,
    pub(crate) offset: usize,
    /// The last record, and the own checksum of its frame.
    pub(crate) last: u64,
    pub(crate) term: u64,
    pub(crate) previous: u32,
    pub(crate) extent: Extent,
}

impl Log {
    /// Goes on where the last process ended.
    pub(crate) fn resume(found: Resume) -> Log {
        let mut older = found.segments;
        let first = older.pop_back().expect("recovery found or made a segment");
        let spare = Spare::new(found.disk.clone(), found.segment_bytes);
        let current = Current { file: found.file, first, size: found.size, offset: found.offset };
        Log {
            disk: found.disk,
            spare,
            ids: found.ids,
            current,
            older,
            last: found.last,
            term: found.term,
            previous: found.previous,
            draft: Draft::default(),
            extent: found.extent,
            broken: false,
        }
    }

    /// Appends the records, which follow the last one, and returns when they are durable. All of them
    /// or none will be read back.
    ///
    /// One write and one sync, so the caller bounds the group (a few MiB, unless one record is larger).
    pub fn append(&mut self, group: &[Record]) -> Result<(), LogError> {
        self.append_behind(group, u64::MAX)
    }

    /// The same where another room has to have the records, too: only those up to `settled` are known to
    /// be acknowledged. The next start then knows which ones may still be cut off.
    pub fn append_behind<'a>(
        &mut self,
        group: impl IntoIterator<Item = &'a Record> + Clone,
        settled: u64,
    ) -> Result<(), LogError> {
        if self.broken {
            return Err(LogError::Fatal(io::Error::other("an earlier write of the log failed")));
        }
        let (mut last, mut term) = (self.last, self.term);
        for record in group.clone() {
            assert!(record.index == last + 1, "records follow each other");
            assert!(record.term >= term, "terms never fall");
            (last, term) = (record.index, record.term);
        }
        if last == self.last {
            return Ok(());
        }
        let result = self.write(group, settled);
        match result {
            Ok(()) => {
                self.extent.add(last, self.draft.size());
                (self.last, self.term) = (last, term);
            }
            Err(LogError::Fatal(_)) => self.broken = true,
            Err(LogError::NoSpace(_)) => {}
        }
        result
    }

    /// Bytes of groups that no checkpoint covers yet: what a start would have to read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.extent.total - self.extent.released
    }

    /// Makes segments for this log ahead of need.
    #[must_use]
    pub fn preparer(&self) -> Preparer {
        Preparer::new(self.spare.clone())
    }

    /// A checkpoint holds everything up to this record: removes the segments that hold nothing else.
    /// After an error, those that are left go with the next call.
    pub fn release(&mut self, index: u64) -> io::Result<()> {
        self.extent.release(index);
        while let Some(first) = self.older.front().copied() {
            let next = self.older.get(1).copied().unwrap_or(self.current.first);
            if next > index.saturating_add(1) {
                break;
            }
            match self.disk.remove(&segment::name(first)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(self.older.pop_front()),
            }
        }
        Ok(())
    }

    /// Begins anew behind record `last` of `term`, in a folder that has no segment.
    pub(crate) fn restart(&mut self, last: u64, term: u64) -> Result<(), LogError> {
        let (cluster_id, member_id) = self.ids;
        let first = last + 1;
        let title = Title { cluster_id, member_id, first, previous: 0 };
        let (file, size) =
            self.spare.take(self.spare.size(), |blank| name(&*self.disk, blank, &title))?;
        self.current = Current { file, first, size, offset: START };
        self.older.clear();
        (self.last, self.term, self.previous) = (last, term, 0);
        self.extent = Extent::default();
        Ok(())
    }

    fn write<'a>(
        &mut self,
        group: impl IntoIterator<Item = &'a Record>,
        settled: u64,
    ) -> Result<(), LogError> {
        let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "the group is too large");
        self.draft.group(group, settled).ok_or_else(too_large).map_err(LogError::Fatal)?;
        let size = self.draft.size();
        if (self.current.offset + size + SEAL_SIZE) as u64 > self.current.size {
            self.turn(size, self.last + 1)?;
        }
        let offset = self.current.offset;
        let place = Place { segment: self.current.first, offset };
        let (bytes, own) = self.draft.finish(place, self.previous);
        match self.current.file.write_at(offset as u64, bytes) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Err(self.erase(size, error)),
            Err(error) => return Err(LogError::Fatal(error)),
        }
        self.current.file.sync().map_err(LogError::Fatal)?;
        self.current.offset += size;
        self.previous = own;
        Ok(())
    }

    /// A filesystem that copies on write can be full in a file's middle: what it took of the group
    /// must not be read back.
    fn erase(&mut self, size: usize, full: io::Error) -> LogError {
        let file = &mut self.current.file;
        let zeros = vec![0; size];
        let erased = file.write_at(self.current.offset as u64, &zeros).and_then(|()| file.sync());
        match erased {
            Ok(()) => LogError::NoSpace(full),
            Err(error) => LogError::Fatal(error),
        }
    }

    /// Goes on in a new segment, which has room for a frame of that size and begins with that record.
    fn turn(&mut self, size: usize, first: u64) -> Result<(), LogError> {
        let least = (START + size + SEAL_SIZE).next_multiple_of(START) as u64;
        let (cluster_id, member_id) = self.ids;
        let title = Title { cluster_id, member_id, first, previous: self.previous };
        let (file, size) = self.spare.take(least, |blank| name(&*self.disk, blank, &title))?;
        // From here on the new segment is durable. An empty one, too small for this group, has just
        // lost its name to it.
        if self.current.first != first {
            // Tells that the new one must be there.
            self.seal(first)?;
            self.older.push_back(self.current.first);
        }
        self.current = Current { file, first, size, offset: START };
        Ok(())
    }

    fn seal(&mut self, next: u64) -> Result<(), LogError> {
        let Current { file, first, offset, .. } = &mut self.current;
        // The draft holds the group that waits.
        let mut draft = Draft::default();
        draft.seal(next);
        let place = Place { segment: *first, offset: *offset };
        let (bytes, _) = draft.finish(place, self.previous);
        match file.write_at(*offset as u64, bytes) {
            // Without a seal the chain of checksums still holds.
            Err(error) if is_full(&error) => return Ok(()),
            result => result.map_err(LogError::Fatal)?,
        }
        file.sync().map_err(LogError::Fatal)
    }
}

/// Makes a blank a segment; the file and its size. Without room it stays what it was.
fn name(
    disk: &dyn Disk,
    mut blank: Blank,
    title: &Title,
) -> Result<(Box<dyn DiskFile>, u64), LogError> {
    blank.file.write_at(0, &title.encode()).map_err(LogError::before_write)?;
    blank.file.sync().map_err(LogError::Fatal)?;
    let name = segment::name(title.first);
    disk.rename(segment::SPARE, &name).map_err(LogError::before_write)?;
    disk.sync().map_err(LogError::Fatal)?;
    Ok((blank.file, blank.size))
}

/// Makes the first segment of a log.
pub(crate) fn begin(
    disk: &Arc<dyn Disk>,
    size: u64,
    title: &Title,
) -> Result<Box<dyn DiskFile>, LogError> {
    let spare = Spare::new(disk.clone(), size);
    spare.take(size, |blank| name(&**disk, blank, title)).map(|(file, _)| file)
}

#[cfg(test)]
mod tests;
