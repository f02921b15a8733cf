//! Frames: their bytes, what a crash leaves of one, and that no flipped bit passes.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use expect_test::expect;
use mvcc::{Change, Effect};

use super::*;

const SEGMENT: u64 = 5;

fn record(index: u64, value: impl Into<Bytes>) -> Record {
    let key = Bytes::from_static(b"key");
    let changes = vec![Change::Put { key, value: value.into(), lease: 0 }];
    Record { index, term: 1, effect: Effect::Write { revision: index as i64, changes } }
}

/// Text without a zero byte, of that length.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + (at % 23) as u8).collect()
}

/// Appends a frame of these records to a segment's bytes; gives its own checksum.
fn push(bytes: &mut Vec<u8>, group: &[Record], previous: u32) -> u32 {
    let mut draft = Draft::default();
    draft.group(group, u64::MAX).unwrap();
    let place = Place { segment: SEGMENT, offset: bytes.len() };
    let (frame, own) = draft.finish(place, previous);
    bytes.extend_from_slice(frame);
    own
}

/// A segment with these groups' values from record 5 on, 600 zeros, and where each frame begins.
fn segment(groups: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts, mut own) = (Vec::new(), Vec::new(), 77);
    for (index, value) in (SEGMENT..).zip(groups) {
        starts.push(bytes.len());
        own = push(&mut bytes, &[record(index, value.clone())], own);
    }
    starts.push(bytes.len());
    bytes.resize(bytes.len() + 600, 0);
    (bytes, starts)
}

/// How many groups are whole, and how they end.
fn read(bytes: &[u8]) -> (usize, End) {
    let mut frames = Frames::new(bytes, 0, SEGMENT, 77);
    let count = frames.by_ref().count();
    (count, frames.end())
}

