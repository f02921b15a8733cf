//! The package side against the real Debian mirror; only with `DUET_TEST_MIRROR=1`.
//!
//! `DUET_TEST_CACHE` names a cache directory to keep between runs.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::time::{Instant, SystemTime};

use image::fetch::{Cache, FetchOptions, fetch_all};
use image::lock::{Lock, Set, lock_profile, sources};
use image::progress::Silent;
use image::repository::{LoadOptions, load};
use site::Profile;
use site::profile::{Files, Image, Initrd, Kernel, Packages, Repository, System};

fn repository(name: &str, uri: &str, suite: &str) -> Repository {
    Repository {
        name: name.to_owned(),
        uris: vec![uri.to_owned()],
        snapshot: None,
        suite: suite.to_owned(),
        components: vec!["main".to_owned(), "non-free-firmware".to_owned()],
        keyring: "keyrings/debian-archive-trixie.gpg".to_owned(),
        architectures: vec!["amd64".to_owned()],
    }
}

fn node() -> Profile {
    let words = |text: &str| text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    Profile {
        name: "node".to_owned(),
        summary: "a node".to_owned(),
        repositories: vec![
            repository("debian", "http://deb.debian.org/debian", "trixie"),
            repository("updates", "http://deb.debian.org/debian", "trixie-updates"),
            repository("security", "http://deb.debian.org/debian-security", "trixie-security"),
        ],
        packages: Packages {
            root: words(
                "systemd systemd-sysv udev dbus dbus-user-session openssh-server e2fsprogs kmod iproute2 \
                 nftables systemd-resolved chrony drbd-utils lvm2 iptables ethtool tpm2-tools \
                 ca-certificates curl",
            ),
            exclude: vec!["initramfs-tools".to_owned()],
            tools: words("erofs-utils systemd systemd-boot systemd-boot-efi kmod libc-bin"),
        },
        system: Some(System {
            role: "control".parse().unwrap(),
            kernel: Kernel {
                package: "linux-image-amd64".to_owned(),
                cmdline: Vec::new(),
                microcode: vec!["intel-microcode".to_owned(), "amd64-microcode".to_owned()],
            },
            initrd: Initrd::default(),
            image: Image {
                esp_mib: 1,
                root_mib: 1,
                verity_mib: 1,
                state_mib: 1,
                compression: String::new(),
                cluster: 4096,
            },
            overlays: Vec::new(),
            enable: Vec::new(),
            files: Files::default(),
        }),
    }
}

/// The highest memory use of this process so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_node_is_locked_and_fetched_from_debian() {
    if std::env::var_os("DUET_TEST_MIRROR").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("DUET_TEST_CACHE").map_or(folder.path().to_owned(), Into::into);
    let cache = Cache::open(kept).unwrap();
    let profile = node();
    let keyrings = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let sources = sources(&profile, |path| std::fs::read(keyrings.join(path))).unwrap();
    let options = LoadOptions {
        now: SystemTime::now().into(),
        architecture: "amd64".to_owned(),
        fetch: FetchOptions::default(),
    };
    let clock = Instant::now();
    let indexes = load(&sources, &cache, &options, &Silent).unwrap();
    eprintln!("loaded in {:?}, {} MiB at most", clock.elapsed(), peak_mib());
    let clock = Instant::now();
    let lock = lock_profile(&profile, &indexes).map_err(|e| panic!("{e}")).unwrap();
    eprintln!("resolved in {:?}, {} MiB at most", clock.elapsed(), peak_mib());
    for set in [Set::Root, Set::Initrd, Set::Tools] {
        eprintln!("{set}: {} packages", lock.set(set).count());
    }
    assert!(
        lock.set(Set::Root).any(|one| one.name == "base-files"),
        "essential packages belong to a root"
    );
    assert!(
        lock.set(Set::Initrd)
            .all(|one| one.name.starts_with("linux-image") || one.name.ends_with("microcode"))
    );
    assert!(lock.dropped.iter().any(|one| one.depends.starts_with("initramfs-tools")));
    for other in 0..3 {
        assert_eq!(lock_profile(&profile, &indexes).unwrap(), lock, "run {other}");
    }
    let text = lock.encode();
    assert_eq!(Lock::parse(&text, "node.lock").unwrap(), lock);
    assert!(lock.is_for(&profile));
    let clock = Instant::now();
    let wanted = lock.wanted(Some(&profile));
    fetch_all(&cache, &wanted, &FetchOptions::default(), &Silent).unwrap();
    let size: u64 = wanted.iter().map(|one| one.size).sum();
    eprintln!("fetched {} packages, {} MiB in {:?}", wanted.len(), size >> 20, clock.elapsed());
    if let Some(path) = std::env::var_os("DUET_TEST_LOCK") {
        std::fs::write(path, text).unwrap();
    }
}
