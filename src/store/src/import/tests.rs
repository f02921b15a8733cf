//! What is moved in is what was there: a kine file as kine writes it, and pages as etcd answers them.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use mvcc::{RangeRequest, State};
use rusqlite::{Connection, params};

use super::etcd::Pages;
use super::*;
use crate::wire::proto as pb;

/// kine's schema (pkg/drivers/sqlite/sqlite.go).
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS kine (
        id INTEGER primary key autoincrement, name INTEGER, created INTEGER, deleted INTEGER,
        create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);
    CREATE INDEX IF NOT EXISTS kine_name_index ON kine (name);
    CREATE UNIQUE INDEX IF NOT EXISTS kine_name_prev_revision_uindex ON kine (name, prev_revision);";

/// A file that kine could have written.
struct Kine {
    folder: tempfile::TempDir,
    database: Connection,
}

impl Kine {
    fn new() -> Kine {
        let folder = tempfile::tempdir().unwrap();
        let database = Connection::open(folder.path().join("state.db")).unwrap();
        database.pragma_update(None, "journal_mode", "WAL").unwrap();
        database.execute_batch(SCHEMA).unwrap();
        let kine = Kine { folder, database };
        // kine's first row, at its first start.
        kine.insert("compact_rev_key", (1, 0), (0, 0), 0, Some(b""));
        kine
    }

    /// A row: created and deleted, revisions of creation and of the row before, time to live, value.
    fn insert(
        &self,
        name: &str,
        (created, deleted): (i64, i64),
        (create, prev): (i64, i64),
        lease: i64,
        value: Option<&[u8]>,
    ) -> i64 {
        let sql = "INSERT INTO kine(name, created, deleted, create_revision, prev_revision, lease, \
                   value, old_value) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)";
        // As kine 0.17 leaves a creation's row; older versions write 0.
        let create = if create == 0 && name.len() % 2 == 0 { None } else { Some(create) };
        let row = params![name, created, deleted, create, prev, lease, value];
        self.database.execute(sql, row).unwrap();
        self.database.last_insert_rowid()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    fn read(&self) -> Harvest {
        kine::read(&self.path(), &mut |_, _| {}).unwrap()
    }
}

fn all(state: &State) -> Vec<KeyValue> {
    let keys = mvcc::KeyRange { key: vec![0].into(), end: vec![0].into() };
    let answer = state.range(&RangeRequest { keys, ..RangeRequest::default() }).unwrap();
    answer.kvs.iter().map(|kv| (**kv).clone()).collect()
}

fn kv(key: &'static str, value: &'static str, revisions: (i64, i64), version: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: revisions.0,
        mod_revision: revisions.1,
        version,
        lease: 0,
    }
}

