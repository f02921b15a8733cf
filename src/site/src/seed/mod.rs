//! The seed: the small signed file on a machine's ESP that tells it who it is, because the image is
//! the same for every machine. Start at [`Seed`].

use serde::{Deserialize, Serialize};

use crate::{Host, Label, Network, Role, Room, SshKey, Timestamp};

/// The version of the format that this release writes and reads.
pub const FORMAT: u32 = 1;

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
    /// The machine's name.
    pub hostname: Label,
    /// When the seed was signed.
    pub issued: Timestamp,
    /// From when on it is refused, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Who may log in; nobody if empty.
    pub ssh_keys: Vec<SshKey>,
    /// Names or addresses of time servers; at least one.
    pub time_servers: Vec<Host>,
    /// The site's certificate authority, in PEM.
    pub ca_certificate: String,
    /// How the machine is joined to its network.
    pub network: Network,
}
