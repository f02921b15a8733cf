//! [`Settings`]: what the agent of this node is told at boot.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use site::{Label, Role, Room};

/// What `duetd boot` makes of the seed for the agent, as TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The site's name.
    pub site: Label,
    /// The room in which this machine stands.
    pub room: Room,
    /// What it is for.
    pub role: Role,
    /// The machine's name.
    pub name: Label,
    /// Where the store of a control machine listens for the other room's: a TCP port.
    pub store_port: u16,
    /// Where agents and people ask how this node is: a TCP port.
    pub page_port: u16,
    /// Whether to look for the other room on the wire (mDNS, RFC 6762).
    pub discovery: bool,
    /// Where the control machine of the other room may be: names or addresses, without ports.
    pub other_room: Vec<String>,
    /// This machine's certificate and what vouches for it, up to the site's authority (PEM).
    pub certificate_file: PathBuf,
    /// Its key (PEM).
    pub key_file: PathBuf,
    /// The certificate of the site's authority (PEM).
    pub authority_file: PathBuf,
}
