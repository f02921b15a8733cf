//! Takes the seed from the ESP, if it is this site's. Start at [`take`].
//!
//! The image is shared by all sites and holds no site's key, so the machine trusts whoever signed its
//! first seed, and from then on only that key. To give a machine to another site, its state partition
//! is erased.

use std::fs::File;
use std::io::{self, Read};

use miette::Diagnostic;
use site::keys::PublicKey;
use site::seed::{SeedError, verify};
use site::{Seed, Timestamp};

use crate::durable;
use crate::node::Problem;
use crate::root::{Root, SEED, SEED_SIGNATURE, SITE_KEY};

/// Longer files are no seeds; [`verify`] says so.
const LONGEST: u64 = 1 << 20;

/// What helps against most that can be wrong with the files.
const WRITE_AGAIN: &str = "On the workstation build the image again from site.toml, and write it to \
     this machine or copy the three seed files to its EFI partition.";

/// The seed, if there is one and it holds. Pins the site's key if none is pinned yet.
pub(super) fn take(root: &Root, now: Timestamp, problems: &mut Vec<Problem>) -> Option<Seed> {
    let taken = read(root, SEED).and_then(|seed| Ok((seed, read(root, SEED_SIGNATURE)?)));
    let checked = taken.and_then(|(seed, signature)| {
        let pinned = pinned(root)?;
        let verified =
            verify(&seed, &signature, pinned.as_ref(), now).map_err(|error| refused(&error))?;
        Ok((verified, pinned.is_none()))
    });
    match checked {
        Ok((verified, first)) => {
            if first {
                problems.extend(pin(root, &verified.signer).err());
            }
            Some(verified.seed)
        }
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn read(root: &Root, path: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let done = File::open(root.path(path)).and_then(|f| f.take(LONGEST).read_to_end(&mut bytes));
    match done {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Problem::new(
            "seed.missing",
            format!("This machine does not know who it is: there is no {path}."),
            WRITE_AGAIN,
        )),
        Err(error) => Err(Problem::new(
            "seed.unreadable",
            format!("This machine does not know who it is: cannot read {path}: {error}."),
            format!("The EFI partition is damaged. {WRITE_AGAIN}"),
        )),
    }
}

/// The key of the site to which this machine belongs, if it belongs to one.
fn pinned(root: &Root) -> Result<Option<PublicKey>, Problem> {
    let damaged = |why: String| {
        Problem::new(
            "seed.pin-damaged",
            format!("This machine does not know any more to which site it belongs: {why}."),
            format!("If you trust the seed that is on it, remove {SITE_KEY} and restart."),
        )
    };
    match std::fs::read_to_string(root.path(SITE_KEY)) {
        Ok(text) => {
            text.parse().map(Some).map_err(|error| damaged(format!("in {SITE_KEY}, {error}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(damaged(format!("cannot read {SITE_KEY}: {error}"))),
    }
}

/// From now on this machine takes seeds of this site only.
fn pin(root: &Root, signer: &PublicKey) -> Result<(), Problem> {
    durable::write(&root.path(SITE_KEY), format!("{signer}\n").as_bytes(), 0o644).map_err(|error| {
        Problem::new(
            "seed.not-pinned",
            format!("The site's key could not be kept in {SITE_KEY}: {error}."),
            "Until it can, this machine takes a seed of any site. Look at its state partition.",
        )
    })
}

/// Why the seed is refused, for the screen. The code is `seed.` and the error's own.
fn refused(error: &SeedError) -> Problem {
    let code = error.code().map(|code| code.to_string()).unwrap_or_default();
    let code = code.strip_prefix("integrity::seed_").unwrap_or("refused").replace('_', "-");
    let help = error.help().map(|help| help.to_string()).unwrap_or_default();
    Problem::new(format!("seed.{code}"), sentence(&error.to_string()), sentence(&help))
}

/// A message as a sentence of its own. A first word that is a file's name stays as it is.
pub(super) fn sentence(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    let mut letters = text.chars();
    let first = match letters.next() {
        Some(first) if !word.contains('.') => first.to_uppercase().collect(),
        Some(first) => first.to_string(),
        None => return String::new(),
    };
    let end = if text.ends_with('.') { "" } else { "." };
    first + letters.as_str() + end
}
