//! Reads kine's SQLite file, where k3s keeps its state by default. Start at [`read`]. The file is opened
//! for reading only.
//!
//! kine keeps one table, `kine`, and a row for each change: its `id` is the revision, `created` and
//! `deleted` say what happened, and `lease` is the key's time to live in seconds
//! (github.com/k3s-io/kine, `pkg/drivers/sqlite` and `pkg/logstructured/sqllog`).

use std::path::Path;

use bytes::Bytes;
use mvcc::KeyValue;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::{Harvest, LeaseMaker};

/// kine's own bookkeeping, and what it keeps for kube-apiserver's compactor; both are made anew by
/// whoever needs them.
const BOOKKEEPING: [&[u8]; 2] = [b"compact_rev_key", b"compact_rev_key_apiserver"];

/// The newest row of each name, oldest first. A name is compared as bytes: the column was declared
/// as INTEGER, and a key of digits alone is kept as a number.
const NEWEST: &str = "\
    SELECT kv.id, CAST(kv.name AS BLOB), kv.created, kv.create_revision, kv.lease, kv.value, \
           (SELECT COUNT(*) FROM kine AS old WHERE old.name = kv.name \
             AND old.id BETWEEN kv.create_revision AND kv.id) \
      FROM kine AS kv \
      JOIN (SELECT MAX(id) AS id FROM kine GROUP BY name) AS newest ON newest.id = kv.id \
     WHERE COALESCE(kv.deleted, 0) = 0 AND kv.name NOT GLOB 'gap-*' \
     ORDER BY kv.id";

/// The newest revision; compaction may have deleted the row that had it.
const REVISION: &str = "\
    SELECT MAX((SELECT COALESCE(MAX(id), 0) FROM kine), \
               (SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'kine'))";

/// Why a file of kine's could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum KineError {
    /// There is no such file.
    #[error("cannot open {path}")]
    #[diagnostic(
        code(input::kine),
        help("on a k3s server the file is /var/lib/rancher/k3s/server/db/state.db")
    )]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// It is another database, or none.
    #[error("{path} is not a database of kine's")]
    #[diagnostic(
        code(input::kine),
        help(
            "stop k3s first, and take its state.db together with state.db-wal and state.db-shm if \
             they are there"
        )
    )]
    Foreign {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// A row makes no sense.
    #[error("row {id} of the table kine cannot be read: {why}")]
    #[diagnostic(code(integrity::kine), help("`sqlite3 FILE 'PRAGMA integrity_check'` tells more"))]
    Row {
        /// The row's id.
        id: i64,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads all keys of the file at `path`. `progress` is told the revision reached, and the newest.
///
/// # Errors
/// When the file is not there, is not kine's, or is damaged.
pub fn read(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Harvest, KineError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)
        .map_err(|source| KineError::Open { path: path.to_owned(), source })?;
    let foreign = |source| KineError::Foreign { path: path.to_owned(), source };
    // One transaction: the file stays the same while it is read.
    let database = database.unchecked_transaction().map_err(foreign)?;
    let revision: i64 = database.query_row(REVISION, [], |row| row.get(0)).map_err(foreign)?;
    let mut query = database.prepare(NEWEST).map_err(foreign)?;
    let mut rows = query.query([]).map_err(foreign)?;
    let mut leases = LeaseMaker::default();
    let mut kvs = Vec::new();
    let mut id = 0;
    while let Some(row) = rows.next().map_err(foreign)? {
        let wrong = |id, why: rusqlite::Error| KineError::Row { id, why: why.to_string() };
        id = row.get(0).map_err(|error| wrong(id, error))?;
        if let Some(kv) = key_value(row, &mut leases).map_err(|error| wrong(id, error))? {
            kvs.push(kv);
        }
        progress(id.unsigned_abs(), revision.unsigned_abs());
    }
    Ok(Harvest { revision, leases: leases.finish(), kvs })
}

/// One row as a version; none for bookkeeping.
fn key_value(row: &Row<'_>, leases: &mut LeaseMaker) -> rusqlite::Result<Option<KeyValue>> {
    let key = bytes(row.get_ref(1)?)?;
    if key.is_empty() || BOOKKEEPING.contains(&&key[..]) {
        return Ok(None);
    }
    let mod_revision: i64 = row.get(0)?;
    let created: Option<bool> = row.get(2)?;
    // A creation's own revision is not in its row, which some of kine's versions leave empty there.
    let recorded: Option<i64> = row.get(3)?;
    let recorded = recorded.filter(|revision| (1..mod_revision).contains(revision));
    let fresh = created == Some(true) || recorded.is_none();
    let create_revision = if fresh { mod_revision } else { recorded.unwrap_or(mod_revision) };
    // kine keeps no version: the rows of this life that are left are counted, and compaction has taken
    // some of them. A version above 1 is what tells an update from a creation.
    let rows: i64 = row.get(6)?;
    let version = if fresh { 1 } else { rows.max(2) };
    let ttl: Option<i64> = row.get(4)?;
    Ok(Some(KeyValue {
        key,
        value: bytes(row.get_ref(5)?)?,
        create_revision,
        mod_revision,
        version,
        lease: leases.lease(ttl.unwrap_or(0)),
    }))
}

fn bytes(value: ValueRef<'_>) -> rusqlite::Result<Bytes> {
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        ValueRef::Null => Ok(Bytes::new()),
        ValueRef::Integer(_) | ValueRef::Real(_) => {
            Err(rusqlite::Error::InvalidColumnType(5, "value".to_owned(), value.data_type()))
        }
    }
}
