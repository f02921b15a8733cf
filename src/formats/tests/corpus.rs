//! The fuzz targets on the stable compiler: every file of the kept corpus, and mutations of it by a
//! fixed seed. How many is bounded by number, never by the clock.
//!
//! A failure prints the input as a file that a test or a fuzzer takes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use formats::deb::{self, Member};
use formats::fat::{Entry, Volume};
use formats::gpt::{Encoded, Guid, Partition, Table};
use formats::uki::{self, Parts};
use formats::verity::{self, Tree};
use targets::specimens;

#[allow(unreachable_pub)] // the library of the fuzzers' own workspace
#[path = "../../../tests/fuzz/src/lib.rs"]
mod targets;

/// Mutations of all the files of a target together.
const MUTATIONS: usize = 4000;

#[test]
fn cpio() {
    replay("cpio", targets::cpio);
}

#[test]
fn deb() {
    replay("deb", targets::deb);
}

#[test]
fn fat() {
    replay("fat", targets::fat);
}

#[test]
fn gpt() {
    replay("gpt", targets::gpt);
}

#[test]
fn pe() {
    replay("pe", targets::pe);
}

#[test]
fn uki() {
    replay("uki", targets::uki);
}

#[test]
fn verity() {
    replay("verity", targets::verity);
}

/// What this crate itself contributes to the corpus; `UPDATE_CORPUS=1` writes it.
#[test]
fn own_files_are_current() {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    for (target, name, bytes) in own_files() {
        let file = folder(target).join(name);
        if update {
            fs::write(&file, bytes).unwrap();
        } else {
            let kept = fs::read(&file).unwrap_or_default();
            assert!(kept == bytes, "{target}/{name} is old: run with UPDATE_CORPUS=1");
        }
    }
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

fn replay(name: &str, target: fn(&[u8]) -> bool) {
    let corpus = load(name);
    // What a fuzzer finds is seldom sound; what it starts from must be, or it finds nothing.
    let sound = corpus
        .iter()
        .filter(|(path, bytes)| feed(target, bytes, &path.display().to_string()))
        .count();
    assert!(sound >= 2, "only {sound} files of the corpus of {name} are sound");
    let mut dice = Dice(0x5eed_0000 + name.len() as u64);
    for number in 0..MUTATIONS {
        let (_, bytes) = &corpus[number % corpus.len()];
        let (_, other) = &corpus[dice.below(corpus.len())];
        let mut bytes = bytes.clone();
        for _ in 0..1 + dice.below(4) {
            mutate(&mut bytes, other, &mut dice);
        }
        feed(target, &bytes, &format!("{name}, mutation {number}"));
    }
    for bytes in [&b""[..], b"\0", &[0xff; 600]] {
        feed(target, bytes, "next to nothing");
    }
}

fn feed(target: fn(&[u8]) -> bool, bytes: &[u8], what: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).unwrap_or_else(|_| {
        let file = std::env::temp_dir().join(format!("duet-corpus-{}", std::process::id()));
        fs::write(&file, bytes).unwrap();
        panic!("{what}: the input is kept in {}", file.display());
    })
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name)
}

/// The files of a target, by name, so that the same seed gives the same mutations.
fn load(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Changes that formats are weak against: lengths, ends, and parts in two places.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    const ODD: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff];
    if bytes.is_empty() {
        bytes.push(dice.next() as u8);
    }
    let at = dice.below(bytes.len());
    let length = 1 + dice.below(64.min(bytes.len() - at));
    match dice.below(8) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.next() as u8,
        3 => {
            let number = ODD[dice.below(ODD.len())].to_le_bytes();
            let width = [1, 2, 4][dice.below(3)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..at + length)),
        6 => {
            let part = bytes[at..at + length].to_vec();
            let to = dice.below(bytes.len());
            bytes.splice(to..to, part);
        }
        _ => {
            let from = dice.below(other.len().max(1)).min(other.len());
            let part = &other[from..other.len().min(from + length)];
            let to = at..bytes.len().min(at + part.len());
            bytes.splice(to, part.iter().copied());
        }
    }
}

/// xorshift64: the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
