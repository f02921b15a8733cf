//! The ssh host key: made on the machine's first boot, the same ever after. Start at [`ensure`].
//!
//! It is made in a folder beside its own, which is then renamed: after a power cut it is there whole,
//! or not at all. No image and no seed holds one.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use data_encoding::{BASE64, BASE64_NOPAD};
use ring::digest::{SHA256, digest};

use super::{Machine, failed};
use crate::durable;
use crate::node::Problem;
use crate::root::{HOST_KEY, HOST_KEY_FOLDER, Root, STATE};

/// What an OpenSSH private key begins and ends with (openssh's PROTOCOL.key).
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

/// Makes sure that there is a host key; returns its fingerprint.
pub(super) fn ensure(
    root: &Root,
    machine: &dyn Machine,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    match whole(&root.path(HOST_KEY)) {
        Ok(true) => {}
        Ok(false) => {
            problems.push(Problem::new(
                "host-key.damaged",
                format!("The ssh host key {HOST_KEY} was damaged. There is a new one now."),
                "`ssh` will warn that this host has changed: compare the fingerprint with the one \
                 shown here, then remove the old one with `ssh-keygen -R HOST`.",
            ));
            make(root, machine, problems);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(root, machine, problems),
        Err(error) => problems.push(unusable(&error.to_string())),
    }
    let public = fs::read_to_string(root.path(HOST_KEY).with_extension("pub")).ok()?;
    fingerprint(&public)
}

/// Whether the private key is whole.
fn whole(path: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(path)?;
    Ok(text.starts_with(BEGIN) && text.trim_end().ends_with(END))
}

fn make(root: &Root, machine: &dyn Machine, problems: &mut Vec<Problem>) {
    let folder = root.path(HOST_KEY_FOLDER);
    let fresh = folder.with_extension("new");
    let prepare = || -> io::Result<()> {
        durable::make_folder(&root.path(STATE))?;
        durable::remove_folder(&fresh)?;
        durable::remove_folder(&folder)?;
        fs::DirBuilder::new().mode(0o700).create(&fresh)
    };
    if let Err(error) = prepare() {
        problems.push(failed("There is no room for an ssh host key", &error));
        return;
    }
    let name = Path::new(HOST_KEY).file_name().unwrap_or_default();
    let made = machine.make_host_key(&fresh.join(name)).map_err(|error| error.to_string());
    let placed =
        made.and_then(|()| durable::place_folder(&fresh, &folder).map_err(|e| e.to_string()));
    if let Err(why) = placed {
        problems.push(unusable(&why));
    }
}

fn unusable(why: &str) -> Problem {
    Problem::new(
        "host-key.missing",
        format!("There is no ssh host key, so nobody can log in: {why}."),
        "Restart this node; if it stays, its state partition or its image is damaged.",
    )
}

/// The fingerprint of a public key as ssh shows it: SHA-256 of the key, in base64 without padding.
fn fingerprint(public: &str) -> Option<String> {
    let key = BASE64.decode(public.split_whitespace().nth(1)?.as_bytes()).ok()?;
    Some(format!("SHA256:{}", BASE64_NOPAD.encode(digest(&SHA256, &key).as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_shows() {
        // `ssh-keygen -l` of OpenSSH 10.0 said so of this key.
        let public =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKTu4i1gr0k2GY72sT1G1jAZc1MhV7LPs4K5qI1Dbx0v \n";
        let shown = "SHA256:HjqhhQ7O3Ppg6ucQ+aCZOJPVz37DZuRUTicbMyZwRaM";
        assert_eq!(fingerprint(public).as_deref(), Some(shown));
        assert_eq!(fingerprint("ssh-ed25519"), None);
    }
}