#[test]
fn a_file_of_kine_s_keeps_its_keys_and_revisions() {
    let kine = Kine::new();
    let a = kine.insert("/registry/a", (1, 0), (0, 0), 0, Some(b"one"));
    let b = kine.insert("/registry/b", (1, 0), (0, 0), 0, Some(b"b"));
    let a2 = kine.insert("/registry/a", (0, 0), (a, a), 0, Some(b"two"));
    let a3 = kine.insert("/registry/a", (0, 0), (a, a2), 0, Some(b"three"));
    kine.insert("/registry/b", (0, 1), (b, b), 0, Some(b"b"));
    kine.insert("gap-99", (0, 1), (0, 0), 0, None);
    kine.insert("compact_rev_key_apiserver", (1, 0), (0, 0), 0, Some(b"7"));
    let empty = kine.insert("/registry/empty", (1, 0), (0, 0), 0, None);
    // Deleted and made again: a new life.
    let c = kine.insert("/registry/c", (1, 0), (0, 0), 0, Some(b"c"));
    let gone = kine.insert("/registry/c", (0, 1), (c, c), 0, Some(b"c"));
    let c2 = kine.insert("/registry/c", (1, 0), (0, gone), 0, Some(b"again"));
    // A key of digits only is a number to SQLite.
    let digits = kine.insert("12345", (1, 0), (0, 0), 0, Some(b"digits"));

    let harvest = kine.read();
    assert_eq!(harvest.revision, digits);
    let state = harvest.into_state().unwrap();
    assert_eq!(state.revision(), digits);
    assert_eq!(
        all(&state),
        [
            kv("/registry/a", "three", (a, a3), 3),
            kv("/registry/c", "again", (c2, c2), 1),
            kv("/registry/empty", "", (empty, empty), 1),
            kv("12345", "digits", (digits, digits), 1),
        ]
    );
    // History is gone and says so; the newest revision can be read and watched on from.
    let old = RangeRequest { revision: digits - 1, ..RangeRequest::default() };
    let keys = mvcc::KeyRange { key: "/".into(), end: "0".into() };
    let old = RangeRequest { keys: keys.clone(), ..old };
    assert_eq!(state.range(&old), Err(mvcc::Error::Compacted));
    let now = RangeRequest { revision: digits, keys, ..RangeRequest::default() };
    assert_eq!(state.range(&now).unwrap().count, 3);
}

#[test]
fn the_newest_revision_counts_even_if_compaction_took_its_row() {
    let kine = Kine::new();
    kine.insert("/a", (1, 0), (0, 0), 0, Some(b"a"));
    let last = kine.insert("/b", (1, 0), (0, 0), 0, Some(b"b"));
    kine.database.execute("DELETE FROM kine WHERE id = ?", [last]).unwrap();
    assert_eq!(kine.read().revision, last);
}

#[test]
fn keys_that_kine_would_let_expire_hang_on_leases() {
    let kine = Kine::new();
    let lives = |name: &str, ttl| kine.insert(name, (1, 0), (0, 0), ttl, Some(b"e"));
    for number in 0..2500 {
        lives(&format!("/registry/events/{number:04}"), 3600);
    }
    lives("/registry/masterleases/10.0.0.1", 15);
    lives("/registry/pods/p", 0);

    let state = kine.read().into_state().unwrap();
    let leases: Vec<_> = state.leases().map(|(id, lease)| (id, lease.ttl)).collect();
    assert_eq!(leases.iter().filter(|(_, ttl)| *ttl == 3600).count(), 3, "{leases:?}");
    assert_eq!(leases.iter().filter(|(_, ttl)| *ttl == 15).count(), 1, "{leases:?}");
    assert!(leases.iter().all(|(id, _)| *id >= FIRST_LEASE));
    let kvs = all(&state);
    let on = |lease: i64| kvs.iter().filter(|kv| kv.lease == lease).count();
    assert!(leases.iter().all(|(id, _)| (1..=KEYS_ON_A_LEASE).contains(&on(*id))));
    assert_eq!(on(0), 1);
}

#[test]
fn what_is_not_kine_s_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let read = || kine::read(&path, &mut |_, _| {}).unwrap_err();
    assert!(matches!(read(), KineError::Open { .. }));
    std::fs::write(&path, "no database at all, but long enough to be looked at").unwrap();
    assert!(matches!(read(), KineError::Foreign { .. }));
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (id INTEGER)").unwrap();
    assert!(matches!(read(), KineError::Foreign { .. }));

    let kine = Kine::new();
    kine.insert("/a", (1, 0), (0, 0), 0, Some(b"a"));
    kine.database.execute("UPDATE kine SET value = 7.5 WHERE name = '/a'", []).unwrap();
    let error = kine::read(&kine.path(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, KineError::Row { id: 2, .. }), "{error}");
}

