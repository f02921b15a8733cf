//! What must hold for the readers of `store`, whatever bytes they are given.
//!
//! One function per format, called by libFuzzer and by the stable test `corpus` of `store`. Each takes
//! the bytes as they are, and once more with all checksums set right, so that what lies behind them
//! is reached. A target returns for whatever input, and says whether the input was sound all the way;
//! it panics when something does not hold.

mod crc;

use std::sync::Arc;

use store::checkpoint;
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::record::Record;
use store::recover::{self, Ids, OpenError};

/// Where the groups of a segment begin, and the sizes around a group's payload.
const START: usize = 4096;
const HEAD: usize = 40;
const TAIL: usize = 8;
/// Bytes of an input that are looked at.
const ENOUGH: usize = 1 << 18;

/// A record has one encoding.
pub fn record(data: &[u8]) -> bool {
    let Ok(record) = Record::decode(data) else { return false };
    let mut again = Vec::new();
    record.encode(&mut again);
    assert_eq!(again, data, "{record}");
    true
}

/// A state that was read is written, and read again.
pub fn checkpoint(data: &[u8]) -> bool {
    let data = &data[..data.len().min(ENOUGH)];
    let sound = check_checkpoint(data);
    check_checkpoint(&mend_checkpoint(data)) || sound
}

fn check_checkpoint(mut data: &[u8]) -> bool {
    let Ok((state, stamp)) = checkpoint::read(&mut data) else { return false };
    let bytes: Vec<u8> = checkpoint::chunks(state.clone(), stamp.clone()).flatten().collect();
    let (again, same) = checkpoint::read(&mut &bytes[..]).expect("what was written is read");
    assert!(again.content_eq(&state) && same == stamp, "the state has changed");
    true
}

/// A folder with this one segment is looked at, opened, and opened again.
pub fn log(data: &[u8]) -> bool {
    let data = &data[..data.len().min(ENOUGH)];
    let mut segment = data.to_vec();
    segment.resize(data.len().max(START) + 1024, 0);
    let sound = check_log(&segment);
    mend_log(&mut segment);
    check_log(&segment) || sound
}

fn check_log(segment: &[u8]) -> bool {
    let disk = SimDisk::new(1);
    let mut file = disk.create(&format!("log-{:020}", eight(segment, 32))).expect("a new disk");
    file.write_at(0, segment).expect("it has room");
    let report = recover::check(&disk, &|_| ());
    assert!(!report.to_string().is_empty());
    let records = recover::records(&disk).filter(Result::is_ok).count() as u64;
    assert!(records >= report.replayed, "fewer records are told than replayed");
    let open = || {
        let ids = Ids { cluster_id: 1, member_id: 1 };
        recover::open_sized(Arc::new(disk.clone()), ids, 1 << 14, &|_| ())
    };
    let opened = match open() {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!report.is_sound() && !matches!(error, OpenError::Io { .. }), "{error}");
            return false;
        }
    };
    assert!(report.is_sound(), "{report}");
    let found = (opened.report.last, opened.state.revision(), opened.state.keys());
    assert_eq!(found, (report.last, report.revision, report.keys));
    disk.crash();
    let again = open().expect("what was mended is whole");
    assert!(again.report.torn.is_none() && again.state.content_eq(&opened.state));
    true
}

/// Sets the checksums of title and blocks right, and the totals of the end.
fn mend_checkpoint(data: &[u8]) -> Vec<u8> {
    const TITLE: usize = 64;
    let mut out = data.to_vec();
    out.resize(data.len().max(TITLE), 0);
    out[..12].copy_from_slice(b"DUETCKP\n\x01\0\0\0");
    let mut checksum = crc32c(0, &out[..TITLE - 4]);
    put(&mut out, TITLE - 4, checksum);
    let (mut at, mut items) = (TITLE, Vec::new());
    for number in 0.. {
        if out.len() < at + 17 || out[at..at + 4] == *b"\xd7fin" {
            out.truncate(at);
            out.extend(b"\xd7fin\x10\0\0\0");
            out.extend(u32::to_le_bytes(number));
            let totals = [count(&items).to_le_bytes(), (items.len() as u64).to_le_bytes()].concat();
            checksum = crc32c(crc32c(checksum, &out[at..at + 12]), &totals);
            out.extend(checksum.to_le_bytes());
            out.extend(totals);
            break;
        }
        let length = (four(&out, at + 4) as usize).clamp(1, (out.len() - at - 16).min(65520));
        out[at..at + 4].copy_from_slice(b"\xd7blk");
        put(&mut out, at + 4, length as u32);
        put(&mut out, at + 8, number);
        let end = at + 16 + length;
        checksum = crc32c(crc32c(checksum, &out[at..at + 12]), &out[at + 16..end]);
        put(&mut out, at + 12, checksum);
        items.extend_from_slice(&out[at + 16..end]);
        at = end;
    }
    out
}

/// How many items begin in these bytes.
fn count(mut items: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(end) = items.iter().position(|byte| *byte < 128) {
        let bits = items[..=end]
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| sum.wrapping_shl(7) | u64::from(byte & 127));
        let length = usize::try_from(bits).unwrap_or(usize::MAX);
        items = items[end + 1..].get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Sets the checksums of title and groups right, as far as something is there.
fn mend_log(segment: &mut [u8]) {
    segment[..12].copy_from_slice(b"DUETLOG\n\x01\0\0\0");
    segment[44..START].fill(0);
    let own = crc32c(0, &segment[..40]);
    put(segment, 40, own);
    let first = eight(segment, 32);
    let (mut at, mut previous, mut next) = (START, four(segment, 12), first);
    while segment.len() - at >= HEAD + TAIL && segment[at] != 0 {
        let room = (segment.len() - at - HEAD - TAIL) & !7;
        let length = (four(segment, at + 4) as usize).min(room);
        let padded = length.next_multiple_of(8);
        let (body, tail) = (at + HEAD, at + HEAD + padded);
        segment[at..at + 4].copy_from_slice(b"\xd7grp");
        put(segment, at + 4, length as u32);
        segment[at + 8..at + 16].copy_from_slice(&next.to_le_bytes());
        let records = four(segment, at + 16).clamp(1, 1000);
        put(segment, at + 16, records);
        put(segment, at + 24, previous);
        segment[body + length..tail].fill(0);
        segment[tail..tail + 4].copy_from_slice(b"\xd7fin");
        let checksum = crc32c(0, &segment[body..tail]);
        put(segment, tail + 4, checksum);
        let checksum = crc32c(0, &segment[body..tail + TAIL]);
        put(segment, at + 28, checksum);
        put(segment, at + 32, 0);
        let place = [first.to_le_bytes(), (at as u64).to_le_bytes()].concat();
        previous = crc32c(crc32c(0, &place), &segment[at..at + 36]);
        put(segment, at + 36, previous);
        (at, next) = (tail + TAIL, next.wrapping_add(u64::from(records)));
    }
}

fn four(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from(four(bytes, at)) | u64::from(four(bytes, at + 4)) << 32
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// CRC-32C, as the log uses it.
fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc::table(0x82f6_3b78);
    crc::crc(&TABLE, before, bytes)
}
