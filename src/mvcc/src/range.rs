//! Reading keys, at the newest revision or at an older one (etcd v3.5.16 `etcdserver/apply.go`, `Range`;
//! `mvcc/kvstore_txn.go`, `rangeKeys`). Start at [`State::range`]. A limited range touches what it
//! answers and O(log n) more: the rest is counted by the tree.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use crate::record::Record;
use crate::{Error, KeyRange, KeyValue, RangeRequest, RangeResponse, SortOrder, SortTarget, State};

impl KeyRange {
    /// Just one key.
    #[must_use]
    pub fn single(key: impl Into<Bytes>) -> KeyRange {
        KeyRange { key: key.into(), end: Bytes::new() }
    }

    /// Whether it is just one key.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.end.is_empty()
    }

    /// Whether a key lies in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_single() {
            return self.key == key;
        }
        &*self.key <= key && self.bound().is_none_or(|end| key < end)
    }

    /// The key that is not in it any more; none if it has no end. Not for a single key.
    fn bound(&self) -> Option<&[u8]> {
        if &*self.end == b"\0" { None } else { Some(&self.end) }
    }
}

/// At which revision to look.
#[derive(Clone, Copy)]
enum View {
    /// At the newest version, though its revision may not be closed yet.
    Now,
    At(i64),
}

impl View {
    fn of(self, record: &Record) -> Option<&Arc<KeyValue>> {
        match self {
            View::Now => record.now(),
            View::At(revision) => record.at(revision),
        }
    }
}

impl State {
    /// Reads keys.
    ///
    /// # Errors
    /// What [`RangeRequest::check`] gives, [`Error::FutureRevision`], [`Error::Compacted`].
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        request.check()?;
        self.read(request, self.revision)
    }

    /// Reads keys while `current` may be a revision that is not closed yet.
    pub(crate) fn read(
        &self,
        request: &RangeRequest,
        current: i64,
    ) -> Result<RangeResponse, Error> {
        let view = self.view(request.revision, current)?;
        let keys = &request.keys;
        if request.count_only {
            let count = signed(self.count(keys, view));
            return Ok(RangeResponse { count, keys_only: request.keys_only, ..Default::default() });
        }
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let filtered = has_filter(request);
        let (mut kvs, count) = match (request.sort_order, request.sort_target, view) {
            (SortOrder::Descend, SortTarget::Key, View::Now) if !filtered && !keys.is_single() => {
                self.last(keys, limit)
            }
            (SortOrder::None, ..) if !filtered => self.find(keys, view, limit.saturating_add(1)),
            _ => self.find(keys, view, usize::MAX),
        };
        if filtered {
            kvs.retain(|kv| passes(request, kv));
        }
        sort(&mut kvs, request.sort_order, request.sort_target);
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        Ok(RangeResponse { kvs, keys_only: request.keys_only, more, count: signed(count) })
    }

    fn view(&self, revision: i64, current: i64) -> Result<View, Error> {
        if revision > current {
            return Err(Error::FutureRevision);
        }
        if revision <= 0 || revision == current {
            return Ok(View::Now);
        }
        if revision < self.compacted {
            return Err(Error::Compacted);
        }
        Ok(View::At(revision))
    }

    fn count(&self, keys: &KeyRange, view: View) -> u64 {
        if keys.is_single() {
            let record = self.keys.get(&keys.key);
            return u64::from(record.and_then(|record| view.of(record)).is_some());
        }
        match view {
            View::Now => self.keys.count(&keys.key, keys.bound()),
            View::At(revision) => {
                let seen = |record: &Record| record.at(revision).is_some();
                self.keys.count_at(&keys.key, keys.bound(), revision, seen)
            }
        }
    }

    /// At most `most` of the versions in a range, and how many there are in all.
    fn find(&self, keys: &KeyRange, view: View, most: usize) -> (Vec<Arc<KeyValue>>, u64) {
        if keys.is_single() {
            let found = self.keys.get(&keys.key).and_then(|record| view.of(record)).cloned();
            let kvs: Vec<_> = found.into_iter().collect();
            let count = kvs.len() as u64;
            return (kvs, count);
        }
        let found = self.records(keys).filter_map(|record| view.of(record)).take(most);
        let kvs: Vec<_> = found.cloned().collect();
        let count = if kvs.len() < most { kvs.len() as u64 } else { self.count(keys, view) };
        (kvs, count)
    }

    /// The last versions of a range now, one more than `limit`, and how many there are in all.
    fn last(&self, keys: &KeyRange, limit: usize) -> (Vec<Arc<KeyValue>>, u64) {
        let count = self.count(keys, View::Now);
        let most = count.min(limit.saturating_add(1) as u64);
        let skip = self.keys.count(b"", Some(&keys.key)) + (count - most);
        let records = self.keys.iter_after(skip).filter_map(Record::now);
        (records.take(usize::try_from(most).unwrap_or(usize::MAX)).cloned().collect(), count)
    }

    fn records(&self, keys: &KeyRange) -> impl Iterator<Item = &Record> {
        let end = keys.bound();
        self.keys
            .iter_from(&keys.key)
            .take_while(move |record| end.is_none_or(|end| *record.newest().key < *end))
    }

    /// All versions of a range now.
    pub(crate) fn live(&self, keys: &KeyRange) -> Vec<Arc<KeyValue>> {
        self.find(keys, View::Now, usize::MAX).0
    }

    /// Whether all versions of a range now are as they should be; and with none, what `absent` says.
    pub(crate) fn all_now(
        &self,
        keys: &KeyRange,
        absent: impl FnOnce() -> bool,
        mut meets: impl FnMut(&KeyValue) -> bool,
    ) -> bool {
        if keys.is_single() {
            let found = self.keys.get(&keys.key).and_then(Record::now);
            return found.map_or_else(absent, |kv| meets(kv));
        }
        let mut found = self.records(keys).filter_map(Record::now).peekable();
        if found.peek().is_none() { absent() } else { found.all(|kv| meets(kv)) }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn has_filter(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within =
        |min: i64, value: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(request.min_mod_revision, kv.mod_revision, request.max_mod_revision)
        && within(request.min_create_revision, kv.create_revision, request.max_create_revision)
}

/// The sort is stable and what comes is sorted by key, so the smaller key comes first among equals,
/// in falling order too.
fn sort(kvs: &mut [Arc<KeyValue>], order: SortOrder, target: SortTarget) {
    let compare = |a: &KeyValue, b: &KeyValue| -> Ordering {
        match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        }
    };
    match (order, target) {
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {}
        (SortOrder::Descend, SortTarget::Key) => kvs.reverse(),
        (SortOrder::None | SortOrder::Ascend, _) => kvs.sort_by(|a, b| compare(a, b)),
        (SortOrder::Descend, _) => kvs.sort_by(|a, b| compare(b, a)),
    }
}
