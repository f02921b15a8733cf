//! What a site says of its Kubernetes. Start at [`Kubernetes`]; what is not said is k3s' own default, but
//! for secrets, which are encrypted at rest.
//!
//! Both rooms and every worker are told the same, by their seeds: most of this cannot be changed once
//! the first server has started.

mod read;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use read::check_addresses;
pub use words::{ClusterDomain, DomainError, NodeLabel, NodeLabelError};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Host;
use crate::network::Subnet;

/// The Kubernetes of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// The addresses of pods: one range, or one of each IP version of which the first is preferred.
    pub cluster_cidr: Vec<Subnet>,
    /// The addresses of services: of the same IP versions in the same order.
    pub service_cidr: Vec<Subnet>,
    /// The domain of services' names.
    pub cluster_domain: ClusterDomain,
    /// How pods of different machines reach one another.
    pub flannel_backend: FlannelBackend,
    /// Further names and addresses by which people reach the API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_san: Vec<Host>,
    /// Whether pods run on control machines, too. A room may have no other machine.
    pub workloads_on_control: bool,
    /// Labels of every machine, beside those that say where it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_labels: Vec<NodeLabel>,
    /// What k3s brings and this site does not want.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<Packaged>,
    /// Whether Secrets are encrypted before they reach the store.
    pub secrets_encryption: bool,
}

/// How pods of different machines reach one another (k3s' `flannel-backend`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlannelBackend {
    /// In UDP packets, as they are.
    Vxlan,
    /// In encrypted UDP packets.
    WireguardNative,
    /// As they are: all machines are in one subnet.
    HostGw,
    /// Somebody else brings a network.
    None,
}

impl FlannelBackend {
    /// All of them, with the words that people and k3s write.
    pub const ALL: [(&'static str, FlannelBackend); 4] = [
        ("vxlan", FlannelBackend::Vxlan),
        ("wireguard-native", FlannelBackend::WireguardNative),
        ("host-gw", FlannelBackend::HostGw),
        ("none", FlannelBackend::None),
    ];

    /// As k3s writes it.
    pub fn as_str(self) -> &'static str {
        let found = FlannelBackend::ALL.iter().find(|(_, backend)| *backend == self);
        found.map_or("", |(word, _)| word)
    }
}

/// A part that k3s brings along (its `disable`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packaged {
    /// Names of services.
    Coredns,
    /// Load balancer for services, on the machines' own addresses.
    Servicelb,
    /// Ingress.
    Traefik,
    /// Volumes in a machine's own folder.
    LocalStorage,
    /// What `kubectl top` asks.
    MetricsServer,
}

impl Packaged {
    /// All of them, with the words that people and k3s write.
    pub const ALL: [(&'static str, Packaged); 5] = [
        ("coredns", Packaged::Coredns),
        ("servicelb", Packaged::Servicelb),
        ("traefik", Packaged::Traefik),
        ("local-storage", Packaged::LocalStorage),
        ("metrics-server", Packaged::MetricsServer),
    ];

    /// As k3s writes it.
    pub fn as_str(self) -> &'static str {
        let found = Packaged::ALL.iter().find(|(_, part)| *part == self);
        found.map_or("", |(word, _)| word)
    }
}

/// The range of pods' addresses where the site says none: k3s' own.
const CLUSTER_CIDR: &str = "10.42.0.0/16";

/// The range of services' addresses where the site says none: k3s' own.
const SERVICE_CIDR: &str = "10.43.0.0/16";

/// The place of the name server in the range of services (k3s' own choice).
const DNS_PLACE: u16 = 10;

impl Default for Kubernetes {
    fn default() -> Self {
        let range = |text: &str| text.parse().into_iter().collect();
        Kubernetes {
            cluster_cidr: range(CLUSTER_CIDR),
            service_cidr: range(SERVICE_CIDR),
            cluster_domain: ClusterDomain::default(),
            flannel_backend: FlannelBackend::Vxlan,
            tls_san: Vec::new(),
            workloads_on_control: true,
            node_labels: Vec::new(),
            disable: Vec::new(),
            secrets_encryption: true,
        }
    }
}

impl Kubernetes {
    /// The addresses of the cluster's name server: one for each range of services.
    pub fn cluster_dns(&self) -> Vec<IpAddr> {
        self.service_cidr.iter().map(|range| range.nth(DNS_PLACE)).collect()
    }
}
