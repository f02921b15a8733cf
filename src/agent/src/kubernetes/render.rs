//! k3s' configuration files (k3s' "Configuration Options"). Start at [`render`].

use std::fmt::Write as _;
use std::net::IpAddr;

use site::kubernetes::{FlannelBackend, Kubernetes};
use site::{Host, Role};

use super::alike::{self, list};
use super::{AGENT_CONFIG, DATASTORE, Facts, SERVER_CONFIG, SERVERS, url};

/// The files of this machine: path, text and mode of each. A control machine gets the settings of
/// `k3s server`; a worker those of `k3s agent`, which join by way of the first control machine unless
/// `duetd kubernetes join` chooses another.
pub fn render(facts: &Facts<'_>) -> Vec<(&'static str, String, u32)> {
    match facts.settings.role {
        Role::Control => vec![(SERVER_CONFIG, server(facts), 0o600)],
        Role::Worker => {
            let servers =
                facts.control.iter().fold(String::new(), |text, host| text + &format!("{host}\n"));
            vec![(AGENT_CONFIG, agent(facts), 0o600), (SERVERS, servers, 0o644)]
        }
    }
}

/// A YAML file that is written line by line. Texts stand in double quotes with JSON's escapes, which YAML
/// has too (YAML 1.2.2, section 7.3.1).
struct Yaml(String);

impl Yaml {
    fn new() -> Yaml {
        Yaml("# Written by `duetd boot` from the seed, anew at each boot.\n".to_owned())
    }

    fn text(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.0, "{key}: {}", quoted(value));
    }

    fn flag(&mut self, key: &str, value: bool) {
        let _ = writeln!(self.0, "{key}: {value}");
    }

    /// A list; an empty one is left out.
    fn list(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            let _ = writeln!(self.0, "{key}:");
        }
        for value in values {
            let _ = writeln!(self.0, "  - {}", quoted(&value));
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn server(facts: &Facts<'_>) -> String {
    let Kubernetes { tls_san, workloads_on_control, flannel_backend, .. } = facts.kubernetes;
    let mut yaml = Yaml::new();
    yaml.text("datastore-endpoint", DATASTORE);
    node(&mut yaml, facts);
    if !workloads_on_control {
        yaml.list("node-taint", ["node-role.kubernetes.io/control-plane:NoSchedule".to_owned()]);
    }
    yaml.list("tls-san", tls_san.iter().map(Host::to_string));
    // The kubeconfig holds the cluster administrator's key.
    yaml.text("write-kubeconfig-mode", "0600");
    let Kubernetes { cluster_cidr, service_cidr, disable, .. } = facts.kubernetes;
    yaml.text("cluster-cidr", &list(cluster_cidr));
    yaml.text("service-cidr", &list(service_cidr));
    yaml.text("cluster-dns", &list(&facts.kubernetes.cluster_dns()));
    yaml.text("cluster-domain", &facts.kubernetes.cluster_domain.to_string());
    yaml.text("flannel-backend", flannel_backend.as_str());
    if *flannel_backend == FlannelBackend::None {
        // Who brings a network of his own brings its policies, too.
        yaml.flag("disable-network-policy", true);
    } else if cluster_cidr.iter().any(|range| !range.is_ipv4()) {
        // As with IPv4: pods' addresses are not routed outside.
        yaml.flag("flannel-ipv6-masq", true);
    }
    yaml.flag("secrets-encryption", facts.kubernetes.secrets_encryption);
    yaml.text("egress-selector-mode", alike::EGRESS_SELECTOR_MODE);
    yaml.list("disable", disable.iter().map(|part| part.as_str().to_owned()));
    yaml.0
}

fn agent(facts: &Facts<'_>) -> String {
    let mut yaml = Yaml::new();
    if let Some(first) = facts.control.first() {
        yaml.text("server", &url(first));
    }
    node(&mut yaml, facts);
    yaml.0
}

/// What both kinds of machines say of themselves.
fn node(yaml: &mut Yaml, facts: &Facts<'_>) {
    let settings = facts.settings;
    yaml.text("token-file", &facts.token_file.display().to_string());
    yaml.text("node-name", settings.name.as_str());
    let place = [
        format!("topology.kubernetes.io/region={}", settings.site),
        format!("topology.kubernetes.io/zone=room-{}", settings.room),
        format!("duet.internal/room={}", settings.room),
    ];
    let own = facts.kubernetes.node_labels.iter().map(ToString::to_string);
    yaml.list("node-label", place.into_iter().chain(own));
    yaml.list("node-ip", addresses(facts).iter().map(IpAddr::to_string));
}

/// The machine's address of each IP version that pods have, the preferred one first; none if one of them
/// is not known, since k3s then has to find all of them.
pub(super) fn addresses(facts: &Facts<'_>) -> Vec<IpAddr> {
    let of = |ipv4: bool| facts.addresses.iter().find(|own| own.is_ipv4() == ipv4).copied();
    let versions = facts.kubernetes.cluster_cidr.iter().map(|range| range.is_ipv4());
    versions.map(of).collect::<Option<Vec<_>>>().unwrap_or_default()
}
