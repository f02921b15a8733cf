//! The store as naively as can be: a list of all changes that ever were, which every question walks.
//! Nothing is ever taken off the list; compaction is a number.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// One change, in the order of revisions.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) main: i64,
    pub(super) sub: i64,
    pub(super) kv: KeyValue,
}

impl Entry {
    fn is_delete(&self) -> bool {
        self.kv.version == 0
    }
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) log: Vec<Entry>,
    pub(super) leases: BTreeMap<i64, i64>,
    pub(super) revision: i64,
    pub(super) compacted: i64,
}

impl Model {
    pub(super) fn new() -> Model {
        Model { log: Vec::new(), leases: BTreeMap::new(), revision: 1, compacted: -1 }
    }

    /// The last change of a key up to a revision.
    fn last(&self, key: &[u8], revision: i64) -> Option<&Entry> {
        self.log.iter().rfind(|entry| entry.kv.key == key && entry.main <= revision)
    }

    fn get(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        self.last(key, revision).filter(|entry| !entry.is_delete()).map(|entry| entry.kv.clone())
    }

    fn all(&self, range: &KeyRange, revision: i64) -> Vec<KeyValue> {
        let keys: BTreeSet<&Bytes> = self.log.iter().map(|entry| &entry.kv.key).collect();
        let within = |key: &&&Bytes| {
            let (key, from, end) = (&key[..], &range.key[..], &range.end[..]);
            match end {
                [] => key == from,
                [0] => key >= from,
                _ => key >= from && key < end,
            }
        };
        keys.iter().filter(within).filter_map(|key| self.get(key, revision)).collect()
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.range_while(request, self.revision)
    }

    fn range_while(&self, r: &RangeRequest, current: i64) -> Result<RangeResponse, Error> {
        if r.revision > current {
            return Err(Error::FutureRevision);
        }
        if r.revision > 0 && r.revision < self.compacted {
            return Err(Error::Compacted);
        }
        let revision = if r.revision > 0 { r.revision } else { current };
        let mut kvs = self.all(&r.keys, revision);
        let count = kvs.len() as i64;
        if r.count_only {
            kvs.clear();
        }
        let bounds =
            [r.min_mod_revision, r.max_mod_revision, r.min_create_revision, r.max_create_revision];
        if r.sort_order == SortOrder::None && bounds == [0; 4] && r.limit > 0 {
            kvs.truncate(usize::try_from(r.limit + 1).unwrap());
        }
        let [min_mod, max_mod, min_create, max_create] = bounds;
        kvs.retain(|kv| max_mod == 0 || kv.mod_revision <= max_mod);
        kvs.retain(|kv| min_mod == 0 || kv.mod_revision >= min_mod);
        kvs.retain(|kv| max_create == 0 || kv.create_revision <= max_create);
        kvs.retain(|kv| min_create == 0 || kv.create_revision >= min_create);
        let number = |kv: &KeyValue| match r.sort_target {
            SortTarget::Version => kv.version,
            SortTarget::Create => kv.create_revision,
            SortTarget::Mod => kv.mod_revision,
            SortTarget::Key | SortTarget::Value => 0,
        };
        let text = |kv: &KeyValue| match r.sort_target {
            SortTarget::Key => kv.key.clone(),
            SortTarget::Value => kv.value.clone(),
            _ => Bytes::new(),
        };
        kvs.sort_by_key(|kv| (number(kv), text(kv), kv.key.clone()));
        if r.sort_order == SortOrder::Descend {
            kvs.sort_by_key(|kv| std::cmp::Reverse((number(kv), text(kv))));
        }
        let more = r.limit > 0 && kvs.len() > usize::try_from(r.limit).unwrap();
        if more {
            kvs.truncate(usize::try_from(r.limit).unwrap());
        }
        let kvs = kvs.into_iter().map(Into::into).collect();
        Ok(RangeResponse { kvs, keys_only: r.keys_only, more, count })
    }

    fn write(&mut self, main: i64, mut kv: KeyValue) {
        let sub = self.log.iter().filter(|entry| entry.main == main).count() as i64;
        kv.mod_revision = main;
        self.log.push(Entry { main, sub, kv });
    }

