//! Makes the next segment ahead of need: a file of zeros, synced. Start at [`Preparer::prepare`].
//! It is made by the keeper's thread and taken by the committer's; it holds no group before its name
//! is a segment's, and is thrown away at the next start.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LogError;
use super::segment::SPARE;
use crate::disk::{Disk, DiskFile};

/// Zeros that are written and synced at once: few enough that the sync of a group, which may have to
/// wait for them, does not wait long.
const STRIDE: usize = 2 << 20;

/// A file of zeros without a name of its own.
pub(crate) struct Blank {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) size: u64,
}

/// The blank that is ready, if one is.
#[derive(Clone)]
pub(crate) struct Spare {
    disk: Arc<dyn Disk>,
    size: u64,
    ready: Arc<Mutex<Option<Blank>>>,
}

impl Spare {
    pub(crate) fn new(disk: Arc<dyn Disk>, size: u64) -> Spare {
        Spare { disk, size, ready: Arc::default() }
    }

    /// Bytes of a blank.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn lock(&self) -> MutexGuard<'_, Option<Blank>> {
        // Whoever panicked left a blank or none; both are sound.
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self) -> io::Result<bool> {
        let mut ready = self.lock();
        if ready.is_some() {
            return Ok(false);
        }
        *ready = Some(make(&*self.disk, self.size)?);
        Ok(true)
    }

    /// Takes a blank of at least this size under the name [`SPARE`]; makes it if there is none. One
    /// that is being made is waited for: making another would take longer.
    ///
    /// `name` gives it another name. Until then no other blank is made: it would take the place of this
    /// one, which the log already writes to.
    pub(crate) fn take<T>(
        &self,
        least: u64,
        name: impl FnOnce(Blank) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut ready = self.lock();
        let blank = match ready.take() {
            Some(blank) if blank.size >= least => blank,
            _ => make(&*self.disk, least.max(self.size)).map_err(LogError::before_write)?,
        };
        name(blank)
    }
}

/// Makes the next segment of the log ahead of need, on a thread of its own.
pub struct Preparer(Spare);

impl Preparer {
    pub(crate) fn new(spare: Spare) -> Preparer {
        Preparer(spare)
    }

    /// Makes the next segment unless it is ready; true if it had to be made. An error is no harm
    /// before the current segment is full; try again later.
    pub fn prepare(&self) -> io::Result<bool> {
        self.0.prepare()
    }
}

fn make(disk: &dyn Disk, size: u64) -> io::Result<Blank> {
    // To begin would take the room that others may still use, and to no end.
    if disk.free().is_ok_and(|free| free < size) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    match disk.remove(SPARE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.create(SPARE)?;
    match fill(&mut *file, size) {
        Ok(()) => Ok(Blank { file, size }),
        Err(error) => {
            drop(file);
            // The next try removes it too.
            let _ = disk.remove(SPARE);
            Err(error)
        }
    }
}

fn fill(file: &mut dyn DiskFile, size: u64) -> io::Result<()> {
    let zeros = vec![0; STRIDE];
    let mut offset = 0;
    while offset < size {
        let length = (size - offset).min(STRIDE as u64);
        file.write_at(offset, &zeros[..length as usize])?;
        file.sync()?;
        offset += length;
    }
    Ok(())
}
