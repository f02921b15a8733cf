//! Why a folder's data cannot be used: names the file and the place, and what to do.

use std::io;

use crate::checkpoint::CheckpointError;
use crate::log::LogError;

/// Why a store does not start.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OpenError {
    /// The disk refused.
    #[error("cannot {action} {file} in the data folder")]
    #[diagnostic(
        code(output::store),
        help("see that the disk has space, reports no errors, and that the folder is writable")
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A newer store wrote a file.
    #[error("{file} has format {found}, and this version reads format {known}")]
    #[diagnostic(
        code(integrity::format),
        help("start the version of duetd that wrote it, or a newer one; nothing was changed")
    )]
    Format {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A file has changed since it was written.
    #[error("{file} is damaged at offset {offset}: {what}")]
    #[diagnostic(
        code(integrity::store),
        help(
            "what was acknowledged may be lost, so the store does not start and nothing was changed: \
             restore from the other room's store or from a backup (`duetd store restore`); \
             `duetd store check` lists all that is wrong"
        )
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A single store's data where a pair was to begin.
    #[error("the data folder holds the data of a store that was not part of a pair")]
    #[diagnostic(
        code(input::store_place),
        help(
            "to begin a site with this data, start once with --found-with-data; to join the other room, \
             start with an empty folder"
        )
    )]
    Single,
    /// A site that exists was to be begun.
    #[error("the data folder is part of a site already, so no site can begin with it")]
    #[diagnostic(
        code(input::store_place),
        help(
            "start without --found-with-data; `duetd store go-on-alone` leaves the other room behind"
        )
    )]
    Founded,
    /// A pair's data where a single store was to begin.
    #[error("the data folder is that of a room of a pair: {0}")]
    #[diagnostic(
        code(input::store_place),
        help(
            "start it with --room and --site. To go on as a single store, make a new folder from a backup: \
             `duetd store backup`, `duetd store restore`"
        )
    )]
    Paired(String),
    /// A file that must be there is not.
    #[error("the data folder lacks {what}: {why}")]
    #[diagnostic(
        code(integrity::store),
        help(
            "what was acknowledged may be lost, so the store does not start and nothing was changed: \
             put the file back, or restore from the other room's store or from a backup \
             (`duetd store restore`)"
        )
    )]
    Missing {
        /// What is not there.
        what: String,
        /// The file that tells.
        file: String,
        /// How it tells.
        why: String,
    },
    /// A file of another store lies in the folder.
    #[error("{file} belongs to another store: {what}")]
    #[diagnostic(
        code(integrity::store),
        help("a data folder belongs to one store: put back the file that was here before")
    )]
    Foreign {
        /// The file.
        file: String,
        /// Whose it is, and whose the folder is.
        what: String,
    },
}

impl OpenError {
    pub(super) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> OpenError {
        let file = file.to_owned();
        move |source| OpenError::Io { action, file, source }
    }

    pub(super) fn damaged(file: &str, offset: u64, what: impl Into<String>) -> OpenError {
        OpenError::Damaged { file: file.to_owned(), offset, what: what.into() }
    }

    pub(super) fn missing(what: impl Into<String>, file: &str, why: String) -> OpenError {
        OpenError::Missing { what: what.into(), file: file.to_owned(), why }
    }

    pub(super) fn log(file: &str, error: LogError) -> OpenError {
        let (LogError::NoSpace(source) | LogError::Fatal(source)) = error;
        OpenError::io("make", file)(source)
    }

    pub(super) fn checkpoint(file: &str, error: CheckpointError) -> OpenError {
        let offset = error.offset();
        match error {
            CheckpointError::Io { source, .. } => OpenError::io("read", file)(source),
            CheckpointError::Format { found } => {
                OpenError::Format { file: file.to_owned(), found, known: 1 }
            }
            CheckpointError::Damaged { what, .. } => OpenError::damaged(file, offset, what),
            CheckpointError::Stranger => {
                OpenError::damaged(file, offset, "it does not begin as a checkpoint does")
            }
        }
    }
}