    fn put_at(&mut self, main: i64, r: &PutRequest) -> Result<PutResponse, Error> {
        let old = self.get(&r.key, main);
        if (r.ignore_value || r.ignore_lease) && old.is_none() {
            return Err(Error::KeyNotFound);
        }
        let mut kv = KeyValue {
            key: r.key.clone(),
            value: r.value.clone(),
            create_revision: main,
            mod_revision: main,
            version: 1,
            lease: r.lease,
        };
        if let Some(old) = &old {
            kv.create_revision = old.create_revision;
            kv.version = old.version + 1;
            if r.ignore_value {
                kv.value = old.value.clone();
            }
            if r.ignore_lease {
                kv.lease = old.lease;
            }
        }
        self.write(main, kv);
        Ok(PutResponse { prev_kv: old.filter(|_| r.prev_kv).map(Into::into) })
    }

    fn delete_at(&mut self, main: i64, r: &DeleteRangeRequest) -> DeleteRangeResponse {
        let found = self.all(&r.keys, main);
        for kv in &found {
            let none = KeyValue {
                key: kv.key.clone(),
                value: Bytes::new(),
                create_revision: 0,
                mod_revision: 0,
                version: 0,
                lease: 0,
            };
            self.write(main, none);
        }
        let deleted = found.len() as i64;
        let prev_kvs = if r.prev_kv { found } else { Vec::new() };
        DeleteRangeResponse { deleted, prev_kvs: prev_kvs.into_iter().map(Into::into).collect() }
    }

    /// Closes the revision if anything was written to it.
    fn close(&mut self) {
        self.revision = self.log.last().map_or(1, |entry| entry.main).max(self.revision);
    }

    pub(super) fn put(&mut self, r: &PutRequest) -> Result<PutResponse, Error> {
        if r.lease != 0 && !self.leases.contains_key(&r.lease) {
            return Err(Error::LeaseNotFound);
        }
        let response = self.put_at(self.revision + 1, r)?;
        self.close();
        Ok(response)
    }

    pub(super) fn delete_range(&mut self, r: &DeleteRangeRequest) -> DeleteRangeResponse {
        let response = self.delete_at(self.revision + 1, r);
        self.close();
        response
    }

