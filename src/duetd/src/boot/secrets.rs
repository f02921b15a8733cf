//! Takes the seed's secrets off the ESP, which every system that is started from the disk can read. Start
//! at [`take`].
//!
//! First they are kept in the state partition, readable by root alone, then they are overwritten and
//! removed: a power cut in between leaves both, and the next boot goes on. A machine whose state
//! partition is lost needs its seed again from the workstation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use miette::Diagnostic;
use site::Seed;
use site::seed::{Secrets, SecretsError};
use zeroize::Zeroizing;

use super::Machine;
use crate::durable;
use crate::node::Problem;
use crate::root::{KEPT_SECRETS, Root, SEED_SECRETS};

/// Longer files are no secrets; [`Secrets::parse`] says so.
const LONGEST: u64 = 1 << 20;

/// The secrets that belong to the seed, kept in the state partition and gone from the ESP.
pub(super) fn take(
    root: &Root,
    machine: &dyn Machine,
    seed: &Seed,
    problems: &mut Vec<Problem>,
) -> Option<Secrets> {
    let kept = read(root, KEPT_SECRETS, seed);
    let fresh = read(root, SEED_SECRETS, seed);
    let secrets = match (kept, fresh) {
        (Ok((secrets, _)), Ok(_)) => secrets,
        (Ok((secrets, _)), Err(Missing::Not)) => return Some(secrets),
        (Ok((secrets, _)), Err(_)) => {
            // Perhaps somebody is in the middle of bringing a new seed.
            problems.push(other());
            return Some(secrets);
        }
        (Err(_), Ok((secrets, text))) => {
            if let Err(error) = durable::write_private(&root.path(KEPT_SECRETS), &text) {
                problems.push(not_kept(&error));
                return Some(secrets);
            }
            secrets
        }
        (Err(kept), Err(fresh)) => {
            problems.push(missing(&kept, &fresh));
            return None;
        }
    };
    let erased = machine.open_esp(true).and_then(|()| erase(&root.path(SEED_SECRETS)));
    // What is left open does no harm, and is closed by the next start.
    let _ = machine.open_esp(false);
    if let Err(error) = erased {
        problems.push(Problem::new(
            "secrets.exposed",
            format!("The secrets of this room could not be removed from {SEED_SECRETS}: {error}."),
            "Whoever can read this machine's EFI partition has them. If it is damaged, `fsck.fat` \
             may help.",
        ));
    }
    Some(secrets)
}

/// Why there are none in a file.
enum Missing {
    /// There is no file.
    Not,
    /// There is one, and it cannot be read.
    Unreadable(io::Error),
    /// It does not hold what the seed names.
    Bad(SecretsError),
}

fn read(root: &Root, path: &str, seed: &Seed) -> Result<(Secrets, Zeroizing<Vec<u8>>), Missing> {
    let mut text = Zeroizing::new(Vec::new());
    let done = File::open(root.path(path)).and_then(|f| f.take(LONGEST).read_to_end(&mut text));
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Missing::Not),
        Err(error) => return Err(Missing::Unreadable(error)),
        Ok(_) => {}
    }
    let secrets = Secrets::parse(&text, &seed.secrets_sha256).map_err(Missing::Bad)?;
    Ok((secrets, text))
}

/// Overwrites a file and removes it. A drive that writes each time elsewhere may keep the old bytes; who
/// can read a drive's bare cells has the state partition too.
fn erase(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.flush()?;
    file.sync_all()?;
    fs::remove_file(path)?;
    durable::sync_folder(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

fn missing(kept: &Missing, fresh: &Missing) -> Problem {
    let what = "This machine cannot show that it belongs to its room";
    let (code, why) = match (kept, fresh) {
        (Missing::Not, Missing::Not) => {
            ("secrets.missing", format!("there is neither {SEED_SECRETS} nor {KEPT_SECRETS}"))
        }
        (_, Missing::Unreadable(error)) => {
            ("secrets.unreadable", format!("cannot read {SEED_SECRETS}: {error}"))
        }
        (_, Missing::Bad(error)) => ("secrets.bad", format!("in {SEED_SECRETS}, {error}")),
        (Missing::Unreadable(error), Missing::Not) => {
            ("secrets.unreadable", format!("cannot read {KEPT_SECRETS}: {error}"))
        }
        (Missing::Bad(error), Missing::Not) => {
            ("secrets.bad", format!("in {KEPT_SECRETS}, {error}"))
        }
    };
    let help = SecretsError::Other.help().map(|help| help.to_string()).unwrap_or_default();
    Problem::new(code, format!("{what}: {why}."), super::seed::sentence(&help))
}

fn other() -> Problem {
    Problem::new(
        "secrets.other",
        format!("{SEED_SECRETS} does not belong to this machine's seed, and was left alone."),
        "The three files of a seed are copied together: seed.toml, seed.sig and seed.secrets.",
    )
}

fn not_kept(error: &io::Error) -> Problem {
    Problem::new(
        "secrets.not-kept",
        format!("The secrets of this room could not be kept in {KEPT_SECRETS}: {error}."),
        "Until they can, they stay on the EFI partition. Look at this machine's state partition.",
    )
}
