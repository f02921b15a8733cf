//! Opening a folder: what is got over, what is refused and in which words; then crashes by chance.
#![allow(clippy::unwrap_used)]

mod crash;
mod flips;
mod history;
mod room;

use std::cell::RefCell;

use bytes::Bytes;
use expect_test::{Expect, expect};
use mvcc::{Effect, PutRequest};

use super::*;
use crate::checkpoint;
use crate::disk::RealDisk;
use crate::disk::sim::{Operation, SimDisk};
use crate::record::Record;

const IDS: Ids = Ids { cluster_id: 0xc1, member_id: 0xe1 };
const SEGMENT: u64 = 8 << 10;

fn open_sim(disk: &SimDisk) -> Result<Opened, OpenError> {
    open_sized(Arc::new(disk.clone()), IDS, SEGMENT, &|_| ())
}

fn append(opened: &mut Opened, count: usize) {
    for _ in 0..count {
        let index = opened.stamp.index + 1;
        let key = Bytes::from(format!("key{}", index % 5));
        let value = Bytes::from(vec![b'v'; 700]);
        let request = PutRequest { key, value, ..PutRequest::default() };
        let effect = opened.state.put(&request).unwrap().1.unwrap();
        opened.log.append(&[Record { index, term: 1, effect }]).unwrap();
        opened.stamp.index = index;
        opened.stamp.term = 1;
    }
}

fn save(disk: &SimDisk, opened: &Opened) {
    checkpoint::write(disk, opened.state.clone(), &opened.stamp, &mut |_| ()).unwrap();
}

/// A folder with a checkpoint at record 6 and a log of 18 records, five in each segment.
fn written() -> (SimDisk, Opened) {
    let disk = SimDisk::new(1);
    let mut opened = open_sim(&disk).unwrap();
    append(&mut opened, 6);
    save(&disk, &opened);
    append(&mut opened, 12);
    disk.kill();
    (disk, opened)
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().map(|entry| entry.name).collect()
}

fn refusal(disk: &SimDisk) -> String {
    let before: Vec<_> = names(disk);
    let report = check(disk, &|_| ());
    let error = open_sim(disk).err().expect("it is refused");
    assert_eq!(names(disk), before, "a refusal changes nothing");
    let problem = Problem::of(&error);
    assert!(report.problems.contains(&problem), "check says the same: {report}");
    assert!(!report.is_sound());
    error.to_string()
}

#[test]
fn a_new_folder_begins_and_keeps_its_identity() {
    let disk = SimDisk::new(1);
    let opened = open_sim(&disk).unwrap();
    assert_eq!(
        (opened.stamp.index, opened.stamp.cluster_id, opened.stamp.member_id),
        (0, 193, 225)
    );
    assert!(opened.state.content_eq(&State::new()));
    assert_eq!(names(&disk), ["log-00000000000000000001", "meta"]);
    let other = Ids { cluster_id: 1, member_id: 2 };
    let opened = open_sized(Arc::new(disk), other, SEGMENT, &|_| ()).unwrap();
    assert_eq!(opened.stamp.cluster_id, 0xc1, "other ids are for a new folder only");
}

