//! Checkpoints: all of a state in one file, so that the log before it may go. The same bytes are a
//! backup, and what a new replica is sent. Start at [`write()`], [`chunks`] and [`read`].
//!
//! ```text
//! title  64   "DUETCKP\n", format 1 (4), 0 (4), index (8), term (8), cluster (8), member (8), 0 (12),
//!             CRC-32C of the 60 bytes above (4)
//! block  16   D7 "blk", length of the payload (4), its number (4), checksum (4), then the payload
//! end    16   D7 "fin", length 16, its number, checksum; then items (8) and payload bytes (8)
//! ```
//!
//! Numbers are little-endian. A checksum is the CRC-32C of everything from the file's first byte to
//! here, without the checksums: so the end's covers all of it. The payloads, put together, are items:
//! length (LEB128) and body, and a body is a kind (1), then fields as in [`crate::record`].
//!
//! A file that has a checkpoint's name is whole: it gets the name after it is synced.

mod decode;
mod encode;

use std::io;

use mvcc::State;

use crate::disk::{Disk, DiskFile};

pub(crate) use decode::read_stamp;
pub use decode::{CheckpointError, read};
pub use encode::{Chunks, chunks};

const MAGIC: [u8; 8] = *b"DUETCKP\n";
const FORMAT: u32 = 1;
const TITLE: usize = 64;
const BLOCK: [u8; 4] = *b"\xd7blk";
const END: [u8; 4] = *b"\xd7fin";
/// Bytes of a block before its payload.
const HEAD: usize = 16;
/// Of one chunk, that is of one block: what a message of a snapshot stream may carry without waste.
const MAX_CHUNK: usize = 64 << 10;

/// Bytes that are written before they are synced: a checkpoint shares the disk with the log, whose
/// syncs may have to wait for all that others have written.
const STRIDE: usize = 4 << 20;

/// The checkpoint that is being written.
pub(crate) const UNFINISHED: &str = "checkpoint-next";

/// What a checkpoint holds, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The last record that is in it.
    pub index: u64,
    /// That record's term.
    pub term: u64,
    /// The cluster.
    pub cluster_id: u64,
    /// The member of it.
    pub member_id: u64,
}

/// Writes a checkpoint into the folder and returns its size; older checkpoints are removed once it is
/// durable. `pace` is told the bytes of each write, and may take its time.
pub fn write(
    disk: &dyn Disk,
    state: State,
    stamp: &Stamp,
    pace: &mut dyn FnMut(usize),
) -> io::Result<u64> {
    let written = prepare(disk, state, stamp, pace)?;
    disk.rename(UNFINISHED, &name(stamp.index))?;
    disk.sync()?;
    for entry in disk.list()? {
        if index_of(&entry.name).is_some_and(|index| index != stamp.index) {
            remove(disk, &entry.name)?;
        }
    }
    Ok(written)
}

/// Writes a checkpoint, which is whole when this returns, and leaves its name unfinished.
pub(crate) fn prepare(
    disk: &dyn Disk,
    state: State,
    stamp: &Stamp,
    pace: &mut dyn FnMut(usize),
) -> io::Result<u64> {
    // To begin would take the room that the log may still use, and to no end.
    if disk.free()? < state.size() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    remove(disk, UNFINISHED)?;
    let mut file = disk.create(UNFINISHED)?;
    let written = fill(&mut *file, chunks(state, stamp.clone()), pace);
    drop(file);
    if written.is_err() {
        // The next try removes it too.
        let _ = disk.remove(UNFINISHED);
    }
    written
}

fn fill(file: &mut dyn DiskFile, chunks: Chunks, pace: &mut dyn FnMut(usize)) -> io::Result<u64> {
    let (mut offset, mut unsynced) = (0, 0);
    for chunk in chunks {
        file.write_at(offset, &chunk)?;
        offset += chunk.len() as u64;
        unsynced += chunk.len();
        if unsynced >= STRIDE {
            file.sync()?;
            unsynced = 0;
        }
        pace(chunk.len());
    }
    file.sync()?;
    Ok(offset)
}

/// Removes a file that may not be there.
fn remove(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The file of the checkpoint that ends with this record.
pub(crate) fn name(index: u64) -> String {
    format!("checkpoint-{index:020}")
}

/// The last record of the newest checkpoint, and its size in bytes; 0 of both if there is none.
pub(crate) fn newest(disk: &dyn Disk) -> (u64, u64) {
    let entries = disk.list().ok().into_iter().flatten();
    let checkpoints = entries.filter_map(|entry| Some((index_of(&entry.name)?, entry.len)));
    checkpoints.max().unwrap_or_default()
}

/// The index in a checkpoint's name.
pub(crate) fn index_of(name: &str) -> Option<u64> {
    name.strip_prefix("checkpoint-").filter(|digits| digits.len() == 20)?.parse().ok()
}

#[cfg(test)]
mod tests;
