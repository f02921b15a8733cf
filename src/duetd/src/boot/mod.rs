//! `duetd boot`: makes this machine what its seed says. Start at [`apply`].
//!
//! Everything per machine is written anew to /run at each boot, from the seed; what must persist, the
//! site's key, the machine's own keys and the seed's secrets, lies in /var/lib/duet. So running this twice,
//! or again after a power cut at any moment, ends in the same state. A step that fails is written down for
//! the status and the others go on: a node that can be reached can be repaired.

mod clock;
mod host_key;
mod identity;
mod name;
mod secrets;
mod seed;
mod services;
#[cfg(test)]
mod tests;
mod tpm;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use rustix::mount::{MountFlags, mount_remount};
use rustix::time::{ClockId, Timespec, clock_settime};
use site::{Seed, Timestamp};
use zeroize::Zeroizing;

use crate::console;
use crate::durable;
use crate::node::{Identity, Node, Problem, UNSEEDED};
use crate::process::{AskError, ask};
use crate::root::{AUTHORIZED_KEYS, ESP, HARDWARE_CLOCK, NETWORKD, NODE, Root, TIME_SOURCES};

/// The time servers of a machine that has no good seed (chrony.conf(5), `pool`).
const PUBLIC_TIME: &str = "pool 2.debian.pool.ntp.org iburst\n";

/// What the machine does for `duetd boot`; a test has its own.
pub(crate) trait Machine {
    /// The time, as far as it is known so early.
    fn now(&self) -> Timestamp;
    /// What the clock said that goes on while the machine is off; nothing where there is none.
    fn hardware_clock(&self) -> Option<Timestamp>;
    /// Sets the time.
    fn set_clock(&self, time: Timestamp) -> io::Result<()>;
    /// Gives the machine its name.
    fn set_hostname(&self, name: &str) -> io::Result<()>;
    /// Opens the EFI partition, which is mounted read-only, for writing; or closes it again.
    fn open_esp(&self, writable: bool) -> io::Result<()>;
    /// Makes a key pair: `file`, and `file.pub` beside it.
    fn make_host_key(&self, file: &Path) -> Result<(), AskError>;
    /// Seals a secret, so that only this machine opens it; nothing where there is no TPM.
    fn seal(&self, secret: &[u8]) -> Result<Option<Vec<u8>>, AskError>;
    /// Opens what was sealed; nothing where there is no TPM.
    fn unseal(&self, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, AskError>;
}

/// The machine that this program runs on.
struct ThisMachine(Root);

impl Machine for ThisMachine {
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    fn hardware_clock(&self) -> Option<Timestamp> {
        let text = fs::read_to_string(self.0.path(HARDWARE_CLOCK)).ok()?;
        Timestamp::from_unix(text.trim().parse().ok()?)
    }

    fn set_clock(&self, time: Timestamp) -> io::Result<()> {
        let seconds = i64::try_from(time.unix()).map_err(io::Error::other)?;
        Ok(clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: 0 })?)
    }

    fn set_hostname(&self, name: &str) -> io::Result<()> {
        Ok(rustix::system::sethostname(name.as_bytes())?)
    }

    fn open_esp(&self, writable: bool) -> io::Result<()> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let closed = if writable { MountFlags::empty() } else { MountFlags::RDONLY };
        Ok(mount_remount(ESP, flags | closed, c"")?)
    }

    fn make_host_key(&self, file: &Path) -> Result<(), AskError> {
        // On a machine without a good source, gathering randomness takes a while, once.
        const PATIENCE: Duration = Duration::from_secs(240);
        let file = file.to_string_lossy();
        ask(
            "/usr/bin/ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &file],
            PATIENCE,
        )
        .map(drop)
    }

    fn seal(&self, secret: &[u8]) -> Result<Option<Vec<u8>>, AskError> {
        tpm::seal(&self.0, secret)
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, AskError> {
        tpm::unseal(&self.0, sealed)
    }
}