#[test]
fn meta_is_text_for_people() {
    let text = folder::meta(&IDS);
    expect![[r#"
        duet store, format 1
        cluster 00000000000000c1
        member 00000000000000e1
        checksum ec31e7c8
    "#]]
    .assert_eq(&text);
    assert_eq!(folder::parse_meta(&text).unwrap(), IDS);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 4;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(folder::parse_meta(&changed).is_err(), "byte {at}");
        assert!(folder::parse_meta(&text[..at]).is_err(), "{at} bytes");
    }
    let newer = text.replace("format 1", "format 2");
    let error = folder::parse_meta(&newer).unwrap_err().to_string();
    assert_eq!(error, "meta has format 2, and this version reads format 1");
}

#[test]
fn a_checkpoint_and_the_log_after_it_make_the_state() {
    let (disk, before) = written();
    let seen = RefCell::new(Vec::new());
    let progress = |progress| seen.borrow_mut().push(progress);
    let opened = open_sized(Arc::new(disk.clone()), IDS, SEGMENT, &progress).unwrap();
    assert!(opened.state.content_eq(&before.state));
    assert_eq!((&opened.stamp, opened.report.replayed), (&before.stamp, 12));
    assert!(opened.log.bytes() < before.log.bytes(), "what the checkpoint covers is not counted");
    let seen = seen.into_inner();
    assert!(matches!(seen[0], Progress::Checkpoint { done: 1.., .. }), "{seen:?}");
    let Some(Progress::Log { done, total }) = seen.last() else { panic!("{seen:?}") };
    assert_eq!(done, total);
    expect![[r#"
        checkpoint-00000000000000000006: up to record 6, 4417 B
        log-00000000000000000006: records 6 to 10 in 5 groups, 3840 B
        log-00000000000000000011: records 11 to 15 in 5 groups, 3840 B
        log-00000000000000000016: records 16 to 18 in 3 groups, 2304 B
        last record 18, term 1; replayed 12
        revision 19, 5 keys
        sound: a store starts here with everything that was acknowledged
    "#]]
    .assert_eq(&opened.report.to_string());
}

#[test]
fn a_folder_with_only_a_checkpoint_is_a_restored_one() {
    let (_, opened) = written();
    let disk = SimDisk::new(2);
    save(&disk, &opened);
    let other = Ids { cluster_id: 1, member_id: 2 };
    let mut again = open_sized(Arc::new(disk.clone()), other, SEGMENT, &|_| ()).unwrap();
    assert_eq!(again.stamp, opened.stamp, "the checkpoint's identity is the folder's");
    append(&mut again, 3);
    disk.crash();
    assert!(open_sim(&disk).unwrap().state.content_eq(&again.state));
}

#[test]
fn a_damaged_checkpoint_gives_way_to_an_older_one() {
    let (disk, mut before) = written();
    before = Opened { log: open_sim(&disk).unwrap().log, ..before };
    // Nothing older is removed.
    disk.fail(Operation::Remove, 1, std::io::ErrorKind::Other);
    let saved = checkpoint::write(&disk, before.state.clone(), &before.stamp, &mut |_| ());
    saved.unwrap_err();
    append(&mut before, 2);
    disk.kill();
    assert!(disk.flip(&checkpoint::name(18), 100, 3));
    let report = check(&disk, &|_| ());
    assert!(report.is_sound() && report.warnings.len() == 1, "{report}");
    let opened = open_sim(&disk).unwrap();
    assert!(opened.state.content_eq(&before.state));
    assert_eq!(opened.report.warnings, report.warnings);
    assert!(names(&disk).contains(&checkpoint::name(6)), "the good one stays");

    save(&disk, &opened);
    assert!(!names(&disk).contains(&checkpoint::name(18)), "until there is a better one");
    assert!(disk.flip(&checkpoint::name(20), 100, 3));
    expect![
        "checkpoint-00000000000000000020 is damaged at offset 64: the bytes of a block have changed"
    ]
    .assert_eq(&refusal(&disk));
}

#[test]
fn without_any_checkpoint_all_of_the_log_makes_the_state() {
    let (disk, before) = written();
    assert!(disk.flip(&checkpoint::name(6), 100, 3));
    let opened = open_sim(&disk).unwrap();
    assert!(opened.state.content_eq(&before.state));
    assert_eq!((opened.report.replayed, opened.report.warnings.len()), (18, 1));
}

#[test]
fn damage_is_refused_by_name_and_place() {
    let flip = |disk: &SimDisk, name: &str, offset| assert!(disk.flip(name, offset, 1));
    type Case<'a> = (&'a str, &'a dyn Fn(&SimDisk), Expect);
    let cases: [Case<'_>; 11] = [
        (
            "a group",
            &|disk| flip(disk, &log_name(6), 5000),
            expect![
                "a group: log-00000000000000000006 is damaged at offset 4864: the group is not whole, but a later one, at 5632, is there"
            ],
        ),
        (
            "the last group",
            &|disk| flip(disk, &log_name(16), 6300),
            expect![
                "the last group: log-00000000000000000016 is damaged at offset 5632: the bytes of a group have changed"
            ],
        ),
        (
            "a title",
            &|disk| flip(disk, &log_name(11), 33),
            expect![
                "a title: log-00000000000000000011 is damaged at offset 0: the segment's title has changed"
            ],
        ),
        (
            "no middle",
            &|disk| remove(disk, &[11]),
            expect![
                "no middle: the data folder lacks the log between log-00000000000000000006 and log-00000000000000000016: the one ends with record 10, and the other does not continue it"
            ],
        ),
        (
            "no last",
            &|disk| remove(disk, &[16]),
            expect![
                "no last: the data folder lacks log-00000000000000000016: log-00000000000000000011 says that it was there"
            ],
        ),
        (
            "no first",
            &|disk| remove(disk, &[1, 6]),
            expect![
                "no first: the data folder lacks record 7: no checkpoint reaches further, and log-00000000000000000011 begins after that"
            ],
        ),
        (
            "no log",
            &|disk| remove(disk, &[1, 6, 11, 16]),
            expect![
                "no log: the data folder lacks its log: a store has run here, but there is no segment of a log"
            ],
        ),
        (
            "a checkpoint and its log",
            &|disk| {
                flip(disk, &checkpoint::name(6), 70);
                remove(disk, &[1]);
            },
            expect![
                "a checkpoint and its log: checkpoint-00000000000000000006 is damaged at offset 64: there is no block where one must be"
            ],
        ),
        (
            "a name",
            &|disk| disk.rename(&log_name(16), &log_name(17)).unwrap(),
            expect![
                "a name: log-00000000000000000017 is damaged at offset 0: it begins with record 16, not the one in its name"
            ],
        ),
        (
            "a checkpoint's name",
            &|disk| {
                disk.rename(&checkpoint::name(6), &checkpoint::name(7)).unwrap();
                remove(disk, &[1]);
            },
            expect![
                "a checkpoint's name: checkpoint-00000000000000000007 is damaged at offset 0: it reaches record 6, not the one in its name"
            ],
        ),
        (
            "the log's end",
            &|disk| {
                let mut file = disk.open(&log_name(16)).unwrap();
                file.write_at(START as u64, &[0; 2304]).unwrap();
                let (stamp, state) = {
                    let opened = open_sim(&disk.fork()).unwrap();
                    (Stamp { index: 16, ..opened.stamp }, opened.state)
                };
                checkpoint::write(disk, state, &stamp, &mut |_| ()).unwrap();
            },
            expect![
                "the log's end: log-00000000000000000016 is damaged at offset 4096: the log ends with record 15, but a checkpoint reached record 16"
            ],
        ),
    ];
    for (what, damage, expected) in cases {
        let (disk, _) = written();
        damage(&disk);
        expected.assert_eq(&format!("{what}: {}", refusal(&disk)));
    }
}

fn remove(disk: &SimDisk, segments: &[u64]) {
    for first in segments {
        disk.remove(&log_name(*first)).unwrap();
    }
}

fn log_name(first: u64) -> String {
    segment::name(first)
}

#[test]
fn what_another_store_wrote_is_refused() {
    let (disk, opened) = written();
    let stamp = Stamp { index: 18, member_id: 0xe2, ..opened.stamp };
    checkpoint::write(&disk, opened.state.clone(), &stamp, &mut |_| ()).unwrap();
    expect!["checkpoint-00000000000000000018 belongs to another store: it says cluster 00000000000000c1, member 00000000000000e2, and the folder is of cluster 00000000000000c1, member 00000000000000e1"].assert_eq(&refusal(&disk));

    let (disk, _) = written();
    let mut file = disk.open(&log_name(16)).unwrap();
    let mut title = [0; START];
    file.read_at(0, &mut title).unwrap();
    title[8] = 2;
    let own = crc32c::crc32c(&title[..40]);
    title[40..44].copy_from_slice(&own.to_le_bytes());
    file.write_at(0, &title).unwrap();
    expect!["log-00000000000000000016 has format 2, and this version reads format 1"]
        .assert_eq(&refusal(&disk));
}

#[test]
fn meta_is_made_anew_from_the_log() {
    for damage in [
        |disk: &SimDisk| assert!(disk.flip("meta", 3, 1)),
        |disk: &SimDisk| {
            disk.remove("meta").unwrap();
        },
    ] {
        let (disk, before) = written();
        damage(&disk);
        let opened = open_sim(&disk).unwrap();
        assert_eq!(opened.stamp, before.stamp);
        assert!(opened.state.content_eq(&before.state));
        assert!(matches!(Folder::survey(&disk).unwrap().meta, Some(Ok(IDS))));
    }
}

#[test]
fn a_torn_write_is_mended_and_reported() {
    let (disk, before) = written();
    let mut file = disk.open(&log_name(16)).unwrap();
    file.write_at(8000, b"what a crash left").unwrap();
    file.sync().unwrap();
    let looked = check(&disk, &|_| ());
    let opened = open_sim(&disk).unwrap();
    assert!(opened.state.content_eq(&before.state));
    assert_eq!(opened.report.torn, looked.torn);
    expect![[r#"
        checkpoint-00000000000000000006: up to record 6, 4417 B
        log-00000000000000000006: records 6 to 10 in 5 groups, 3840 B
        log-00000000000000000011: records 11 to 15 in 5 groups, 3840 B
        log-00000000000000000016: records 16 to 18 in 3 groups, 2304 B
        last record 18, term 1; replayed 12
        revision 19, 5 keys
        log-00000000000000000016: a crash interrupted the write at offset 6400; its 1617 B were never acknowledged
        sound: a store starts here with everything that was acknowledged
    "#]].assert_eq(&looked.to_string());
    drop(opened);
    assert_eq!(open_sim(&disk).unwrap().report.torn, None, "it is mended for good");
}

/// The sync of the mending fails, and a new process sees zeros that are not on the disk.
#[test]
fn what_was_mended_in_memory_only_is_mended_again() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let mut opened = open_sim(&disk).unwrap();
        append(&mut opened, 1);
        let value = Bytes::from(vec![b'x'; 1100]);
        let request = PutRequest { key: value.clone(), value, ..PutRequest::default() };
        let effect = opened.state.clone().put(&request).unwrap().1.unwrap();
        disk.cut_power_in(1);
        opened.log.append(&[Record { index: 2, term: 1, effect }]).unwrap_err();
        disk.crash();
        disk.fail(Operation::Sync, 0, std::io::ErrorKind::Other);
        assert!(matches!(open_sim(&disk), Err(OpenError::Io { .. })));
        disk.kill();
        let mut opened = open_sim(&disk).unwrap();
        append(&mut opened, 1);
        disk.crash();
        assert!(open_sim(&disk).unwrap().state.content_eq(&opened.state), "seed {seed}");
    }
}

#[test]
fn records_are_told_past_the_damage() {
    let (disk, _) = written();
    let whole: Vec<_> = records(&disk).map(|record| record.unwrap().index).collect();
    assert_eq!(whole, (1..=18).collect::<Vec<_>>());
    assert!(disk.flip(&log_name(11), 5000, 1));
    disk.remove("meta").unwrap();
    let told: Vec<_> = records(&disk)
        .map(|record| record.map_or_else(|error| error.to_string(), |record| record.to_string()))
        .collect();
    expect![[r#"
        10 term 1 revision 11: put "key0" 700 B
        11 term 1 revision 12: put "key1" 700 B
        log-00000000000000000011 is damaged at offset 4864: the group is not whole, but a later one, at 5632, is there
        16 term 1 revision 17: put "key1" 700 B
        17 term 1 revision 18: put "key2" 700 B"#]].assert_eq(&told[9..14].join("\n"));
}

#[test]
fn check_and_dump_work_on_a_read_only_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(temporary.path()).unwrap());
    let mut opened = open_sized(disk.clone(), IDS, SEGMENT, &|_| ()).unwrap();
    append(&mut opened, 9);
    checkpoint::write(&*disk, opened.state.clone(), &opened.stamp, &mut |_| ()).unwrap();
    append(&mut opened, 2);
    drop((opened, disk));
    std::fs::write(temporary.path().join("notes.txt"), "mine").unwrap();
    std::fs::create_dir(temporary.path().join("lost+found")).unwrap();

    let looker = RealDisk::read_only(temporary.path()).unwrap();
    expect![[r#"
        checkpoint-00000000000000000009: up to record 9, 6562 B
        log-00000000000000000006: records 6 to 10 in 5 groups, 3840 B
        log-00000000000000000011: records 11 to 11 in 1 groups, 768 B
        last record 11, term 1; replayed 2
        revision 12, 5 keys
        warning: notes.txt: it is no file of a store; it is left alone
        sound: a store starts here with everything that was acknowledged
    "#]]
    .assert_eq(&check(&looker, &|_| ()).to_string());
    assert_eq!(records(&looker).filter(Result::is_ok).count(), 11);
    drop(looker);
    let disk = Arc::new(RealDisk::open(temporary.path()).unwrap());
    let opened = open_sized(disk, IDS, SEGMENT, &|_| ()).unwrap();
    assert_eq!((opened.stamp.index, opened.report.replayed), (11, 2));
}