    pub(super) fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        let before = self.clone();
        let mut steps = Vec::new();
        before.steps(request, &mut steps);
        for put in
            steps.iter().filter_map(|op| if let RequestOp::Put(p) = op { Some(p) } else { None })
        {
            if (put.ignore_value || put.ignore_lease) && before.get(&put.key, i64::MAX).is_none() {
                return Err(Error::KeyNotFound);
            }
            if put.lease != 0 && !self.leases.contains_key(&put.lease) {
                return Err(Error::LeaseNotFound);
            }
        }
        for r in
            steps.iter().filter_map(|op| if let RequestOp::Range(r) = op { Some(r) } else { None })
        {
            if r.revision > before.revision {
                return Err(Error::FutureRevision);
            }
            if r.revision != 0 && r.revision < before.compacted {
                return Err(Error::Compacted);
            }
        }
        let response = self.run(request, &before);
        if response.is_err() {
            *self = before;
        }
        self.close();
        response
    }

    /// The steps that will be done, all nested ones among them.
    fn steps<'a>(&self, request: &'a TxnRequest, steps: &mut Vec<&'a RequestOp>) {
        let ops = if self.meets(request) { &request.success } else { &request.failure };
        for op in ops {
            match op {
                RequestOp::Txn(nested) => self.steps(nested, steps),
                op => steps.push(op),
            }
        }
    }

    fn meets(&self, request: &TxnRequest) -> bool {
        request.compare.iter().all(|compare| {
            let found = self.all(&compare.keys, i64::MAX);
            let holds = |order: std::cmp::Ordering| match compare.result {
                CompareResult::Equal => order.is_eq(),
                CompareResult::NotEqual => order.is_ne(),
                CompareResult::Greater => order.is_gt(),
                CompareResult::Less => order.is_lt(),
            };
            let one = |kv: Option<&KeyValue>| {
                let number = |of: fn(&KeyValue) -> i64, n: i64| holds(kv.map_or(0, of).cmp(&n));
                match &compare.target {
                    CompareTarget::Version(n) => number(|kv| kv.version, *n),
                    CompareTarget::Create(n) => number(|kv| kv.create_revision, *n),
                    CompareTarget::Mod(n) => number(|kv| kv.mod_revision, *n),
                    CompareTarget::Lease(n) => number(|kv| kv.lease, *n),
                    CompareTarget::Value(v) => kv.is_some_and(|kv| holds(kv.value.cmp(v))),
                }
            };
            if found.is_empty() { one(None) } else { found.iter().all(|kv| one(Some(kv))) }
        })
    }

    fn run(&mut self, request: &TxnRequest, before: &Model) -> Result<TxnResponse, Error> {
        let succeeded = before.meets(request);
        let (main, count) = (before.revision + 1, before.log.len());
        let mut responses = Vec::new();
        for op in if succeeded { &request.success } else { &request.failure } {
            let response = match op {
                RequestOp::Put(put) => ResponseOp::Put(main, self.put_at(main, put)?),
                RequestOp::DeleteRange(delete) => {
                    let response = self.delete_at(main, delete);
                    let revision = main - i64::from(self.log.len() == count);
                    ResponseOp::DeleteRange(revision, response)
                }
                RequestOp::Range(range) => {
                    let current = main - i64::from(self.log.len() == count);
                    ResponseOp::Range(current, self.range_while(range, current)?)
                }
                RequestOp::Txn(nested) => ResponseOp::Txn(0, self.run(nested, before)?),
            };
            responses.push(response);
        }
        Ok(TxnResponse { succeeded, responses })
    }

    pub(super) fn compact(&mut self, revision: i64) -> Result<(), Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }

    pub(super) fn grant(&mut self, id: i64, ttl: i64) -> Result<(), Error> {
        if id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if ttl > MAX_LEASE_TTL {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        self.leases.insert(id, ttl);
        Ok(())
    }

    pub(super) fn revoke(&mut self, id: i64) -> Result<(), Error> {
        self.leases.remove(&id).ok_or(Error::LeaseNotFound)?;
        let main = self.revision + 1;
        for key in self.attached(id) {
            self.delete_at(
                main,
                &DeleteRangeRequest { keys: KeyRange::single(key), prev_kv: false },
            );
        }
        self.close();
        Ok(())
    }

    pub(super) fn attached(&self, id: i64) -> Vec<Bytes> {
        let everything = self.all(&keys("\0.."), i64::MAX);
        everything.into_iter().filter(|kv| kv.lease == id).map(|kv| kv.key).collect()
    }

    /// What a watch from `from` on is told, unless that is compacted.
    pub(super) fn events(&self, from: i64, to: i64, range: &KeyRange) -> Result<Vec<Event>, Error> {
        if from < self.compacted {
            return Err(Error::Compacted);
        }
        let held = self.log.iter().filter(|entry| entry.main >= from && entry.main < to);
        let held = held.filter(|entry| self.is_held(entry) && range.contains(&entry.kv.key));
        let event = |entry: &Entry| {
            let (kv, prev) = (&entry.kv, entry.main - 1);
            let tells = prev >= self.compacted
                && (entry.is_delete() || kv.create_revision != kv.mod_revision);
            Event {
                kind: if entry.is_delete() { EventKind::Delete } else { EventKind::Put },
                kv: kv.clone().into(),
                prev_kv: self.get(&kv.key, prev).filter(|_| tells).map(Into::into),
            }
        };
        Ok(held.map(event).collect())
    }

    /// Whether a fully swept store still has it.
    fn is_held(&self, entry: &Entry) -> bool {
        if entry.main > self.compacted {
            return true;
        }
        let last = self.last(&entry.kv.key, self.compacted).unwrap();
        (last.main, last.sub) == (entry.main, entry.sub)
            && (!entry.is_delete() || entry.main == self.compacted)
    }

    pub(super) fn items(&self) -> Vec<Item> {
        let held: Vec<&Entry> = self.log.iter().filter(|entry| self.is_held(entry)).collect();
        let head = Item::Head {
            revision: self.revision,
            compacted: self.compacted,
            leases: self.leases.len() as u64,
            versions: held.len() as u64,
        };
        let leases = self.leases.iter().map(|(&id, &ttl)| Item::Lease { id, ttl });
        let versions = held.into_iter().map(|entry| Item::Version {
            sub: entry.sub,
            kind: if entry.is_delete() { EventKind::Delete } else { EventKind::Put },
            kv: entry.kv.clone().into(),
        });
        std::iter::once(head).chain(leases).chain(versions).collect()
    }
}
