//! Tables written, read, damaged and grown.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};

use super::*;

fn wanted(name: &str, type_guid: Guid, number: u8, bytes: u64) -> Wanted {
    let guid = Guid::derived([number; 16]);
    Wanted { type_guid, guid, bytes, attributes: 0, name: name.to_owned() }
}

fn sample() -> Table {
    let mut root = wanted("duet-root-a", Guid::ROOT_X86_64, 2, (3 << 20) + 1);
    root.attributes = READ_ONLY | 1 << 48;
    let all = vec![
        wanted("duet-esp", Guid::ESP, 1, 2 << 20),
        root,
        wanted("duet-state", Guid::VAR, 3, 1 << 20),
    ];
    Table::layout(Guid::derived([9; 16]), all).unwrap()
}

/// The device that holds the table and, in between, nothing; perhaps larger than it says.
fn device(table: &Table, sectors: u64) -> Vec<u8> {
    let Encoded { head, tail } = table.encode().unwrap();
    let mut device = vec![0; (sectors * SECTOR) as usize];
    device[..head.len()].copy_from_slice(&head);
    let end = (table.sectors * SECTOR) as usize;
    device[end - tail.len()..end].copy_from_slice(&tail);
    device
}

#[test]
fn what_was_written_is_read() {
    let table = sample();
    let found = Table::parse(&device(&table, table.sectors)).unwrap();
    let device_sectors = table.sectors;
    assert_eq!(found, Found { table, copy: Copy::Both, device_sectors });
}

#[test]
fn the_dump_shows_what_is_there() {
    expect![[r#"
        GPT 09090909-0909-8909-8909-090909090909, 18432 sectors of 512 bytes
           1 duet-esp                                     2048 +4096         01010101-0101-8101-8101-010101010101 EFI system
           2 duet-root-a                                  6144 +8192         02020202-0202-8202-8202-020202020202 root (x86-64) read-only 0x1000000000000
           3 duet-state                                  14336 +2048         03030303-0303-8303-8303-030303030303 var
    "#]]
    .assert_eq(&sample().dump());
}

#[test]
fn a_damaged_copy_is_replaced_by_the_other() {
    let table = sample();
    let whole = device(&table, table.sectors);
    let last = (table.sectors - 1) as usize * 512;
    for (at, copy) in [
        (512, Copy::Backup),
        (512 + 60, Copy::Backup),
        (1024 + 130, Copy::Backup),
        (last, Copy::Primary),
        (last - 128 * 128, Copy::Primary),
    ] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let found = Table::parse(&damaged).unwrap();
        assert_eq!((found.copy, &found.table), (copy, &table), "byte {at}");
    }
    let mut both = whole;
    both[520] ^= 1;
    both[last + 1] ^= 1;
    expect!["cannot use the partition table: it has an unknown revision"]
        .assert_eq(&Table::parse(&both).unwrap_err().to_string());
}

#[test]
fn a_larger_disk_is_grown_into() {
    let mut table = sample();
    let larger = table.sectors + 5 * ALIGNMENT + 77;
    let found = Table::parse(&device(&table, larger)).unwrap();
    assert_eq!((found.copy, &found.table, found.device_sectors), (Copy::Both, &table, larger));

    assert!(table.grow_last(larger).unwrap());
    assert_eq!(table.partitions[2].first_lba, 14336);
    assert_eq!((table.partitions[2].last_lba + 1, table.sectors), (14336 + 7 * 2048, larger));
    let again = Table::parse(&device(&table, larger)).unwrap();
    assert_eq!((again.copy, &again.table), (Copy::Both, &table));
    assert!(!table.grow_last(larger).unwrap(), "it has grown already");
    expect![[r#"cannot use the partition table: the disk has 28748 sectors, it needs 28749"#]]
        .assert_eq(&table.grow_last(larger - 1).unwrap_err().to_string());
}

#[test]
fn numbers_are_kept_over_a_gap() {
    let mut table = sample();
    table.partitions[1] = Partition::default();
    let found = Table::parse(&device(&table, table.sectors)).unwrap();
    assert_eq!(found.table, table);
    assert_eq!(found.table.used().map(|(number, _)| number).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn what_cannot_be_is_refused() {
    let refuse = |change: &dyn Fn(&mut Table), expected: Expect| {
        let mut table = sample();
        change(&mut table);
        expected.assert_eq(&table.encode().unwrap_err().to_string());
    };
    refuse(
        &|table| table.partitions[1].first_lba -= 1,
        expect!["cannot use the partition table: partitions 1 and 2 overlap"],
    );
    refuse(
        &|table| table.partitions[0].first_lba = 33,
        expect![
            "cannot use the partition table: partition 1 lies outside the part of the disk that may be used"
        ],
    );
    refuse(
        &|table| table.partitions[2].last_lba = table.sectors - TAIL_SECTORS,
        expect![
            "cannot use the partition table: partition 3 lies outside the part of the disk that may be used"
        ],
    );
    refuse(
        &|table| table.partitions[2].last_lba = 0,
        expect!["cannot use the partition table: partition 3 ends before it begins"],
    );
    refuse(
        &|table| table.partitions[2].guid = table.partitions[0].guid,
        expect!["cannot use the partition table: partition 3 has the GUID of another partition"],
    );
    refuse(
        &|table| table.partitions[0].name = "ö".repeat(37),
        expect![
            "cannot use the partition table: partition 1 has a name of more than 36 characters"
        ],
    );
    refuse(
        &|table| table.sectors = 66,
        expect!["cannot use the partition table: the disk has 66 sectors, it needs 67"],
    );
}

#[test]
fn large_sectors_are_named() {
    let mut disk = vec![0; 1 << 20];
    disk[4096..4104].copy_from_slice(b"EFI PART");
    assert!(matches!(Table::parse(&disk), Err(GptError::SectorSize)));
}

#[test]
fn a_cut_off_image_is_named() {
    let table = sample();
    let mut cut = device(&table, table.sectors);
    cut.truncate(16000 * 512);
    expect!["cannot use the partition table: the disk has 16000 sectors, it needs 18432"]
        .assert_eq(&Table::parse(&cut).unwrap_err().to_string());
}
