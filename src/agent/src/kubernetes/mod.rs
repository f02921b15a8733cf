//! The place of a node in Kubernetes: what k3s is told ([`render`]), what both rooms must tell it alike
//! ([`Alike`]), and how it is ([`State`]).
//!
//! Pure but for [`api`]: values give text; who writes the files is `duetd`. k3s keeps its state in the node's own
//! store, always: its embedded etcd (`cluster-init`) is never asked for.

mod alike;
pub mod api;
mod render;
mod state;
#[cfg(test)]
mod tests;
mod told;

use std::net::IpAddr;
use std::path::Path;

pub use alike::{Alike, differences};
pub use render::render;
pub use state::{Member, Phase, STATE, State, words};
pub use told::{IpVersion, TOLD, Told};

use site::{Host, Kubernetes};

use crate::{Settings, url};

/// What `k3s server` is told, on a control machine.
pub const SERVER_CONFIG: &str = "/run/duet/k3s/config.yaml";

/// What `k3s agent` is told, on a worker.
pub const AGENT_CONFIG: &str = "/run/duet/k3s/agent.yaml";

/// Through which control machines a worker may join: names or addresses, one a line, those of its own
/// room first.
pub const SERVERS: &str = "/run/duet/k3s/servers";

/// What `duetd kubernetes join` chose of them. k3s reads the `*.yaml` of this folder after
/// [`AGENT_CONFIG`], and of a value that is there twice the later counts (k3s' "Configuration Options",
/// "Configuration File").
pub const CHOSEN: &str = "/run/duet/k3s/agent.yaml.d/server.yaml";

/// What a machine found of its own addresses: read after [`SERVER_CONFIG`], as [`CHOSEN`] is.
pub const SERVER_ADDRESS: &str = "/run/duet/k3s/config.yaml.d/address.yaml";

/// The same, on a worker.
pub const AGENT_ADDRESS: &str = "/run/duet/k3s/agent.yaml.d/address.yaml";

/// The port of Kubernetes' API and of joining: k3s' own.
pub const PORT: u16 = 6443;

/// Where a control machine's store is: a socket that lets in root alone.
pub const DATASTORE: &str = "unix:///run/duet-store/store.sock";

/// Everything that k3s' settings follow from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The site, the room, the role and the machine's name.
    pub settings: &'a Settings,
    /// What the site file says of Kubernetes.
    pub kubernetes: &'a Kubernetes,
    /// The release of k3s in this image, as /usr/lib/duet/components.json has it.
    pub version: &'a str,
    /// The secret that machines of the site join with; k3s reads the file itself.
    pub token_file: &'a Path,
    /// The machine's own addresses, where the site file says them; k3s finds them itself otherwise.
    pub addresses: &'a [IpAddr],
    /// The control machines, those of the own room first; only a worker needs them.
    pub control: &'a [Host],
}

/// The text of [`SERVER_ADDRESS`] and [`AGENT_ADDRESS`].
pub fn found(addresses: &[IpAddr]) -> String {
    let lines = addresses.iter().map(|address| format!("  - \"{address}\"\n"));
    format!("# Written by duetd when k3s was started.\nnode-ip:\n{}", lines.collect::<String>())
}

/// The text of [`CHOSEN`]: where to join, and the file with the token that names the cluster's authority.
pub fn chosen(host: &Host, token_file: &Path) -> String {
    let token_file = token_file.display();
    format!(
        "# Written by `duetd kubernetes join`.\nserver: \"{}\"\ntoken-file: \"{token_file}\"\n",
        url(host)
    )
}

/// k3s' token with the hash of the cluster's authority: a machine that has it joins no other cluster, and
/// shows its secret to nobody else (k3s' "Token", "Secure").
pub fn token(authority: &str, secret: &str) -> String {
    format!("K10{authority}::server:{secret}\n")
}

fn url(host: &Host) -> String {
    url::of(host.as_str(), PORT)
}
