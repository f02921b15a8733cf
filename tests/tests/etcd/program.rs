//! Random programs of operations. Start at [`program`]; [`Op`] is one step.
//!
//! A program is a pure function of its seed. Revisions in it are wishes relative to where the store
//! will be ([`HEAD`], [`COMPACTED`]), so that a piece of a program still means something when it is
//! cut out: that is what shrinking lives on. [`Knowledge::settle`] makes requests of wishes.

use bytes::Bytes;
use tests::chance::Chance;
use tests::wire::etcdserverpb as pb;

use crate::faults::Fault;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request;

/// Stands for the newest revision; a little above or below it for the revisions around.
pub(crate) const HEAD: i64 = 1 << 40;

/// Stands for the compaction revision, likewise.
pub(crate) const COMPACTED: i64 = 1 << 41;

/// How far around [`HEAD`] and [`COMPACTED`] a wish still is one.
const REACH: i64 = 1 << 30;

/// Watch streams of a client. The last one has no watch that starts in the past.
pub(crate) const STREAMS: usize = 3;

/// Leases that the programs grant; far from expiring while a test runs.
const LEASES: [i64; 6] = [1, 2, 3, 77, 0x7fff_ffff, i64::MAX];

/// Few keys, so that operations meet; with the bytes that ranges stumble on.
const KEYS: [&[u8]; 20] = [
    b"a",
    b"a\0",
    b"a/",
    b"a/1",
    b"a/2",
    b"a/3",
    b"a0",
    b"aa",
    b"b",
    b"b\xff",
    b"b\xff\xff",
    b"c",
    b"k1",
    b"k2",
    b"k3",
    b"\0",
    b"\0\0",
    b"\xfe",
    b"\xff",
    b"\xff\xff",
];

/// Few values, so that comparisons meet too.
const VALUES: [&[u8]; 6] = [b"", b"0", b"1", b"10", b"\0", b"\xff\xfe"];

/// One step of a program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    /// Grants, asks and revokes again before it can expire; with id 0 the store chooses one.
    GrantBriefly(pb::LeaseGrantRequest),
    Revoke(i64),
    KeepAlive(i64),
    TimeToLive(pb::LeaseTimeToLiveRequest),
    Leases,
    HashKv(i64),
    /// On which stream, and what.
    Watch(usize, pb::WatchCreateRequest),
    /// On which stream, the how-manieth of its watches, and how many from there on.
    Cancel(usize, usize, usize),
    /// Every watch has told everything.
    Settle,
    /// Both servers end, well or, where that is fair, by SIGKILL, and start again.
    Restart {
        killed: bool,
    },
    /// Something happens to a room; where there is only one server, nothing.
    Fault(Fault),
}

impl Op {
    /// Whether it leaves the store as it is and does not mind what runs beside it.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self, Op::Range(_) | Op::TimeToLive(_) | Op::Leases | Op::HashKv(_))
    }

    /// Whether the watches must have told everything before it: it decides what a watch that lags
    /// still tells.
    pub(crate) fn needs_quiet(&self) -> bool {
        match self {
            Op::Fault(fault) => fault.ends_streams(),
            Op::Compact(_) | Op::Cancel(..) | Op::Settle | Op::Restart { .. } => true,
            _ => false,
        }
    }

    /// Whether one of two rooms answers from what it has, which may be less than the other one has.
    pub(crate) fn is_local(&self) -> bool {
        let serializable = |step: &pb::RequestOp| match &step.request {
            Some(Request::RequestRange(range)) => range.serializable,
            _ => false,
        };
        match self {
            Op::Range(range) => range.serializable,
            Op::Txn(txn) => txn.success.iter().chain(&txn.failure).all(serializable),
            Op::HashKv(_) | Op::Leases | Op::Watch(..) => true,
            _ => false,
        }
    }
}

/// What the program knows of the store when a step begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Knowledge {
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
}

impl Knowledge {
    /// The request that is meant.
    pub(crate) fn settle(self, op: &Op) -> Op {
        let mut op = op.clone();
        match &mut op {
            Op::Range(range) => self.range(range),
            Op::Txn(txn) => self.txn(txn),
            Op::Compact(compact) => compact.revision = self.compactable(compact.revision),
            Op::HashKv(revision) => *revision = self.checkable(*revision),
            // A negative start is no wish that a client has.
            Op::Watch(_, watch) => watch.start_revision = self.real(watch.start_revision).max(0),
            _ => {}
        }
        op
    }

