//! What k3s is told on each kind of machine, and what must be equal.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use expect_test::expect;
use site::{Role, Room, Site};

use super::*;

/// Everything that [`Facts`] borrows.
struct Node {
    settings: Settings,
    kubernetes: Kubernetes,
    addresses: Vec<IpAddr>,
    control: Vec<Host>,
}

fn node(role: Role, room: Room, kubernetes: &str) -> Node {
    let file = format!(
        "name = 'my-campus'\nroom.a.title = 'East'\nroom.b.title = 'West'\n[kubernetes]\n{kubernetes}"
    );
    let number = if role == Role::Control { 1 } else { 2 };
    Node {
        settings: Settings {
            site: "my-campus".parse().unwrap(),
            room,
            role,
            name: format!("my-campus-{room}{number}").parse().unwrap(),
            store_port: 2380,
            page_port: 8440,
            discovery: true,
            other_room: Vec::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            authority_file: PathBuf::new(),
        },
        kubernetes: Site::parse(&file, Path::new("site.toml")).unwrap().kubernetes,
        addresses: Vec::new(),
        control: ["my-campus-a1", "2001:db8::b1"].map(|host| host.parse().unwrap()).into(),
    }
}

impl Node {
    fn facts(&self) -> Facts<'_> {
        Facts {
            settings: &self.settings,
            kubernetes: &self.kubernetes,
            version: "v1.35.6+k3s1",
            token_file: Path::new("/run/duet/k3s/token"),
            addresses: &self.addresses,
            control: &self.control,
        }
    }

    fn shown(&self) -> String {
        let file = |(path, text, mode)| format!("== {path} {mode:04o}\n{text}");
        render(&self.facts()).into_iter().map(file).collect()
    }
}

const EVERYTHING: &str = "cluster_cidr = ['172.20.0.0/16', 'fd00:42::/56']\n\
    service_cidr = ['172.21.0.0/16', 'fd00:43::/112']\ncluster_domain = 'k8s.example.org'\n\
    flannel_backend = 'wireguard-native'\ntls_san = ['api.example.org', '192.0.2.9']\n\
    workloads_on_control = false\nnode_labels = ['example.org/rack=7']\n\
    disable = ['traefik', 'servicelb']\nsecrets_encryption = false\n";

