//! Checkpoints: read as written, and nothing else is.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;

use bytes::Bytes;
use expect_test::expect;
use mvcc::{DeleteRangeRequest, KeyRange, PutRequest};

use super::*;
use crate::disk::sim::{Operation, SimDisk};

const STAMP: Stamp = Stamp { index: 12, term: 3, cluster_id: 0xc1, member_id: 0xe1 };

fn put(state: &mut State, key: &str, value: impl Into<Bytes>, lease: i64) {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let request = PutRequest { key, value: value.into(), lease, ..PutRequest::default() };
    state.put(&request).unwrap();
}

/// Leases, two versions of a key, a deletion that a compaction keeps.
fn small() -> State {
    let mut state = State::new();
    state.grant(7, 60).unwrap();
    put(&mut state, "a", "one", 0);
    put(&mut state, "b", "two", 7);
    put(&mut state, "a", "three", 0);
    let keys = KeyRange { key: Bytes::from_static(b"b"), end: Bytes::new() };
    state.delete_range(&DeleteRangeRequest { keys, prev_kv: false }).unwrap();
    put(&mut state, "c", "", 7);
    state.compact(5).unwrap();
    state
}

fn bytes(state: &State) -> Vec<u8> {
    chunks(state.clone(), STAMP).flatten().collect()
}

fn check(bytes: &[u8]) -> Result<(State, Stamp), CheckpointError> {
    read(&mut &bytes[..])
}

/// These bytes are in people's backups: a change here is a new format.
#[test]
fn the_layout_stays() {
    let bytes = bytes(&small());
    let lines = bytes.chunks(16).map(|line| {
        line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ") + "\n"
    });
    expect![[r#"
        44 55 45 54 43 4b 50 0a 01 00 00 00 00 00 00 00
        0c 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00
        c1 00 00 00 00 00 00 00 e1 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 07 88 d1 41
        d7 62 6c 6b 29 00 00 00 00 00 00 00 55 d6 ae 8a
        05 01 06 05 01 03 03 02 07 3c 0e 03 04 00 01 61
        05 74 68 72 65 65 02 02 00 05 04 05 00 01 62 09
        03 06 00 01 63 00 06 01 07 d7 66 69 6e 10 00 00
        00 01 00 00 00 7b 11 e0 18 05 00 00 00 00 00 00
        00 29 00 00 00 00 00 00 00
    "#]]
    .assert_eq(&lines.collect::<String>());
}

#[test]
fn a_checkpoint_is_read_as_it_was_written() {
    let mut large = small();
    for number in 0..300 {
        put(&mut large, &format!("key{number}"), vec![number as u8; number * 7], 0);
    }
    put(&mut large, "huge", vec![3; 1_500_000], 0);
    put(&mut large, "after", "x", 0);
    for state in [State::new(), small(), large] {
        let mut all = Vec::new();
        for chunk in chunks(state.clone(), STAMP) {
            assert!(chunk.len() <= 64 << 10);
            all.extend(chunk);
        }
        let (again, stamp) = check(&all).unwrap();
        assert!(again.content_eq(&state));
        assert_eq!((stamp, bytes(&again)), (STAMP, all));
    }
}

#[test]
fn no_flipped_bit_and_no_missing_end_passes() {
    let mut state = small();
    put(&mut state, "d", vec![0; 400], 0);
    let mut bytes = bytes(&state);
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for end in 0..bytes.len() {
        assert!(check(&bytes[..end]).is_err(), "{end} bytes");
    }
    bytes.push(0);
    let error = check(&bytes).unwrap_err().to_string();
    expect!["the checkpoint is damaged at offset 565: bytes follow the end of the checkpoint"]
        .assert_eq(&error);
}

#[test]
fn errors_say_where_and_what() {
    let good = bytes(&small());
    let error = |bytes: &[u8]| check(bytes).unwrap_err().to_string();
    assert_eq!(error(b"{}"), "it does not begin as a checkpoint or a backup of a store does");
    assert_eq!(
        error(&good[..40]),
        "the checkpoint is damaged at offset 8: the file ends before the checkpoint does"
    );
    let mut newer = good.clone();
    newer[8] = 2;
    let checksum = crc32c::crc32c(&newer[..60]);
    newer[60..64].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(error(&newer), "it has format 2, and this version reads format 1");
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    assert_eq!(
        error(&flipped),
        "the checkpoint is damaged at offset 64: the bytes of a block have changed"
    );
}

/// An item that claims more bytes than any memory has takes none.
#[test]
fn lengths_are_not_believed() {
    let mut items = vec![255; 9];
    items.push(1);
    items.extend([0; 100]);
    let mut forged = bytes(&State::new())[..TITLE].to_vec();
    let title = crc32c::crc32c(&forged[..TITLE - 4]);
    let mut block = BLOCK.to_vec();
    block.extend((items.len() as u32).to_le_bytes());
    block.extend([0; 4]);
    let checksum = crc32c::crc32c_append(crc32c::crc32c_append(title, &block), &items);
    block.extend(checksum.to_le_bytes());
    block.extend(items);
    forged.extend(block);
    let error = check(&forged).unwrap_err().to_string();
    assert!(error.ends_with("the file ends before the checkpoint does"), "{error}");
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_new_checkpoint_replaces_the_old_one() {
    let disk = SimDisk::new(1);
    let mut paced = 0;
    let size = write(&disk, small(), &STAMP, &mut |bytes| paced += bytes as u64).unwrap();
    let entries = disk.list().unwrap();
    assert_eq!((entries.len(), entries[0].len, paced), (1, size, size));
    let newer = Stamp { index: 13, ..STAMP };
    write(&disk, small(), &newer, &mut |_| ()).unwrap();
    assert_eq!(names(&disk), ["checkpoint-00000000000000000013"]);
    assert_eq!((index_of(&name(u64::MAX)), index_of("checkpoint-1")), (Some(u64::MAX), None));
    disk.crash();
    assert!(names(&disk).contains(&name(13)), "it is durable when `write` returns");
}

#[test]
fn a_failure_keeps_the_old_one_and_leaves_no_room_taken() {
    for (operation, kind) in [
        (Operation::Write, ErrorKind::StorageFull),
        (Operation::Sync, ErrorKind::Other),
        (Operation::Create, ErrorKind::Other),
        (Operation::Rename, ErrorKind::Other),
    ] {
        let disk = SimDisk::new(1);
        write(&disk, small(), &STAMP, &mut |_| ()).unwrap();
        let newer = Stamp { index: 13, ..STAMP };
        disk.fail(operation, 0, kind);
        write(&disk, small(), &newer, &mut |_| ()).unwrap_err();
        assert!(names(&disk).contains(&name(12)) && !names(&disk).contains(&name(13)));
        write(&disk, small(), &newer, &mut |_| ()).unwrap();
        assert_eq!(names(&disk), [name(13)]);
    }
    let disk = SimDisk::new(1);
    disk.set_capacity(100);
    let operations = disk.operations();
    let error = write(&disk, small(), &STAMP, &mut |_| ()).unwrap_err();
    assert_eq!((error.kind(), disk.operations()), (ErrorKind::StorageFull, operations));
}
