//! [`Node`]: who this node is, as `duetd boot` found out; kept in `/run/duet/node.json` for the
//! status. Reads and writes no file.

use serde::{Deserialize, Serialize};
use site::network::Cidr;
use site::{Label, Role, Room, Seed, Timestamp};

/// The host name of a machine that has no good seed.
pub(crate) const UNSEEDED: &str = "duet-unseeded";

/// What `duetd boot` found out and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Who this node is; nobody without a good seed.
    pub identity: Option<Identity>,
    /// The fingerprint of the ssh host key, as `ssh` shows it when it first connects.
    pub host_key: Option<String>,
    /// How the seed's secrets are kept; nothing where there are none.
    #[serde(default)]
    pub secrets: Option<Keeping>,
    /// What went wrong, the most important first.
    pub problems: Vec<Problem>,
    /// What somebody should know although the machine does its work.
    #[serde(default)]
    pub notices: Vec<Problem>,
}

/// How the seed's secrets are kept in the state partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Keeping {
    /// Sealed: only this machine's TPM opens them.
    Sealed,
    /// In a file that root alone can read.
    File,
}

/// What the seed says about this machine, as far as the status shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The site's name.
    pub site: Label,
    /// The room in which the machine stands.
    pub room: Room,
    /// What people call that room.
    pub room_title: String,
    /// What the machine is for.
    pub role: Role,
    /// The machine's name.
    pub name: Label,
    /// The static addresses of the machine; none where DHCP gives them.
    #[serde(default)]
    pub addresses: Vec<Cidr>,
    /// How many keys may log in.
    pub ssh_keys: usize,
    /// When the seed was signed.
    pub seed_issued: Timestamp,
    /// From when on the seed is refused, if ever.
    pub seed_expires: Option<Timestamp>,
}

impl From<&Seed> for Identity {
    fn from(seed: &Seed) -> Self {
        Identity {
            site: seed.site.clone(),
            room: seed.room,
            room_title: seed.room_title.clone(),
            role: seed.role,
            name: seed.hostname.clone(),
            addresses: seed.network.addresses().to_vec(),
            ssh_keys: seed.ssh_keys.len(),
            seed_issued: seed.issued,
            seed_expires: seed.expires,
        }
    }
}

/// Something that is not as it should be, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// A stable name for scripts, such as `seed.missing`.
    pub code: String,
    /// What is wrong, for a person; one or two sentences.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

impl Problem {
    /// A problem with its code, what is wrong, and the cure.
    pub(crate) fn new(
        code: impl Into<String>,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Problem { code: code.into(), what: what.into(), cure: cure.into() }
    }
}
