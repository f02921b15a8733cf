//! The records of a log, one after the other, for a person in trouble. Start at [`records`]. Changes
//! nothing, and goes on behind what it cannot read.

use std::collections::VecDeque;

use super::error::OpenError;
use super::folder::{Folder, Part};
use super::read::{Tail, each_record, load, title, walk};
use crate::disk::Disk;
use crate::log::frame::End;
use crate::record::Record;

/// The records of a folder's log, oldest first; of one segment at a time.
pub struct Records<'a> {
    disk: &'a dyn Disk,
    parts: VecDeque<Part>,
    tail: Option<Tail>,
    ready: VecDeque<Result<Record, OpenError>>,
}

/// Reads the log of a folder on which no store runs, checkpoints aside. An error is told where it
/// comes; what can be read behind it follows.
pub fn records(disk: &dyn Disk) -> Records<'_> {
    let (parts, ready) = match Folder::survey(disk) {
        Ok(folder) => (folder.segments.into(), VecDeque::new()),
        Err(error) => (VecDeque::new(), VecDeque::from([Err(error)])),
    };
    Records { disk, parts, tail: None, ready }
}

impl Records<'_> {
    fn segment(&mut self, part: &Part) -> Result<(), OpenError> {
        let bytes = load(self.disk, part, &mut |_| ())?;
        let title = title(part, &bytes)?;
        let joined = self.tail.take().map_or(Ok(()), |tail| tail.joins(&title, part));
        self.ready.extend(joined.err().map(Err));
        let tail = walk(part, &bytes, &title, &mut |frame| {
            each_record(part, frame, &mut |record| {
                self.ready.push_back(Ok(record));
                Ok(())
            })
        })?;
        if let (End::Damaged(what), true) = (&tail.end, self.parts.is_empty()) {
            return Err(OpenError::damaged(&part.name, tail.offset as u64, what));
        }
        self.tail = Some(tail);
        Ok(())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let part = self.parts.pop_front()?;
            if let Err(error) = self.segment(&part) {
                self.ready.push_back(Err(error));
            }
        }
        self.ready.pop_front()
    }
}
