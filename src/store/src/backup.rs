//! Backup files: written from the snapshot stream, verified, and made a data folder again. Start at
//! [`Sealer`] for writing, and at [`open`] and [`restore`] for the way back.
//!
//! ```text
//!  checkpoint (its own blocks and checksums) │ padding to a multiple of 512 │ SHA-256 of all before
//!                                              zeros, and its length (2) at its end
//! ```
//!
//! That is the shape of etcd's own snapshots (etcd v3.5 `server/etcdserver/api/v3rpc/maintenance.go`,
//! `etcdutl/snapshot/v3_snapshot.go`), so `etcdctl snapshot save` takes one from this store. Nothing
//! is decoded before the sum over the whole file has been found right.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use mvcc::{Item, KeyRange, RangeRequest, State};
use ring::digest::{Context, SHA256};
use serde::Serialize;

use crate::checkpoint::{self, CheckpointError, Stamp};
use crate::disk::Disk;
use crate::import::Harvest;
use crate::recover::Ids;

/// What a database file of etcd's is a multiple of (bbolt's smallest page is larger still); etcd's tools
/// tell by the remainder whether a sum follows.
const BLOCK: u64 = 512;

/// Bytes of a SHA-256 sum.
const SUM: usize = 32;

/// Bytes of the padding's length, a little-endian number.
const PADDED: u64 = 2;

/// Where bbolt, etcd's own database, has its mark, and the mark (bbolt `internal/common/meta.go`).
const BBOLT_MARK_AT: usize = 16;
const BBOLT_MARK: [u8; 4] = 0xED0C_DAED_u32.to_le_bytes();

/// How much is read at a time.
const PIECE: usize = 64 << 10;

/// Makes the end of a backup file while its beginning passes by.
#[derive(Clone)]
pub struct Sealer {
    sum: Context,
    length: u64,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Sealer {
    /// For a file that begins now.
    #[must_use]
    pub fn new() -> Sealer {
        Sealer { sum: Context::new(&SHA256), length: 0 }
    }

    /// Takes note of the next bytes of the checkpoint, which go into the file as they are.
    pub fn push(&mut self, chunk: &[u8]) {
        self.sum.update(chunk);
        self.length += chunk.len() as u64;
    }

    /// What comes after the last chunk: the padding and the sum.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let padding = (self.length + PADDED).next_multiple_of(BLOCK) - self.length;
        let mut end = vec![0; (padding - PADDED) as usize];
        // Less than two blocks, so that it fits.
        end.extend_from_slice(&(padding as u16).to_le_bytes());
        self.sum.update(&end);
        end.extend_from_slice(self.sum.finish().as_ref());
        end
    }
}

/// Why a backup cannot be used, or could not be made a data folder.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BackupError {
    /// The file cannot be read.
    #[error("cannot read the backup")]
    #[diagnostic(code(input::backup), help("give a file that `duetd store backup` wrote"))]
    Read(#[source] io::Error),
    /// It has not the length that a backup has.
    #[error("this is no whole backup: {size} bytes is not a length that a backup has")]
    #[diagnostic(
        code(integrity::backup),
        help("it may have been copied only in part; take another copy or an older backup")
    )]
    Length {
        /// The file's length.
        size: u64,
    },
    /// It is etcd's own.
    #[error("this is a snapshot of etcd's own database, not of this store")]
    #[diagnostic(
        code(input::backup),
        help(
            "restore it with etcdutl, start etcd on it, and move in with `duetd store import \
             --from-etcd`"
        )
    )]
    Etcd,
    /// The sum at the end is not the content's.
    #[error("the backup is damaged: its content has the SHA-256 {found}, its end says {expected}")]
    #[diagnostic(
        code(integrity::backup),
        help("do not use it; take another copy of the same file, or an older backup")
    )]
    Sum {
        /// What the end of the file says.
        expected: String,
        /// What the content has.
        found: String,
    },
    /// The sum is right and the content is not a checkpoint of this store.
    #[error("the backup holds nothing that this store can read")]
    #[diagnostic(
        code(integrity::backup),
        help("was it written by a newer release? `duetd --version` names this one")
    )]
    Content(#[source] CheckpointError),
    /// The sum is right, and what is before it is not the padding of a backup.
    #[error("this is no backup of this store: its padding is another's")]
    #[diagnostic(code(integrity::backup), help("give a file that `duetd store backup` wrote"))]
    Padding,
    /// The numbers contradict each other.
    #[error("the backup contradicts itself")]
    #[diagnostic(code(integrity::backup), help("take an older backup, and tell Duet's developers"))]
    Contradiction(#[source] mvcc::ApplyError),
    /// The revision cannot be raised so far.
    #[error("revision {revision} cannot be raised by {by}")]
    #[diagnostic(code(input::backup), help("1000000000 is plenty"))]
    Bump {
        /// The backup's revision.
        revision: i64,
        /// What was to be added.
        by: i64,
    },
    /// The data folder holds something.
    #[error("the data folder is not empty: it holds {0}")]
    #[diagnostic(
        code(output::folder),
        help("give another folder with --data-dir, or move this one away first")
    )]
    NotEmpty(String),
    /// The data folder cannot be written.
    #[error("cannot write the data folder")]
    #[diagnostic(
        code(output::folder),
        help("see that the disk has room and that the folder may be written")
    )]
    Write(#[source] io::Error),
}

