//! Reads the table `[kubernetes]` of a site file. Start at [`Kubernetes::read`]; whether its ranges leave
//! the site's own addresses alone shows in [`check_addresses`], once the rooms are read.

use super::{ClusterDomain, FlannelBackend, Kubernetes, NodeLabel, Packaged};
use crate::document::{Found, Table};
use crate::network::Subnet;
use crate::{Host, Network};

/// Prefixes of ranges of pods. Every machine takes a /24 or a /64 of it: a range has to hold at least four
/// machines, and Kubernetes gives out no more than 2^16 parts of one.
const CLUSTER_PREFIX: [(u8, u8); 2] = [(8, 22), (48, 62)];

/// Prefixes of ranges of services: kube-apiserver takes at most 2^20 addresses, and the name server is
/// the tenth.
const SERVICE_PREFIX: [(u8, u8); 2] = [(12, 27), (108, 123)];

/// More names and labels than these come from a slip of a generator; a certificate carries all names.
const MOST_NAMES: usize = 64;

impl Kubernetes {
    /// Reads what the table says; what it does not say is as in [`Kubernetes::default`].
    pub(crate) fn read(table: &Table<'_>) -> Kubernetes {
        let default = Kubernetes::default();
        let cluster = table.one_or_more::<Subnet>("cluster_cidr");
        let service = table.one_or_more::<Subnet>("service_cidr");
        let domain = table.parsed::<ClusterDomain>("cluster_domain");
        let backend = table.choice("flannel_backend", &FlannelBackend::ALL);
        let tls_san = table.parsed_list::<Host>("tls_san").unwrap_or_default();
        let on_control = table.flag("workloads_on_control");
        let labels = table.parsed_list::<NodeLabel>("node_labels").unwrap_or_default();
        let disable = table.choices("disable", &Packaged::ALL);
        let encryption = table.flag("secrets_encryption");
        table.finish();
        check_prefixes(table, "cluster_cidr", cluster.as_deref(), CLUSTER_PREFIX);
        check_prefixes(table, "service_cidr", service.as_deref(), SERVICE_PREFIX);
        check_labels(table, &labels);
        for (key, count) in [("tls_san", tls_san.len()), ("node_labels", labels.len())] {
            if count > MOST_NAMES {
                let hint = format!("write at most {MOST_NAMES}");
                table.forbid(key, &format!("`{key}` has {count} entries"), &hint);
            }
        }
        let ranges = |found: &Option<Vec<Found<Subnet>>>, other| {
            found.as_ref().map_or(other, |found| found.iter().map(|one| one.value).collect())
        };
        let kubernetes = Kubernetes {
            cluster_cidr: ranges(&cluster, default.cluster_cidr),
            service_cidr: ranges(&service, default.service_cidr),
            cluster_domain: domain.map_or(default.cluster_domain, |found| found.value),
            flannel_backend: backend.map_or(default.flannel_backend, |found| found.value),
            tls_san: tls_san.into_iter().map(|found| found.value).collect(),
            workloads_on_control: on_control
                .map_or(default.workloads_on_control, |found| found.value),
            node_labels: labels.into_iter().map(|found| found.value).collect(),
            disable,
            secrets_encryption: encryption.map_or(default.secrets_encryption, |found| found.value),
        };
        check_together(table, &kubernetes);
        kubernetes
    }
}

/// One range of each IP version at most, of a size that Kubernetes takes.
fn check_prefixes(
    table: &Table<'_>,
    key: &str,
    ranges: Option<&[Found<Subnet>]>,
    prefixes: [(u8, u8); 2],
) {
    let Some(ranges) = ranges else { return };
    if ranges.is_empty() && table.length(key) == 0 {
        table.forbid(key, &format!("`{key}` is empty"), "write a range, or leave the key out");
    }
    for (at, range) in ranges.iter().enumerate() {
        let version = |range: &Found<Subnet>| range.value.is_ipv4();
        if ranges[..at].iter().any(|earlier| version(earlier) == version(range)) {
            let hint = "write one range for IPv4, one for IPv6, or one of each";
            table.report(range.span.clone(), "a second range of the same IP version", hint);
            continue;
        }
        let (least, most) = prefixes[usize::from(!range.value.is_ipv4())];
        let prefix = range.value.prefix();
        if prefix < least || prefix > most {
            let size = if prefix < least { "large" } else { "small" };
            let message = format!("{} is too {size} for `{key}`", range.value);
            let hint = format!("write a prefix from /{least} to /{most}");
            table.report(range.span.clone(), message, hint);
        }
    }
}

fn check_labels(table: &Table<'_>, labels: &[Found<NodeLabel>]) {
    for (at, label) in labels.iter().enumerate() {
        if labels[..at].iter().any(|other| other.value.key() == label.value.key()) {
            let message = format!("the label `{}` is given twice", label.value.key());
            table.report(label.span.clone(), message, "remove one of them");
        }
    }
}

/// Pods and services have the same IP versions in the same order, and no address in common.
fn check_together(table: &Table<'_>, kubernetes: &Kubernetes) {
    let Kubernetes { cluster_cidr, service_cidr, .. } = kubernetes;
    // What was read wrong is reported already, and leaves a list empty or short.
    let whole =
        |key: &str, list: &[Subnet]| !table.has(key) || table.length(key).max(1) == list.len();
    if !whole("cluster_cidr", cluster_cidr) || !whole("service_cidr", service_cidr) {
        return;
    }
    let key = if table.has("service_cidr") { "service_cidr" } else { "cluster_cidr" };
    let versions = |list: &[Subnet]| list.iter().map(Subnet::is_ipv4).collect::<Vec<_>>();
    if versions(cluster_cidr) != versions(service_cidr) {
        let message = format!(
            "pods have {} and services have {}",
            ranges(cluster_cidr),
            ranges(service_cidr)
        );
        let hint = "write the same IP versions in the same order in cluster_cidr and service_cidr";
        table.forbid(key, &message, hint);
    }
    for (pods, services) in
        cluster_cidr.iter().flat_map(|a| service_cidr.iter().map(move |b| (a, b)))
    {
        if pods.overlaps(services) {
            let message = format!("the services' {services} overlaps the pods' {pods}");
            table.forbid(key, &message, "write ranges that have no address in common");
        }
    }
}

fn ranges(list: &[Subnet]) -> String {
    let words: Vec<String> = list.iter().map(Subnet::to_string).collect();
    words.join(" and ")
}

/// Reports ranges of pods and services in which the site's machines, their routers or their name servers
/// have an address: packets to these would not leave the machine.
pub(crate) fn check_addresses(file: &Table<'_>, kubernetes: &Kubernetes, networks: &[&Network]) {
    for (key, what, free, list) in [
        ("cluster_cidr", "pods", "172.20.0.0/16", &kubernetes.cluster_cidr),
        ("service_cidr", "services", "172.21.0.0/16", &kubernetes.service_cidr),
    ] {
        for range in list {
            let subnets = networks.iter().flat_map(|network| network.addresses());
            let taken = subnets.map(Subnet::from).find(|subnet| subnet.overlaps(range));
            let servers = networks.iter().flat_map(|network| &network.dns);
            let taken =
                taken.map(|subnet| format!("the machines' subnet {subnet}")).or_else(|| {
                    let server = servers.into_iter().find(|server| range.contains(**server))?;
                    Some(format!("the name server {server}"))
                });
            if let Some(taken) = taken {
                let message = format!("{range}, the addresses of {what}, overlaps {taken}");
                let hint = format!("write another {key} in [kubernetes], such as \"{free}\"");
                file.report_below("kubernetes", message, hint);
            }
        }
    }
}
