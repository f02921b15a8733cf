//! Which files a data folder has, and whose it is. Start at [`Folder::survey`]. Reads names and the small
//! file `meta`; no checkpoint and no segment.

use super::{Ids, OpenError, text};
use crate::checkpoint;
use crate::disk::Disk;
use crate::log::segment;

/// The file that says whose folder it is. It is made last: with it, the folder must have a log.
pub(super) const META: &str = "meta";

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
                let meta = text::read(disk, META)
                    .and_then(|found| parse_meta(&found.ok_or_else(|| text::damaged(META))?));
                folder.meta = Some(match meta {
                    Err(OpenError::Damaged { what, .. }) => Err(what),
                    meta => Ok(meta?),
                });
            } else if entry.name == text::unfinished(META)
                || [checkpoint::UNFINISHED, segment::SPARE].contains(&&*entry.name)
            {
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

/// Reads the text of `meta`: lines of a word and a number.
pub(super) fn parse_meta(found: &str) -> Result<Ids, OpenError> {
    let lines = text::lines(META, found, "duet store")?;
    let number = |line: &str, word| u64::from_str_radix(line.strip_prefix(word)?, 16).ok();
    let ids = match lines[..] {
        [cluster, member] => number(cluster, "cluster ").zip(number(member, "member ")),
        _ => None,
    };
    let ids = ids.map(|(cluster_id, member_id)| Ids { cluster_id, member_id });
    ids.filter(|ids| meta(ids) == found).ok_or_else(|| text::damaged(META))
}

/// The text of `meta`.
pub(super) fn meta(ids: &Ids) -> String {
    let Ids { cluster_id, member_id } = ids;
    text::sealed(format!(
        "duet store, format 1\ncluster {cluster_id:016x}\nmember {member_id:016x}\n"
    ))
}

pub(super) fn write_meta(disk: &dyn Disk, ids: &Ids) -> Result<(), OpenError> {
    text::write(disk, META, &meta(ids))
}
