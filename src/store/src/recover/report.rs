//! What was found in a data folder, for people. Start at [`Report`]; `Display` is what they read.

use std::fmt;

use super::OpenError;

/// What a data folder holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checkpoints, oldest first.
    pub checkpoints: Vec<CheckpointReport>,
    /// The segments of the log, oldest first.
    pub segments: Vec<SegmentReport>,
    /// The last record that can be read without a gap, and its term; 0 if there is none.
    pub last: (u64, u64),
    /// The store's revision and number of keys after that record.
    pub revision: i64,
    /// See `revision`.
    pub keys: u64,
    /// How many records were replayed on the checkpoint.
    pub replayed: u64,
    /// The last write, which a crash interrupted: it was never acknowledged.
    pub torn: Option<Torn>,
    /// What a start gets over, but a person should know.
    pub warnings: Vec<Problem>,
    /// Why a store does not start on this folder, or would not; empty if it does.
    pub problems: Vec<Problem>,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Its file.
    pub file: String,
    /// The last record in it.
    pub index: u64,
    /// The file's size in bytes.
    pub bytes: u64,
}

/// A segment of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its file.
    pub file: String,
    /// Its first record.
    pub first: u64,
    /// How many records it has.
    pub records: u64,
    /// In how many groups, each of which was one write.
    pub groups: u64,
    /// The groups' size in bytes.
    pub bytes: u64,
}

/// The end of the log, where a crash interrupted a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: String,
    /// Where the write began.
    pub offset: u64,
    /// How far it left traces.
    pub bytes: u64,
}

/// Something that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// What is wrong, and where.
    pub what: String,
}

impl Problem {
    pub(super) fn of(error: &OpenError) -> Problem {
        let (file, what) = match error {
            OpenError::Io { action, file, source } => {
                (file, format!("cannot {action} it: {source}"))
            }
            OpenError::Format { file, found, known } => {
                (file, format!("it has format {found}, and this version reads format {known}"))
            }
            OpenError::Damaged { file, offset, what } => (file, format!("offset {offset}: {what}")),
            OpenError::Missing { what, file, why } => (file, format!("{what} is missing: {why}")),
            OpenError::Foreign { file, what } => (file, format!("another store's: {what}")),
            OpenError::Single | OpenError::Founded | OpenError::Paired(_) => {
                return Problem { file: super::room::ROOM.to_owned(), what: error.to_string() };
            }
        };
        Problem { file: file.clone(), what }
    }
}

impl Report {
    /// Whether a store starts on this folder with everything that was acknowledged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CheckpointReport { file, index, bytes } in &self.checkpoints {
            writeln!(f, "{file}: up to record {index}, {bytes} B")?;
        }
        for SegmentReport { file, first, records, groups, bytes } in &self.segments {
            write!(f, "{file}: ")?;
            if *records == 0 {
                writeln!(f, "no record yet")?;
            } else {
                let last = first + records - 1;
                writeln!(f, "records {first} to {last} in {groups} groups, {bytes} B")?;
            }
        }
        let (index, term) = self.last;
        writeln!(f, "last record {index}, term {term}; replayed {}", self.replayed)?;
        writeln!(f, "revision {}, {} keys", self.revision, self.keys)?;
        if let Some(Torn { file, offset, bytes }) = &self.torn {
            writeln!(
                f,
                "{file}: a crash interrupted the write at offset {offset}; its {bytes} B were never \
                 acknowledged"
            )?;
        }
        for Problem { file, what } in &self.warnings {
            writeln!(f, "warning: {file}: {what}")?;
        }
        for Problem { file, what } in &self.problems {
            writeln!(f, "problem: {file}: {what}")?;
        }
        if self.is_sound() {
            writeln!(f, "sound: a store starts here with everything that was acknowledged")
        } else {
            writeln!(f, "not sound: a store does not start here")
        }
    }
}
