//! `duetd boot` on folders that play machines: first boots and power cuts; bad seeds in [`refused`], the
//! seed's secrets in [`kept_secrets`], and with a TPM in [`sealed`]; a clock that is wrong in [`clock`].
#![allow(clippy::unwrap_used)]

mod clock;
mod kept_secrets;
mod refused;
mod sealed;

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use expect_test::{Expect, expect};
use site::Site;
use site::keys::{Certificate, ReleaseKey, SiteKeys};
use site::seed::{Secrets, sign};
use site::{Role, Room};

use super::*;
use crate::root::{
    AGENT_SETTINGS, COMPONENTS, DISKS_SETTINGS, HOST_KEY, HOST_KEY_FOLDER, IDENTITY_CERTIFICATE,
    IDENTITY_KEY, IDENTITY_SOURCE, JOIN_TOKEN, KEPT_SECRETS, SEED, SEED_SECRETS, SEED_SIGNATURE,
    SITE_KEY, STATE, STORE_OF_IMAGE, STORE_SETTINGS,
};

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
    now: Cell<Timestamp>,
    /// What its hardware's clock says, if it has one.
    hardware_clock: Cell<Option<Timestamp>>,
    hostname: RefCell<String>,
    keys_made: RefCell<u32>,
    esp_is_open: RefCell<bool>,
    /// Whether the power goes off while ssh-keygen runs.
    cut: RefCell<bool>,
    tpm: RefCell<Tpm>,
}

/// What plays the machine's TPM.
#[derive(Default)]
enum Tpm {
    #[default]
    None,
    /// It works, and is this one: another does not open what it sealed.
    Chip(u8),
    /// It answers each question with an error.
    Broken,
    /// It seals, and what it sealed opens as something else.
    Forgetful,
}

impl Toy {
    fn new() -> Toy {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let now = Cell::new("2026-11-24T08:00:00Z".parse().unwrap());
        Toy {
            _dir: dir,
            root,
            now,
            hardware_clock: Cell::default(),
            hostname: RefCell::default(),
            keys_made: RefCell::default(),
            esp_is_open: RefCell::default(),
            cut: RefCell::default(),
            tpm: RefCell::default(),
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
        self.now.get()
    }

    fn hardware_clock(&self) -> Option<Timestamp> {
        self.hardware_clock.get()
    }

    fn set_clock(&self, time: Timestamp) -> io::Result<()> {
        self.now.set(time);
        Ok(())
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

    fn seal(&self, secret: &[u8]) -> Result<Option<Vec<u8>>, AskError> {
        match *self.tpm.borrow() {
            Tpm::None => Ok(None),
            Tpm::Broken => Err(refused()),
            Tpm::Forgetful => Ok(Some(b"rubbish".to_vec())),
            Tpm::Chip(key) => {
                let hidden = secret.iter().map(|byte| byte ^ 0x80 ^ key);
                Ok(Some(std::iter::once(key).chain(hidden).collect()))
            }
        }
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, AskError> {
        match (&*self.tpm.borrow(), sealed.split_first()) {
            (Tpm::None, _) => Ok(None),
            (Tpm::Chip(key), Some((by, hidden))) if key == by => {
                let opened: Vec<u8> = hidden.iter().map(|byte| byte ^ 0x80 ^ key).collect();
                Ok(Some(opened.into()))
            }
            (Tpm::Forgetful, _) => Ok(Some(b"something else".to_vec().into())),
            (Tpm::Chip(_) | Tpm::Broken, _) => Err(refused()),
        }
    }
}

fn refused() -> AskError {
    AskError::Late { program: "systemd-creds".into(), limit: Duration::from_secs(30) }
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
        == /run/duet/disks.toml
        site = "my-campus"
        own_seed = true

        [rules]
        empty = false
        min_gib = 16
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
        Gateway=192.0.2.1
        DHCP=no
        IPv6AcceptRA=no

        [Address]
        Address=192.0.2.10/24
        DuplicateAddressDetection=both
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
            "addresses": [
              "192.0.2.10/24"
            ],
            "ssh_keys": 1,
            "seed_issued": "2026-11-23T08:00:00Z",
            "seed_expires": null
          },
          "host_key": "SHA256:ZiPzUbFlG8djQZjMeWX1IkY6UwYt7JbemShta25AEZY",
          "secrets": "file",
          "problems": [],
          "notices": []
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
fn the_rules_for_disks_are_left_for_those_who_look_at_the_disks() {
    let toy = Toy::new();
    let rules = "[disks]\nempty = true\n[room.a.disks]\nerase = ['S1', 'S2']\n";
    toy.write_seed_of(&format!("{SITE}{rules}"), Role::Control, &key(), None);
    assert_eq!(codes(&toy.boot()), [""; 0]);
    expect![[r#"
        site = "my-campus"
        own_seed = true

        [rules]
        empty = true
        min_gib = 16
        erase = ["S1", "S2"]
    "#]]
    .assert_eq(&toy.read(DISKS_SETTINGS));
    assert!(toml::from_str::<crate::disks::Settings>(&toy.read(DISKS_SETTINGS)).is_ok());
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
