//! Looks at the machine. Start at [`Looker::look`]. Reads files below a [`Root`] and asks the kernel,
//! systemd and chrony; changes nothing and judges nothing.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::kubernetes::{STATE, TOLD, Told};
use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::judge::STARTED;
use super::{Interface, InterfaceAddress, Kubernetes, Release, Seen, Storage, Watchdog, pair};
use crate::clock::{self, Clock};
use crate::node::Problem;
use crate::root::{
    BOOT_COUNT, BOOT_RECORD, COMPONENTS, DISKS, NEIGHBOURS, NODE, Root, STORE_SETTINGS, TAKEN,
    VERDICT,
};
use crate::rtnetlink::{self, Address};
use crate::systemd::{self, Units};
use crate::{boot_count, bounded};

/// More interfaces than these are not shown; a node with containers has hundreds.
const MOST_INTERFACES: usize = 16;

/// Looks at one machine, again and again. What takes a process to find out is remembered for a while.
#[derive(Debug)]
pub(crate) struct Looker {
    root: Root,
    units: Remembered<Units>,
    clock: Remembered<Clock>,
}

/// How long what systemd and chrony said is good for. Asking costs a process each, so a node that is
/// at its work is asked less often than one that is starting.
const STARTING_UNITS_AGE: Duration = Duration::from_secs(5);
const UNITS_AGE: Duration = Duration::from_secs(20);
const CLOCK_AGE: Duration = Duration::from_secs(15);
const SYNCHRONISED_CLOCK_AGE: Duration = Duration::from_secs(60);

/// How long an answer stands in for one that cannot be had, as on a machine that is very busy.
const STALE: Duration = Duration::from_secs(90);

impl Looker {
    /// Looks at the machine below `root`.
    pub(crate) fn new(root: Root) -> Looker {
        Looker { root, units: Remembered(None), clock: Remembered(None) }
    }

    /// What there is to be seen now. `page` says what this machine's store says of the pair, if it has one.
    pub(crate) fn look(&mut self, now: Instant, page: impl FnOnce() -> pair::Answer) -> Seen {
        let started = |units: &Units| units.is_active(STARTED);
        let units_age = if self.units.is(started) { UNITS_AGE } else { STARTING_UNITS_AGE };
        let units = self.units.get(now, units_age, systemd::units);
        let synchronised = self.clock.is(|clock| clock.synchronised);
        let clock_age = if synchronised { SYNCHRONISED_CLOCK_AGE } else { CLOCK_AGE };
        let clock = self.clock.get(now, clock_age, clock::tracking);
        let a_store = self.root.path(STORE_SETTINGS).exists();
        Seen { units, clock, pair: a_store.then(page), ..self.glance() }
    }

