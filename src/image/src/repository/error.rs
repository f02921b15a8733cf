//! Why a repository is not believed, or cannot be read.

use std::fmt::Write;

use site::Timestamp;

use super::Doubt;
use crate::fetch::FetchError;

/// Why a repository could not be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RepositoryError {
    /// Something could not be fetched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// The keyring file is none.
    #[error("cannot use the keyring of the repository `{repository}`: {reason}")]
    #[diagnostic(
        code(input::keyring),
        help(
            "name a file of OpenPGP certificates, such as profiles/keyrings/debian-archive-trixie.gpg"
        )
    )]
    Keyring {
        /// The repository's name in the profile.
        repository: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No signature of the keyring's keys on the repository's metadata.
    #[error("{url} is not signed by a key of the repository's keyring:{}", doubts_listed(doubts))]
    #[diagnostic(
        code(integrity::signature),
        help(
            "nothing of it was used. If a proxy or a login page answers in the mirror's place, cure that; if the distribution has new keys, update the keyring under profiles/keyrings from a source that you trust"
        )
    )]
    Signature {
        /// The file that is not properly signed.
        url: String,
        /// Each signature's key and what is wrong with it.
        doubts: Vec<(String, Doubt)>,
    },
    /// The metadata is past its `Valid-Until`.
    #[error(
        "the metadata of the repository `{repository}` expired on {valid_until}; it is {now} now"
    )]
    #[diagnostic(
        code(integrity::expired),
        help(
            "the mirror {url} has stopped following, or someone replays old files to hide security updates: name another mirror; and check this machine's clock"
        )
    )]
    Expired {
        /// The repository's name in the profile.
        repository: String,
        /// The file that expired.
        url: String,
        /// Until when it was valid.
        valid_until: Timestamp,
        /// The time of this machine.
        now: Timestamp,
    },
    /// The metadata is dated in the future.
    #[error("the metadata of the repository `{repository}` is dated {date}, but it is {now} now")]
    #[diagnostic(
        code(integrity::clock),
        help("set this machine's clock; signatures cannot be judged without it")
    )]
    Future {
        /// The repository's name in the profile.
        repository: String,
        /// Its date.
        date: Timestamp,
        /// The time of this machine.
        now: Timestamp,
    },
    /// Properly signed, but another suite than the one that was asked for.
    #[error("{url} describes the suite `{found}`, not `{asked}`")]
    #[diagnostic(
        code(integrity::suite),
        help(
            "the mirror is set up wrongly or someone swaps suites: name another mirror, or the suite that you mean"
        )
    )]
    WrongSuite {
        /// The file.
        url: String,
        /// The suite of the profile.
        asked: String,
        /// What the file says: suite and codename.
        found: String,
    },
    /// The repository has no such component for this architecture.
    #[error("the repository `{repository}` has no component `{component}` for {architecture}")]
    #[diagnostic(code(input::component), help("it has: {}", available.join(", ")))]
    NoComponent {
        /// The repository's name in the profile.
        repository: String,
        /// What was asked for.
        component: String,
        /// For which architecture.
        architecture: String,
        /// What there is.
        available: Vec<String>,
    },
    /// Properly signed, but not as such a file should be.
    #[error("{url} is malformed: {reason}")]
    #[diagnostic(
        code(integrity::metadata),
        help("tell the repository's maintainers, or leave the repository out of the profile")
    )]
    Malformed {
        /// The file.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The signatures, one to a line.
fn doubts_listed(doubts: &[(String, Doubt)]) -> String {
    if doubts.is_empty() {
        return "\n  it has no readable signature at all".to_owned();
    }
    doubts.iter().fold(String::new(), |mut text, (key, doubt)| {
        let _ = write!(text, "\n  {key}: {doubt}");
        text
    })
}
