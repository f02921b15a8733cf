//! The engine on a real folder: what it promises, seen from its handle.

#![allow(clippy::unwrap_used)]

mod faults;
mod writes;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mvcc::{KeyRange, PutRequest, RangeRequest};

use super::{Engine, Options};
use crate::disk::RealDisk;
use crate::recover::Ids;

pub(super) const IDS: Ids = Ids { cluster_id: 7, member_id: 9 };

/// An engine on this folder.
pub(super) fn open_with(folder: &Path, change: impl FnOnce(&mut Options)) -> Engine {
    let mut options = Options::new(IDS);
    change(&mut options);
    let disk = Arc::new(RealDisk::open(folder).unwrap());
    Engine::open(disk, options, &|_| {}).unwrap()
}

pub(super) fn open(folder: &Path) -> Engine {
    open_with(folder, |_| {})
}

pub(super) fn put(key: &str, value: &str) -> PutRequest {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
    PutRequest { key, value, ..PutRequest::default() }
}

pub(super) fn one(key: &str) -> KeyRange {
    KeyRange { key: Bytes::from(key.to_owned()), end: Bytes::new() }
}

/// Every key.
pub(super) fn all() -> KeyRange {
    KeyRange { key: Bytes::from_static(&[0]), end: Bytes::from_static(&[0]) }
}

/// What a key holds, and its revision; none if it is not there.
pub(super) fn get(engine: &Engine, key: &str) -> Option<(String, i64)> {
    let request = RangeRequest { keys: one(key), ..RangeRequest::default() };
    let found = engine.range(&request).unwrap().body.kvs;
    let kv = found.first()?;
    Some((String::from_utf8(kv.value.to_vec()).unwrap(), kv.mod_revision))
}
