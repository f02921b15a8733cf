//! `duetd boot` on folders that play machines: first boots, bad seeds, and power cuts.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

use expect_test::{Expect, expect};
use site::Site;
use site::keys::{Certificate, ReleaseKey, SiteKeys};
use site::seed::{Secrets, sign};
use site::{Role, Room};

use super::*;
use crate::root::{
    AGENT_SETTINGS, COMPONENTS, HOST_KEY, HOST_KEY_FOLDER, IDENTITY_CERTIFICATE, IDENTITY_KEY,
    IDENTITY_SOURCE, JOIN_TOKEN, KEPT_SECRETS, SEED, SEED_SECRETS, SEED_SIGNATURE, SITE_KEY, STATE,
    STORE_OF_IMAGE, STORE_SETTINGS,
};
use crate::screen::tests::framed;
use crate::screen::{self, Page};
use crate::status::{Release, Seen, Status, Storage, collect};
use crate::systemd::Units;

const SITE: &str = "name = 'my-campus'\n\
    [room.a]\ntitle = 'Building 1'\n\
    [room.a.network]\nmode = 'static'\ninterface = 'enp1s0'\naddresses = ['192.0.2.10/24']\ngateway = '192.0.2.1'\n\
    [room.b]\ntitle = 'Building 2'\n\
    [time]\nservers = ['ntp.example.org']\n\
    [ssh]\nkeys = ['ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example']\n";

/// A machine that is a folder.
struct Toy {
    _dir: tempfile::TempDir,
    root: Root,
    now: Timestamp,
    hostname: RefCell<String>,
    keys_made: RefCell<u32>,
    esp_is_open: RefCell<bool>,
    /// Whether the power goes off while ssh-keygen runs.
    cut: RefCell<bool>,
}

impl Toy {
    fn new() -> Toy {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let now = "2026-11-24T08:00:00Z".parse().unwrap();
        Toy {
            _dir: dir,
            root,
            now,
            hostname: RefCell::default(),
            keys_made: RefCell::default(),
            esp_is_open: RefCell::default(),
            cut: RefCell::default(),
        }
    }

    /// A machine with room A's seed, signed by `key`.
    fn seeded(key: &ReleaseKey) -> Toy {
        let toy = Toy::new();
        toy.write_seed(key, None);
        toy
    }

    fn write_seed(&self, key: &ReleaseKey, expires: Option<&str>) {
        self.write_seed_of(SITE, Role::Control, key, expires);
    }

    fn write_seed_of(&self, site: &str, role: Role, key: &ReleaseKey, expires: Option<&str>) {
        let site = Site::parse(site, Path::new("site.toml")).unwrap();
        let expires = expires.map(|time| time.parse().unwrap());
        let issued = "2026-11-23T08:00:00Z".parse().unwrap();
        let certificate: Certificate =
            "-----BEGIN CERTIFICATE-----\nMIIAB2V4YW1wbGU=\n-----END CERTIFICATE-----\n"
                .parse()
                .unwrap();
        let text = secrets(0);
        let seed = site.seed(Room::A, role, &certificate, text, issued, expires).unwrap();
        self.write(SEED_SECRETS, text);
        self.write(STORE_OF_IMAGE, "# The image's own.\n");
        let (text, signature) = sign(&seed, key);
        self.write(SEED, &text);
        self.write(SEED_SIGNATURE, &signature);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path(path)).unwrap()
    }

    fn exists(&self, path: &str) -> bool {
        self.root.path(path).exists()
    }

    /// Starts the machine: /run is empty.
    fn boot(&self) -> Node {
        let _ = fs::remove_dir_all(self.root.path("/run"));
        apply(&self.root, self)
    }

    /// Every file below a folder with its text, except for keys.
    fn files(&self, folder: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    let name = entry.path().strip_prefix(self._dir.path()).unwrap().to_owned();
                    found.push((
                        format!("/{}", name.display()),
                        fs::read_to_string(entry.path()).unwrap(),
                    ));
                }
            }
        }
        found.sort();
        found
    }
}

impl Machine for Toy {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn set_hostname(&self, name: &str) -> io::Result<()> {
        name.clone_into(&mut self.hostname.borrow_mut());
        Ok(())
    }

    fn open_esp(&self, writable: bool) -> io::Result<()> {
        self.esp_is_open.replace(writable);
        Ok(())
    }

