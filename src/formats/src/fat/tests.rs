//! Volumes written, read and damaged.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};

use super::*;

const SIZE: u64 = 34 << 20;

fn volume(bytes: u64) -> Volume {
    Volume { bytes, id: 0xABCD_1234, label: "DUET-ESP".to_owned(), time: 1_700_000_000 }
}

fn sample() -> Vec<Entry<'static>> {
    vec![
        Entry::file("EFI/Linux/duet-control-0.1.0+3-0.efi", vec![7; 10_000]),
        Entry::file("EFI/BOOT/BOOTX64.EFI", &b"boot"[..]),
        Entry::file("loader/loader.conf", &b"timeout 0\n"[..]),
        Entry::file("duet/seed.toml", &b""[..]),
        Entry::folder("loader/keys"),
    ]
}

/// The extents, laid into one image.
fn image(bytes: u64, extents: &[Extent<'_>]) -> Vec<u8> {
    let mut image = vec![0; bytes as usize];
    for extent in extents {
        let start = extent.offset as usize;
        image[start..start + extent.bytes.len()].copy_from_slice(&extent.bytes);
    }
    image
}

fn written() -> Vec<u8> {
    image(SIZE, &volume(SIZE).write(&sample()).unwrap())
}

#[test]
fn what_was_written_is_read() {
    let image = written();
    let reader = Reader::open(&image).unwrap();
    expect![[r#"
        FAT32 "DUET-ESP" ABCD-1234, 68528 clusters of 512 bytes
              folder  2023-11-14 22:13:20  duet
                   0  2023-11-14 22:13:20  duet/seed.toml
              folder  2023-11-14 22:13:20  EFI
              folder  2023-11-14 22:13:20  EFI/BOOT
                   4  2023-11-14 22:13:20  EFI/BOOT/BOOTX64.EFI
              folder  2023-11-14 22:13:20  EFI/Linux
               10000  2023-11-14 22:13:20  EFI/Linux/duet-control-0.1.0+3-0.efi
              folder  2023-11-14 22:13:20  loader
              folder  2023-11-14 22:13:20  loader/keys
                  10  2023-11-14 22:13:20  loader/loader.conf
    "#]]
    .assert_eq(&reader.dump().unwrap());
    for entry in sample() {
        match entry.content {
            Content::File(bytes) => {
                assert_eq!(reader.read(&entry.path).unwrap(), *bytes);
                assert_eq!(reader.read(&entry.path.to_lowercase()).unwrap(), *bytes);
            }
            Content::Folder => assert!(reader.find(&entry.path).unwrap().folder),
        }
    }
    expect![[r#"cannot read "EFI/nothing" on the FAT volume: it is not there, or not a file"#]]
        .assert_eq(&reader.read("EFI/nothing").unwrap_err().to_string());
    expect![[r#"cannot read "EFI" on the FAT volume: it is not there, or not a file"#]]
        .assert_eq(&reader.read("EFI").unwrap_err().to_string());
}

#[test]
fn the_order_of_the_entries_does_not_matter_and_extents_do_not_overlap() {
    let mut entries = sample();
    let extents = volume(SIZE).write(&entries).unwrap();
    entries.reverse();
    assert_eq!(volume(SIZE).write(&entries).unwrap(), extents);
    let ends = extents.iter().map(|extent| extent.offset + extent.bytes.len() as u64);
    for (end, next) in ends.zip(extents.iter().skip(1)) {
        assert!(end <= next.offset);
    }
    let bytes: usize = extents.iter().map(|extent| extent.bytes.len()).sum();
    assert!(bytes < 20_000, "{bytes} bytes for 10 kB of content");
}

#[test]
fn what_does_not_fit_is_refused_with_the_size_that_would_do() {
    for content in [0, 1 << 20, 40 << 20, 300 << 20] {
        let bytes = vec![1; content];
        let entries = [Entry::file("a", &bytes[..]), Entry::file("b/c", &b"c"[..])];
        let size = needed(&entries).unwrap();
        assert_eq!(size % (1 << 20), 0);
        assert!(volume(size).write(&entries).is_ok(), "{content}");
        match volume(size - (1 << 20)).write(&entries) {
            Err(FatError::TooSmall { needed, available }) => {
                assert_eq!((needed, available), (size, size - (1 << 20)));
            }
            other => panic!("{content}: {other:?}"),
        }
    }
    expect!["cannot lay out the FAT volume: 3298534883328 bytes are more than FAT32 holds"]
        .assert_eq(&volume(3 << 40).write(&sample()).unwrap_err().to_string());
}

#[test]
fn what_fat_cannot_hold_is_refused() {
    let refuse = |paths: &[&'static str], expected: Expect| {
        let entries: Vec<_> = paths.iter().map(|path| Entry::file(*path, &b""[..])).collect();
        expected.assert_eq(&volume(SIZE).write(&entries).unwrap_err().to_string());
    };
    refuse(
        &["/EFI"],
        expect![[r#"cannot put "/EFI" on the FAT volume: a name has 1 to 255 characters"#]],
    );
    refuse(
        &["a:b"],
        expect![[r#"cannot put "a:b" on the FAT volume: a name has a character that FAT forbids"#]],
    );
    refuse(
        &["EFI/../x"],
        expect![[
            r#"cannot put "EFI/../x" on the FAT volume: a name begins with a space or ends with a dot or space"#
        ]],
    );
    refuse(
        &["EFI/a", "EFI/a"],
        expect![[r#"cannot put "EFI/a" on the FAT volume: it is there twice"#]],
    );
    refuse(
        &["EFI/a", "efi/b"],
        expect![[
            r#"cannot put "efi/b" on the FAT volume: another path differs from it only in case"#
        ]],
    );
    refuse(
        &["EFI", "EFI/a"],
        expect![[r#"cannot put "EFI/a" on the FAT volume: it is there twice"#]],
    );
    let label = Volume { label: "duet".to_owned(), ..volume(SIZE) };
    expect![[r#"cannot label the FAT volume "duet""#]]
        .assert_eq(&label.write(&[]).unwrap_err().to_string());
}

#[test]
fn a_folder_over_many_clusters_is_whole() {
    let names: Vec<_> = (0..500).map(|number| format!("dir/a rather long name {number}")).collect();
    let entries: Vec<_> =
        names.iter().map(|name| Entry::file(name.as_str(), name.as_bytes())).collect();
    let image = image(SIZE, &volume(SIZE).write(&entries).unwrap());
    let reader = Reader::open(&image).unwrap();
    assert_eq!(reader.list().unwrap().len(), 501);
    assert_eq!(reader.read("dir/a rather long name 499").unwrap(), names[499].as_bytes());
}

#[test]
fn what_is_damaged_is_refused() {
    let whole = written();
    let geometry = geometry::Geometry::of(SIZE).unwrap();
    let fat = geometry.fat_offset(0) as usize;
    let refuse = |at: usize, bytes: &[u8], expected: Expect| {
        let mut image = whole.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let result = Reader::open(&image).and_then(|reader| {
            reader.list()?;
            reader.read("EFI/Linux/duet-control-0.1.0+3-0.efi")
        });
        expected.assert_eq(&result.unwrap_err().to_string());
    };
    refuse(510, &[0], expect!["cannot read the FAT volume: its boot sector has no signature"]);
    refuse(11, &[0, 16], expect!["cannot read the FAT volume: its sectors do not have 512 bytes"]);
    refuse(13, &[3], expect!["cannot read the FAT volume: its clusters have an odd size"]);
    refuse(
        36,
        &[1, 0],
        expect!["cannot read the FAT volume: its tables are too small for its clusters"],
    );
    refuse(32, &[0xff, 0xff, 0xff], expect!["cannot read the FAT volume: it is cut off"]);
    // The root's own chain: out of the volume, and a circle.
    refuse(
        fat + 8,
        &[0xff, 0xff, 0xff, 0x00],
        expect!["cannot read the FAT volume: a chain of clusters leads outside of it"],
    );
    refuse(
        fat + 8,
        &[2, 0, 0, 0],
        expect!["cannot read the FAT volume: a folder has more than 65536 entries"],
    );
    // The kernel's chain, cut off in its middle.
    let kernel = (2..64)
        .find(|cluster| {
            let at = geometry.offset(*cluster) as usize;
            whole[at..at + 4] == [7; 4]
        })
        .unwrap() as usize;
    refuse(
        fat + kernel * 4,
        &[0xff, 0xff, 0xff, 0x0f],
        expect!["cannot read the FAT volume: a chain of clusters ends too early"],
    );
    // The first sub-folder made to be its own child.
    let root = geometry.offset(2) as usize;
    let mut short = (root..root + 512).step_by(32);
    let first = short.find(|at| whole[at + 11] == 0x10).unwrap();
    refuse(first + 26, &[2, 0], expect!["cannot read the FAT volume: one folder is in two places"]);
}