#[test]
fn a_harvest_keeps_what_it_is_asked_to() {
    let on = |lease, kv: KeyValue| KeyValue { lease, ..kv };
    let mut harvest = Harvest {
        revision: 9,
        leases: [(5, 60), (6, 60)].into(),
        kvs: vec![
            on(5, kv("/a/1", "x", (2, 4), 3)),
            kv("/a/2", "x", (4, 4), 1),
            on(6, kv("/b/1", "x", (3, 3), 1)),
        ],
    };
    harvest.keep(b"/a/");
    assert_eq!(harvest.summary(), Summary { revision: 9, keys: 2, bytes: 10, leases: 1 });
    let state = harvest.into_state().unwrap();
    assert_eq!(state.lease(5).unwrap().ttl, 60);
    assert!(state.lease(6).is_none());
    assert_eq!(state.keys(), 2);
}

#[test]
fn a_key_whose_lease_is_unknown_is_about_to_go() {
    let last = KeyValue { lease: 77, ..kv("/a", "x", (2, 2), 1) };
    let state =
        Harvest { revision: 2, kvs: vec![last], ..Harvest::default() }.into_state().unwrap();
    assert_eq!(state.lease(77).unwrap().ttl, LAST_SECONDS);
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    let newer = kv("/a", "x", (2, 8), 1);
    let harvest = Harvest { revision: 7, kvs: vec![newer], ..Harvest::default() };
    assert!(harvest.into_state().is_err());
}

#[test]
fn an_empty_source_makes_an_empty_store() {
    let state = Harvest::default().into_state().unwrap();
    assert_eq!((state.revision(), state.keys()), (1, 0));
}

#[test]
fn the_end_of_a_prefix_is_etcd_s() {
    for (prefix, end) in [
        (&b"/registry/"[..], &b"/registry0"[..]),
        (b"", b"\0"),
        (b"a\xff", b"b"),
        (b"\xff\xff", b"\0"),
    ] {
        assert_eq!(prefix_end(prefix), end, "{prefix:?}");
    }
}

/// Answers one page as etcd would, out of `count` keys of `size` bytes.
fn page(request: &pb::RangeRequest, count: usize, size: usize) -> pb::RangeResponse {
    let key = |number: usize| format!("/k/{number:05}").into_bytes();
    let left: Vec<_> = (0..count).map(key).filter(|key| request.key <= *key).collect();
    let limit = usize::try_from(request.limit).unwrap();
    let kvs = left.iter().take(limit).map(|key| pb::KeyValue {
        key: key.clone().into(),
        value: vec![7; size].into(),
        create_revision: 5,
        mod_revision: 5,
        version: 1,
        lease: 0,
    });
    let header = pb::ResponseHeader { revision: 12, ..pb::ResponseHeader::default() };
    pb::RangeResponse {
        header: Some(header),
        kvs: kvs.collect(),
        more: left.len() > limit,
        count: left.len() as i64,
    }
}

#[test]
fn pages_are_read_at_one_revision_and_fit_the_memory() {
    for (count, size, most) in [(5000, 10, 10_000), (3000, 100_000, 64), (0, 1, 64), (64, 1, 64)] {
        let mut pages = Pages::new(b"/k/");
        let mut asked = Vec::new();
        while let Some(request) = pages.next() {
            asked.push((request.revision, request.limit));
            pages.take(page(&request, count, size)).unwrap();
        }
        assert_eq!(asked[0].0, 0);
        assert!(asked[1..].iter().all(|(revision, _)| *revision == 12), "{asked:?}");
        assert!(asked.iter().all(|(_, limit)| *limit <= most), "{asked:?}");
        let harvest = pages.finish();
        assert_eq!((harvest.kvs.len(), harvest.revision), (count, 12));
        assert!(harvest.kvs.is_sorted_by(|a, b| a.key < b.key));
    }
}

#[test]
fn an_answer_without_a_header_is_none() {
    let mut pages = Pages::new(b"");
    assert_eq!(pages.next().unwrap().key, &b"\0"[..]);
    assert!(pages.take(pb::RangeResponse::default()).is_err());
}