/// What is in a backup, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The newest revision.
    pub revision: i64,
    /// The compaction revision.
    pub compacted: i64,
    /// Keys that are there.
    pub keys: u64,
    /// Versions that are held, older ones and deletions too.
    pub versions: u64,
    /// Leases.
    pub leases: u64,
    /// The newest entry of the log that is in it.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The cluster that it was taken from, in hexadecimal as etcd's tools print it.
    pub cluster_id: String,
    /// The member that it was taken from, likewise.
    pub member_id: String,
    /// The length of the file.
    pub size_bytes: u64,
    /// The sum over its content, in hexadecimal.
    pub sha256: String,
}

/// A backup that has been read and found right.
#[derive(Clone, Debug)]
pub struct Backup {
    /// What it holds.
    pub state: State,
    /// Where in the log's order it was taken.
    pub stamp: Stamp,
    /// The same in numbers.
    pub summary: Summary,
}

impl Backup {
    /// The identity of the store that it was taken from.
    #[must_use]
    pub fn ids(&self) -> Ids {
        Ids { cluster_id: self.stamp.cluster_id, member_id: self.stamp.member_id }
    }
}

/// Reads a backup, its sum first. `progress` is told the bytes read so far, and how many there are to
/// read: every byte is read twice.
///
/// # Errors
/// When anything about the file is not as it was written.
pub fn open(
    file: &mut (impl Read + Seek),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Backup, BackupError> {
    let size = file.seek(SeekFrom::End(0)).map_err(BackupError::Read)?;
    file.rewind().map_err(BackupError::Read)?;
    let content = size.checked_sub(SUM as u64).filter(|content| *content > 0);
    let content = match content {
        Some(content) if content % BLOCK == 0 => content,
        _ => {
            return Err(if is_etcd(file) {
                BackupError::Etcd
            } else {
                BackupError::Length { size }
            });
        }
    };
    let sha256 = check_sum(file, content, progress)?;
    if is_etcd(file) {
        return Err(BackupError::Etcd);
    }
    let length = unpadded(file, content)?;
    file.rewind().map_err(BackupError::Read)?;
    let mut rest = Counted { file, done: content, total: 2 * content, progress };
    let (state, stamp) =
        checkpoint::read(&mut (&mut rest).take(length)).map_err(BackupError::Content)?;
    let summary = summary(&state, &stamp, size, sha256);
    Ok(Backup { state, stamp, summary })
}

/// Reads a backup and says what is in it.
///
/// # Errors
/// As [`open`].
pub fn verify(
    file: &mut (impl Read + Seek),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary, BackupError> {
    open(file, progress).map(|backup| backup.summary)
}

/// Writes a backup into an empty data folder as the store `ids`. With `bump` above 0 the revision
/// becomes greater by so much and all history is forgotten: clients that have seen later revisions than
/// the backup's then see none twice. `pace` is told the bytes of each step.
///
/// # Errors
/// When the folder is not empty or cannot be written. What was begun is removed.
pub fn restore(
    backup: Backup,
    disk: &dyn Disk,
    ids: &Ids,
    bump: i64,
    pace: &mut dyn FnMut(usize),
) -> Result<u64, BackupError> {
    let Backup { state, stamp, .. } = backup;
    let state = if bump > 0 { raise(&state, bump)? } else { state };
    let Ids { cluster_id, member_id } = *ids;
    lay(disk, state, &Stamp { cluster_id, member_id, ..stamp }, pace)
}

/// Makes an empty data folder hold `state`: its bytes on the disk.
///
/// # Errors
/// When the folder is not empty or cannot be written. What was begun is removed.
pub fn lay(
    disk: &dyn Disk,
    state: State,
    stamp: &Stamp,
    pace: &mut dyn FnMut(usize),
) -> Result<u64, BackupError> {
    if let Some(entry) = disk.list().map_err(BackupError::Write)?.first() {
        return Err(BackupError::NotEmpty(entry.name.clone()));
    }
    checkpoint::write(disk, state, stamp, pace).map_err(|error| {
        // The folder is to be as it was; that the first error is told matters more than a second one.
        for entry in disk.list().unwrap_or_default() {
            let _ = disk.remove(&entry.name);
        }
        BackupError::Write(error)
    })
}

/// The same keys at revisions that no client has seen: the newest revision is raised by `by` and becomes
/// the compaction revision too, so that every watch from before is told to begin anew.
fn raise(state: &State, by: i64) -> Result<State, BackupError> {
    let impossible = BackupError::Bump { revision: state.revision(), by };
    // Half of what there is must be left for the store's future.
    let revision = state.revision().checked_add(by).filter(|revision| *revision < i64::MAX / 2);
    let revision = revision.ok_or(impossible)?;
    let all = KeyRange { key: vec![0].into(), end: vec![0].into() };
    let request = RangeRequest { keys: all, ..RangeRequest::default() };
    let found = state.range(&request).expect("all keys at the newest revision are never refused");
    let kvs = found.kvs.into_iter().map(Arc::unwrap_or_clone).collect();
    let leases = state.leases().map(|(id, lease)| (id, lease.ttl)).collect();
    Harvest { revision, leases, kvs }.into_state().map_err(BackupError::Contradiction)
}

/// Reads the content and its sum; gives the sum in hexadecimal if it is right.
fn check_sum(
    file: &mut impl Read,
    content: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String, BackupError> {
    let mut sum = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    while done < content {
        let most = usize::try_from(content - done).map_or(PIECE, |left| left.min(PIECE));
        let piece = &mut piece[..most];
        file.read_exact(piece).map_err(BackupError::Read)?;
        sum.update(piece);
        done += most as u64;
        progress(done, 2 * content);
    }
    let mut expected = [0; SUM];
    file.read_exact(&mut expected).map_err(BackupError::Read)?;
    let found = sum.finish();
    if found.as_ref() != expected {
        return Err(BackupError::Sum { expected: hex(&expected), found: hex(found.as_ref()) });
    }
    Ok(hex(&expected))
}

/// The length of the content without its padding.
fn unpadded(file: &mut (impl Read + Seek), content: u64) -> Result<u64, BackupError> {
    let most = content.min(2 * BLOCK);
    let mut end = vec![0; most as usize];
    file.seek(SeekFrom::Start(content - most)).map_err(BackupError::Read)?;
    file.read_exact(&mut end).map_err(BackupError::Read)?;
    let (zeros, length) = end.split_at(end.len() - PADDED as usize);
    let padding = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let zeros = padding
        .checked_sub(PADDED as usize)
        .and_then(|count| zeros.get(zeros.len().checked_sub(count)?..))
        .filter(|zeros| zeros.iter().all(|byte| *byte == 0))
        .ok_or(BackupError::Padding)?;
    Ok(content - PADDED - zeros.len() as u64)
}

/// Whether the file is a database of etcd's.
fn is_etcd(file: &mut (impl Read + Seek)) -> bool {
    let mut head = [0; BBOLT_MARK_AT + BBOLT_MARK.len()];
    let read = file.rewind().and_then(|()| file.read_exact(&mut head));
    read.is_ok() && head[BBOLT_MARK_AT..] == BBOLT_MARK
}

fn summary(state: &State, stamp: &Stamp, size_bytes: u64, sha256: String) -> Summary {
    let (leases, versions) = match state.items().next() {
        Some(Item::Head { leases, versions, .. }) => (leases, versions),
        _ => (0, 0),
    };
    Summary {
        revision: state.revision(),
        compacted: state.compacted().max(0),
        keys: state.keys(),
        versions,
        leases,
        index: stamp.index,
        term: stamp.term,
        cluster_id: format!("{:x}", stamp.cluster_id),
        member_id: format!("{:x}", stamp.member_id),
        size_bytes,
        sha256,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A reader that tells how far it has come.
struct Counted<'a, F> {
    file: &'a mut F,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl<F: Read> Read for Counted<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.done += count as u64;
        (self.progress)(self.done.min(self.total), self.total);
        Ok(count)
    }
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