    /// What there is to be seen without asking another program.
    pub(crate) fn glance(&self) -> Seen {
        let addresses = rtnetlink::addresses().unwrap_or_default();
        let boottime = clock_gettime(ClockId::Boottime).tv_sec;
        Seen {
            uptime_s: u64::try_from(boottime).unwrap_or_default(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            storage: storage(&self.root).unwrap_or_default(),
            ..files(&self.root, &addresses)
        }
    }
}

/// An answer, and when it was given.
#[derive(Debug)]
struct Remembered<T>(Option<(Instant, T)>);

impl<T: Clone> Remembered<T> {
    /// The answer, asked for again if it is older than `age`.
    fn get<E: ToString>(
        &mut self,
        now: Instant,
        age: Duration,
        ask: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, String> {
        let old = self.0.as_ref().map(|(then, answer)| (now.duration_since(*then), answer));
        match old {
            Some((since, answer)) if since < age => Ok(answer.clone()),
            _ => match (ask(), old) {
                (Ok(answer), _) => Ok(self.0.insert((now, answer)).1.clone()),
                (Err(_), Some((since, answer))) if since < STALE => Ok(answer.clone()),
                (Err(error), _) => Err(error.to_string()),
            },
        }
    }

    /// Whether the last answer was such a one.
    fn is(&self, such: impl FnOnce(&T) -> bool) -> bool {
        self.0.as_ref().is_some_and(|(_, answer)| such(answer))
    }
}

/// What is in files; the rest of the result is empty.
pub(crate) fn files(root: &Root, addresses: &[Address]) -> Seen {
    Seen {
        node: json(root, NODE),
        record: json(root, BOOT_RECORD),
        verdict: json(root, VERDICT).ok(),
        tries: fs::read(root.path(BOOT_COUNT))
            .ok()
            .and_then(|content| boot_count::variable_text(&content))
            .and_then(|entry| boot_count::tries(&entry)),
        verified: root_is_verified(root),
        units: Err("it was not asked".to_owned()),
        clock: Ok(Clock::default()),
        hostname: String::new(),
        release: release(root),
        uptime_s: 0,
        network: interfaces(root, addresses),
        storage: Storage::default(),
        watchdog: watchdog(root),
        // Without static addresses nobody looks.
        taken: json(root, TAKEN).unwrap_or_default(),
        neighbours: neighbours(root),
        pair: None,
        disks: json(root, DISKS).ok(),
        // An image whose profile wants none has no list.
        components: json(root, COMPONENTS).unwrap_or_default(),
        kubernetes: kubernetes(root),
    }
}

/// What is known of Kubernetes; nothing where k3s was told nothing.
fn kubernetes(root: &Root) -> Option<Kubernetes> {
    let told: Told = json(root, TOLD).ok()?;
    Some(Kubernetes { alike: told.alike, state: json(root, STATE).ok() })
}

/// What the agent says is wrong on the wire; what is only worth knowing is shown on its page.
fn neighbours(root: &Root) -> Vec<Problem> {
    let report: Value = json(root, NEIGHBOURS).unwrap_or_default();
    let problems = report["problems"].as_array().into_iter().flatten();
    let warnings = problems.filter(|problem| problem["level"] == "warning");
    warnings.filter_map(|problem| serde_json::from_value(problem.clone()).ok()).collect()
}

/// A file's first line, if there is something in it.
fn word(path: &Path) -> Option<String> {
    bounded::line(path).filter(|line| !line.is_empty())
}

fn json<T: DeserializeOwned>(root: &Root, path: &str) -> Result<T, String> {
    let text = bounded::text(&root.path(path)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {path}"),
        _ => format!("cannot read {path}: {error}"),
    })?;
    serde_json::from_str(&text).map_err(|error| format!("cannot understand {path}: {error}"))
}

/// Whether `/` lies on a dm-verity device: its device mapper UUID says what it is.
fn root_is_verified(root: &Root) -> bool {
    let Ok(mounts) = bounded::text(&root.path("/proc/self/mountinfo")) else { return false };
    // The last line for `/` is what is on top (proc_pid_mountinfo(5)).
    let device = mounts.lines().rev().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(4) == Some(&"/")).then(|| fields[2].to_owned())
    });
    let uuid =
        device.and_then(|number| word(&root.path(&format!("/sys/dev/block/{number}/dm/uuid"))));
    uuid.is_some_and(|uuid| uuid.starts_with("CRYPT-VERITY-"))
}

fn release(root: &Root) -> Release {
    let text = bounded::text(&root.path("/etc/os-release")).unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches(['"', '\'']).to_owned())
    };
    Release { version: value("IMAGE_VERSION"), image: value("IMAGE_ID") }
}

/// The cards, and whatever else has an address; sorted by name.
pub(crate) fn interfaces(root: &Root, addresses: &[Address]) -> Vec<Interface> {
    let class = root.path("/sys/class/net");
    let mut found: Vec<Interface> = fs::read_dir(&class)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            interface(&class.join(&name), name, addresses)
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.truncate(MOST_INTERFACES);
    found
}

