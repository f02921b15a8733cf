//! sfdisk of util-linux.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use expect_test::expect;
use formats::gpt::{Copy, Encoded, Guid, Partition, READ_ONLY, SECTOR, Table, Wanted};

use crate::judge;

fn table() -> Table {
    let wanted = |name: &str, type_guid, number, mib: u64, attributes| Wanted {
        type_guid,
        guid: Guid::derived([number; 16]),
        bytes: mib << 20,
        attributes,
        name: name.to_owned(),
    };
    let all = vec![
        wanted("duet-esp", Guid::ESP, 1, 3, 0),
        wanted("duet-root-a", Guid::ROOT_X86_64, 2, 4, READ_ONLY),
        wanted("duet-verity-a", Guid::ROOT_X86_64_VERITY, 3, 1, READ_ONLY),
        wanted("état — 状態", Guid::VAR, 4, 2, 1 << 59),
    ];
    Table::layout(Guid::derived([9; 16]), all).unwrap()
}

fn write(path: &Path, table: &Table, sectors: u64) {
    let Encoded { head, tail } = table.encode().unwrap();
    let file = fs::File::create(path).unwrap();
    file.set_len(sectors * SECTOR).unwrap();
    file.write_all_at(&head, 0).unwrap();
    file.write_all_at(&tail, table.sectors * SECTOR - tail.len() as u64).unwrap();
}

#[test]
fn sfdisk_finds_no_fault() {
    let Some(sfdisk) = judge::find("sfdisk") else { return };
    let folder = judge::folder();
    let table = table();
    write(&folder.path().join("disk"), &table, table.sectors);
    let said = judge::approve(&sfdisk, &["--verify", "disk"], folder.path());
    assert!(said.contains("No errors detected"), "{said}");
    expect![[r#"
        {
           "partitiontable": {
              "label": "gpt",
              "id": "09090909-0909-8909-8909-090909090909",
              "device": "disk",
              "unit": "sectors",
              "firstlba": 34,
              "lastlba": 24542,
              "sectorsize": 512,
              "partitions": [
                 {
                    "node": "disk1",
                    "start": 2048,
                    "size": 6144,
                    "type": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
                    "uuid": "01010101-0101-8101-8101-010101010101",
                    "name": "duet-esp"
                 },{
                    "node": "disk2",
                    "start": 8192,
                    "size": 8192,
                    "type": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
                    "uuid": "02020202-0202-8202-8202-020202020202",
                    "name": "duet-root-a",
                    "attrs": "GUID:60"
                 },{
                    "node": "disk3",
                    "start": 16384,
                    "size": 2048,
                    "type": "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5",
                    "uuid": "03030303-0303-8303-8303-030303030303",
                    "name": "duet-verity-a",
                    "attrs": "GUID:60"
                 },{
                    "node": "disk4",
                    "start": 18432,
                    "size": 4096,
                    "type": "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
                    "uuid": "04040404-0404-8404-8404-040404040404",
                    "name": "état — 状態",
                    "attrs": "GUID:59"
                 }
              ]
           }
        }
    "#]]
    .assert_eq(&judge::approve(&sfdisk, &["--json", "disk"], folder.path()));
}

#[test]
fn sfdisk_finds_no_fault_in_a_grown_table() {
    let Some(sfdisk) = judge::find("sfdisk") else { return };
    let folder = judge::folder();
    let mut table = table();
    let larger = table.sectors + 12_345;
    table.grow_last(larger).unwrap();
    write(&folder.path().join("disk"), &table, larger);
    let said = judge::approve(&sfdisk, &["--verify", "disk"], folder.path());
    assert!(said.contains("No errors detected"), "{said}");
}

#[test]
fn what_sfdisk_writes_is_read() {
    let Some(sfdisk) = judge::find("sfdisk") else { return };
    let folder = judge::folder();
    let disk = folder.path().join("disk");
    let sectors = 20_000;
    fs::File::create(&disk).unwrap().set_len(sectors * SECTOR).unwrap();
    let script = b"label: gpt\n\
        label-id: 01234567-89AB-4CDE-8F01-23456789ABCD\n\
        1: start=2048, size=4096, type=U, uuid=11111111-1111-4111-8111-111111111111, name=\"esp\"\n\
        3: start=8192, size=10, type=4d21b016-b534-45c2-a9fb-5c16e091fd2d, \
        uuid=33333333-3333-4333-8333-333333333333, name=\"state\", attrs=\"GUID:59\"\n";
    let verdict = judge::hear(&sfdisk, &["-q".as_ref(), "disk".as_ref()], folder.path(), script);
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stderr));
    let found = Table::parse(&fs::read(&disk).unwrap()).unwrap();
    let partition = |type_guid, guid: &str, first_lba, size, attributes, name: &str| Partition {
        type_guid,
        guid: guid.parse().unwrap(),
        first_lba,
        last_lba: first_lba + size - 1,
        attributes,
        name: name.to_owned(),
    };
    let expected = Table {
        disk_guid: "01234567-89ab-4cde-8f01-23456789abcd".parse().unwrap(),
        sectors,
        partitions: vec![
            partition(Guid::ESP, "11111111-1111-4111-8111-111111111111", 2048, 4096, 0, "esp"),
            Partition::default(),
            partition(
                Guid::VAR,
                "33333333-3333-4333-8333-333333333333",
                8192,
                10,
                1 << 59,
                "state",
            ),
        ],
    };
    assert_eq!((found.copy, found.table), (Copy::Both, expected));
}
