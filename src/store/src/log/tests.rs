//! Appending, on a disk that is full or breaks.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;

use bytes::Bytes;
use mvcc::{Effect, PutRequest, State};

use super::*;
use crate::disk::sim::{Operation, SimDisk};
use crate::recover::{self, Ids, Opened};

const IDS: Ids = Ids { cluster_id: 1, member_id: 2 };
const SEGMENT: u64 = 16 << 10;

fn open(disk: &SimDisk) -> Opened {
    recover::open_sized(Arc::new(disk.clone()), IDS, SEGMENT, &|_| ()).unwrap()
}

/// A log, the state that it leads to, and how to put more into both.
struct Writer {
    log: Log,
    state: State,
    index: u64,
}

impl Writer {
    fn new(disk: &SimDisk) -> Writer {
        let Opened { state, log, stamp, .. } = open(disk);
        Writer { log, state, index: stamp.index }
    }

    fn put(&mut self, length: usize) -> Result<(), LogError> {
        let key = Bytes::from(format!("key{}", self.index % 7));
        let request = PutRequest { key, value: vec![7; length].into(), ..PutRequest::default() };
        let mut state = self.state.clone();
        let effect = state.put(&request).unwrap().1.unwrap();
        self.log.append(&[Record { index: self.index + 1, term: 1, effect }])?;
        (self.state, self.index) = (state, self.index + 1);
        Ok(())
    }
}

fn segments(disk: &SimDisk) -> usize {
    let names = disk.list().unwrap();
    names.iter().filter(|entry| segment::first_of(&entry.name).is_some()).count()
}

#[test]
fn groups_go_through_segments_and_come_back() {
    let disk = SimDisk::new(1);
    let mut writer = Writer::new(&disk);
    for _ in 0..100 {
        writer.put(1000).unwrap();
    }
    assert!(segments(&disk) >= 9, "{} segments", segments(&disk));
    writer.put(50_000).unwrap();
    let largest = disk.list().unwrap().iter().map(|entry| entry.len).max();
    assert!(largest > Some(50_000), "a large record has a large segment");
    writer.put(10).unwrap();
    writer.log.append(&[]).unwrap();

    disk.crash();
    let opened = open(&disk);
    assert!(opened.state.content_eq(&writer.state));
    assert_eq!((opened.stamp.index, opened.report.replayed), (102, 102));
    assert_eq!((opened.log.bytes(), opened.report.torn), (writer.log.bytes(), None));
}

#[test]
fn an_empty_segment_that_is_too_small_is_replaced() {
    let disk = SimDisk::new(1);
    let mut writer = Writer::new(&disk);
    writer.put(50_000).unwrap();
    assert_eq!(segments(&disk), 1);
    for length in [10, 50_000, 10] {
        writer.put(length).unwrap();
        writer.log.release(writer.index).unwrap();
    }
    disk.crash();
    assert!(open(&disk).state.revision() >= 2);
}

#[test]
fn what_a_checkpoint_covers_is_given_back() {
    let disk = SimDisk::new(2);
    let mut writer = Writer::new(&disk);
    let before = segments(&disk);
    for _ in 0..100 {
        writer.put(1000).unwrap();
    }
    let whole = writer.log.bytes();
    assert!(whole > 100_000);
    writer.log.release(50).unwrap();
    let half = writer.log.bytes();
    assert!((whole * 4 / 10..whole * 7 / 10).contains(&half), "{half} of {whole}");
    writer.log.release(100).unwrap();
    assert_eq!((writer.log.bytes(), segments(&disk)), (0, before));
    writer.put(1000).unwrap();
    assert!((1000..1200).contains(&writer.log.bytes()));
    writer.log.release(100).unwrap();
    assert!(writer.log.bytes() >= 1000);
}

#[test]
fn the_next_segment_is_made_ahead_once() {
    let disk = SimDisk::new(3);
    let mut writer = Writer::new(&disk);
    let preparer = writer.log.preparer();
    assert!(preparer.prepare().unwrap());
    assert!(!preparer.prepare().unwrap(), "it is ready");
    let spare = |disk: &SimDisk| disk.open(segment::SPARE).is_ok();
    assert!(spare(&disk));
    while segments(&disk) == 1 {
        writer.put(1000).unwrap();
    }
    assert!(!spare(&disk), "it was taken");
    assert!(preparer.prepare().unwrap());
    drop(writer);
    disk.kill();
    open(&disk);
    assert!(!spare(&disk), "an old one is not trusted");
}