    fn make_host_key(&self, file: &Path) -> Result<(), AskError> {
        if self.cut.replace(false) {
            fs::write(file, "-----BEGIN OPEN").unwrap();
            return Err(AskError::Late { program: "power".into(), limit: Duration::ZERO });
        }
        *self.keys_made.borrow_mut() += 1;
        let count = self.keys_made.borrow();
        let text = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        fs::write(file, text).unwrap();
        fs::write(file.with_extension("pub"), format!("ssh-ed25519 AAA{count}\n")).unwrap();
        Ok(())
    }
}

/// The secrets of room a of the site or, for 1, of another one; the same in all tests of a run.
fn secrets(of: usize) -> &'static str {
    static MADE: OnceLock<[String; 2]> = OnceLock::new();
    &MADE.get_or_init(|| {
        [(), ()].map(|()| {
            let now = "2026-11-23T08:00:00Z".parse().unwrap();
            let SiteKeys { rooms: [room, _], join, .. } =
                SiteKeys::generate(&"my-campus".parse().unwrap(), now).unwrap();
            Secrets { room, join }.encode().to_string()
        })
    })[of]
}

fn key() -> ReleaseKey {
    ReleaseKey::generate(&ring::rand::SystemRandom::new()).unwrap()
}

fn codes(node: &Node) -> Vec<&str> {
    node.problems.iter().map(|problem| problem.code.as_str()).collect()
}