    fn real(self, wish: i64) -> i64 {
        if (wish - HEAD).abs() < REACH {
            self.revision + (wish - HEAD)
        } else if (wish - COMPACTED).abs() < REACH {
            self.compacted + (wish - COMPACTED)
        } else {
            wish
        }
    }

    /// For what lies at a compaction or before, etcd answers with the checksum that it took while it
    /// compacted, as long as it has not been started again (v3.5 `mvcc/hash.go`, `HashByRev`).
    fn checkable(self, wish: i64) -> i64 {
        let revision = self.real(wish);
        if revision <= self.compacted { 0 } else { revision }
    }

    /// Never 0: etcd then takes the checksum of an empty store for that of revision 0, by which a
    /// client means the newest, until it is started again (v3.5 `mvcc/hash.go`, `HashByRev`).
    fn compactable(self, wish: i64) -> i64 {
        let revision = self.real(wish);
        if revision == 0 { -1 } else { revision }
    }

    fn range(self, range: &mut pb::RangeRequest) {
        for wish in [
            &mut range.revision,
            &mut range.min_mod_revision,
            &mut range.max_mod_revision,
            &mut range.min_create_revision,
            &mut range.max_create_revision,
        ] {
            *wish = self.real(*wish);
        }
    }

    fn txn(self, txn: &mut pb::TxnRequest) {
        for compare in &mut txn.compare {
            if let Some(
                TargetUnion::CreateRevision(wish)
                | TargetUnion::ModRevision(wish)
                | TargetUnion::Version(wish),
            ) = &mut compare.target_union
            {
                *wish = self.real(*wish);
            }
        }
        for step in txn.success.iter_mut().chain(&mut txn.failure) {
            match &mut step.request {
                Some(Request::RequestRange(range)) => self.range(range),
                Some(Request::RequestTxn(txn)) => self.txn(txn),
                _ => {}
            }
        }
    }
}

/// The program of this seed, with so many steps.
pub(crate) fn program(seed: u64, steps: usize) -> Vec<Op> {
    let mut maker = Maker(Chance::new(seed));
    (0..steps).map(|_| maker.op()).collect()
}

struct Maker(Chance);

