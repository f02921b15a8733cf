//! Puts a whole state in the place of a folder's checkpoint and log: where a follower takes over its
//! leader's history, or cuts off the end of its own. Start at [`install`].
//!
//! ```text
//!  checkpoint-next, synced ─► mark `install` ─► old files go ─► checkpoint-N ─► log from N+1 ─► mark goes
//! ```
//!
//! Before the mark is durable a crash leaves what was there before; from then on the next start carries
//! on from here. At no moment is there a mixture of both.

use mvcc::State;

use super::folder::Folder;
use super::{Ids, OpenError, folder};
use crate::checkpoint::{self, Stamp};
use crate::disk::{Disk, Reader};
use crate::log::{Log, segment};

/// The mark. Its name is all that it says: the checkpoint that is to be installed is the only one that
/// is whole and not yet named.
pub(super) const INSTALL: &str = "install";

/// Makes the state, which holds everything up to the stamp's record, all that the folder holds; `log` goes
/// on behind it.
///
/// # Errors
/// If the disk refuses. The folder then holds what it held, or what is installed, and the process must
/// end to find out which.
pub fn install(
    disk: &dyn Disk,
    log: &mut Log,
    state: State,
    stamp: &Stamp,
) -> Result<(), OpenError> {
    let failed = || OpenError::io("write", checkpoint::UNFINISHED);
    checkpoint::prepare(disk, state, stamp, &mut |_| ()).map_err(failed())?;
    let mut mark = disk.create(INSTALL).map_err(OpenError::io("make", INSTALL))?;
    mark.sync().map_err(OpenError::io("sync", INSTALL))?;
    drop(mark);
    disk.sync().map_err(OpenError::io("sync", "the names"))?;
    finish(disk)?;
    let restarted = log.restart(stamp.index, stamp.term);
    restarted.map_err(|error| OpenError::log(&segment::name(stamp.index + 1), error))?;
    let Stamp { cluster_id, member_id, .. } = *stamp;
    folder::write_meta(disk, &Ids { cluster_id, member_id })
}

/// Carries on from the mark, if there is one.
pub(super) fn finish(disk: &dyn Disk) -> Result<(), OpenError> {
    let folder = Folder::survey(disk)?;
    if !folder.installing {
        return Ok(());
    }
    let remove = |name: &str| disk.remove(name).map_err(OpenError::io("remove", name));
    // With it the folder must have a log, which it has not for a moment.
    if folder.meta.is_some() {
        remove(folder::META)?;
    }
    for part in &folder.segments {
        remove(&part.name)?;
    }
    // Once it has its name, the older ones are gone.
    if folder.unfinished.iter().any(|name| name == checkpoint::UNFINISHED) {
        for part in &folder.checkpoints {
            remove(&part.name)?;
        }
        // The names go before the new one comes: no start may find the old log behind it.
        disk.sync().map_err(OpenError::io("sync", "the names"))?;
        let name = checkpoint::name(unnamed(disk)?.index);
        disk.rename(checkpoint::UNFINISHED, &name).map_err(OpenError::io("name", &name))?;
    }
    disk.sync().map_err(OpenError::io("sync", "the names"))?;
    remove(INSTALL)?;
    disk.sync().map_err(OpenError::io("sync", "the names"))
}

/// What the checkpoint without a name holds.
fn unnamed(disk: &dyn Disk) -> Result<Stamp, OpenError> {
    let name = checkpoint::UNFINISHED;
    let file = disk.open(name).map_err(OpenError::io("open", name))?;
    let stamp = checkpoint::read_stamp(&mut Reader::new(&*file, |_| ()));
    stamp.map_err(|error| OpenError::checkpoint(name, error))
}
