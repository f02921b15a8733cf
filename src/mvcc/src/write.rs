//! Writing: one version at a time, then the revision is closed. Start at [`State::put`].
//!
//! What comes from a request is copied once into an allocation of the version's own, since the
//! request's bytes are slices of network buffers that must not stay. No version is ever changed.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::{Record, cost};
use crate::{
    Change, DeleteRangeRequest, DeleteRangeResponse, Effect, Error, Event, EventKind, KeyValue,
    PutRequest, PutResponse, State,
};

/// A key and a value in one allocation of just their length.
fn pair(key: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    let mut buffer = Vec::with_capacity(key.len() + value.len());
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(value);
    let mut key_bytes = Bytes::from(buffer);
    let value = key_bytes.split_off(key.len());
    (key_bytes, value)
}

impl State {
    /// Writes a key.
    ///
    /// # Errors
    /// What [`PutRequest::check`] gives, [`Error::LeaseNotFound`], [`Error::KeyNotFound`]; the state is
    /// unchanged then.
    pub fn put(&mut self, request: &PutRequest) -> Result<(PutResponse, Option<Effect>), Error> {
        request.check()?;
        if request.lease != 0 && !self.leases.contains(request.lease) {
            return Err(Error::LeaseNotFound);
        }
        let mut writer = Writer::new(self);
        let response = writer.put(request)?;
        Ok((response, writer.finish()))
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// What [`DeleteRangeRequest::check`] gives; the state is unchanged then.
    pub fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<(DeleteRangeResponse, Option<Effect>), Error> {
        request.check()?;
        let mut writer = Writer::new(self);
        let response = writer.delete_range(request);
        Ok((response, writer.finish()))
    }

    /// Adds a version of a key at a revision that is not closed yet. The lease must be known.
    pub(crate) fn put_version(
        &mut self,
        (revision, sub): (i64, u32),
        key: &Bytes,
        value: &Bytes,
        lease: i64,
    ) {
        let version = |old: Option<&Arc<KeyValue>>| {
            Arc::new(KeyValue {
                key: key.clone(),
                value: value.clone(),
                create_revision: old.map_or(revision, |old| old.create_revision),
                mod_revision: revision,
                version: old.map_or(1, |old| old.version + 1),
                lease,
            })
        };
        let pushed = self.keys.edit(key, |record| {
            let kv = version(record.now());
            let old_lease = record.now().map_or(0, |old| old.lease);
            let creates = kv.create_revision == revision;
            let prev_kv = record.at(revision - 1).filter(|_| !creates).cloned();
            record.push(Arc::clone(&kv), sub);
            (kv, prev_kv, old_lease)
        });
        let (kv, prev_kv, old_lease) = pushed.unwrap_or_else(|| {
            let kv = version(None);
            self.keys.insert(Record::new(Arc::clone(&kv), sub));
            (kv, None, 0)
        });
        if old_lease != 0 && old_lease != lease {
            self.leases.detach(old_lease, key);
        }
        if lease != 0 {
            self.leases.attach(lease, key);
        }
        self.size += cost(&kv);
        self.history.push(Event { kind: EventKind::Put, kv, prev_kv });
    }

    /// Adds a deletion of a key at a revision that is not closed yet; false if the key is not there.
    pub(crate) fn delete_version(&mut self, revision: i64, sub: u32, key: &[u8]) -> bool {
        let pushed = self.keys.edit(key, |record| {
            let old = Arc::clone(record.now()?);
            let kv = Arc::new(KeyValue {
                key: old.key.clone(),
                value: Bytes::new(),
                create_revision: 0,
                mod_revision: revision,
                version: 0,
                lease: 0,
            });
            let prev_kv = record.at(revision - 1).cloned();
            record.push(Arc::clone(&kv), sub);
            Some((kv, prev_kv, old.lease))
        });
        let Some((kv, prev_kv, old_lease)) = pushed.flatten() else { return false };
        if old_lease != 0 {
            self.leases.detach(old_lease, key);
        }
        self.size += cost(&kv);
        self.history.push(Event { kind: EventKind::Delete, kv, prev_kv });
        true
    }

    /// Ends the revision that was written to: it is the newest now.
    pub(crate) fn close(&mut self, revision: i64) {
        self.history.close();
        self.revision = revision;
    }
}

/// A revision that is being written.
pub(crate) struct Writer<'a> {
    pub(crate) state: &'a mut State,
    revision: i64,
    changes: Vec<Change>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(state: &'a mut State) -> Writer<'a> {
        Writer { revision: state.revision + 1, state, changes: Vec::new() }
    }

    /// The revision as its own reads see it: the new one, once something is written.
    pub(crate) fn current(&self) -> i64 {
        if self.changes.is_empty() { self.state.revision } else { self.revision }
    }

    fn sub(&self) -> u32 {
        u32::try_from(self.changes.len()).expect("a revision's changes fit into memory")
    }

    /// Writes a key. Fails before it writes, only if it is to keep what is not there.
    pub(crate) fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Error> {
        let keeps = request.ignore_value || request.ignore_lease;
        let old = if keeps || request.prev_kv {
            self.state.keys.get(&request.key).and_then(Record::now).cloned()
        } else {
            None
        };
        if keeps && old.is_none() {
            return Err(Error::KeyNotFound);
        }
        let (key, value) = match &old {
            Some(old) if request.ignore_value => (old.key.clone(), old.value.clone()),
            _ => pair(&request.key, &request.value),
        };
        let lease = match &old {
            Some(old) if request.ignore_lease => old.lease,
            _ => request.lease,
        };
        self.state.put_version((self.revision, self.sub()), &key, &value, lease);
        self.changes.push(Change::Put { key, value, lease });
        Ok(PutResponse { prev_kv: old.filter(|_| request.prev_kv) })
    }

    /// Deletes what is there of a range.
    pub(crate) fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let found = self.state.live(&request.keys);
        for kv in &found {
            self.state.delete_version(self.revision, self.sub(), &kv.key);
            self.changes.push(Change::Delete { key: kv.key.clone() });
        }
        let deleted = i64::try_from(found.len()).unwrap_or(i64::MAX);
        DeleteRangeResponse { deleted, prev_kvs: if request.prev_kv { found } else { Vec::new() } }
    }

    /// Closes the revision, if there is one.
    pub(crate) fn finish(self) -> Option<Effect> {
        if self.changes.is_empty() {
            return None;
        }
        self.state.close(self.revision);
        Some(Effect::Write { revision: self.revision, changes: self.changes })
    }
}
