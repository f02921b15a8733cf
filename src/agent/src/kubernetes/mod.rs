//! The place of a node in Kubernetes: what k3s is told, and what both rooms must tell it alike. Start at
//! [`render`] and [`Alike`].
//!
//! Pure: values give text; who writes the files is `duetd boot`. k3s keeps its state in the node's own
//! store, always: its embedded etcd (`cluster-init`) is never asked for.

mod alike;
mod render;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::Path;

pub use alike::{Alike, differences, kubernetes_digest};
pub use render::render;

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

/// The text of [`CHOSEN`].
pub fn chosen(host: &Host) -> String {
    format!("# Written by `duetd kubernetes join`.\nserver: \"{}\"\n", url(host))
}

fn url(host: &Host) -> String {
    url::of(host.as_str(), PORT)
}
