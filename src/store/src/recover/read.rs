//! Reads checkpoints and the log, and changes nothing. Start at [`all`], which a start and [`check`]
//! share. What does not fit is an error, never a guess; the one thing forgiven is a torn last write.

use mvcc::State;
use pair::Position;

use super::error::OpenError;
use super::folder::{Folder, META, Part};
use super::recent::Recent;
use super::report::{CheckpointReport, Problem, Report, SegmentReport, Torn};
use super::{Ids, Progress};
use crate::checkpoint::{self, Stamp};
use crate::disk::{Disk, Reader};
use crate::log::Extent;
use crate::log::frame::{End, Frame};
use crate::log::segment::{self, Title, TitleError};
use crate::record::{DecodeError, Record};

/// Read at once: large, and small enough that progress is seen.
const STRIDE: usize = 4 << 20;

/// More than a segment can be: a group's length has 31 bits.
const SEGMENT_MAX: u64 = 3 << 30;

/// Events that are swept for each record replayed: more than a record makes on average, so that old
/// versions do not pile up.
const SWEEP: usize = 4;

/// Everything that a folder holds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) state: State,
    /// The last record.
    pub(super) stamp: Stamp,
    /// Whose it is; none if the folder is new.
    pub(super) ids: Option<Ids>,
    /// The first segment that is needed, by its place.
    pub(super) start: usize,
    /// The end of the last segment; none if there is no segment.
    pub(super) tail: Option<Tail>,
    pub(super) extent: Extent,
    /// The end of the log is wanted, too, and is here.
    pub(super) paired: bool,
    pub(super) recent: Option<Recent>,
    /// Whether the newest checkpoint is the one used, so that older ones may go.
    pub(super) newest: bool,
    /// How many checkpoints were read, from the newest on.
    pub(super) read: usize,
}

/// Where a segment's groups end.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: String,
    pub(super) size: u64,
    /// Behind the last whole group.
    pub(super) offset: usize,
    /// That group's place and size, if there is one.
    pub(super) frame: Option<(usize, usize)>,
    /// The next record's index.
    pub(super) next: u64,
    /// The own checksum of the last frame.
    pub(super) previous: u32,
    /// What follows.
    pub(super) end: End,
}

impl Tail {
    /// Whether a segment is the next one. If it is, nothing is missing, whatever follows the groups
    /// here: a seal may be torn.
    pub(super) fn joins(&self, title: &Title, part: &Part) -> Result<(), OpenError> {
        if (title.first, title.previous) == (self.next, self.previous) {
            return Ok(());
        }
        match &self.end {
            End::Damaged(what) => Err(OpenError::damaged(&self.file, self.offset as u64, what)),
            End::Torn(_) => {
                let what = "a group is not whole, but a later segment is there";
                Err(OpenError::damaged(&self.file, self.offset as u64, what))
            }
            End::Free | End::Sealed => {
                let lost = format!("the log between {} and {}", self.file, part.name);
                let last = self.next.saturating_sub(1);
                let why =
                    format!("the one ends with record {last}, and the other does not continue it");
                Err(OpenError::missing(lost, &part.name, why))
            }
        }
    }

    /// Whether the log may end here.
    fn ends(&self, reached: u64) -> Result<(), OpenError> {
        let damaged = |what| Err(OpenError::damaged(&self.file, self.offset as u64, what));
        match &self.end {
            End::Damaged(what) => damaged(what.clone()),
            End::Sealed => {
                let why = format!("{} says that it was there", self.file);
                Err(OpenError::missing(segment::name(self.next), &self.file, why))
            }
            _ if self.next <= reached => damaged(format!(
                "the log ends with record {}, but a checkpoint reached record {reached}",
                self.next.saturating_sub(1)
            )),
            End::Torn(_) | End::Free => Ok(()),
        }
    }
}

