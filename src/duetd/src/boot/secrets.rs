//! Takes the seed's secrets off the ESP, which every system that is started from the disk can read, and
//! keeps them in the state partition. Start at [`take`].
//!
//! Where the machine has a TPM that works, what is kept is sealed to it; elsewhere it is a file that root
//! alone can read. What replaces something is written, synced and seen to open before the other is
//! overwritten and removed: a power cut in between leaves both, and the next boot goes on. A machine whose
//! state partition is lost, or whose TPM no longer opens what it sealed, needs its seed again from the
//! workstation; nothing is removed for being unreadable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use site::Seed;
use site::seed::{Secrets, SecretsError};
use zeroize::Zeroizing;

use super::Machine;
use crate::durable;
use crate::node::{Keeping, Problem};
use crate::process::AskError;
use crate::root::{KEPT_SECRETS, Root, SEALED_SECRETS, SEED_SECRETS};

/// Longer files are no secrets; [`Secrets::parse`] says so.
const LONGEST: u64 = 1 << 20;

/// The secrets that belong to the seed, kept in the state partition and gone from the ESP; and how they are
/// kept, if they are.
pub(super) fn take(
    root: &Root,
    machine: &dyn Machine,
    seed: &Seed,
    problems: &mut Vec<Problem>,
    notices: &mut Vec<Problem>,
) -> Option<(Secrets, Option<Keeping>)> {
    let sealed = opened(root, machine, seed);
    let file = read(root, KEPT_SECRETS, seed);
    let fresh = read(root, SEED_SECRETS, seed);
    let fresh_is = Is::of(&fresh);
    let file_is = Is::of(&file);
    let (secrets, keeping) = match (sealed, file, fresh) {
        (Ok((secrets, _)), ..) => {
            forget_unsealed(root, problems);
            (secrets, Keeping::Sealed)
        }
        (_, Ok((secrets, text)), _) | (_, _, Ok((secrets, text))) => {
            match keep(root, machine, &text, file_is, problems, notices) {
                Ok(keeping) => (secrets, keeping),
                Err(error) => {
                    problems.push(not_kept(&error));
                    return Some((secrets, None));
                }
            }
        }
        (Err(sealed), Err(file), Err(fresh)) => {
            problems.push(missing(&sealed, &file, &fresh));
            return None;
        }
    };
    match fresh_is {
        Is::Good => wipe_esp(root, machine, problems),
        // Perhaps somebody is in the middle of bringing a new seed.
        Is::Bad => problems.push(other()),
        Is::Not => {}
    }
    Some((secrets, Some(keeping)))
}

/// Keeps the secrets as well as this machine can. They were not sealed yet, or not for this machine.
fn keep(
    root: &Root,
    machine: &dyn Machine,
    text: &[u8],
    file_is: Is,
    problems: &mut Vec<Problem>,
    notices: &mut Vec<Problem>,
) -> io::Result<Keeping> {
    match seal(root, machine, text) {
        Ok(true) => {
            forget_unsealed(root, problems);
            return Ok(Keeping::Sealed);
        }
        Ok(false) => {}
        Err(why) => notices.push(not_sealed(&why)),
    }
    if file_is != Is::Good {
        durable::write_private(&root.path(KEPT_SECRETS), text)?;
    }
    Ok(Keeping::File)
}

/// Seals the secrets, if there is a TPM; whether there is. What was sealed before gives way only to what
/// was seen to open.
fn seal(root: &Root, machine: &dyn Machine, text: &[u8]) -> Result<bool, String> {
    let Some(sealed) = machine.seal(text).map_err(|error| said(&error))? else {
        return Ok(false);
    };
    let opens = |sealed: &[u8]| match machine.unseal(sealed) {
        Ok(Some(opened)) if *opened == *text => Ok(()),
        Ok(_) => Err("what it sealed opens as something else".to_owned()),
        Err(error) => Err(said(&error)),
    };
    opens(&sealed)?;
    let path = root.path(SEALED_SECRETS);
    let written = durable::write_private(&path, &sealed).and_then(|()| fs::read(&path));
    match written {
        Ok(written) if written == sealed => Ok(true),
        Ok(_) => Err(format!("{SEALED_SECRETS} does not hold what was written to it")),
        Err(error) => Err(format!("cannot write {SEALED_SECRETS}: {error}")),
    }
}

/// Removes what is sealed now and lies beside it unsealed, also what an interrupted write left.
fn forget_unsealed(root: &Root, problems: &mut Vec<Problem>) {
    let half_written = format!("{KEPT_SECRETS}.new");
    for path in [KEPT_SECRETS, &half_written] {
        match erase(&root.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                problems.push(exposed(
                    path,
                    &error,
                    "Who takes this machine's drive has them. Look at its state partition.",
                ));
            }
            _ => {}
        }
    }
}

fn wipe_esp(root: &Root, machine: &dyn Machine, problems: &mut Vec<Problem>) {
    let erased = machine.open_esp(true).and_then(|()| erase(&root.path(SEED_SECRETS)));
    // What is left open does no harm, and is closed by the next start.
    let _ = machine.open_esp(false);
    if let Err(error) = erased {
        problems.push(exposed(
            SEED_SECRETS,
            &error,
            "Whoever can read this machine's EFI partition has them. If it is damaged, `fsck.fat` \
             may help.",
        ));
    }
}

