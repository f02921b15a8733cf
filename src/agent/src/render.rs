//! What the node's services are told, made from the seed. Start at [`settings`] and [`store`]. Pure.

use std::fmt::Write as _;

use site::pair::{Authority, Witness};
use site::{Role, Seed};

use crate::discovery::PEERS;
use crate::{Settings, url};

/// Where a control machine's store listens for the other room's: the port of etcd's peers (IANA).
pub const STORE_PORT: u16 = 2380;

/// Where agents and people ask how a node is.
pub const PAGE_PORT: u16 = 8443;

/// The certificate of the site's authority, as `duetd boot` lays it down.
pub const AUTHORITY_FILE: &str = "/run/duet/ca.crt";

/// The certificate of the witness' authority, where there is a witness.
pub const WITNESS_AUTHORITY_FILE: &str = "/run/duet/witness-ca.crt";

/// What the agent is told.
pub fn settings(seed: &Seed) -> Settings {
    let credentials = "/run/credentials/duet-agent.service";
    Settings {
        site: seed.site.clone(),
        room: seed.room,
        role: seed.role,
        name: seed.hostname.clone(),
        store_port: STORE_PORT,
        page_port: PAGE_PORT,
        discovery: seed.pair.discovery,
        other_room: seed.hosts(seed.room.other()).iter().map(ToString::to_string).collect(),
        certificate_file: format!("{credentials}/node.crt").into(),
        key_file: format!("{credentials}/node.key").into(),
        authority_file: AUTHORITY_FILE.into(),
    }
}

/// What the store of a control machine is told: the image's own settings, and what makes it one of two.
/// Nothing for a worker.
pub fn store(seed: &Seed, own: &str) -> Option<String> {
    if seed.role != Role::Control {
        return None;
    }
    let credentials = "/run/credentials/duet-store.service";
    let other = seed.hosts(seed.room.other());
    let peers: Vec<String> = other.iter().map(|host| url::of(host.as_str(), STORE_PORT)).collect();
    let mut text = format!("{}\n\n# What this site's seed says.\n", own.trim_end());
    let mut set = |name: &str, value: String| {
        // What stands here was checked by `site`: no quote and no line feed is in it.
        let _ = writeln!(text, "{name} = {value}");
    };
    let quoted = |value: &str| format!("\"{value}\"");
    let list = |values: &[String]| format!("[\"{}\"]", values.join("\", \""));
    set("site", quoted(seed.site.as_str()));
    set("room", quoted(&seed.room.to_string()));
    set("listen-peer-urls", list(&[format!("https://[::]:{STORE_PORT}")]));
    if !peers.is_empty() {
        set("peer-urls", list(&peers));
    }
    set("peer-urls-file", quoted(PEERS));
    set("peer-cert-file", quoted(&format!("{credentials}/node.crt")));
    set("peer-key-file", quoted(&format!("{credentials}/node.key")));
    set("peer-trusted-ca-file", quoted(AUTHORITY_FILE));
    set("authority", quoted(&seed.pair.authority.to_string()));
    if let (Authority::Witness, Some(Witness { addresses, name, .. })) =
        (seed.pair.authority, &seed.pair.witness)
    {
        let urls: Vec<String> = addresses.iter().map(|place| format!("https://{place}")).collect();
        set("witness-urls", list(&urls));
        if let Some(name) = name {
            set("witness-server-name", quoted(name.as_str()));
        }
        set("witness-trusted-ca-file", quoted(WITNESS_AUTHORITY_FILE));
    }
    if let Some(timing) = seed.pair.timing {
        let ms = |value: u32| quoted(&format!("{value}ms"));
        set("pair-heartbeat", ms(timing.heartbeat_ms));
        set("pair-silent-after", ms(timing.silent_after_ms));
        set("pair-lease", ms(timing.lease_ms));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use expect_test::expect;
    use site::{Room, Site};

    use super::*;

    const CERTIFICATE: &str =
        "-----BEGIN CERTIFICATE-----\nMIIAB2V4YW1wbGU=\n-----END CERTIFICATE-----\n";

    fn seed(pair: &str, role: Role) -> Seed {
        let text = format!(
            "name = 'demo'\n[room.a]\ntitle = 'East'\n[room.b]\ntitle = 'West'\n\
             hosts = ['b1.example.org', '2001:db8::2']\n{pair}"
        );
        let site = Site::parse(&text, Path::new("site.toml")).unwrap();
        let now = "2026-11-23T08:00:00Z".parse().unwrap();
        site.seed(Room::A, role, &CERTIFICATE.parse().unwrap(), "secret", now, None).unwrap()
    }

    #[test]
    fn the_store_of_a_control_machine_is_one_of_two() {
        let witness = format!(
            "[pair]\nauthority = 'witness'\ntiming = {{ lease_ms = 4000 }}\n[pair.witness]\n\
             addresses = ['[2001:db8::9]:7411', 'w.example.org:7411']\ncertificate = '''\n{CERTIFICATE}'''\n"
        );
        let text = store(&seed(&witness, Role::Control), "data-dir = \"/var/lib/duet-store\"\n");
        expect![[r#"
            data-dir = "/var/lib/duet-store"

            # What this site's seed says.
            site = "demo"
            room = "a"
            listen-peer-urls = ["https://[::]:2380"]
            peer-urls = ["https://b1.example.org:2380", "https://[2001:db8::2]:2380"]
            peer-urls-file = "/run/duet-agent/peers"
            peer-cert-file = "/run/credentials/duet-store.service/node.crt"
            peer-key-file = "/run/credentials/duet-store.service/node.key"
            peer-trusted-ca-file = "/run/duet/ca.crt"
            authority = "witness"
            witness-urls = ["https://[2001:db8::9]:7411", "https://w.example.org:7411"]
            witness-trusted-ca-file = "/run/duet/witness-ca.crt"
            pair-heartbeat = "250ms"
            pair-silent-after = "1500ms"
            pair-lease = "4000ms"
        "#]]
        .assert_eq(&text.unwrap());
        assert_eq!(store(&seed(&witness, Role::Worker), ""), None);
    }

    #[test]
    fn without_a_table_a_person_decides() {
        let text = store(&seed("", Role::Control), "").unwrap();
        assert!(text.contains("authority = \"operator\"") && !text.contains("witness"), "{text}");
    }

    #[test]
    fn the_agent_knows_where_the_other_room_may_be() {
        let settings = settings(&seed("[pair]\ndiscovery = 'off'\n", Role::Worker));
        assert_eq!(settings.other_room, ["b1.example.org", "2001:db8::2"]);
        assert!(!settings.discovery);
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
    }
}