/// These bytes are in people's log files: a change here is a new format.
#[test]
fn the_layout_stays() {
    let mut bytes = Vec::new();
    push(&mut bytes, &[record(5, "v")], 77);
    let lines = bytes.chunks(8).map(|line| {
        line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ") + "\n"
    });
    expect![[r#"
        d7 67 72 70 12 00 00 00
        05 00 00 00 00 00 00 00
        01 00 00 00 00 00 00 00
        4d 00 00 00 13 7c 0c 8a
        00 00 00 00 30 e3 04 dd
        0e 00 00 00 01 01 05 01
        05 01 01 03 6b 65 79 01
        76 00 00 00 00 00 00 00
        d7 66 69 6e 90 0a 93 17
    "#]]
    .assert_eq(&lines.collect::<String>());
}

#[test]
fn groups_are_read_as_they_were_written() {
    let (mut bytes, own) = (Vec::new(), 77);
    let group = [record(5, text(3000)), record(6, ""), record(7, vec![0; 2000])];
    let own = push(&mut bytes, &group, own);
    let own = push(&mut bytes, &[record(8, "x")], own);
    let mut draft = Draft::default();
    draft.seal(9);
    let (seal, _) = draft.finish(Place { segment: SEGMENT, offset: bytes.len() }, own);
    assert_eq!(seal.len(), SEAL_SIZE);
    bytes.extend_from_slice(seal);

    let mut frames = Frames::new(&bytes, 0, SEGMENT, 77);
    let first = frames.next().unwrap();
    assert_eq!((first.first, first.last(), first.offset, first.size % 8), (5, 7, 0, 0));
    let read: Vec<_> = first.records().map(Result::unwrap).collect();
    assert_eq!(read, group);
    assert_eq!(frames.next().map(|frame| frame.last()), Some(8));
    assert!(frames.next().is_none());
    assert_eq!((frames.end(), frames.next), (End::Sealed, 9));
    assert_eq!(
        Frames::new(&bytes, 0, SEGMENT, 76).end(),
        End::Damaged("the group is not whole, but a later one, at 5104, is there".to_owned())
    );
}

/// Every set of lost sectors of the last write is torn, wherever the write begins in its sector.
#[test]
fn what_a_crash_leaves_is_torn() {
    for before in (0..520).step_by(8) {
        let (bytes, starts) = segment(&[text(before), text(1700)]);
        let (start, end) = (starts[1], starts[2]);
        assert_eq!(read(&bytes), (2, End::Free));
        let (from, upto) = (start / SECTOR, end.div_ceil(SECTOR));
        for lost in 1..1_u32 << (upto - from) {
            let mut torn = bytes.clone();
            for sector in (from..upto).filter(|sector| lost >> (sector - from) & 1 == 1) {
                let (low, high) = (start.max(sector * SECTOR), end.min(sector * SECTOR + SECTOR));
                torn[low..high].fill(0);
            }
            let (count, verdict) = read(&torn);
            let all = lost + 1 == 1 << (upto - from);
            assert_eq!(count, 1, "start {start}, lost {lost:b}");
            match verdict {
                End::Torn(upto) if !all => assert!(upto <= end),
                End::Free if all => {}
                verdict => panic!("start {start}, lost {lost:b}: {verdict:?}"),
            }
        }
    }
}

/// No flipped bit passes, in the last group neither: it lacks no sector, so it is not torn.
#[test]
fn a_flipped_bit_of_a_whole_group_is_damage() {
    let mut zeros = text(700);
    zeros[40..].fill(0);
    for before in [3, 380, 432, 440] {
        let (mut bytes, starts) = segment(&[text(before), zeros.clone(), vec![0; 1200]]);
        for bit in 0..starts[3] * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let hit = starts.iter().rposition(|start| *start <= bit / 8).unwrap();
            let (count, end) = read(&bytes);
            assert_eq!(count, hit, "bit {bit}");
            assert!(matches!(end, End::Damaged(_)), "bit {bit}: {end:?}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_flipped_bit_of_free_space_is_mended() {
    let (mut bytes, starts) = segment(&[text(100)]);
    let end = starts[1];
    // Where the next head would begin, a bit looks like a head that has changed: in doubt, damage.
    for bit in end * 8..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (count, verdict) = read(&bytes);
        let doubtful = bit / 8 < end + 8;
        let expected = if doubtful {
            End::Damaged("the head of a group has changed".to_owned())
        } else {
            End::Torn(bit / 8 + 1)
        };
        assert_eq!((count, verdict), (1, expected), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A client stores a copy of the log itself; a crash tears that write.
#[test]
fn frames_in_a_clients_value_prove_nothing() {
    let (log, starts) = segment(&[text(10), text(300), text(300), text(300)]);
    for shift in 0..16 {
        let mut value = vec![b'.'; shift];
        value.extend_from_slice(&log[starts[2]..starts[4]]);
        let (mut bytes, starts) = segment(&[text(10), value]);
        assert_eq!(read(&bytes), (2, End::Free));
        bytes[starts[1]..starts[1] + HEAD].fill(0);
        assert_eq!(read(&bytes), (1, End::Torn(starts[2])));
    }
}

#[test]
fn what_does_not_follow_is_damage() {
    let (bytes, starts) = segment(&[text(10), text(20), text(30)]);
    let mut skipped = bytes.clone();
    skipped.drain(starts[1]..starts[2]);
    let (count, end) = read(&skipped);
    assert_eq!(count, 1);
    assert!(matches!(end, End::Damaged(_)), "the place is in the checksum: {end:?}");

    let (mut other, own) = (Vec::new(), 1234);
    push(&mut other, &[record(5, "v")], own);
    let wrong = End::Damaged("the group does not follow the one before".to_owned());
    assert_eq!(read(&other), (0, wrong));
    let mut longer = bytes.clone();
    longer.truncate(starts[3] - 8);
    let wrong = End::Damaged("the group is longer than its segment".to_owned());
    assert_eq!(read(&longer), (2, wrong));
}

#[test]
fn too_many_bytes_are_no_frame() {
    assert_eq!(read(&[]), (0, End::Free));
    assert_eq!(read(&[0; 7]), (0, End::Free));
    assert_eq!(read(&[1; 47]), (0, End::Torn(47)));
    assert!(Draft::default().group(&[], 0).is_none());
}
