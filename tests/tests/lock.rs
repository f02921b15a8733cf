//! `duet lock` against Debian's real repositories.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use image::lock::{Lock, Set};
use tests::demo::cache;
use tests::programs::{checkout, duet, plain};
use tests::run::{Said, run};

/// Two indexes of tens of megabytes over a slow line.
const LOCKING: Duration = Duration::from_secs(10 * 60);

fn lock(profiles: &Path, words: &[&str]) -> Said {
    let mut command = duet();
    command.args(["lock", "control"]).args(words).arg("--profiles").arg(profiles);
    run(command.env("DUET_CACHE", cache()), LOCKING)
}

fn read(path: &Path) -> (String, Lock) {
    let text = fs::read_to_string(path).unwrap();
    let lock = Lock::parse(&text, &path.display().to_string()).unwrap();
    (text, lock)
}

#[test]
fn a_node_is_locked_from_debian_and_always_in_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let profiles = folder.path().join("profiles");
    let mut copy = plain("cp");
    let _ = run(copy.arg("-r").arg(checkout().join("profiles")).arg(&profiles), LOCKING).well();
    let path = profiles.join("control.lock");
    fs::remove_file(&path).unwrap();
    let _ = lock(&profiles, &["--check"]).with(3);

    let _ = lock(&profiles, &[]).well();
    let (text, fresh) = read(&path);
    let of = |set| -> BTreeMap<&str, String> {
        fresh.set(set).map(|one| (one.name.as_str(), one.version.to_string())).collect()
    };
    let root = of(Set::Root);
    assert!(root.contains_key("base-files"), "essential packages belong to a root: {root:?}");
    assert!(root["systemd"].starts_with("257"), "{root:?}");
    assert!(!root.contains_key("initramfs-tools"), "it is excluded: {root:?}");
    assert!(of(Set::Tools).contains_key("erofs-utils"));
    let initrd = of(Set::Initrd);
    let belongs = |name: &str| name.starts_with("linux-image") || name.ends_with("microcode");
    assert!(initrd.keys().copied().all(belongs) && initrd.len() >= 3, "{initrd:?}");
    // Debian grew since the checkout's own lock was made, if anything.
    let (_, own) = read(&checkout().join("profiles/control.lock"));
    for package in own.set(Set::Root) {
        assert!(root.contains_key(package.name.as_str()), "{} is gone", package.name);
    }

    let _ = lock(&profiles, &["--check"]).well();
    fs::remove_file(&path).unwrap();
    let _ = lock(&profiles, &[]).well();
    assert_eq!(read(&path).0, text, "two runs, two locks");
}