#[allow(clippy::match_overlapping_arm, reason = "the bounds rise from arm to arm")]
impl Maker {
    fn op(&mut self) -> Op {
        match self.0.below(10_000) {
            0..3100 => Op::Range(self.range()),
            ..6000 => Op::Put(self.put()),
            ..6700 => Op::Delete(self.delete()),
            ..8600 => Op::Txn(self.txn(0)),
            ..8625 => self.compact(),
            ..8800 => Op::Grant(self.grant()),
            ..8830 => self.grant_briefly(),
            ..8900 => Op::Revoke(self.lease()),
            ..9050 => Op::KeepAlive(self.lease()),
            ..9250 => {
                let (id, keys) = (self.lease(), self.0.percent(70));
                Op::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys })
            }
            ..9300 => Op::Leases,
            ..9400 => Op::HashKv(self.revision()),
            ..9700 => self.watch(),
            // As many go as come: a watch more is an event more to compare.
            ..9750 => Op::Cancel(self.0.below(STREAMS), self.0.below(100), 1 + self.0.below(12)),
            ..9770 => Op::Settle,
            ..9998 => Op::Put(self.put()),
            _ => Op::Restart { killed: self.0.percent(60) },
        }
    }

    fn key(&mut self) -> Bytes {
        Bytes::from_static(self.0.pick(&KEYS))
    }

    /// A key, or rarely what is none.
    fn key_or_none(&mut self) -> Bytes {
        if self.0.below(150) == 0 { Bytes::new() } else { self.key() }
    }

    /// The end of a range that begins with `key`; mostly none. Not below `key`: etcd 3.5 keeps such a
    /// deletion in an interval tree that does not expect it.
    fn end(&mut self, key: &Bytes, one_key: usize) -> Bytes {
        if self.0.percent(one_key) {
            return Bytes::new();
        }
        match self.0.below(10) {
            0 => Bytes::from_static(b"\0"),
            1 => key.clone(),
            2..=4 => after_prefix(key),
            _ => self.key().max(key.clone()),
        }
    }

    fn value(&mut self) -> Bytes {
        match self.0.below(100) {
            0 => Bytes::from(vec![b'x'; self.0.below(20_000)]),
            1..=9 => Bytes::from(self.0.number().to_string()),
            _ => Bytes::from_static(self.0.pick(&VALUES)),
        }
    }

    fn lease(&mut self) -> i64 {
        match self.0.below(20) {
            0 => 0,
            1 => -1,
            _ => self.0.pick(&LEASES),
        }
    }

    /// A revision to read at.
    fn revision(&mut self) -> i64 {
        match self.0.below(100) {
            0..45 => 0,
            ..70 => HEAD - self.0.between(0, 30),
            ..80 => HEAD - self.0.between(0, 2000),
            ..92 => COMPACTED + self.0.between(-2, 3),
            ..96 => HEAD + self.0.between(1, 4),
            ..98 => -1,
            _ => 1,
        }
    }

    /// A bound on a revision; mostly none.
    fn bound(&mut self) -> i64 {
        match self.0.below(100) {
            0..4 => HEAD - self.0.between(0, 20),
            ..7 => HEAD - self.0.between(0, 400),
            7 => self.0.pick(&[-1, 1, i64::MAX]),
            _ => 0,
        }
    }

    fn range(&mut self) -> pb::RangeRequest {
        let key = self.key_or_none();
        let range_end = self.end(&key, 30);
        let sorted = self.0.percent(40);
        pb::RangeRequest {
            range_end,
            key,
            limit: self.0.pick(&[0, 0, 0, 0, 0, 1, 1, 2, 3, 5, 12, 1000, -1]),
            revision: self.revision(),
            sort_order: if sorted { self.0.pick(&[1, 2]) } else { 0 },
            sort_target: if sorted || self.0.percent(5) {
                self.0.pick(&[0, 1, 2, 3, 4])
            } else {
                0
            },
            serializable: self.0.percent(20),
            keys_only: self.0.percent(12),
            count_only: self.0.percent(10),
            min_mod_revision: self.bound(),
            max_mod_revision: self.bound(),
            min_create_revision: self.bound(),
            max_create_revision: self.bound(),
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        let ignore_value = self.0.percent(6);
        let ignore_lease = self.0.percent(6);
        // Now and then also what must be refused: a value that is to be ignored.
        let value = if ignore_value && self.0.percent(90) { Bytes::new() } else { self.value() };
        let lease = if ignore_lease && self.0.percent(90) { 0 } else { self.lease_of_put() };
        let (key, prev_kv) = (self.key_or_none(), self.0.percent(30));
        pb::PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease }
    }

    fn lease_of_put(&mut self) -> i64 {
        if self.0.percent(75) { 0 } else { self.lease() }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let key = self.key_or_none();
        let range_end = self.end(&key, 75);
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.0.percent(40) }
    }

    fn compare(&mut self) -> pb::Compare {
        let key = self.key_or_none();
        let range_end = self.end(&key, 85);
        let revision = match self.0.below(4) {
            0 => 0,
            1 => HEAD,
            _ => HEAD - self.0.between(0, 40),
        };
        let (target, union) = match self.0.below(5) {
            0 => (CompareTarget::Version, TargetUnion::Version(self.0.between(0, 4))),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(revision)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(revision)),
            3 => (CompareTarget::Value, TargetUnion::Value(self.value())),
            _ => (CompareTarget::Lease, TargetUnion::Lease(self.lease())),
        };
        // A target without its value, or with another's.
        let union = if self.0.below(100) == 0 { None } else { Some(union) };
        let target = if self.0.below(100) == 0 { CompareTarget::Mod } else { target };
        let results = [
            CompareResult::Equal,
            CompareResult::Greater,
            CompareResult::Less,
            CompareResult::NotEqual,
        ];
        pb::Compare {
            result: self.0.pick(&results).into(),
            target: target.into(),
            key,
            range_end,
            target_union: union,
        }
    }

    fn txn(&mut self, depth: usize) -> pb::TxnRequest {
        let compare = (0..self.0.pick(&[0, 1, 1, 1, 2, 3])).map(|_| self.compare()).collect();
        let careful = self.0.percent(85);
        if depth == 0 && self.0.below(300) == 0 {
            // A step without anything in it. Alone: which of two flaws is named is not worth a test.
            let success = vec![pb::RequestOp { request: None }];
            return pb::TxnRequest { success, ..Default::default() };
        }
        let success = self.steps(depth, careful);
        let failure = self.steps(depth, careful);
        pb::TxnRequest { compare, success, failure }
    }

    /// The steps of a branch; a careful one puts no key twice, which would be refused.
    fn steps(&mut self, depth: usize, careful: bool) -> Vec<pb::RequestOp> {
        let mut written: Vec<Bytes> = Vec::new();
        let count = match self.0.below(400) {
            0 => 127 + self.0.below(3), // around the most that is allowed
            _ => self.0.below(4),
        };
        let mut steps = Vec::new();
        for _ in 0..count {
            let request = match self.0.below(100) {
                0..35 => Request::RequestRange(self.range()),
                ..75 => {
                    let put = self.put();
                    if careful && (written.contains(&put.key) || put.key.is_empty()) {
                        continue;
                    }
                    written.push(put.key.clone());
                    Request::RequestPut(put)
                }
                ..90 => {
                    let delete = self.delete();
                    if careful && !(written.is_empty() && delete.range_end.is_empty()) {
                        continue;
                    }
                    written.push(delete.key.clone());
                    Request::RequestDeleteRange(delete)
                }
                _ if depth < 2 => Request::RequestTxn(self.txn(depth + 1)),
                _ => continue,
            };
            steps.push(pb::RequestOp { request: Some(request) });
        }
        steps
    }

    fn compact(&mut self) -> Op {
        let revision = match self.0.below(10) {
            0 => HEAD + self.0.between(0, 3),
            1 => COMPACTED + self.0.between(-1, 2),
            2 => self.0.pick(&[0, -1]),
            3..=5 => HEAD - self.0.between(0, 10),
            _ => HEAD - self.0.between(10, 1000),
        };
        Op::Compact(pb::CompactionRequest { revision, physical: self.0.percent(50) })
    }

    fn grant(&mut self) -> pb::LeaseGrantRequest {
        let ttl = match self.0.below(20) {
            0 => 9_000_000_001, // above the most that is allowed
            1 => 9_000_000_000,
            _ => self.0.between(10_000, 20_000),
        };
        pb::LeaseGrantRequest { ttl, id: self.0.pick(&LEASES) }
    }

    fn grant_briefly(&mut self) -> Op {
        let id = if self.0.percent(70) { 0 } else { 99 };
        let ttl = self.0.pick(&[0, -1, 1, 2, 60, 9_000_000_001]);
        Op::GrantBriefly(pb::LeaseGrantRequest { ttl, id })
    }

    fn watch(&mut self) -> Op {
        let stream = self.0.below(STREAMS);
        let key = if self.0.below(50) == 0 { Bytes::new() } else { self.key() };
        // Here, and in ranges, an end below the key is fine.
        let range_end = match self.0.below(8) {
            0 => self.key(),
            1 if key.is_empty() => Bytes::from_static(b"\0"),
            _ => self.end(&key, 40),
        };
        let start_revision = match self.0.below(10) {
            0..4 => 0,
            _ if stream == STREAMS - 1 => HEAD + self.0.between(1, 60),
            4..=7 => HEAD - self.0.between(-1, 60),
            8 => HEAD - self.0.between(0, 2000),
            _ => COMPACTED + self.0.between(-2, 3),
        };
        let filters = [vec![], vec![], vec![], vec![], vec![0], vec![1], vec![0, 1], vec![1, 1]];
        Op::Watch(
            stream,
            pb::WatchCreateRequest {
                key,
                range_end,
                start_revision,
                progress_notify: self.0.percent(10),
                filters: self.0.pick(&filters),
                prev_kv: self.0.percent(50),
                watch_id: if self.0.percent(60) { 0 } else { self.0.between(1, 40) },
                fragment: self.0.percent(20),
            },
        )
    }
}

/// The first key that does not begin with `prefix`; for a prefix of 255s, the end of everything.
fn after_prefix(prefix: &[u8]) -> Bytes {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff);
    kept.map_or(Bytes::from_static(b"\0"), |at| {
        let mut end = prefix[..=at].to_vec();
        end[at] += 1;
        Bytes::from(end)
    })
}

#[test]
fn a_program_is_a_function_of_its_seed() {
    assert_eq!(program(3, 500), program(3, 500));
    assert_ne!(program(3, 500), program(4, 500));
}

#[test]
fn wishes_become_revisions() {
    let knowledge = Knowledge { revision: 100, compacted: 40 };
    let settled = |wish| knowledge.settle(&Op::HashKv(wish));
    assert_eq!(settled(HEAD - 3), Op::HashKv(97));
    assert_eq!(settled(COMPACTED + 1), Op::HashKv(41));
    assert_eq!(settled(77), Op::HashKv(77));
    assert_eq!(settled(7), Op::HashKv(0));
    let compact = |revision| Op::Compact(pb::CompactionRequest { revision, physical: true });
    assert_eq!(knowledge.settle(&compact(HEAD - 1)), compact(99));
    assert_eq!(Knowledge::default().settle(&compact(HEAD)), compact(-1));
}
