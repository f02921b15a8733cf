//! The fuzz targets of this crate's readers on the stable compiler; see `tests/fuzz/src/replay.rs`.

#![allow(clippy::unwrap_used)]

use formats::deb::{self, Member};
use formats::fat::{Entry, Volume};
use formats::gpt::{Encoded, Guid, Partition, Table};
use formats::uki::{self, Parts};
use formats::verity::{self, Tree};
use replay::{keep_current, replay};
use targets::specimens;

#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[allow(unreachable_pub)] // the library of the fuzzers' own workspace
#[path = "../../../tests/fuzz/src/lib.rs"]
mod targets;

/// Mutations of all the files of a target together.
const MUTATIONS: usize = 4000;

#[test]
fn cpio() {
    let _ = replay("cpio", MUTATIONS, targets::cpio);
}

#[test]
fn deb() {
    let _ = replay("deb", MUTATIONS, targets::deb);
}

#[test]
fn fat() {
    let _ = replay("fat", MUTATIONS, targets::fat);
}

#[test]
fn gpt() {
    let _ = replay("gpt", MUTATIONS, targets::gpt);
}

#[test]
fn pe() {
    let _ = replay("pe", MUTATIONS, targets::pe);
}

#[test]
fn uki() {
    let _ = replay("uki", MUTATIONS, targets::uki);
}

#[test]
fn verity() {
    let _ = replay("verity", MUTATIONS, targets::verity);
}

/// What this crate itself contributes to the corpus; `UPDATE_CORPUS=1` writes it.
#[test]
fn own_files_are_current() {
    keep_current(own_files());
}

fn own_files() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut files = vec![
        ("pe", "duet-stub", specimens::stub()),
        ("pe", "duet-kernel", specimens::kernel("6.12.1-amd64")),
        ("uki", "duet-stub", specimens::stub()),
        ("uki", "duet-kernel", specimens::kernel("6.12.1-amd64")),
    ];

    let kernel = specimens::kernel("6.12.1-amd64");
    let parts = Parts {
        linux: &kernel,
        os_release: "ID=duet\nVERSION_ID=1\n",
        cmdline: "duet.root=00",
        initrd: b"initrd",
        microcode: b"microcode",
        uname: "6.12.1-amd64",
        ..Parts::default()
    };
    files.push(("uki", "duet", uki::build(&specimens::stub(), &parts).unwrap()));

    let mut initrd = formats::cpio::Writer::new(1);
    initrd.directory("dev", 0o755).unwrap();
    initrd.char_device("dev/console", 0o600, 5, 1).unwrap();
    initrd.file("init", 0o755, b"#!").unwrap();
    initrd.symlink("sbin", "usr/sbin").unwrap();
    let mut bytes = initrd.finish();
    bytes.extend_from_within(..);
    bytes.extend([0x28, 0xb5, 0x2f, 0xfd]);
    files.push(("cpio", "duet", bytes));

    let member = |name, bytes| Member { name, bytes };
    let members = [
        member("debian-binary", b"2.0\n"),
        member("_extra", b"odd"),
        member("control.tar", b"control"),
        member("data.tar", b"data"),
    ];
    files.push(("deb", "duet", deb::archive(&members).unwrap()));

    files.push(("fat", "duet", small_fat()));
    let data = vec![0x5a; 9 * verity::BLOCK];
    let tree = Tree::build(&data[..], 9, b"salt", Guid::VAR).unwrap();
    files.push(("verity", "duet", tree.hash));

    let partition = |type_guid, number, first_lba, last_lba, name: &str| Partition {
        type_guid,
        guid: Guid::derived([number; 16]),
        first_lba,
        last_lba,
        attributes: 0,
        name: name.to_owned(),
    };
    let partitions = vec![
        partition(Guid::ESP, 1, 34, 40, "duet-esp"),
        Partition::default(),
        partition(Guid::VAR, 2, 41, 62, "duet-state"),
    ];
    let table = Table { disk_guid: Guid::derived([9; 16]), sectors: 96, partitions };
    let Encoded { head, tail } = table.encode().unwrap();
    let end = head.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    files.push(("gpt", "duet", head[..end].to_vec()));
    let mut device = vec![0; 96 * 512];
    device[63 * 512..].copy_from_slice(&tail);
    files.push(("gpt", "duet-backup", device));
    files
}

/// The smallest FAT32 has 33 MiB. This is one with what is not used cut out: one table of one
/// sector, and as many clusters as have something in them.
fn small_fat() -> Vec<u8> {
    let entries = [
        Entry::file("EFI/Linux/duet-control-0.1.0+3-0.efi", vec![7; 1500]),
        Entry::file("EFI/BOOT/BOOTX64.EFI", &b"boot"[..]),
        Entry::file("duet/größe", &b""[..]),
        Entry::folder("empty"),
    ];
    let volume =
        Volume { bytes: 34 << 20, id: 0x1234_5678, label: "SMALL".to_owned(), time: 1_700_000_000 };
    let extents = volume.write(&entries).unwrap();
    let [boot, table, _, folders_and_files @ ..] = &extents[..] else { panic!("no tables") };
    let mut image = boot.bytes.to_vec();
    let (reserved, data) = (image.len(), folders_and_files[0].offset);
    image.extend_from_slice(&table.bytes);
    assert_eq!(table.bytes.len(), 512);
    for extent in folders_and_files {
        image.resize(reserved + 512 + (extent.offset - data) as usize, 0);
        image.extend_from_slice(&extent.bytes);
    }
    image.resize(image.len().next_multiple_of(512), 0);
    let sectors = image.len() as u32 / 512;
    image[14..16].copy_from_slice(&(reserved as u16 / 512).to_le_bytes());
    image[16] = 1;
    image[32..36].copy_from_slice(&sectors.to_le_bytes());
    image[36..40].copy_from_slice(&1u32.to_le_bytes());
    image
}