#[test]
fn a_full_disk_refuses_without_harm_and_heals() {
    let disk = SimDisk::new(4);
    let mut writer = Writer::new(&disk);
    let preparer = writer.log.preparer();
    disk.set_capacity(40 << 10);
    let full = loop {
        match writer.put(1000) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(full, LogError::NoSpace(_)), "{full}");
    assert!(writer.index > 10, "what had room was taken");
    let (operations, used) = (disk.operations(), disk.used());
    assert!(is_full(&preparer.prepare().unwrap_err()));
    assert!(matches!(writer.put(1000), Err(LogError::NoSpace(_))));
    assert_eq!((disk.operations(), disk.used()), (operations, used), "nothing is tried in vain");
    // A small one still has room where a large one has not.
    let index = writer.index;
    disk.crash();
    let opened = open_when_full(&disk);
    assert!(opened.state.content_eq(&writer.state));
    disk.set_capacity(u64::MAX);
    let mut writer = Writer::new(&disk);
    assert!(writer.log.preparer().prepare().unwrap());
    writer.put(1000).unwrap();
    assert_eq!(writer.index, index + 1);
}

/// A start needs no room.
fn open_when_full(disk: &SimDisk) -> Opened {
    assert!(disk.free().unwrap() < SEGMENT);
    open(disk)
}

#[test]
fn a_filesystem_that_is_full_in_a_files_middle_leaves_nothing_to_read() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut writer = Writer::new(&disk);
        writer.put(500).unwrap();
        disk.fail(Operation::Write, 0, ErrorKind::StorageFull);
        let refused = writer.put(3000);
        assert!(matches!(refused, Err(LogError::NoSpace(_))), "{refused:?}");
        disk.crash();
        let opened = open(&disk);
        assert!(opened.state.content_eq(&writer.state));
        assert_eq!(opened.report.torn, None);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_appended() {
    for (operation, kind) in [
        (Operation::Sync, ErrorKind::Other),
        (Operation::Sync, ErrorKind::StorageFull),
        (Operation::Write, ErrorKind::Other),
    ] {
        let disk = SimDisk::new(6);
        let mut writer = Writer::new(&disk);
        writer.put(10).unwrap();
        disk.fail(operation, 0, kind);
        assert!(matches!(writer.put(10), Err(LogError::Fatal(_))));
        let operations = disk.operations();
        assert!(matches!(writer.put(10), Err(LogError::Fatal(_))), "it stays broken");
        assert_eq!(disk.operations(), operations);
    }
}

#[test]
fn a_failed_folder_sync_at_a_turn_ends_the_log() {
    let disk = SimDisk::new(7);
    let mut writer = Writer::new(&disk);
    disk.fail(Operation::SyncFolder, 0, ErrorKind::StorageFull);
    let error = loop {
        match writer.put(1000) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Fatal(_)), "whether the new segment has its name is unknown");
}

#[test]
#[should_panic(expected = "records follow each other")]
fn a_gap_is_a_mistake_of_the_caller() {
    let mut writer = Writer::new(&SimDisk::new(8));
    let effect = Effect::Grant { id: 1, ttl: 1 };
    let _ = writer.log.append(&[Record { index: 2, term: 1, effect }]);
}

/// A segment gets its name while the next one is made ready by another thread.
#[test]
fn what_is_made_ready_never_takes_the_place_of_what_is_used() {
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::disk::RealDisk;
    use crate::recover::{Ids, check, open_sized};

    let folder = tempfile::tempdir().unwrap();
    let ids = Ids { cluster_id: 1, member_id: 2 };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).unwrap());
    let mut opened = open_sized(disk.clone(), ids, 16 << 10, &|_| ()).unwrap();
    let preparer = opened.log.preparer();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                preparer.prepare().unwrap();
            }
        });
        let mut state = State::new();
        for index in 1..=300 {
            let value = vec![b'v'; 5000].into();
            let request = PutRequest { key: "k".into(), value, ..PutRequest::default() };
            let effect = state.put(&request).unwrap().1.unwrap();
            opened.log.append(&[Record { index, term: 1, effect }]).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
    });
    drop(opened);
    let report = check(&*disk, &|_| ());
    assert!(report.is_sound() && report.last.0 == 300, "{report}");
}
