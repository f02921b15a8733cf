//! The machine's own key and certificate, by which the other machines of its site know it: made of the
//! room's secrets on the first boot, the same until the seed is another. Start at [`ensure`].
//!
//! They are made in a folder beside their own, which is then renamed: after a power cut all is there, or
//! nothing is. The key never leaves the machine.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use site::keys::MachineCertificate;
use site::seed::Secrets;
use site::{Seed, Timestamp};

use super::failed;
use crate::durable;
use crate::node::Problem;
use crate::root::{
    IDENTITY_CERTIFICATE, IDENTITY_FOLDER, IDENTITY_KEY, IDENTITY_SOURCE, Root, STATE,
};

/// Makes sure that there is a certificate for what the seed says; returns whether there is.
pub(super) fn ensure(
    root: &Root,
    seed: &Seed,
    secrets: &Secrets,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> bool {
    // With another seed the old certificate would still be believed, as the wrong machine's.
    let Seed { site, room, hostname, secrets_sha256, .. } = seed;
    let source = format!("{site} {room} {hostname} {secrets_sha256}\n");
    if is_of(root, &source) {
        return true;
    }
    let made = secrets.room.machine(site, *room, hostname, now);
    let placed = match made {
        Ok(made) => place(root, &made, &source),
        Err(error) => Err(io::Error::other(error)),
    };
    match placed {
        Ok(()) => true,
        Err(error) => {
            problems.push(failed("This machine's certificate could not be made", &error));
            false
        }
    }
}

/// Whether all three files are there, whole, and made of `source`.
fn is_of(root: &Root, source: &str) -> bool {
    let read = |path| fs::read_to_string(root.path(path)).unwrap_or_default();
    let is_pem = |text: &str, label| {
        text.starts_with(&format!("-----BEGIN {label}-----"))
            && text.trim_end().ends_with(&format!("-----END {label}-----"))
    };
    read(IDENTITY_SOURCE) == source
        && is_pem(&read(IDENTITY_CERTIFICATE), "CERTIFICATE")
        && is_pem(&zeroize::Zeroizing::new(read(IDENTITY_KEY)), "PRIVATE KEY")
}

fn place(root: &Root, made: &MachineCertificate, source: &str) -> io::Result<()> {
    let folder = root.path(IDENTITY_FOLDER);
    let fresh = folder.with_extension("new");
    durable::make_folder(&root.path(STATE))?;
    durable::remove_folder(&fresh)?;
    fs::DirBuilder::new().mode(0o700).create(&fresh)?;
    let name = |path: &str| fresh.join(Path::new(path).file_name().unwrap_or_default());
    durable::write(&name(IDENTITY_KEY), made.key.as_bytes(), 0o600)?;
    durable::write(&name(IDENTITY_CERTIFICATE), made.chain.as_bytes(), 0o644)?;
    durable::write(&name(IDENTITY_SOURCE), source.as_bytes(), 0o644)?;
    durable::remove_folder(&folder)?;
    durable::place_folder(&fresh, &folder)
}
