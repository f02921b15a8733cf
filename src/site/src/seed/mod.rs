//! The seed: the small signed file on a machine's ESP that tells it who it is, because the image is
//! the same for every machine. Start at [`Seed`]; the workstation calls [`sign`], the machine
//! [`verify`].

mod secrets;
mod signature;
#[cfg(test)]
mod tests;

pub use secrets::{Secrets, SecretsError, digest as secrets_digest};
pub use signature::{SeedError, Verified, sign, verify};

use serde::{Deserialize, Serialize};

use crate::keys::Certificate;
use crate::{Disks, Host, Kubernetes, Label, Naming, Network, Pair, Role, Room, SshKey, Timestamp};

/// The version of the format that this release writes and reads.
pub const FORMAT: u32 = 2;

/// Everything that a machine knows of itself and its site before it has spoken to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The version of this format: [`FORMAT`].
    pub format: u32,
    /// The site's name.
    pub site: Label,
    /// The room in which the machine stands.
    pub room: Room,
    /// What people call that room.
    pub room_title: String,
    /// What the machine is for.
    pub role: Role,
    /// The machine's name, or what it begins with.
    pub hostname: Label,
    /// Where the name comes from.
    #[serde(default, skip_serializing_if = "Naming::is_seed")]
    pub naming: Naming,
    /// When the seed was signed.
    pub issued: Timestamp,
    /// From when on it is refused, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Who may log in; nobody if empty.
    pub ssh_keys: Vec<SshKey>,
    /// Names or addresses of time servers; at least one.
    pub time_servers: Vec<Host>,
    /// The site's certificate authority.
    pub ca_certificate: Certificate,
    /// The SHA-256 of the [`Secrets`] that go with it, as text, in hexadecimal digits.
    pub secrets_sha256: String,
    /// Where room a's control machine may be, beside what is heard on the wire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub room_a_hosts: Vec<Host>,
    /// The same of room b's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub room_b_hosts: Vec<Host>,
    /// How the machine is joined to its network.
    pub network: Network,
    /// How the two rooms are one service.
    pub pair: Pair,
    /// What the site says of its Kubernetes.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// Which of the machine's disks hold volumes. Left out where none is taken, so that an image that
    /// knows no such rules reads the seed, too.
    #[serde(default, skip_serializing_if = "Disks::is_default")]
    pub disks: Disks,
}

/// The seed as the text of `seed.toml`: the same text for the same seed.
pub fn encode(seed: &Seed) -> String {
    // Every field has a form in TOML: there are no maps with odd keys and no empty options.
    toml::to_string(seed).unwrap_or_else(|error| unreachable!("a seed is always TOML: {error}"))
}

impl Seed {
    /// Where the control machine of a room may be.
    pub fn hosts(&self, room: Room) -> &[Host] {
        match room {
            Room::A => &self.room_a_hosts,
            Room::B => &self.room_b_hosts,
        }
    }

    /// What chrony is told (chrony.conf(5), `sourcedir`): the contents of a `.sources` file.
    pub fn chrony_sources(&self) -> String {
        let source = |host: &Host| {
            // A pool's name stands for many servers, of which some come and go.
            let pool = host.as_str().split('.').any(|label| label == "pool");
            let kind = if pool { "pool" } else { "server" };
            format!("{kind} {host} iburst\n")
        };
        self.time_servers.iter().map(source).collect()
    }

    /// What sshd is told: the contents of an authorized_keys file.
    pub fn authorized_keys(&self) -> String {
        crate::authorized_keys(&self.ssh_keys)
    }
}