fn interface(folder: &Path, name: String, addresses: &[Address]) -> Option<Interface> {
    let value = |file: &str| word(&folder.join(file));
    let index: u32 = value("ifindex")?.parse().ok()?;
    let mut own: Vec<InterfaceAddress> = addresses
        .iter()
        .filter(|address| address.index == index)
        .map(|&Address { address, prefix, .. }| InterfaceAddress { address, prefix })
        .collect();
    own.sort_by_key(|own| (!own.is_routable(), own.address));
    // Only what is a device of its own, such as a card, counts without an address.
    let is_card = folder.join("device").exists();
    if name == "lo" || (own.is_empty() && !is_card) {
        return None;
    }
    Some(Interface {
        name,
        mac: value("address"),
        // Reading these fails while the interface is down; drivers that know no speed say -1.
        carrier: value("carrier").map(|carrier| carrier == "1"),
        speed_mbit: value("speed").and_then(|speed| speed.parse().ok()).filter(|speed| *speed > 0),
        addresses: own,
    })
}

fn storage(root: &Root) -> rustix::io::Result<Storage> {
    let path = "/var";
    let found = rustix::fs::statvfs(root.path(path))?;
    Ok(Storage {
        path: path.to_owned(),
        used_bytes: found.f_blocks.saturating_sub(found.f_bfree).saturating_mul(found.f_frsize),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

fn watchdog(root: &Root) -> Option<Watchdog> {
    let folder = root.path("/sys/class/watchdog/watchdog0");
    Some(Watchdog {
        device: word(&folder.join("identity"))?,
        armed: word(&folder.join("state")).as_deref() == Some("active"),
        timeout_s: word(&folder.join("timeout")).and_then(|text| text.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::root::tests::machine;

    // As the kernel writes them, for a node and for a machine whose root is on a plain partition.
    const VERITY: &str = "1 1 0:2 / / rw - rootfs rootfs rw\n\
        21 1 253:0 / / ro,relatime shared:1 - erofs /dev/dm-0 ro,user_xattr,acl,cache_strategy=readaround\n\
        27 21 254:6 / /var rw,nodev,noatime shared:14 - ext4 /dev/vda6 rw,errors=remount-ro\n";
    const PLAIN: &str = "21 1 8:2 / / ro,relatime shared:1 - ext4 /dev/sda2 ro\n";

    #[test]
    fn only_a_root_on_verity_is_verified() {
        let uuid = "/sys/dev/block/253:0/dm/uuid";
        let verified = |mounts, uuids: &[(&str, &str)]| {
            let mut files = vec![("/proc/self/mountinfo", mounts)];
            files.extend(uuids);
            root_is_verified(&machine(&files).1)
        };
        assert!(verified(VERITY, &[(uuid, "CRYPT-VERITY-3f9a1c20-root\n")]));
        assert!(!verified(VERITY, &[(uuid, "LVM-abc\n")]));
        assert!(!verified(PLAIN, &[(uuid, "CRYPT-VERITY-3f9a1c20-root\n")]));
        assert!(!verified("", &[]));
    }

    #[test]
    fn cards_are_shown_and_what_has_an_address() {
        let (_dir, root) = machine(&[
            ("/sys/class/net/lo/ifindex", "1\n"),
            ("/sys/class/net/enp2s0/ifindex", "3\n"),
            ("/sys/class/net/enp2s0/carrier", "0\n"),
            ("/sys/class/net/enp2s0/device/vendor", "0x1af4\n"),
            ("/sys/class/net/enp1s0/ifindex", "2\n"),
            ("/sys/class/net/enp1s0/address", "52:54:00:12:34:56\n"),
            ("/sys/class/net/enp1s0/carrier", "1\n"),
            ("/sys/class/net/enp1s0/speed", "-1\n"),
            ("/sys/class/net/enp1s0/device/vendor", "0x1af4\n"),
            ("/sys/class/net/bond0/ifindex", "4\n"),
            ("/sys/class/net/bond0/speed", "10000\n"),
            ("/sys/class/net/veth7/ifindex", "5\n"),
        ]);
        let address =
            |index, text: &str, prefix| Address { index, address: text.parse().unwrap(), prefix };
        let addresses = [
            address(1, "127.0.0.1", 8),
            address(2, "fe80::1", 64),
            address(2, "2001:db8::10", 64),
            address(2, "192.0.2.10", 24),
            address(4, "198.51.100.7", 24),
        ];
        let shown: Vec<String> = interfaces(&root, &addresses)
            .iter()
            .map(|card| {
                let own: Vec<String> =
                    card.addresses.iter().map(|a| format!("{}/{}", a.address, a.prefix)).collect();
                let speed = card.speed_mbit.unwrap_or(0);
                format!("{} {:?} {speed} {}", card.name, card.carrier, own.join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "bond0 None 10000 198.51.100.7/24",
                "enp1s0 Some(true) 0 192.0.2.10/24 2001:db8::10/64 fe80::1/64",
                "enp2s0 Some(false) 0 ",
            ]
        );
    }

    #[test]
    fn what_the_others_left_is_read() {
        let (_dir, root) = machine(&[
            ("/etc/os-release", "ID=debian\nIMAGE_ID=duet-control\nIMAGE_VERSION=\"0.1.0\"\n"),
            ("/sys/class/watchdog/watchdog0/identity", "i6300ESB timer\n"),
            ("/sys/class/watchdog/watchdog0/state", "active\n"),
            ("/sys/class/watchdog/watchdog0/timeout", "30\n"),
            (NODE, "{"),
            (
                NEIGHBOURS,
                r#"{"format":1,"rooms":[],"problems":[
                    {"code":"neighbour.other-site","level":"notice","what":"w","cure":"c"},
                    {"code":"neighbour.twin","level":"warning","what":"w","cure":"c"}]}"#,
            ),
            (
                COMPONENTS,
                r#"[{"name":"k3s","version":"v1","present":false,"source":null,"why":"it has no lock"}]"#,
            ),
            (VERDICT, r#"{"good":false,"reasons":["why"],"restarting":true}"#),
            (
                BOOT_RECORD,
                r#"{"root_hash":null,"slot":null,"netboot":true,"seconds":{"init":1.2},
                    "state":{"device":null,"action":"tmpfs"},
                    "esp":{"device":null,"mounted":false,"problem":null},"notes":["odd"]}"#,
            ),
        ]);
        let seen = files(&root, &[]);
        assert_eq!(seen.release.version.as_deref(), Some("0.1.0"));
        assert_eq!(seen.release.image.as_deref(), Some("duet-control"));
        let armed = Watchdog { device: "i6300ESB timer".into(), armed: true, timeout_s: Some(30) };
        assert_eq!(seen.watchdog, Some(armed));
        assert!(seen.node.unwrap_err().starts_with("cannot understand /run/duet/node.json: "));
        assert!(seen.verdict.unwrap().restarting);
        let record = seen.record.unwrap();
        assert_eq!((record.netboot, record.slot, record.notes.len()), (true, None, 1));
        assert_eq!(seen.tries, None);
        let codes: Vec<&str> = seen.neighbours.iter().map(|one| one.code.as_str()).collect();
        assert_eq!(codes, ["neighbour.twin"], "a notice is no finding");
        let [k3s] = &seen.components[..] else { panic!("{:?}", seen.components) };
        assert_eq!((k3s.present, k3s.why.as_deref()), (false, Some("it has no lock")));

        let (_dir, empty) = machine(&[]);
        let seen = files(&empty, &[]);
        assert_eq!(seen.node.unwrap_err(), "there is no /run/duet/node.json");
        assert_eq!(seen.components, []);
    }

    #[test]
    fn an_answer_is_remembered_until_it_is_old() {
        let mut asked = 0;
        let mut remembered = Remembered(None);
        let start = Instant::now();
        let mut get = |second, works: bool| {
            remembered.get(start + Duration::from_secs(second), Duration::from_secs(10), || {
                asked += 1;
                if works { Ok(asked) } else { Err("no answer") }
            })
        };
        assert_eq!(get(0, false), Err("no answer".to_owned()));
        assert_eq!(get(1, true), Ok(2));
        assert_eq!(get(10, true), Ok(2), "it is young enough");
        assert_eq!(get(11, true), Ok(3));
        assert_eq!(get(100, false), Ok(3), "the old one stands in");
        assert_eq!(get(101, false), Err("no answer".to_owned()));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let seen = Looker::new(Root::new("/")).look(Instant::now(), pair::ask);
        assert!(!seen.hostname.is_empty());
        assert!(seen.storage.used_bytes + seen.storage.free_bytes > 0);
    }
}