/// Reads all that is needed of a folder. After an error, `found` and `report` have what came before.
pub(super) fn all(
    disk: &dyn Disk,
    folder: &Folder,
    progress: &dyn Fn(Progress),
    report: &mut Report,
    found: &mut Found,
) -> Result<(), OpenError> {
    let checkpoint = |part: &Part| CheckpointReport {
        file: part.name.clone(),
        index: part.index,
        bytes: part.len,
    };
    report.checkpoints = folder.checkpoints.iter().map(checkpoint).collect();
    match &folder.meta {
        Some(Err(what)) if folder.segments.is_empty() => {
            return Err(OpenError::damaged(META, 0, what));
        }
        // Every segment says the same: it is made anew.
        Some(Err(what)) => report.warn(META, what),
        Some(Ok(ids)) => found.ids = Some(ids.clone()),
        None => {}
    }
    let failed = base(disk, folder, progress, report, found)?;
    if found.paired {
        let at = Position { epoch: found.stamp.term, index: found.stamp.index };
        found.recent = Some(Recent::new(found.state.clone(), at));
    }
    found.start = start(folder, found.stamp.index, failed)?;
    let total = folder.segments[found.start..].iter().map(|part| part.len).sum();
    let mut done = 0;
    for part in &folder.segments[found.start..] {
        let bytes = load(disk, part, &mut |read| {
            progress(Progress::Log { done: done + read, total });
        })?;
        done += part.len;
        segment(part, &bytes, report, found)?;
    }
    if let Some(tail) = &found.tail {
        tail.ends(folder.checkpoints.last().map_or(0, |part| part.index))?;
        if let End::Torn(upto) = tail.end {
            let bytes = (upto - tail.offset) as u64;
            let (file, offset) = (tail.file.clone(), tail.offset as u64);
            report.torn = Some(Torn { file, offset, bytes });
        }
    }
    report.conclude(found);
    Ok(())
}

impl Report {
    fn warn(&mut self, file: &str, what: impl Into<String>) {
        self.warnings.push(Problem { file: file.to_owned(), what: what.into() });
    }

    fn conclude(&mut self, found: &Found) {
        self.last = (found.stamp.index, found.stamp.term);
        self.revision = found.state.revision();
        self.keys = found.state.keys();
    }
}

impl Ids {
    /// Takes the identity that a file names, or compares it.
    fn settle(known: &mut Option<Ids>, file: &str, found: Ids) -> Result<(), OpenError> {
        let known = known.get_or_insert_with(|| found.clone());
        if *known == found {
            return Ok(());
        }
        let Ids { cluster_id, member_id } = known;
        let what = format!(
            "it says cluster {:016x}, member {:016x}, and the folder is of cluster \
             {cluster_id:016x}, member {member_id:016x}",
            found.cluster_id, found.member_id
        );
        Err(OpenError::Foreign { file: file.to_owned(), what })
    }
}