type Found = (Secrets, Zeroizing<Vec<u8>>);

/// How a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Good,
    Bad,
    Not,
}

impl Is {
    fn of(found: &Result<Found, Missing>) -> Is {
        match found {
            Ok(_) => Is::Good,
            Err(Missing::Not) => Is::Not,
            Err(_) => Is::Bad,
        }
    }
}

/// Why there are none in a file.
enum Missing {
    /// There is no file.
    Not,
    /// There is one, and it cannot be read.
    Unreadable(io::Error),
    /// It does not hold what the seed names.
    Bad(SecretsError),
    /// It is sealed, and this machine has no TPM.
    NoTpm,
    /// It is sealed, and the TPM does not open it.
    Shut(AskError),
}

fn read(root: &Root, path: &str, seed: &Seed) -> Result<Found, Missing> {
    let text = bytes(&root.path(path))?;
    let secrets = Secrets::parse(&text, &seed.secrets_sha256).map_err(Missing::Bad)?;
    Ok((secrets, text))
}

/// As [`read`], of what was sealed.
fn opened(root: &Root, machine: &dyn Machine, seed: &Seed) -> Result<Found, Missing> {
    let sealed = bytes(&root.path(SEALED_SECRETS))?;
    let text = machine.unseal(&sealed).map_err(Missing::Shut)?.ok_or(Missing::NoTpm)?;
    let secrets = Secrets::parse(&text, &seed.secrets_sha256).map_err(Missing::Bad)?;
    Ok((secrets, text))
}

fn bytes(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, Missing> {
    let mut text = Zeroizing::new(Vec::new());
    match File::open(path).and_then(|f| f.take(LONGEST).read_to_end(&mut text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Missing::Not),
        Err(error) => Err(Missing::Unreadable(error)),
        Ok(_) => Ok(text),
    }
}

/// Overwrites a file and removes it. A drive that writes each time elsewhere may keep the old bytes in
/// cells that only its own firmware can read.
fn erase(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.flush()?;
    file.sync_all()?;
    fs::remove_file(path)?;
    durable::sync_folder(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

fn missing(sealed: &Missing, file: &Missing, fresh: &Missing) -> Problem {
    let what = "This machine cannot show that it belongs to its room";
    if let (Missing::Not, Missing::NoTpm | Missing::Shut(_)) = (fresh, sealed) {
        return shut(what, sealed);
    }
    let told = [(SEED_SECRETS, fresh), (SEALED_SECRETS, sealed), (KEPT_SECRETS, file)];
    let told = told.into_iter().find_map(|(path, why)| match why {
        Missing::Unreadable(error) => {
            Some(("secrets.unreadable", format!("cannot read {path}: {error}")))
        }
        Missing::Bad(error) => Some(("secrets.bad", format!("in {path}, {error}"))),
        Missing::Not | Missing::NoTpm | Missing::Shut(_) => None,
    });
    let (code, why) = told.unwrap_or_else(|| {
        ("secrets.missing", format!("there is neither {SEED_SECRETS} nor {KEPT_SECRETS}"))
    });
    let help = SecretsError::Other.help().map(|help| help.to_string()).unwrap_or_default();
    Problem::new(code, format!("{what}: {why}."), super::seed::sentence(&help))
}

/// The TPM does not open what is kept.
fn shut(what: &str, why: &Missing) -> Problem {
    let files = "copy the three seed files to its EFI partition again and restart";
    let (why, cure) = match why {
        Missing::Shut(error) => (
            format!("this machine's TPM does not open them ({})", said(error)),
            format!(
                "If the TPM was cleared, or the board or the drive is another machine's, {files}. Nothing \
                 was removed."
            ),
        ),
        _ => (
            "this machine has no TPM now".to_owned(),
            format!(
                "If it is off in the firmware's setup, switch it on and restart. Otherwise {files}. Nothing \
                 was removed."
            ),
        ),
    };
    Problem::new("secrets.sealed", format!("{what}: its secrets are sealed, and {why}."), cure)
}

/// What a program had to say, without its name where it said something.
fn said(error: &AskError) -> String {
    match error {
        AskError::Failed { said, .. } if !said.is_empty() => said.clone(),
        other => other.to_string(),
    }
}

fn other() -> Problem {
    Problem::new(
        "secrets.other",
        format!("{SEED_SECRETS} does not belong to this machine's seed, and was left alone."),
        "The three files of a seed are copied together: seed.toml, seed.sig and seed.secrets.",
    )
}

fn exposed(path: &str, error: &io::Error, cure: &str) -> Problem {
    Problem::new(
        "secrets.exposed",
        format!("The secrets of this room could not be removed from {path}: {error}."),
        cure,
    )
}

fn not_sealed(why: &str) -> Problem {
    Problem::new(
        "secrets.not-sealed",
        format!("This machine's TPM did not seal the secrets of its room: {why}."),
        "They are in a file that root alone can read, as on a machine without a TPM, and each start tries \
         again. Clear the TPM in the firmware's setup, or switch it off there.",
    )
}

fn not_kept(error: &io::Error) -> Problem {
    Problem::new(
        "secrets.not-kept",
        format!("The secrets of this room could not be kept in {KEPT_SECRETS}: {error}."),
        "Until they can, they stay on the EFI partition. Look at this machine's state partition.",
    )
}
