//! A backup is read back as it was written, and nothing else is taken for one.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::sync::Arc;

use mvcc::{DeleteRangeRequest, Error, PutRequest};

use super::*;
use crate::disk::RealDisk;
use crate::recover;

const STAMP: Stamp = Stamp { index: 40, term: 3, cluster_id: 0xc1, member_id: 0xe1 };

fn put(state: &mut State, key: &str, value: &str, lease: i64) {
    let request = PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        lease,
        ..PutRequest::default()
    };
    state.put(&request).unwrap();
}

/// Some keys with history, one deleted, one on a lease.
fn state() -> State {
    let mut state = State::new();
    state.grant(7, 60).unwrap();
    for number in 0..40 {
        put(&mut state, &format!("/registry/{}", number % 10), &format!("value {number}"), 0);
    }
    put(&mut state, "/registry/leased", "for a minute", 7);
    let keys = KeyRange { key: "/registry/3".into(), end: Default::default() };
    state.delete_range(&DeleteRangeRequest { keys, prev_kv: false }).unwrap();
    state.compact(20).unwrap();
    state
}

fn backup_of(state: &State) -> Vec<u8> {
    let mut sealer = Sealer::new();
    let mut file = Vec::new();
    for chunk in checkpoint::chunks(state.clone(), STAMP) {
        sealer.push(&chunk);
        file.extend(chunk);
    }
    file.extend(sealer.finish());
    file
}

fn opened(file: &[u8]) -> Result<Backup, BackupError> {
    open(&mut Cursor::new(file), &mut |done, total| assert!(done <= total))
}

/// Any content under a right sum.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut sealer = Sealer::new();
    sealer.push(content);
    [content, &sealer.finish()].concat()
}

fn items(state: &State) -> Vec<Item> {
    state.items().collect()
}

#[test]
fn a_backup_is_read_as_it_was_written() {
    let state = state();
    let file = backup_of(&state);
    // What `etcdctl snapshot save` asks of a snapshot.
    assert_eq!(file.len() % 512, 32);
    let backup = opened(&file).unwrap();
    assert_eq!(items(&backup.state), items(&state));
    assert_eq!(backup.stamp, STAMP);
    let summary = backup.summary;
    assert_eq!((summary.revision, summary.compacted), (state.revision(), 20));
    assert_eq!((summary.keys, summary.leases, summary.index), (10, 1, 40));
    assert_eq!((summary.cluster_id.as_str(), summary.size_bytes), ("c1", file.len() as u64));
}

#[test]
fn a_backup_that_was_changed_anywhere_is_refused() {
    let file = backup_of(&state());
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 0x10;
        let error = opened(&changed).unwrap_err();
        assert!(matches!(error, BackupError::Sum { .. }), "byte {at}: {error}");
    }
}

#[test]
fn a_backup_that_was_cut_short_is_refused() {
    let file = backup_of(&state());
    for length in 0..file.len() {
        let error = opened(&file[..length]).unwrap_err();
        assert!(matches!(error, BackupError::Length { .. } | BackupError::Sum { .. }), "{error}");
    }
    let longer = [&file[..], &[0]].concat();
    assert!(matches!(opened(&longer), Err(BackupError::Length { .. })));
}

#[test]
fn a_right_sum_does_not_make_a_backup() {
    for content in [&b""[..], b"hello", &[0; 5000]] {
        let error = opened(&sealed(content)).unwrap_err();
        assert!(matches!(error, BackupError::Content(_)), "{error}");
    }
    let whole = backup_of(&state());
    let longer = [&whole[..whole.len() - SUM], &[0; 512]].concat();
    assert!(matches!(opened(&sealed(&longer)), Err(BackupError::Content(_))));
    // A right sum over what no sealer has padded.
    for content in [vec![0; 512], vec![0xff; 1024], [vec![1; 510], vec![2, 2]].concat()] {
        let sum = ring::digest::digest(&SHA256, &content);
        let file = [&content[..], sum.as_ref()].concat();
        assert!(matches!(opened(&file), Err(BackupError::Padding)));
    }
}

#[test]
fn the_padding_fits_every_length() {
    for length in (0..1100).chain([1 << 20]) {
        let content = vec![0x55; length];
        let file = sealed(&content);
        assert_eq!(file.len() % 512, 32);
        let padded = file.len() - SUM - length;
        assert!((2..514).contains(&padded), "{padded}");
        let found = unpadded(&mut Cursor::new(&file), (file.len() - SUM) as u64).unwrap();
        assert_eq!(found, length as u64);
    }
}

#[test]
fn a_snapshot_of_etcd_s_own_is_known() {
    let mut database = vec![0; 16384];
    database[BBOLT_MARK_AT..BBOLT_MARK_AT + 4].copy_from_slice(&BBOLT_MARK);
    assert!(matches!(opened(&sealed(&database)), Err(BackupError::Etcd)));
    // As it lies in etcd's data folder, without a sum.
    assert!(matches!(opened(&database), Err(BackupError::Etcd)));
}

#[test]
fn a_backup_becomes_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    let state = state();
    let ids = Ids { cluster_id: 0xc2, member_id: 0xe2 };
    let backup = opened(&backup_of(&state)).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&place).unwrap());
    restore(backup.clone(), &*disk, &ids, 0, &mut |_| {}).unwrap();

    let error = restore(backup, &*disk, &ids, 0, &mut |_| {}).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty(_)), "{error}");

    let unused = Ids { cluster_id: 1, member_id: 1 };
    let opened = recover::open(disk, unused, &|_| {}).unwrap();
    assert_eq!(items(&opened.state), items(&state));
    let expected = Stamp { cluster_id: 0xc2, member_id: 0xe2, ..STAMP };
    assert_eq!(opened.stamp, expected);
}

#[test]
fn a_raised_revision_keeps_the_keys_and_forgets_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let state = state();
    let newest = state.revision();
    let backup = opened(&backup_of(&state)).unwrap();
    let ids = Ids { cluster_id: 2, member_id: 2 };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).unwrap());
    restore(backup.clone(), &*disk, &ids, 1_000_000, &mut |_| {}).unwrap();
    let raised = recover::open(disk, ids.clone(), &|_| {}).unwrap().state;

    assert_eq!(raised.revision(), newest + 1_000_000);
    assert_eq!(raised.lease(7).unwrap().ttl, 60);
    let all = |state: &State, revision| {
        let keys = KeyRange { key: vec![0].into(), end: vec![0].into() };
        let request = RangeRequest { keys, revision, ..RangeRequest::default() };
        state.range(&request).map(|found| found.kvs)
    };
    assert_eq!(all(&raised, 0).unwrap(), all(&state, 0).unwrap());
    // A client that goes on from what it saw before is told to begin anew.
    assert_eq!(all(&raised, newest).unwrap_err(), Error::Compacted);

    let disk = RealDisk::open(folder.path().join("too far")).unwrap();
    let error = restore(backup, &disk, &ids, i64::MAX, &mut |_| {}).unwrap_err();
    assert!(matches!(error, BackupError::Bump { .. }), "{error}");
}