/// Reads the newest checkpoint that is whole. Gives what is wrong with the newest, if that is another.
fn base(
    disk: &dyn Disk,
    folder: &Folder,
    progress: &dyn Fn(Progress),
    report: &mut Report,
    found: &mut Found,
) -> Result<Option<OpenError>, OpenError> {
    let mut failed = None;
    for part in folder.checkpoints.iter().rev() {
        found.read += 1;
        match load_checkpoint(disk, part, progress) {
            Ok((state, stamp)) => {
                let Stamp { cluster_id, member_id, .. } = stamp;
                let ids = Ids { cluster_id, member_id };
                Ids::settle(&mut found.ids, &part.name, ids)?;
                (found.state, found.stamp) = (state, stamp);
                break;
            }
            // An older one will do, if the log continues it. One that only cannot be read now, or that
            // a newer version wrote, is no reason to go back.
            Err(error @ OpenError::Damaged { .. }) => {
                report.warnings.push(Problem::of(&error));
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    found.newest = failed.is_none();
    Ok(failed)
}

fn load_checkpoint(
    disk: &dyn Disk,
    part: &Part,
    progress: &dyn Fn(Progress),
) -> Result<(State, Stamp), OpenError> {
    let file = disk.open(&part.name).map_err(OpenError::io("open", &part.name))?;
    let (mut done, total) = (0, part.len);
    let mut reader = Reader::new(&*file, |bytes| {
        done += bytes as u64;
        progress(Progress::Checkpoint { done, total });
    });
    let read = checkpoint::read(&mut reader);
    let (state, stamp) = read.map_err(|error| OpenError::checkpoint(&part.name, error))?;
    if stamp.index != part.index {
        let what = format!("it reaches record {}, not the one in its name", stamp.index);
        return Err(OpenError::damaged(&part.name, 0, what));
    }
    Ok((state, stamp))
}

/// The first segment that is needed behind the checkpoint. Older ones may be left, with gaps: when a
/// checkpoint had made them needless, they were removed in no sure order.
fn start(folder: &Folder, covered: u64, failed: Option<OpenError>) -> Result<usize, OpenError> {
    let next = covered.saturating_add(1);
    if let Some(start) = folder.segments.iter().rposition(|part| part.index <= next) {
        return Ok(start);
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(first) = folder.segments.first() {
        let why = format!("no checkpoint reaches further, and {} begins after that", first.name);
        return Err(OpenError::missing(format!("record {next}"), &first.name, why));
    }
    if folder.meta.is_some() {
        let why = "a store has run here, but there is no segment of a log".to_owned();
        return Err(OpenError::missing("its log", META, why));
    }
    Ok(0)
}

/// Reads a segment's bytes.
pub(super) fn load(
    disk: &dyn Disk,
    part: &Part,
    read: &mut dyn FnMut(u64),
) -> Result<Vec<u8>, OpenError> {
    if part.len > SEGMENT_MAX {
        return Err(OpenError::damaged(&part.name, 0, "it is larger than a segment can be"));
    }
    let failed = || OpenError::io("read", &part.name);
    let file = disk.open(&part.name).map_err(failed())?;
    let mut bytes = vec![0; part.len as usize];
    let mut done = 0;
    while done < bytes.len() {
        let end = bytes.len().min(done + STRIDE);
        match file.read_at(done as u64, &mut bytes[done..end]).map_err(failed())? {
            0 => return Err(failed()(std::io::ErrorKind::UnexpectedEof.into())),
            more => done += more,
        }
        read(done as u64);
    }
    Ok(bytes)
}

/// Reads a segment's title; its index must be the one in the name.
pub(super) fn title(part: &Part, bytes: &[u8]) -> Result<Title, OpenError> {
    let title = Title::parse(bytes).map_err(|error| match error {
        TitleError::Format(found) => {
            OpenError::Format { file: part.name.clone(), found, known: segment::FORMAT }
        }
        TitleError::Damaged(what) => OpenError::damaged(&part.name, 0, what),
    })?;
    if title.first != part.index {
        let what = format!("it begins with record {}, not the one in its name", title.first);
        return Err(OpenError::damaged(&part.name, 0, what));
    }
    Ok(title)
}

/// Walks through a segment's groups; gives where they end.
pub(super) fn walk(
    part: &Part,
    bytes: &[u8],
    title: &Title,
    each: &mut dyn FnMut(&Frame<'_>) -> Result<(), OpenError>,
) -> Result<Tail, OpenError> {
    let mut frames = title.frames(bytes);
    let mut last = None;
    for frame in frames.by_ref() {
        each(&frame)?;
        last = Some((frame.offset, frame.size));
    }
    Ok(Tail {
        file: part.name.clone(),
        size: part.len,
        offset: frames.offset,
        frame: last,
        next: frames.next,
        previous: frames.previous,
        end: frames.end(),
    })
}

/// Replays a segment.
fn segment(
    part: &Part,
    bytes: &[u8],
    report: &mut Report,
    found: &mut Found,
) -> Result<(), OpenError> {
    let title = title(part, bytes)?;
    let Title { cluster_id, member_id, .. } = title;
    Ids::settle(&mut found.ids, &part.name, Ids { cluster_id, member_id })?;
    if let Some(tail) = &found.tail {
        tail.joins(&title, part)?;
    }
    let mut summary = SegmentReport::new(part);
    let mut replayed = 0;
    let tail = walk(part, bytes, &title, &mut |frame| {
        summary.count(frame);
        replay(part, frame, found, &mut replayed)
    });
    report.segments.push(summary);
    report.replayed += replayed;
    // What was read before the damage is told, too.
    report.conclude(found);
    found.tail = Some(tail?);
    Ok(())
}

impl SegmentReport {
    fn new(part: &Part) -> SegmentReport {
        let file = part.name.clone();
        SegmentReport { file, first: part.index, records: 0, groups: 0, bytes: 0 }
    }

    fn count(&mut self, frame: &Frame<'_>) {
        self.records += u64::from(frame.count);
        self.groups += 1;
        self.bytes += frame.size as u64;
    }
}

/// Applies a group's records, except those that the checkpoint holds.
fn replay(
    part: &Part,
    frame: &Frame<'_>,
    found: &mut Found,
    replayed: &mut u64,
) -> Result<(), OpenError> {
    let covered = found.stamp.index;
    if frame.last() <= covered {
        return Ok(());
    }
    let mut group = Vec::new();
    each_record(part, frame, &mut |record| {
        if record.index <= covered {
            return Ok(());
        }
        if record.term < found.stamp.term {
            return Err(format!("record {} has an older term than the one before", record.index));
        }
        let applied = found.state.apply(&record.effect);
        applied.map_err(|error| format!("record {} does not follow: {error}", record.index))?;
        (found.stamp.index, found.stamp.term) = (record.index, record.term);
        *replayed += 1;
        if found.recent.is_some() {
            group.push(record);
        }
        Ok(())
    })?;
    if let Some(recent) = &mut found.recent {
        recent.settle((frame.first - 1).saturating_sub(u64::from(frame.unsettled)));
        recent.push(group, &found.state);
    }
    found.state.sweep(frame.count as usize * SWEEP);
    found.extent.add(frame.last(), frame.size);
    Ok(())
}

/// Reads a group's records.
pub(super) fn each_record(
    part: &Part,
    frame: &Frame<'_>,
    each: &mut dyn FnMut(Record) -> Result<(), String>,
) -> Result<(), OpenError> {
    for record in frame.records() {
        let done = match record {
            Ok(record) => each(record),
            Err(DecodeError::Format(found)) => {
                let (file, found) = (part.name.clone(), u32::from(found));
                return Err(OpenError::Format { file, found, known: 1 });
            }
            Err(error) => Err(format!("a record cannot be read: {error}")),
        };
        done.map_err(|what| OpenError::damaged(&part.name, frame.offset as u64, what))?;
    }
    Ok(())
}

/// Looks at everything in a folder on which no store runs: what a start would say, and all else that
/// is wrong. Changes nothing.
pub fn check(disk: &dyn Disk, progress: &dyn Fn(Progress)) -> Report {
    let (mut report, mut found) = (Report::default(), Found::default());
    let folder = match Folder::survey(disk) {
        Ok(folder) => folder,
        Err(error) => {
            report.problems.push(Problem::of(&error));
            return report;
        }
    };
    if folder.installing {
        let what = "the other room's history was being taken over; the next start carries on";
        report.warn(super::install::INSTALL, what);
        return report;
    }
    if let Err(error) = all(disk, &folder, progress, &mut report, &mut found) {
        let problem = Problem::of(&error);
        report.warnings.retain(|warning| *warning != problem);
        report.problems.push(problem);
    }
    let unread = folder.checkpoints.len() - found.read;
    for part in &folder.checkpoints[..unread] {
        if let Err(error) = load_checkpoint(disk, part, progress) {
            report.warnings.push(Problem::of(&error));
        }
    }
    for (at, part) in folder.segments.iter().enumerate() {
        if report.segments.iter().all(|segment| segment.file != part.name) {
            if let Err(error) = alone(disk, part) {
                let needed = at >= found.start;
                report.add(needed, Problem::of(&error));
            }
        }
    }
    for name in folder.strangers {
        report.warn(&name, "it is no file of a store; it is left alone");
    }
    report
}

impl Report {
    fn add(&mut self, needed: bool, problem: Problem) {
        let list = if needed { &mut self.problems } else { &mut self.warnings };
        if !list.contains(&problem) {
            list.push(problem);
        }
    }
}

/// Reads a segment by itself.
fn alone(disk: &dyn Disk, part: &Part) -> Result<(), OpenError> {
    let bytes = load(disk, part, &mut |_| ())?;
    let title = title(part, &bytes)?;
    let tail = walk(part, &bytes, &title, &mut |frame| each_record(part, frame, &mut |_| Ok(())))?;
    match tail.end {
        End::Damaged(what) => Err(OpenError::damaged(&part.name, tail.offset as u64, what)),
        _ => Ok(()),
    }
}