/// Makes this machine what its seed says, and writes down what came of it.
pub(crate) fn boot(root: &Root) -> Result<ExitCode, miette::Report> {
    let node = apply(root, &ThisMachine(root.clone()));
    for Problem { code, what, cure } in node.problems.iter().chain(&node.notices) {
        console::note(&format!("{code}: {what} {cure}"));
    }
    if let Some(Identity { site, room, name, .. }) = &node.identity {
        console::note(&format!("this is {name} of {site}, room {room}"));
    }
    let text = serde_json::to_string_pretty(&node)
        .map_err(|error| miette::miette!("cannot write the node's facts as JSON: {error}"))?;
    durable::write(&root.path(NODE), text.as_bytes(), 0o644)
        .map_err(|error| miette::miette!("cannot write {NODE}: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Does all that `duetd boot` does but for the last file.
pub(crate) fn apply(root: &Root, machine: &dyn Machine) -> Node {
    let (mut problems, mut notices) = (Vec::new(), Vec::new());
    let seed = seed::take(root, machine.now(), &mut problems);
    if let Some(seed) = &seed {
        // First: what follows is dated.
        clock::ensure(root, machine, seed.issued, &mut notices);
    }
    let seed = seed.map(|seed| Seed { hostname: name::of(root, &seed), ..seed });
    let name = seed.as_ref().map_or(UNSEEDED, |seed| seed.hostname.as_str());
    if let Err(error) = machine.set_hostname(name) {
        problems.push(failed(&format!("The host name could not be set to {name}"), &error));
    }
    if let Err(error) = write_settings(root, seed.as_ref()) {
        problems.push(failed("The settings of this boot could not be written to /run", &error));
    }
    let mut kept = None;
    let known = seed.as_ref().and_then(|seed| {
        let (own, keeping) = secrets::take(root, machine, seed, &mut problems, &mut notices)?;
        kept = keeping;
        let known = identity::ensure(root, seed, &own, machine.now(), &mut problems);
        known.then_some((seed, own))
    });
    // A machine that cannot show who it is takes no part in its site.
    if let Err(error) = services::write(root, known.as_ref().map(|(seed, own)| (*seed, own))) {
        problems.push(failed("The services' settings could not be written to /run", &error));
    }
    let host_key = host_key::ensure(root, machine, &mut problems);
    let identity = seed.as_ref().map(Identity::from);
    Node { identity, host_key, secrets: kept, problems, notices }
}

/// Writes to /run what follows from the seed, and removes what would follow from another one.
fn write_settings(root: &Root, seed: Option<&Seed>) -> io::Result<()> {
    let keys = root.path(AUTHORIZED_KEYS);
    // First, so that nobody is let in whom this seed does not name, whatever fails afterwards.
    durable::forget(&keys)?;
    let folder = root.path(NETWORKD);
    durable::make_folder(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        // Other programs may have files there.
        if entry.file_name().to_string_lossy().contains("-duet-") {
            durable::forget(&entry.path())?;
        }
    }
    let sources = seed.map_or_else(|| PUBLIC_TIME.to_owned(), Seed::chrony_sources);
    durable::write(&root.path(TIME_SOURCES), sources.as_bytes(), 0o644)?;
    // Without a seed the image's own 89-duet-dhcp.network is in force.
    let Some(seed) = seed else { return Ok(()) };
    for (name, text) in site::network::render(&seed.network) {
        durable::write(&folder.join(name), text.as_bytes(), 0o644)?;
    }
    durable::write(&keys, seed.authorized_keys().as_bytes(), 0o644)
}

/// A problem that only a broken machine or image can cause.
fn failed(what: &str, error: &io::Error) -> Problem {
    Problem::new(
        "boot.failed",
        format!("{what}: {error}."),
        "`journalctl -b -u duet-boot` may tell more. Restart this node; if it stays, write a fresh \
         image to it.",
    )
}
