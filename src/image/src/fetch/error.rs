//! What can go wrong between a mirror and the cache, each with its cure.

use std::io;
use std::path::{Path, PathBuf};

use super::{Digest, Wanted};

/// Why something could not be brought into the cache.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FetchError {
    /// Every mirror (and archive, if any) answered that it does not have the object.
    #[error("no mirror carries these any longer:{}", listed(labels))]
    #[diagnostic(
        code(network::gone),
        help(
            "mirrors drop a package once a newer one is published: run `duet lock --update`, or name a `snapshot` service in the profile's repository"
        )
    )]
    Gone {
        /// What is gone.
        labels: Vec<String>,
    },
    /// The network may not be used, and the cache lacks something.
    #[error("the cache lacks {} files and --offline forbids fetching them:{}", labels.len(), listed(labels))]
    #[diagnostic(code(network::offline), help("run the same command once without --offline"))]
    Offline {
        /// What is missing.
        labels: Vec<String>,
    },
    /// No connection, no answer, or none in time.
    #[error("cannot fetch {label} from {url}")]
    #[diagnostic(
        code(network::unreachable),
        help(
            "look at this machine's network, proxy and DNS, or name another mirror in the profile; the next run continues where this one stopped"
        )
    )]
    Unreachable {
        /// What was being fetched.
        label: String,
        /// From where.
        url: String,
        /// What the transport said.
        #[source]
        source: io::Error,
    },
    /// The server answered, but not with the object.
    #[error("cannot fetch {label}: {url} answered with HTTP status {status}")]
    #[diagnostic(
        code(network::status),
        help(
            "the mirror is in trouble or refuses this machine: try later or name another mirror in the profile"
        )
    )]
    Status {
        /// What was being fetched.
        label: String,
        /// From where.
        url: String,
        /// The server's answer.
        status: u16,
    },
    /// The connection ended too early, again and again.
    #[error("{url} ended after {received} of {size} bytes of {label}")]
    #[diagnostic(
        code(network::short),
        help(
            "what arrived is kept and the next run continues there; if it stays so, name another mirror in the profile"
        )
    )]
    Short {
        /// What was being fetched.
        label: String,
        /// From where.
        url: String,
        /// How much there is by now.
        received: u64,
        /// How much there should be.
        size: u64,
    },
    /// The server has a file of another size under that name.
    #[error("{label} should have {size} bytes, but {url} offers {offered}")]
    #[diagnostic(code(integrity::size), help("{}", MIRROR_DIFFERS))]
    WrongSize {
        /// What was being fetched.
        label: String,
        /// From where.
        url: String,
        /// How much there should be.
        size: u64,
        /// How much the server has.
        offered: u64,
    },
    /// The whole arrived, and is something else.
    #[error("{label} from {url} has the wrong hash: expected {expected}, found {found}")]
    #[diagnostic(code(integrity::hash), help("{}", MIRROR_DIFFERS))]
    WrongHash {
        /// What was being fetched.
        label: String,
        /// From where.
        url: String,
        /// The hash of what is wanted.
        expected: Digest,
        /// The hash of what came.
        found: Digest,
    },
    /// An object of the cache is no longer what its name says.
    #[error("the cached file {} is damaged: its hash is {found}", path.display())]
    #[diagnostic(
        code(integrity::cache),
        help(
            "it has been removed: run the command again to fetch it anew; if this happens often, examine the disk"
        )
    )]
    Damaged {
        /// Where it was.
        path: PathBuf,
        /// What its bytes hash to.
        found: Digest,
    },
    /// No space left in the cache's file system.
    #[error("the disk of the cache {} is full", path.display())]
    #[diagnostic(
        code(output::disk_full),
        help(
            "free some space or choose another cache directory with --cache; what was fetched so far is kept"
        )
    )]
    DiskFull {
        /// The file being written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The cache cannot be read or written for another reason.
    #[error("cannot {action} {} in the cache", path.display())]
    #[diagnostic(
        code(output::cache),
        help(
            "give yourself write access to the cache directory, or choose another one with --cache"
        )
    )]
    Cache {
        /// What was being done: `write`, `read`, …
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A mirror's address that cannot be used.
    #[error("`{url}` is no address that can be fetched from")]
    #[diagnostic(
        code(input::url),
        help("a repository's `uris` start with http://, https:// or file:///")
    )]
    BadUrl {
        /// As written.
        url: String,
    },
}

const MIRROR_DIFFERS: &str = "the mirror is out of date, damaged or tampered with, or a proxy rewrites files: \
    nothing of it was used; try again later or name another mirror in the profile";

impl FetchError {
    /// The error for `missing` objects when the network may not be used.
    pub(super) fn offline(missing: &[&Wanted]) -> FetchError {
        let mut labels: Vec<String> = missing.iter().map(|object| object.label.clone()).collect();
        labels.sort();
        FetchError::Offline { labels }
    }

    /// The error for a failure of the system in the cache.
    pub(super) fn cache(action: &'static str, path: &Path, source: io::Error) -> FetchError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                FetchError::DiskFull { path, source }
            }
            _ => FetchError::Cache { action, path, source },
        }
    }

    /// One error out of those of all threads: the first real failure, else all that is gone.
    pub(super) fn most_telling(errors: impl Iterator<Item = FetchError>) -> Option<FetchError> {
        let mut gone = Vec::new();
        for error in errors {
            match error {
                FetchError::Gone { labels } => gone.extend(labels),
                other => return Some(other),
            }
        }
        gone.sort();
        (!gone.is_empty()).then_some(FetchError::Gone { labels: gone })
    }
}

/// The names, one to a line; of a long list only the beginning.
fn listed(labels: &[String]) -> String {
    const MOST: usize = 12; // an error stays on one screen
    let mut text = String::new();
    for label in labels.iter().take(MOST) {
        text.push_str("\n  ");
        text.push_str(label);
    }
    if labels.len() > MOST {
        text.push_str(&format!("\n  and {} more", labels.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_forbidden_one() {
        for (kind, code) in [
            (io::ErrorKind::StorageFull, "output::disk_full"),
            (io::ErrorKind::QuotaExceeded, "output::disk_full"),
            (io::ErrorKind::PermissionDenied, "output::cache"),
            (io::ErrorKind::ReadOnlyFilesystem, "output::cache"),
        ] {
            let error = FetchError::cache("write", Path::new("/cache/x"), kind.into());
            assert_eq!(error.code().map(|code| code.to_string()).as_deref(), Some(code));
        }
    }

    #[test]
    fn a_long_list_stays_on_one_screen() {
        let labels: Vec<String> = (0..50).map(|i| format!("package{i} 1.0")).collect();
        let text = FetchError::Gone { labels }.to_string();
        assert_eq!(text.lines().count(), 14);
        assert!(text.ends_with("\n  and 38 more"), "{text}");
    }

    #[test]
    fn a_real_failure_tells_more_than_what_is_gone() {
        let gone = |label: &str| FetchError::Gone { labels: vec![label.to_owned()] };
        let url = FetchError::BadUrl { url: "x".to_owned() };
        let told = FetchError::most_telling([gone("b"), url, gone("a")].into_iter());
        assert!(matches!(told, Some(FetchError::BadUrl { .. })));
        let told = FetchError::most_telling([gone("b"), gone("a")].into_iter());
        assert!(matches!(told, Some(FetchError::Gone { labels }) if labels == ["a", "b"]));
        assert!(FetchError::most_telling(std::iter::empty()).is_none());
    }
}
