//! What must hold for the readers of `formats`, whatever bytes they are given.
//!
//! One function per format, called by libFuzzer and by the stable test `corpus` of `formats`. A
//! target returns for whatever input, and says whether the input was sound all the way; it panics
//! when something does not hold.

use std::borrow::Cow;
use std::io::{self, Read};

use formats::ReadAt;
use formats::cpio::{self, Kind};
use formats::deb::{self, Deb, Member};
use formats::fat::{self, Entry, Extent, Volume};
use formats::gpt::{Encoded, SECTOR, Table};
use formats::pe::{Addition, Image};
use formats::uki::{self, Parts, Uki};
use formats::verity::{self, Superblock, Tree};

mod crc;
#[path = "../../../src/formats/tests/specimens/pe.rs"]
pub mod specimens;

/// Unpacked bytes that are looked at; the readers' own bounds are larger than a fuzzer's memory.
const ENOUGH: u64 = 1 << 20;

/// Bytes at places, zeros elsewhere: a device that is larger than memory.
struct Sparse<'a> {
    len: u64,
    extents: Vec<(u64, Cow<'a, [u8]>)>,
}

impl ReadAt for Sparse<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buf.fill(0);
        for (start, bytes) in &self.extents {
            let from = offset.max(*start);
            let to = (offset + buf.len() as u64).min(start + bytes.len() as u64);
            if from < to {
                let source = &bytes[(from - start) as usize..(to - start) as usize];
                buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
            }
        }
        Ok(())
    }
}

/// A package is taken apart; its members, in a new archive, are found again.
pub fn deb(data: &[u8]) -> bool {
    let Ok(package) = Deb::parse(data) else { return false };
    assert!(!package.dump().is_empty());
    for member in [package.control, package.data] {
        if let Ok(reader) = member.reader() {
            // Whether it unpacks is not the question; that it ends is.
            let _ = io::copy(&mut reader.take(ENOUGH), &mut io::sink());
        }
    }
    let version = Member { name: "debian-binary", bytes: b"2.0\n" };
    // A name may be readable and yet not be one that is written.
    let Ok(again) = deb::archive(&[version, package.control, package.data]) else { return false };
    let again = Deb::parse(&again).expect("what was written is read");
    for (one, other) in [(package.control, again.control), (package.data, again.data)] {
        assert!((one.name, one.bytes) == (other.name, other.bytes), "a member has changed");
    }
    true
}

/// A table is read as it is, and once more with its checksums set right, so that what lies behind
/// them is reached. What was read can be grown, written and read again.
pub fn gpt(data: &[u8]) -> bool {
    const LEAST: usize = 96 * SECTOR as usize;
    let mut device = data[..data.len().min(1 << 20)].to_vec();
    device.resize(device.len().max(LEAST), 0);
    let sound = check_table(&device);

    let number = |at: usize| u32::from_le_bytes(device[at..at + 4].try_into().unwrap());
    let (header, size) = (512, number(512 + 12) as usize);
    let (entries, bytes) = (number(512 + 72), number(512 + 80).checked_mul(number(512 + 84)));
    let start = (entries as usize).saturating_mul(SECTOR as usize);
    let end = start.saturating_add(bytes.unwrap_or(u32::MAX) as usize);
    if let Some(entries) = device.get(start..end) {
        let crc = crc32(entries);
        device[header + 88..header + 92].copy_from_slice(&crc.to_le_bytes());
    }
    if (92..=512).contains(&size) {
        device[header + 16..header + 20].fill(0);
        let crc = crc32(&device[header..header + size]);
        device[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
    }
    check_table(&device) || sound
}

fn check_table(device: &[u8]) -> bool {
    let Ok(mut found) = Table::parse(&device) else { return false };
    assert!(found.table.dump().lines().count() > found.table.used().count());
    // Others' tables may use the first sectors otherwise than ours.
    for grow in [false, found.table.sectors < 1 << 54] {
        if grow {
            let more = found.table.sectors + 10_000;
            found.table.grow_last(more).expect("the disk is larger, and not too large");
        }
        let Ok(Encoded { head, tail }) = found.table.encode() else { return false };
        let len = found.table.sectors * SECTOR;
        let tail_at = len - tail.len() as u64;
        let extents = vec![(0, head.into()), (tail_at, tail.into())];
        let again = Table::parse(&Sparse { len, extents }).expect("what was written is read");
        assert_eq!(again.table, found.table);
    }
    true
}

/// CRC-32 as GPT uses it.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc::table(0xedb8_8320);
    crc::crc(&TABLE, 0, bytes)
}

/// A volume is listed and all its files are read; written anew, it has the same files.
pub fn fat(data: &[u8]) -> bool {
    const LEAST: u64 = 256 << 10;
    let volume =
        Sparse { len: LEAST.max(data.len() as u64), extents: vec![(0, Cow::Borrowed(data))] };
    let Ok(reader) = fat::Reader::open(&volume) else { return false };
    let Ok(items) = reader.list() else { return false };
    assert!(reader.dump().expect("it was listed").lines().count() > items.len());
    let mut entries = Vec::new();
    let mut total = 0;
    for item in &items {
        if item.folder {
            entries.push(Entry::folder(item.path.as_str()));
        } else if let Ok(bytes) = reader.read(&item.path) {
            total += bytes.len() as u64;
            if total > 4 * ENOUGH {
                return false;
            }
            entries.push(Entry::file(item.path.as_str(), bytes));
        }
    }
    // Names that only FAT's short form can hold are read and not written.
    let Ok(bytes) = fat::needed(&entries) else { return false };
    let volume = Volume { bytes, id: reader.id, label: "FUZZ".to_owned(), time: 0 };
    let extents = volume.write(&entries).expect("the size is what it needs");
    check_extents(&extents, bytes);
    let extents = extents.into_iter().map(|extent| (extent.offset, extent.bytes)).collect();
    let again = Sparse { len: bytes, extents };
    let again = fat::Reader::open(&again).expect("what was written is read");
    for entry in &entries {
        match &entry.content {
            fat::Content::Folder => assert!(again.find(&entry.path).expect("a folder").folder),
            fat::Content::File(bytes) => {
                assert!(again.read(&entry.path).expect("a file") == **bytes, "a file has changed");
            }
        }
    }
    true
}

