//! Boots /init in QEMU, as often as its promises ask for: no firmware, no systemd, one disk.
#![allow(clippy::unwrap_used)]

mod machine;

use machine::{Boot, Controller, Rig};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

fn boot(rig: &Rig, disk: &Path, controller: Controller, more: &str) -> String {
    rig.boot(&Boot {
        append: format!("duet.root={} {more}", rig.hash()),
        disk: Some((disk, controller)),
        extra: &[],
        cut: None,
    })
}

/// The value of the first `probe: KEY VALUE` line that begins so.
fn said<'a>(console: &'a str, key: &str) -> &'a str {
    let begin = format!("probe: {key} ");
    let line = console.lines().find_map(|line| line.trim_end().strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("the machine did not say {key}:\n{console}"))
}

/// What /init wrote for duetd.
fn record(console: &str) -> serde_json::Value {
    let lines = console.lines().filter_map(|line| line.strip_prefix("probe: json "));
    let text: String = lines.collect();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}:\n{console}"))
}

/// Flips one bit.
fn flip(disk: &Path, at: u64) {
    let disk = File::options().read(true).write(true).open(disk).unwrap();
    let mut byte = [0];
    disk.read_exact_at(&mut byte, at).unwrap();
    disk.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn offset(disk: &Path, number: usize) -> u64 {
    let found = formats::gpt::Table::parse(&fs::read(disk).unwrap()).unwrap();
    found.table.partitions[number - 1].offset()
}

#[test]
fn state_is_made_kept_and_grown_on_any_controller() {
    let rig = Rig::new("state");
    let disk = rig.disk("disk", "b", 300);

    let first = boot(&rig, &disk, Controller::Virtio, "probe=read-all");
    let json = record(&first);
    assert_eq!(json["state"]["action"], "formatted", "{first}");
    assert_eq!((&json["slot"], &json["root_hash"]), (&"b".into(), &rig.hash().into()));
    assert_eq!((&json["disk"], &json["root_partition"]), (&"/dev/vda".into(), &"/dev/vda4".into()));
    assert_eq!((&json["esp"]["mounted"], &json["notes"]), (&true.into(), &serde_json::json!([])));
    assert!(
        json["seconds"]["switch"].as_f64().unwrap() > json["seconds"]["init"].as_f64().unwrap()
    );
    let id = said(&first, "machine-id").to_owned();
    assert_eq!((id.len(), said(&first, "boots")), (32, "1"));
    assert!(said(&first, "var-mib").parse::<u64>().unwrap() > 100, "the state has not grown");
    assert!(said(&first, "read").parse::<u64>().unwrap() > 1_000_000);
    let mounts: Vec<&str> =
        first.lines().filter_map(|line| line.strip_prefix("probe: mount ")).collect();
    for mount in [
        "/dev/dm-0 / erofs ro,",
        "/dev/vda6 /var ext4 rw,nodev,noatime ",
        "/dev/vda1 /efi vfat ro,nosuid,nodev,noexec",
        "/dev/vda6 /etc/machine-id ext4 ro,nosuid,nodev,noexec,",
    ] {
        assert!(mounts.iter().any(|line| line.starts_with(mount)), "{mount} is not in {mounts:#?}");
    }

    let second = boot(&rig, &disk, Controller::Nvme, "");
    let json = record(&second);
    assert_eq!(
        (&json["state"]["action"], &json["disk"]),
        (&"mounted".into(), &"/dev/nvme0n1".into())
    );
    assert_eq!((said(&second, "machine-id"), said(&second, "boots")), (id.as_str(), "2"));

    File::options().write(true).open(&disk).unwrap().set_len(600 << 20).unwrap();
    let third = boot(&rig, &disk, Controller::Ahci, "");
    assert_eq!(record(&third)["state"]["action"], "grown", "{third}");
    assert_eq!((said(&third, "machine-id"), said(&third, "boots")), (id.as_str(), "3"));
    assert!(said(&third, "var-mib").parse::<u64>().unwrap() > 400);

    let fourth = boot(&rig, &disk, Controller::Usb, "");
    assert_eq!(record(&fourth)["state"]["action"], "mounted", "{fourth}");
    assert_eq!(said(&fourth, "boots"), "4");
}

#[test]
fn damage_is_noticed_or_mended() {
    let rig = Rig::new("damage");
    let disk = rig.disk("disk", "a", 300);
    assert_eq!(said(&boot(&rig, &disk, Controller::Virtio, ""), "boots"), "1");

    // The primary partition table: the kernel shows no partition, /init mends it.
    flip(&disk, 1024 + 40);
    let mended = boot(&rig, &disk, Controller::Virtio, "");
    assert_eq!(said(&mended, "boots"), "2");
    assert!(record(&mended)["notes"][0].as_str().unwrap().contains("was damaged"), "{mended}");

    // The first superblock of the state: its data are kept.
    let state = offset(&disk, 6);
    File::options().write(true).open(&disk).unwrap().write_all_at(&[0; 4096], state).unwrap();
    let restored = boot(&rig, &disk, Controller::Virtio, "");
    assert_eq!(said(&restored, "boots"), "3", "{restored}");
    assert!(record(&restored)["notes"][0].as_str().unwrap().contains("superblock"));

    // A block of the root: the machine restarts and never says what it read.
    flip(&disk, offset(&disk, 2) + rig.root.len() as u64 / 2);
    let damaged = boot(&rig, &disk, Controller::Virtio, "probe=read-all");
    assert!(damaged.contains("is corrupted"), "{damaged}");
    assert!(!damaged.contains("probe: read"), "{damaged}");

    // The state of someone else.
    let disk = rig.disk("foreign", "a", 300);
    let state = offset(&disk, 6);
    let mut luks = [0; 512];
    luks[..6].copy_from_slice(b"LUKS\xba\xbe");
    File::options().write(true).open(&disk).unwrap().write_all_at(&luks, state).unwrap();
    let refused = boot(&rig, &disk, Controller::Virtio, "");
    assert!(refused.contains("it holds a LUKS container"), "{refused}");
    assert!(!refused.contains("probe:"), "{refused}");
}

#[test]
fn what_is_missing_is_told_and_the_machine_restarts() {
    let rig = Rig::new("missing");
    let disk = rig.disk("disk", "a", 300);
    let wrong = "f".repeat(64);
    let console = rig.boot(&Boot {
        append: format!("duet.root={wrong} duet.wait=3"),
        disk: Some((&disk, Controller::Virtio)),
        extra: &[],
        cut: None,
    });
    assert!(console.contains("Duet cannot start this machine"), "{console}");
    assert!(console.contains("ffffffff-ffff-ffff-ffff-ffffffffffff"), "{console}");
    assert!(console.contains("/dev/vda (300.0 MiB): duet-esp, duet-root-a"), "{console}");

    // A disk that ends before its table does; nothing of it may be changed.
    let disk = rig.disk("small", "a", 0);
    let needs = fs::metadata(&disk).unwrap().len();
    let has = needs - (1 << 20);
    File::options().write(true).open(&disk).unwrap().set_len(has).unwrap();
    let before = fs::read(&disk).unwrap();
    let small = boot(&rig, &disk, Controller::Virtio, "duet.wait=3");
    let told = small.split_whitespace().collect::<Vec<_>>().join(" ");
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let (has, needs) = (mib(has), mib(needs));
    let wanted = format!("too small: it has {has}, and what was written to it needs {needs}");
    assert!(told.contains(&wanted), "{wanted}\n{small}");
    assert!(told.contains("Write the image to a larger disk."), "{small}");
    assert!(fs::read(&disk).unwrap() == before, "the disk was changed");

    let none =
        rig.boot(&Boot { append: "duet.wait=2".to_owned(), disk: None, extra: &[], cut: None });
    assert!(none.contains("has no duet.root=ROOTHASH"), "{none}");
}

#[test]
fn a_power_cut_in_the_first_boot_leaves_the_second_fine() {
    let rig = Rig::new("cut");
    let cuts: u64 = std::env::var("DUET_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    for cut in 0..cuts {
        let disk = rig.disk("disk", "a", 2000);
        // Spread over the second in which the file system is made, in an order that is no order.
        let delay = Duration::from_millis(cut * 611 % 1000);
        let console = rig.boot(&Boot {
            append: format!("duet.root={}", rig.hash()),
            disk: Some((&disk, Controller::Virtio)),
            extra: &[],
            cut: Some(("making a file system", delay)),
        });
        let again = boot(&rig, &disk, Controller::Virtio, "");
        let action = record(&again)["state"]["action"].clone();
        assert!(
            action == "formatted" || action == "mounted",
            "cut after {delay:?}:\n{console}\n{again}"
        );
        let id = said(&again, "machine-id").to_owned();
        let third = boot(&rig, &disk, Controller::Virtio, "");
        assert_eq!(record(&third)["state"]["action"], "mounted", "{third}");
        assert_eq!(said(&third, "machine-id"), id);
    }
}

#[test]
fn a_netbooted_root_is_verified_too() {
    let rig = Rig::new("netboot");
    let netboot = |root: &[u8], disk, more: &str| {
        rig.boot(&Boot {
            append: format!("duet.netboot duet.root={} {more}", rig.hash()),
            disk,
            extra: &[("root.erofs", root), ("root.verity", &rig.verity.hash)],
            cut: None,
        })
    };
    let diskless = netboot(&rig.root, None, "duet.state=tmpfs");
    let json = record(&diskless);
    assert_eq!((&json["netboot"], &json["state"]["action"]), (&true.into(), &"tmpfs".into()));
    assert_eq!(said(&diskless, "machine-id").len(), 32);

    let disk = rig.disk("disk", "a", 300);
    let with_disk = netboot(&rig.root, Some((disk.as_path(), Controller::Nvme)), "");
    let json = record(&with_disk);
    assert_eq!(
        (&json["disk"], &json["state"]["action"]),
        (&"/dev/nvme0n1".into(), &"formatted".into())
    );
    assert_eq!(json["esp"]["mounted"], true, "{with_disk}");

    let mut damaged = rig.root.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let console = netboot(&damaged, None, "duet.state=tmpfs probe=read-all");
    assert!(console.contains("is corrupted") && !console.contains("probe: read"), "{console}");
}