#[test]
fn a_control_machine_of_a_site_that_says_nothing() {
    expect![[r#"
        == /run/duet/k3s/config.yaml 0600
        # Written by `duetd boot` from the seed, anew at each boot.
        datastore-endpoint: "unix:///run/duet-store/store.sock"
        token-file: "/run/duet/k3s/token"
        node-name: "my-campus-a1"
        node-label:
          - "topology.kubernetes.io/region=my-campus"
          - "topology.kubernetes.io/zone=room-a"
          - "duet.internal/room=a"
        write-kubeconfig-mode: "0600"
        cluster-cidr: "10.42.0.0/16"
        service-cidr: "10.43.0.0/16"
        cluster-dns: "10.43.0.10"
        cluster-domain: "cluster.local"
        flannel-backend: "vxlan"
        secrets-encryption: true
        egress-selector-mode: "agent"
    "#]]
    .assert_eq(&node(Role::Control, Room::A, "").shown());
}

#[test]
fn a_control_machine_of_a_site_that_says_everything() {
    let mut node = node(Role::Control, Room::B, EVERYTHING);
    node.addresses = ["2001:db8::10", "192.0.2.10"].map(|text| text.parse().unwrap()).into();
    expect![[r#"
        == /run/duet/k3s/config.yaml 0600
        # Written by `duetd boot` from the seed, anew at each boot.
        datastore-endpoint: "unix:///run/duet-store/store.sock"
        token-file: "/run/duet/k3s/token"
        node-name: "my-campus-b1"
        node-label:
          - "topology.kubernetes.io/region=my-campus"
          - "topology.kubernetes.io/zone=room-b"
          - "duet.internal/room=b"
          - "example.org/rack=7"
        node-ip:
          - "192.0.2.10"
          - "2001:db8::10"
        node-taint:
          - "node-role.kubernetes.io/control-plane:NoSchedule"
        tls-san:
          - "api.example.org"
          - "192.0.2.9"
        write-kubeconfig-mode: "0600"
        cluster-cidr: "172.20.0.0/16,fd00:42::/56"
        service-cidr: "172.21.0.0/16,fd00:43::/112"
        cluster-dns: "172.21.0.10,fd00:43::a"
        cluster-domain: "k8s.example.org"
        flannel-backend: "wireguard-native"
        flannel-ipv6-masq: true
        secrets-encryption: false
        egress-selector-mode: "agent"
        disable:
          - "traefik"
          - "servicelb"
    "#]]
    .assert_eq(&node.shown());
}

#[test]
fn a_worker_joins_through_any_control_machine() {
    expect![[r#"
        == /run/duet/k3s/agent.yaml 0600
        # Written by `duetd boot` from the seed, anew at each boot.
        server: "https://my-campus-a1:6443"
        token-file: "/run/duet/k3s/token"
        node-name: "my-campus-a2"
        node-label:
          - "topology.kubernetes.io/region=my-campus"
          - "topology.kubernetes.io/zone=room-a"
          - "duet.internal/room=a"
          - "example.org/rack=7"
        == /run/duet/k3s/servers 0644
        my-campus-a1
        2001:db8::b1
    "#]]
    .assert_eq(&node(Role::Worker, Room::A, EVERYTHING).shown());
    expect![[r#"
        # Written by `duetd kubernetes join`.
        server: "https://[2001:db8::b1]:6443"
        token-file: "/run/duet/k3s/join.token"
    "#]]
    .assert_eq(&chosen(&"2001:db8::b1".parse().unwrap(), Path::new("/run/duet/k3s/join.token")));
}

#[test]
fn embedded_etcd_is_never_asked_for() {
    for role in Role::ALL {
        for said in ["", EVERYTHING] {
            let text = node(role, Room::A, said).shown();
            for word in ["cluster-init", "etcd", "cluster-reset"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
            // A server has no other server above it: both are equal before the store.
            assert_eq!(text.contains("\nserver:"), role == Role::Worker, "{text}");
            assert_eq!(text.contains("datastore-endpoint"), role == Role::Control, "{text}");
        }
    }
}

#[test]
fn an_address_that_is_not_known_leaves_all_to_k3s() {
    let mut node = node(Role::Control, Room::A, EVERYTHING);
    node.addresses = vec!["192.0.2.10".parse().unwrap()];
    assert!(!node.shown().contains("node-ip"), "{}", node.shown());
    node.kubernetes = Kubernetes::default();
    assert!(node.shown().contains("node-ip:\n  - \"192.0.2.10\"\n"), "{}", node.shown());
}

#[test]
fn a_network_of_ones_own_brings_its_policies() {
    let text = node(Role::Control, Room::A, "flannel_backend = 'none'").shown();
    assert!(text.contains("disable-network-policy: true\n"), "{text}");
}

#[test]
fn both_rooms_of_one_site_agree() {
    for said in ["", EVERYTHING] {
        let (a, b) = (node(Role::Control, Room::A, said), node(Role::Control, Room::B, said));
        let (a, b) = (Alike::of(&a.facts()), Alike::of(&b.facts()));
        assert_eq!(differences(&a, &b), Vec::<String>::new());
    }
    // The order in which parts are disabled means nothing.
    let one = node(Role::Control, Room::A, "disable = ['traefik', 'coredns']");
    let two = node(Role::Control, Room::A, "disable = ['coredns', 'traefik']");
    assert_eq!(Alike::of(&one.facts()), Alike::of(&two.facts()));
}

#[test]
fn every_setting_that_must_be_equal_is_told() {
    let ours = node(Role::Control, Room::A, "");
    let ours = Alike::of(&ours.facts());
    for (said, expected) in [
        (
            "cluster_cidr = '10.44.0.0/16'",
            "cluster-cidr is 10.42.0.0/16 here and 10.44.0.0/16 in the other room",
        ),
        (
            "cluster_domain = 'x.org'",
            "cluster-domain is cluster.local here and x.org in the other room",
        ),
        (
            "flannel_backend = 'host-gw'",
            "flannel-backend is vxlan here and host-gw in the other room",
        ),
        (
            "secrets_encryption = false",
            "secrets-encryption is true here and false in the other room",
        ),
        ("disable = ['traefik']", "disable is nothing here and traefik in the other room"),
    ] {
        let theirs = node(Role::Control, Room::B, said);
        let theirs = Alike::of(&theirs.facts());
        assert_eq!(differences(&ours, &theirs), [expected]);
    }
    let theirs = node(Role::Control, Room::B, "service_cidr = '10.45.0.0/16'");
    assert_eq!(
        differences(&ours, &Alike::of(&theirs.facts())),
        [
            "cluster-dns is 10.43.0.10 here and 10.45.0.10 in the other room",
            "service-cidr is 10.43.0.0/16 here and 10.45.0.0/16 in the other room",
        ]
    );
    let other = node(Role::Control, Room::B, "");
    let later = Alike::of(&Facts { version: "v1.36.0+k3s1", ..other.facts() });
    assert_eq!(
        differences(&ours, &later),
        ["the release of k3s is v1.35.6+k3s1 here and v1.36.0+k3s1 in the other room"]
    );
}

#[test]
fn a_release_that_knows_more_is_understood() {
    let ours = node(Role::Control, Room::A, "");
    let ours = Alike::of(&ours.facts());
    let mut text = serde_json::to_value(&ours).unwrap();
    text["embedded-registry"] = "true".into();
    let theirs: Alike = serde_json::from_value(text).unwrap();
    assert_eq!(
        differences(&ours, &theirs),
        ["embedded-registry is not known here and true in the other room"]
    );
    // What does not depend on the room is not among them.
    let words = serde_json::to_string(&ours).unwrap();
    assert!(!words.contains("my-campus") && !words.contains("token"), "{words}");
}

#[test]
fn a_machine_finds_the_addresses_that_nobody_said() {
    let both = "cluster_cidr = ['fd00:42::/56', '172.20.0.0/16']\n\
        service_cidr = ['fd00:43::/112', '172.21.0.0/16']";
    let mut own = node(Role::Worker, Room::A, both);
    let told = Told::of(&own.facts());
    assert_eq!(told.find, [IpVersion::V6, IpVersion::V4], "the preferred one first");
    let text = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Told>(&text).unwrap(), told);
    own.addresses = ["192.0.2.7", "2001:db8::7"].map(|text| text.parse().unwrap()).into();
    assert_eq!(Told::of(&own.facts()).find, []);
    own.addresses.pop();
    assert_eq!(Told::of(&own.facts()).find.len(), 2, "k3s is told all of them or none");
    let addresses = ["192.0.2.7", "2001:db8::7"].map(|text| text.parse().unwrap());
    expect![[r#"
        # Written by duetd when k3s was started.
        node-ip:
          - "192.0.2.7"
          - "2001:db8::7"
    "#]]
    .assert_eq(&found(&addresses));
}
