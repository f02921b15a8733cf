//! Good and bad `[kubernetes]` tables.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::{InputErrors, Site};

const SMALL: &str = "name = \"x\"\nroom.a.title = \"East\"\nroom.b.title = \"West\"\n";

fn parse(lines: &str) -> Result<Site, InputErrors> {
    Site::parse(&format!("{SMALL}[kubernetes]\n{lines}\n"), Path::new("site.toml"))
}

fn check(lines: &str, expected: Expect) {
    expected.assert_eq(&parse(lines).unwrap_err().to_string());
}

#[test]
fn what_is_not_said_is_k3s_own() {
    let said = parse("").unwrap().kubernetes;
    assert_eq!(said, Kubernetes::default());
    assert_eq!(said, Site::parse(SMALL, Path::new("site.toml")).unwrap().kubernetes);
    expect![[r#"
        cluster_cidr = ["10.42.0.0/16"]
        service_cidr = ["10.43.0.0/16"]
        cluster_domain = "cluster.local"
        flannel_backend = "vxlan"
        workloads_on_control = true
        secrets_encryption = true
    "#]]
    .assert_eq(&toml::to_string(&said).unwrap());
    assert_eq!(said.cluster_dns(), ["10.43.0.10".parse::<IpAddr>().unwrap()]);
}

#[test]
fn everything_can_be_said_and_is_kept_in_a_seed() {
    let said = parse(
        "cluster_cidr = ['fd00:42::/56', '172.20.0.0/16']\n\
         service_cidr = ['fd00:43::/112', '172.21.0.0/16']\n\
         cluster_domain = 'k8s.example.org'\nflannel_backend = 'wireguard-native'\n\
         tls_san = ['API.example.org', '192.0.2.9']\nworkloads_on_control = false\n\
         node_labels = ['example.org/rack=7', 'plain=']\ndisable = ['traefik', 'local-storage']\n\
         secrets_encryption = false",
    );
    let said = said.unwrap().kubernetes;
    let dns: Vec<String> = said.cluster_dns().iter().map(IpAddr::to_string).collect();
    assert_eq!(dns, ["fd00:43::a", "172.21.0.10"]);
    assert_eq!(said.flannel_backend.as_str(), "wireguard-native");
    assert_eq!(said.disable, [Packaged::Traefik, Packaged::LocalStorage]);
    let text = toml::to_string(&said).unwrap();
    expect![[r#"
        cluster_cidr = ["fd00:42::/56", "172.20.0.0/16"]
        service_cidr = ["fd00:43::/112", "172.21.0.0/16"]
        cluster_domain = "k8s.example.org"
        flannel_backend = "wireguard-native"
        tls_san = ["api.example.org", "192.0.2.9"]
        workloads_on_control = false
        node_labels = ["example.org/rack=7", "plain="]
        disable = ["traefik", "local-storage"]
        secrets_encryption = false
    "#]]
    .assert_eq(&text);
    assert_eq!(toml::from_str::<Kubernetes>(&text).unwrap(), said);
}

#[test]
fn the_words_are_k3s_own() {
    for (word, backend) in FlannelBackend::ALL {
        assert_eq!(toml::Value::try_from(backend).unwrap().as_str(), Some(word));
        assert_eq!(backend.as_str(), word);
    }
    for (word, part) in Packaged::ALL {
        assert_eq!(toml::Value::try_from(part).unwrap().as_str(), Some(word));
        assert_eq!(part.as_str(), word);
    }
}

#[test]
fn ranges_that_kubernetes_cannot_use_are_refused() {
    check(
        "cluster_cidr = '10.42.0.1/16'\nservice_cidr = []",
        expect![[r#"
        2 problems in site.toml:

        site.toml:5:16: `10.42.0.1/16` names an address inside of a range
          5 | cluster_cidr = '10.42.0.1/16'
            |                ^^^^^^^^^^^^^^
          hint: write the range: 10.42.0.0/16

        site.toml:6:1: `service_cidr` is empty
          6 | service_cidr = []
            | ^^^^^^^^^^^^
          hint: write a range, or leave the key out"#]],
    );
    check(
        "cluster_cidr = ['10.42.0.0/24', '10.44.0.0/16']\nservice_cidr = '10.0.0.0/8'",
        expect![[r#"
            6 problems in site.toml:

            site.toml:5:17: 10.42.0.0/24 is too small for `cluster_cidr`
              5 | cluster_cidr = ['10.42.0.0/24', '10.44.0.0/16']
                |                 ^^^^^^^^^^^^^^
              hint: write a prefix from /8 to /22

            site.toml:5:33: a second range of the same IP version
              5 | cluster_cidr = ['10.42.0.0/24', '10.44.0.0/16']
                |                                 ^^^^^^^^^^^^^^
              hint: write one range for IPv4, one for IPv6, or one of each

            site.toml:6:1: pods have 10.42.0.0/24 and 10.44.0.0/16 and services have 10.0.0.0/8
              6 | service_cidr = '10.0.0.0/8'
                | ^^^^^^^^^^^^
              hint: write the same IP versions in the same order in cluster_cidr and service_cidr

            site.toml:6:1: the services' 10.0.0.0/8 overlaps the pods' 10.42.0.0/24
              6 | service_cidr = '10.0.0.0/8'
                | ^^^^^^^^^^^^
              hint: write ranges that have no address in common

            site.toml:6:1: the services' 10.0.0.0/8 overlaps the pods' 10.44.0.0/16
              6 | service_cidr = '10.0.0.0/8'
                | ^^^^^^^^^^^^
              hint: write ranges that have no address in common

            site.toml:6:16: 10.0.0.0/8 is too large for `service_cidr`
              6 | service_cidr = '10.0.0.0/8'
                |                ^^^^^^^^^^^^
              hint: write a prefix from /12 to /27"#]],
    );
    check(
        "cluster_cidr = ['fd00:42::/32']\nservice_cidr = ['fd00:43::/64']",
        expect![[r#"
        2 problems in site.toml:

        site.toml:5:17: fd00:42::/32 is too large for `cluster_cidr`
          5 | cluster_cidr = ['fd00:42::/32']
            |                 ^^^^^^^^^^^^^^
          hint: write a prefix from /48 to /62

        site.toml:6:17: fd00:43::/64 is too large for `service_cidr`
          6 | service_cidr = ['fd00:43::/64']
            |                 ^^^^^^^^^^^^^^
          hint: write a prefix from /108 to /123"#]],
    );
}

#[test]
fn ranges_that_meet_are_refused() {
    check(
        "service_cidr = '10.42.128.0/20'",
        expect![[r#"
        a problem in site.toml:

        site.toml:5:1: the services' 10.42.128.0/20 overlaps the pods' 10.42.0.0/16
          5 | service_cidr = '10.42.128.0/20'
            | ^^^^^^^^^^^^
          hint: write ranges that have no address in common"#]],
    );
    check(
        "cluster_cidr = ['10.42.0.0/16', 'fd00:42::/56']",
        expect![[r#"
        a problem in site.toml:

        site.toml:5:1: pods have 10.42.0.0/16 and fd00:42::/56 and services have 10.43.0.0/16
          5 | cluster_cidr = ['10.42.0.0/16', 'fd00:42::/56']
            | ^^^^^^^^^^^^
          hint: write the same IP versions in the same order in cluster_cidr and service_cidr"#]],
    );
    check(
        "cluster_cidr = ['10.42.0.0/16', 'fd00:42::/56']\n\
         service_cidr = ['fd00:43::/112', '10.43.0.0/16']",
        expect![[r#"
            a problem in site.toml:

            site.toml:6:1: pods have 10.42.0.0/16 and fd00:42::/56 and services have fd00:43::/112 and 10.43.0.0/16
              6 | service_cidr = ['fd00:43::/112', '10.43.0.0/16']
                | ^^^^^^^^^^^^
              hint: write the same IP versions in the same order in cluster_cidr and service_cidr"#]],
    );
}

#[test]
fn the_sites_own_addresses_are_left_alone() {
    let fixed = "[room.a.network]\nmode = 'static'\ninterface = 'enp1s0'\n\
                 addresses = ['10.0.0.5/8']\ngateway = '10.0.0.1'\n";
    let said = Site::parse(&format!("{SMALL}{fixed}"), Path::new("site.toml"));
    expect![[r#"
        2 problems in site.toml:

        site.toml:1:1: 10.42.0.0/16, the addresses of pods, overlaps the machines' subnet 10.0.0.0/8
          hint: write another cluster_cidr in [kubernetes], such as "172.20.0.0/16"

        site.toml:1:1: 10.43.0.0/16, the addresses of services, overlaps the machines' subnet 10.0.0.0/8
          hint: write another service_cidr in [kubernetes], such as "172.21.0.0/16""#]].assert_eq(&said.unwrap_err().to_string());
    let elsewhere =
        "[kubernetes]\ncluster_cidr = '172.20.0.0/16'\nservice_cidr = '172.21.0.0/16'\n";
    assert!(Site::parse(&format!("{SMALL}{fixed}{elsewhere}"), Path::new("site.toml")).is_ok());
    check(
        "[room.b.network]\ndns = ['10.43.0.53']",
        expect![[r#"
            a problem in site.toml:

            site.toml:4:2: 10.43.0.0/16, the addresses of services, overlaps the name server 10.43.0.53
              4 | [kubernetes]
                |  ^^^^^^^^^^
              hint: write another service_cidr in [kubernetes], such as "172.21.0.0/16""#]],
    );
}

#[test]
fn other_values_are_refused_with_what_to_write() {
    check(
        "cluster_domain = '10.0.0.1'\nflannel_backend = 'vxlam'\nworkloads_on_control = 'no'\n\
         node_labels = ['rack', 'kubernetes.io/role=x', 'a=1', 'a=2']\ndisable = 'traefik'",
        expect![[r#"
            7 problems in site.toml:

            site.toml:5:18: `10.0.0.1` cannot be the domain of a cluster
              5 | cluster_domain = '10.0.0.1'
                |                  ^^^^^^^^^^
              hint: write a domain in lower case, such as cluster.local

            site.toml:6:19: `flannel_backend` cannot be "vxlam"
              6 | flannel_backend = 'vxlam'
                |                   ^^^^^^^
              hint: did you mean `vxlan`?

            site.toml:7:24: `workloads_on_control` is a text, not true or false
              7 | workloads_on_control = 'no'
                |                        ^^^^
              hint: write it without quotes

            site.toml:8:16: `rack` is not a label
              8 | node_labels = ['rack', 'kubernetes.io/role=x', 'a=1', 'a=2']
                |                ^^^^^^
              hint: write "example.org/rack=7": letters, digits, `-`, `_` and `.`, at most 63 on each side

            site.toml:8:24: the label `kubernetes.io/role` is not a site's to set
              8 | node_labels = ['rack', 'kubernetes.io/role=x', 'a=1', 'a=2']
                |                        ^^^^^^^^^^^^^^^^^^^^^^
              hint: take a domain of your own before the `/`; Duet sets the room and the site itself

            site.toml:8:55: the label `a` is given twice
              8 | node_labels = ['rack', 'kubernetes.io/role=x', 'a=1', 'a=2']
                |                                                       ^^^^^
              hint: remove one of them

            and 1 more"#]],
    );
    check(
        "disable = ['treafik', 'traefik', 'traefik']\ncluster_cird = '10.42.0.0/16'",
        expect![[r#"
            3 problems in site.toml:

            site.toml:5:12: `disable` cannot have "treafik"
              5 | disable = ['treafik', 'traefik', 'traefik']
                |            ^^^^^^^^^
              hint: did you mean `traefik`?

            site.toml:5:34: `traefik` is in the list twice
              5 | disable = ['treafik', 'traefik', 'traefik']
                |                                  ^^^^^^^^^
              hint: remove one of them

            site.toml:6:1: unknown key `cluster_cird` in [kubernetes]
              6 | cluster_cird = '10.42.0.0/16'
                | ^^^^^^^^^^^^
              hint: did you mean `cluster_cidr`?"#]],
    );
    let many: Vec<String> = (0..65).map(|n| format!("'n{n}.example.org'")).collect();
    let error = parse(&format!("tls_san = [{}]", many.join(", "))).unwrap_err().to_string();
    assert!(error.contains("`tls_san` has 65 entries"), "{error}");
}

#[test]
fn labels_follow_kubernetes_syntax() {
    for good in ["a=b", "a=", "example.org/a_b.c=D-1", &format!("{}=1", "x".repeat(63))] {
        assert_eq!(good.parse::<NodeLabel>().unwrap().to_string(), *good);
    }
    for bad in [
        "a",
        "=b",
        "a=b=c",
        "-a=b",
        "a=b-",
        "a/b/c=d",
        "A.org/x=1",
        "/x=1",
        "a=\u{fc}",
        &format!("{}=1", "x".repeat(64)),
        "node.kubernetes.io/x=1",
        "topology.kubernetes.io/zone=z",
        "duet.internal/room=b",
    ] {
        assert!(bad.parse::<NodeLabel>().is_err(), "{bad}");
    }
    assert!("notkubernetes.io/x=1".parse::<NodeLabel>().is_ok());
}
