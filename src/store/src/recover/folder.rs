//! Which files a data folder has, and whose it is. Start at [`Folder::survey`]. Reads names and the small
//! file `meta`; no checkpoint and no segment.

use std::fmt::Write;
use std::io::Read;

use super::{Ids, OpenError};
use crate::checkpoint;
use crate::disk::{Disk, Reader};
use crate::log::segment;

/// The file that says whose folder it is. It is made last: with it, the folder must have a log.
pub(super) const META: &str = "meta";
const META_NEXT: &str = "meta-next";
/// More than `meta` ever has.
const META_MAX: u64 = 4096;

const FORMAT: u32 = 1;

/// A checkpoint or a segment.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    /// The last record of a checkpoint, the first of a segment.
    pub(super) index: u64,
    pub(super) len: u64,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Oldest first.
    pub(super) checkpoints: Vec<Part>,
    /// Oldest first.
    pub(super) segments: Vec<Part>,
    /// Or what is wrong with it.
    pub(super) meta: Option<Result<Ids, String>>,
    /// A whole state is being put in the place of all that is here.
    pub(super) installing: bool,
    /// What an interrupted write left, to be removed.
    pub(super) unfinished: Vec<String>,
    /// What is none of ours; it stays.
    pub(super) strangers: Vec<String>,
}

impl Folder {
    pub(super) fn survey(disk: &dyn Disk) -> Result<Folder, OpenError> {
        let mut folder = Folder::default();
        // The names sort as the indices do.
        for entry in disk.list().map_err(OpenError::io("list the files of", "the store"))? {
            let part = |index| Part { name: entry.name.clone(), index, len: entry.len };
            if let Some(index) = checkpoint::index_of(&entry.name) {
                folder.checkpoints.push(part(index));
            } else if let Some(first) = segment::first_of(&entry.name) {
                folder.segments.push(part(first));
            } else if entry.name == META {
                folder.meta = Some(match load_meta(disk) {
                    Err(OpenError::Damaged { what, .. }) => Err(what),
                    meta => Ok(meta?),
                });
            } else if [META_NEXT, checkpoint::UNFINISHED, segment::SPARE].contains(&&*entry.name) {
                folder.unfinished.push(entry.name);
            } else if entry.name == super::install::INSTALL {
                folder.installing = true;
            } else if super::room::is_ours(&entry.name) {
                // Read and written by themselves.
            } else {
                folder.strangers.push(entry.name);
            }
        }
        Ok(folder)
    }
}

fn load_meta(disk: &dyn Disk) -> Result<Ids, OpenError> {
    let file = disk.open(META).map_err(OpenError::io("open", META))?;
    let mut bytes = Vec::new();
    let read = Reader::new(&*file, |_| ()).take(META_MAX).read_to_end(&mut bytes);
    read.map_err(OpenError::io("read", META))?;
    parse_meta(&bytes)
}

/// Reads the text of `meta`: lines of a word and a number, the last of them a checksum.
pub(super) fn parse_meta(bytes: &[u8]) -> Result<Ids, OpenError> {
    let damaged = || OpenError::damaged(META, 0, "it is not as a store writes it");
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let first = text.lines().next().ok_or_else(damaged)?;
    let format = first.strip_prefix("duet store, format ").ok_or_else(damaged)?;
    let found = format.parse().map_err(|_| damaged())?;
    if found != FORMAT {
        return Err(OpenError::Format { file: META.to_owned(), found, known: FORMAT });
    }
    let number = |word: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))?;
        u64::from_str_radix(line, 16).ok()
    };
    let cluster_id = number("cluster").ok_or_else(damaged)?;
    let member_id = number("member").ok_or_else(damaged)?;
    let ids = Ids { cluster_id, member_id };
    if text == meta(&ids) { Ok(ids) } else { Err(damaged()) }
}

/// The text of `meta`.
pub(super) fn meta(ids: &Ids) -> String {
    let Ids { cluster_id, member_id } = ids;
    let mut text = format!(
        "duet store, format {FORMAT}\ncluster {cluster_id:016x}\nmember {member_id:016x}\n"
    );
    let checksum = crc32c::crc32c(text.as_bytes());
    writeln!(text, "checksum {checksum:08x}").expect("a String takes all");
    text
}

pub(super) fn write_meta(disk: &dyn Disk, ids: &Ids) -> Result<(), OpenError> {
    let failed = || OpenError::io("write", META);
    let mut file = disk.create(META_NEXT).map_err(failed())?;
    file.write_at(0, meta(ids).as_bytes()).map_err(failed())?;
    file.sync().map_err(failed())?;
    disk.rename(META_NEXT, META).map_err(failed())?;
    disk.sync().map_err(failed())
}