fn check_extents(extents: &[Extent<'_>], len: u64) {
    let mut end = 0;
    for extent in extents {
        assert!(extent.offset >= end, "extents overlap");
        end = extent.offset + extent.bytes.len() as u64;
    }
    assert!(end <= len, "an extent lies outside of the volume");
}

/// The bytes are a hash partition of somebody's; and they are data for which a tree is built, that
/// accepts them and no others.
pub fn verity(data: &[u8]) -> bool {
    let hash = data.to_vec();
    if let Ok(superblock) = Superblock::parse(&hash) {
        assert!(superblock.hash_bytes() <= superblock.data_blocks * 40 + 5 * 4096);
        assert!(superblock.table("a", "b", &[0; 32], &[]).starts_with("1 a b 4096 4096 "));
        assert!(!superblock.dump().is_empty());
        let zeros = Sparse { len: 64 * verity::BLOCK as u64, extents: Vec::new() };
        assert!(verity::verify(&zeros, &hash, &[0; 32]).is_err(), "nothing hashes to zero");
    }
    let mut bytes = data[..data.len().min(1 << 20)].to_vec();
    bytes.resize(bytes.len().max(1).next_multiple_of(verity::BLOCK), 0);
    let blocks = (bytes.len() / verity::BLOCK) as u64;
    let salt = &data[..data.len().min(32)];
    let tree = Tree::build(&bytes[..], blocks, salt, formats::gpt::Guid::VAR).expect("it is small");
    verity::verify(&bytes, &tree.hash, &tree.root).expect("its own data");
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    assert!(verity::verify(&bytes, &tree.hash, &tree.root).is_err(), "changed data");
    Superblock::parse(&hash).is_ok()
}

/// An image is read; a section is added and found again, as are the others.
pub fn pe(data: &[u8]) -> bool {
    let Ok(image) = Image::parse(data) else { return false };
    assert!(image.dump().lines().count() > image.sections.len());
    let held: usize = image.sections.iter().map(|section| image.content_of(section).len()).sum();
    assert!(held <= image.sections.len() * data.len());
    let addition = Addition { name: ".fuzz", content: b"content", flags: formats::pe::READ };
    let Ok(bytes) = image.with_sections(&[addition], formats::pe::NX_COMPAT) else { return false };
    let again = Image::parse(&bytes).expect("what was written is read");
    assert_eq!(again.content(".fuzz"), Some(&b"content"[..]));
    assert_eq!(again.characteristics & formats::pe::NX_COMPAT, 0);
    let names = |image: &Image<'_>| -> Vec<String> {
        image.sections.iter().map(|section| section.name.clone()).collect()
    };
    assert!(names(&again).starts_with(&names(&image)));
    true
}

/// An image is read; the bytes serve as stub and as kernel.
pub fn uki(data: &[u8]) -> bool {
    if let Ok(uki) = Uki::parse(data) {
        assert!(uki.dump().starts_with("unified kernel image\n"));
        assert!(uki.section(".linux").is_some());
    }
    if let Some(release) = uki::kernel_release(data) {
        assert!(release.len() <= 128 && !release.contains(' '));
    }
    let mut sound = false;
    let (stub, kernel) = (specimens::stub(), specimens::kernel("6.12"));
    for (stub, linux) in [(data, &kernel[..]), (&stub[..], data)] {
        let parts = Parts {
            linux,
            os_release: "ID=duet\n",
            cmdline: "quiet",
            initrd: b"initrd",
            uname: "6.12",
            ..Parts::default()
        };
        let Ok(bytes) = uki::build(stub, &parts) else { continue };
        let again = Uki::parse(&bytes).expect("what was built is read");
        assert_eq!(again.cmdline(), Some("quiet"));
        assert!(again.section(".linux") == Some(linux), "the kernel has changed");
        sound = true;
    }
    sound
}

/// An initrd is read; each archive, written again, has the same entries.
pub fn cpio(data: &[u8]) -> bool {
    let Ok(initrd) = cpio::read(data) else { return false };
    let count: usize = initrd.archives.iter().map(|archive| archive.entries.len()).sum();
    assert!(initrd.dump().lines().count() >= count);
    for archive in &initrd.archives {
        let sizes = archive.entries.iter().map(|entry| match &entry.kind {
            Kind::File(content) => content.len() as u64,
            _ => 0,
        });
        if sizes.sum::<u64>() > 4 * ENOUGH {
            return false; // hard links: many names for one content
        }
        let mut writer = cpio::Writer::new(0);
        // What the kernel would misplace is read and not written.
        let wanted = archive.entries.iter().filter(|entry| writer.entry(entry).is_ok());
        let wanted: Vec<_> = wanted.collect();
        let bytes = writer.finish();
        let again = cpio::read(&bytes).expect("what was written is read");
        assert!(again.rest.is_empty() && again.archives.len() == 1);
        assert!(again.archives[0].entries.iter().eq(wanted), "entries differ");
    }
    !initrd.archives.is_empty()
}