#[test]
fn a_good_seed_makes_the_machine_what_it_says() {
    let toy = Toy::seeded(&key());
    let node = toy.boot();
    assert_eq!(codes(&node), [""; 0]);
    assert_eq!(*toy.hostname.borrow(), "my-campus-a1");
    let run: String =
        toy.files("/run").iter().map(|(path, text)| format!("== {path}\n{text}")).collect();
    expect![[r#"
        == /run/chrony-duet/duet.sources
        server ntp.example.org iburst
        == /run/duet/agent.toml
        site = "my-campus"
        room = "a"
        role = "control"
        name = "my-campus-a1"
        store_port = 2380
        page_port = 8443
        discovery = true
        other_room = []
        certificate_file = "/run/credentials/duet-agent.service/node.crt"
        key_file = "/run/credentials/duet-agent.service/node.key"
        authority_file = "/run/duet/ca.crt"
        == /run/duet/ca.crt
        -----BEGIN CERTIFICATE-----
        MIIAB2V4YW1wbGU=
        -----END CERTIFICATE-----
        == /run/duet/ssh/authorized_keys
        ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example
        == /run/duet/store.toml
        # The image's own.

        # What this site's seed says.
        site = "my-campus"
        room = "a"
        listen-peer-urls = ["https://[::]:2380"]
        peer-urls-file = "/run/duet-agent/peers"
        peer-cert-file = "/run/credentials/duet-store.service/node.crt"
        peer-key-file = "/run/credentials/duet-store.service/node.key"
        peer-trusted-ca-file = "/run/duet/ca.crt"
        authority = "operator"
        == /run/systemd/network/10-duet-uplink.network
        [Match]
        Type=ether
        Kind=!*
        Name=enp1s0

        [Link]
        RequiredForOnline=routable

        [Network]
        Address=192.0.2.10/24
        Gateway=192.0.2.1
        DHCP=no
        IPv6AcceptRA=no
    "#]]
    .assert_eq(&run);
    let text = serde_json::to_string_pretty(&node).unwrap();
    assert_eq!(serde_json::from_str::<Node>(&text).unwrap(), node, "the status reads it back");
    expect![[r#"
        {
          "identity": {
            "site": "my-campus",
            "room": "a",
            "room_title": "Building 1",
            "role": "control",
            "name": "my-campus-a1",
            "ssh_keys": 1,
            "seed_issued": "2026-11-23T08:00:00Z",
            "seed_expires": null
          },
          "host_key": "SHA256:ZiPzUbFlG8djQZjMeWX1IkY6UwYt7JbemShta25AEZY",
          "problems": []
        }"#]]
    .assert_eq(&text);
}

#[test]
fn a_second_boot_changes_nothing() {
    let toy = Toy::seeded(&key());
    let first = toy.boot();
    let kept = (toy.files("/var"), toy.files("/run"));
    assert_eq!(toy.boot(), first);
    assert_eq!((toy.files("/var"), toy.files("/run")), kept);
    // Also when systemd starts the unit again in the same boot.
    assert_eq!(apply(&toy.root, &toy), first);
    assert_eq!((toy.files("/var"), toy.files("/run")), kept);
    assert_eq!(*toy.keys_made.borrow(), 1);
}

#[test]
fn a_power_cut_leaves_nothing_half_done() {
    let key = key();
    let toy = Toy::seeded(&key);
    toy.cut.replace(true);
    assert_eq!(codes(&toy.boot()), ["host-key.missing"]);
    assert!(!toy.exists(HOST_KEY));
    // What an interrupted write of the site's key leaves.
    fs::remove_file(toy.root.path(SITE_KEY)).unwrap();
    toy.write(&format!("{SITE_KEY}.new"), "duet-ed");

    let node = toy.boot();
    assert_eq!(codes(&node), [""; 0]);
    assert_eq!(toy.read(SITE_KEY), format!("{}\n", key.public()));
    let left: Vec<String> = toy.files(STATE).into_iter().map(|(path, _)| path).collect();
    let host_key = format!("{HOST_KEY}.pub");
    let all =
        [IDENTITY_SOURCE, IDENTITY_CERTIFICATE, IDENTITY_KEY, KEPT_SECRETS, SITE_KEY, HOST_KEY];
    assert_eq!(left, [&all[..], &[host_key.as_str()]].concat());
}

#[test]
fn a_damaged_host_key_is_replaced_and_named() {
    let toy = Toy::seeded(&key());
    let first = toy.boot().host_key.unwrap();
    toy.write(HOST_KEY, "");
    let node = toy.boot();
    assert_eq!(codes(&node), ["host-key.damaged"]);
    assert_ne!(node.host_key.unwrap(), first);
    assert_eq!(codes(&toy.boot()), [""; 0]);
}

#[test]
fn a_state_that_cannot_be_written_stops_nothing_else() {
    let toy = Toy::seeded(&key());
    toy.write(STATE, "a file where the folder should be");
    let node = toy.boot();
    assert_eq!(codes(&node)[0], "seed.pin-damaged");
    assert!(!toy.exists(AUTHORIZED_KEYS));
    assert!(toy.exists(TIME_SOURCES));

    let toy = Toy::seeded(&key());
    toy.write(&format!("{HOST_KEY_FOLDER}.new/x"), "");
    fs::create_dir_all(toy.root.path(&format!("{SITE_KEY}.new"))).unwrap();
    let node = toy.boot();
    assert_eq!(codes(&node), ["seed.not-pinned"]);
    assert!(toy.exists(AUTHORIZED_KEYS), "the seed was good all the same");
}

/// Boots and compares the screen that a person then sees.
fn check_refused(toy: &Toy, expected: &Expect) {
    let node = toy.boot();
    assert_eq!(node.identity, None);
    assert_eq!(*toy.hostname.borrow(), UNSEEDED);
    assert!(!toy.exists(AUTHORIZED_KEYS), "somebody may log in");
    assert_eq!(toy.files(NETWORKD), [], "the image's own default is in force");
    assert_eq!(toy.read(TIME_SOURCES), PUBLIC_TIME);
    toy.write(NODE, &serde_json::to_string(&node).unwrap());
    toy.write(crate::root::BOOT_RECORD, r#"{"root_hash":"3f9a1c20b7e4d5f6","slot":"a"}"#);
    let seen = Seen {
        verified: true,
        units: Ok(Units::default()),
        hostname: toy.hostname.borrow().clone(),
        release: Release { version: Some("0.1.0".into()), image: None },
        storage: Storage { path: "/var".into(), used_bytes: 1, free_bytes: 99_000_000_000 },
        ..collect::files(&toy.root, &[])
    };
    let page = screen::render(&Status::of(&seen), Page { colour: false, ..Page::CONSOLE });
    expected.assert_eq(&framed(&page));
}

#[test]
fn without_a_seed_nobody_is_let_in() {
    let toy = Toy::new();
    fs::create_dir_all(toy.root.path("/efi/duet")).unwrap();
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! This machine does not know who it is: there is no /efi/duet/seed.toml.
            |    Cure: On the workstation build the image again from site.toml, and write
            |          it to this machine or copy the three seed files to its EFI
            |          partition.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn a_seed_that_was_changed_is_refused() {
    let toy = Toy::seeded(&key());
    let text = toy.read(SEED).replace("my-campus-a1", "my-campus-a2");
    toy.write(SEED, &text);
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! The seed's signature does not match: the seed was changed after it was
            |    signed.
            |    Cure: seed.toml cannot be edited on the machine. Change site.toml instead.
            |          On the workstation build the image again from site.toml and copy the
            |          three seed files to the ESP.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
    assert!(!toy.exists(SITE_KEY), "a bad first seed pins nothing");
}

#[test]
fn a_seed_of_another_site_is_refused() {
    let toy =
        Toy::seeded(&"MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH".key());
    toy.boot();
    let pinned = toy.read(SITE_KEY);
    toy.write_seed(&"MC4CAQAwBQYDK2VwBCIEIAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI".key(), None);
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! The seed was signed by another site's key 5c29b78f10a35a49; this machine
            |    belongs to fe812c12f3ab4ce6.
            |    Cure: Write a seed of this machine's own site, or erase its state
            |          partition to give it to another site.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
    assert_eq!(toy.read(SITE_KEY), pinned);
}

/// Keys that do not change from run to run, from the base64 of their PKCS#8.
trait Key {
    fn key(&self) -> ReleaseKey;
}

impl Key for &str {
    fn key(&self) -> ReleaseKey {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{self}\n-----END PRIVATE KEY-----\n");
        ReleaseKey::parse(&pem).unwrap()
    }
}

#[test]
fn an_expired_seed_is_refused() {
    let key = key();
    let toy = Toy::seeded(&key);
    toy.boot();
    toy.write_seed(&key, Some("2026-11-24T07:00:00Z"));
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! The seed expired at 2026-11-24T07:00:00Z, and it is 2026-11-24T08:00:00Z.
            |    Cure: Write a new seed, or set the machine's clock if it is wrong. On the
            |          workstation build the image again from site.toml and copy the three
            |          seed files to the ESP.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn half_a_seed_is_refused() {
    let toy = Toy::seeded(&key());
    fs::remove_file(toy.root.path(SEED_SIGNATURE)).unwrap();
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Root       3f9a1c20b7e4d5f6, every block is checked
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! This machine does not know who it is: there is no /efi/duet/seed.sig.
            |    Cure: On the workstation build the image again from site.toml, and write
            |          it to this machine or copy the three seed files to its EFI
            |          partition.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn a_new_seed_takes_the_place_of_all_that_the_old_one_said() {
    let key = key();
    let toy = Toy::seeded(&key);
    toy.boot();
    toy.write("/run/systemd/network/50-other.network", "somebody else's");
    toy.write(SEED, "");
    // In the same boot, without an empty /run.
    let node = apply(&toy.root, &toy);
    assert_eq!(codes(&node), ["seed.signature"]);
    assert!(!toy.exists(AUTHORIZED_KEYS));
    let names: Vec<String> = toy.files(NETWORKD).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["/run/systemd/network/50-other.network"]);
}

#[test]
fn secrets_move_off_the_esp_and_make_the_machines_own_key() {
    let toy = Toy::seeded(&key());
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert!(!toy.exists(SEED_SECRETS), "they are still there for everybody");
    assert!(!*toy.esp_is_open.borrow());
    assert_eq!(toy.read(KEPT_SECRETS), secrets(0));
    let mode = |path| fs::metadata(toy.root.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([KEPT_SECRETS, IDENTITY_KEY].map(mode), [0o600, 0o600]);
    assert_eq!(["/var/lib/duet/secrets", "/var/lib/duet/identity"].map(mode), [0o700, 0o700]);
    let first = toy.read(IDENTITY_CERTIFICATE);
    assert_eq!(first.matches("BEGIN CERTIFICATE").count(), 2, "its own and its room's");
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert_eq!(toy.read(IDENTITY_CERTIFICATE), first, "the key is made once");
    let run: String = toy.files("/run").into_iter().map(|(_, text)| text).collect();
    assert!(!run.contains("PRIVATE KEY") && !run.contains("duetjoin1_"), "{run}");
}

#[test]
fn a_power_cut_while_secrets_move_loses_none() {
    let key = key();
    // They were kept, and the ESP still has them.
    let toy = Toy::seeded(&key);
    toy.boot();
    let certificate = toy.read(IDENTITY_CERTIFICATE);
    toy.write(SEED_SECRETS, secrets(0));
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert!(!toy.exists(SEED_SECRETS));
    // They were being written, or the machine's key was.
    let toy = Toy::seeded(&key);
    toy.write(&format!("{KEPT_SECRETS}.new"), &secrets(0)[..100]);
    toy.write("/var/lib/duet/identity.new/node.key", "-----BEGIN PRIV");
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert_eq!(toy.read(KEPT_SECRETS), secrets(0));
    assert_ne!(toy.read(IDENTITY_CERTIFICATE), certificate, "another machine has another key");
    // They were overwritten, and not yet removed.
    toy.write(SEED_SECRETS, &"\0".repeat(secrets(0).len()));
    assert_eq!(codes(&toy.boot()), ["secrets.other"]);
    assert!(toy.exists(STORE_SETTINGS));
}

#[test]
fn a_machine_without_its_rooms_secrets_takes_no_part() {
    let key = key();
    for (change, code) in [
        (None, "secrets.missing"),
        (Some(secrets(1).to_owned()), "secrets.bad"),
        (Some(secrets(0)[..300].to_owned()), "secrets.bad"),
    ] {
        let toy = Toy::seeded(&key);
        match &change {
            None => fs::remove_file(toy.root.path(SEED_SECRETS)).unwrap(),
            Some(text) => toy.write(SEED_SECRETS, text),
        }
        assert_eq!(codes(&toy.boot()), [code]);
        assert!(!toy.exists(STORE_SETTINGS) && !toy.exists(AGENT_SETTINGS));
        assert!(toy.exists(AUTHORIZED_KEYS), "somebody can log in and help");
        assert_eq!(toy.exists(SEED_SECRETS), change.is_some(), "nothing is destroyed");
        // The right ones are copied to the ESP.
        toy.write(SEED_SECRETS, secrets(0));
        assert_eq!(codes(&toy.boot()), [""; 0]);
        assert!(toy.exists(STORE_SETTINGS) && toy.exists(AGENT_SETTINGS));
    }
}

#[test]
fn a_damaged_machine_key_is_made_again() {
    let toy = Toy::seeded(&key());
    toy.boot();
    for path in [IDENTITY_KEY, IDENTITY_CERTIFICATE, IDENTITY_SOURCE] {
        let before = toy.read(IDENTITY_KEY);
        toy.write(path, "");
        assert_eq!(codes(&toy.boot()), [""; 0]);
        assert!(toy.read(IDENTITY_KEY) != before && !toy.read(path).is_empty(), "{path}");
    }
}

#[test]
fn kubernetes_is_told_what_the_seed_says_where_it_is_in_the_image() {
    let toy = Toy::seeded(&key());
    toy.boot();
    assert!(!toy.exists("/run/duet/k3s") && !toy.exists(JOIN_TOKEN), "this image has none");
    let k3s = |present| {
        format!(
            r#"[{{"name":"k3s","version":"v1.35.6+k3s1","present":{present},"source":null,"why":null}}]"#
        )
    };
    toy.write(COMPONENTS, &k3s(true));
    assert_eq!(codes(&toy.boot()), [""; 0]);
    let config = toy.read("/run/duet/k3s/config.yaml");
    for line in [
        "datastore-endpoint: \"unix:///run/duet-store/store.sock\"",
        "token-file: \"/var/lib/duet/secrets/join.token\"",
        "node-name: \"my-campus-a1\"",
    ] {
        assert!(config.contains(line), "{line} is not in:\n{config}");
    }
    assert!(toy.read(JOIN_TOKEN).starts_with("duetjoin1_") && !config.contains("duetjoin1_"));
    toy.write(COMPONENTS, &k3s(false));
    toy.boot();
    assert!(!toy.exists("/run/duet/k3s/config.yaml"), "it was left out of this image");
}

#[test]
fn workers_of_one_seed_are_named_after_their_hardware() {
    const UUID: &str = "/sys/class/dmi/id/product_uuid";
    let toy = Toy::new();
    let site = SITE.replace("[room.b]", "[room.a.worker]\nnaming = 'machine'\n[room.b]");
    toy.write_seed_of(&site, Role::Worker, &key(), None);
    let named = || {
        assert_eq!(codes(&toy.boot()), [""; 0]);
        assert!(
            toy.read(AGENT_SETTINGS).contains(&format!("name = \"{}\"", toy.hostname.borrow()))
        );
        assert!(toy.read(IDENTITY_SOURCE).contains(&*toy.hostname.borrow()));
        toy.hostname.borrow().clone()
    };
    toy.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    let by_number = named();
    toy.write("/sys/class/net/enp2s0/address", "52:54:00:00:00:02\n");
    toy.write("/sys/class/net/enp2s0/device/vendor", "0x1af4\n");
    toy.write("/sys/class/net/br0/address", "02:00:00:00:00:01\n");
    let by_card = named();
    toy.write(UUID, "03000200-0400-0500-0006-000700080009\n");
    assert_eq!(named(), by_card, "a number that many boards have is none");
    toy.write(UUID, "4C4C4544-0051-3010-8052-B4C04F564432\n");
    let by_board = named();
    toy.write("/sys/class/net/enp2s0/address", "52:54:00:00:00:03\n");
    assert_eq!(named(), by_board, "a new card changes nothing");
    assert!(by_board.starts_with("my-campus-a-") && by_board.len() == "my-campus-a-".len() + 6);
    assert!(by_number != by_card && by_card != by_board);
}
