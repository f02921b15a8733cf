//! Random programs, step by step against the naive model; and what must hold after each of them:
//! replayed effects and rebuilt checkpoints give the same state, and snapshots stay as they were.

use proptest::prelude::*;
use proptest::sample::select;

use super::model::Model;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    /// So many hundredths of the way from the compaction revision to the newest, and a bit beyond.
    Compact(i64),
    Sweep(usize),
    Grant(i64),
    Revoke(i64),
    Range(RangeRequest, i64),
    Watch(KeyRange, i64, i64),
    Snapshot,
    /// Puts many keys, at so many revisions, so that trees and history have several levels.
    Fill(u8, u8),
}

fn key() -> impl Strategy<Value = Bytes> {
    // Few, so that programs meet them again.
    select(&["a", "aa", "ab", "b", "c", "c\0", "cc", "d", "e", "f"][..]).prop_map(Bytes::from)
}

fn key_range() -> impl Strategy<Value = KeyRange> {
    let end = prop_oneof![Just(Bytes::from_static(b"\0")), key()];
    prop_oneof![
        2 => key().prop_map(KeyRange::single),
        2 => (key(), end).prop_map(|(key, end)| KeyRange { key, end }),
        1 => Just(keys("\0..")),
    ]
}

fn lease() -> impl Strategy<Value = i64> {
    select(&[1, 2, 3, -4][..])
}

fn put_request() -> impl Strategy<Value = PutRequest> {
    let lease = prop_oneof![3 => Just(0), 1 => lease()];
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (key(), select(&["", "x", "y", "zz"][..]), lease, flags).prop_map(
        |(key, value, lease, (prev_kv, ignore_value, ignore_lease))| PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { value.into() },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete_request() -> impl Strategy<Value = DeleteRangeRequest> {
    (key_range(), any::<bool>()).prop_map(|(keys, prev_kv)| DeleteRangeRequest { keys, prev_kv })
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    let order = select(&[SortOrder::None, SortOrder::Ascend, SortOrder::Descend][..]);
    let target = select(
        &[
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ][..],
    );
    let bound = || prop_oneof![6 => Just(0_i64), 1 => 1..40_i64];
    let bounds = (bound(), bound(), bound(), bound());
    let flags = (prop::bool::weighted(0.1), prop::bool::weighted(0.2));
    (key_range(), 0..5_i64, prop_oneof![Just(0), -1..40_i64], order, target, bounds, flags)
        .prop_map(
            |(keys, limit, revision, sort_order, sort_target, bounds, (keys_only, count_only))| {
                RangeRequest {
                    keys,
                    limit,
                    revision,
                    sort_order,
                    sort_target,
                    keys_only,
                    count_only,
                    min_mod_revision: bounds.0,
                    max_mod_revision: bounds.1,
                    min_create_revision: bounds.2,
                    max_create_revision: bounds.3,
                }
            },
        )
}

fn compare() -> impl Strategy<Value = Compare> {
    let number = || 0..6_i64;
    let target = prop_oneof![
        number().prop_map(CompareTarget::Version),
        (0..40_i64).prop_map(CompareTarget::Create),
        (0..40_i64).prop_map(CompareTarget::Mod),
        select(&["", "x", "y"][..]).prop_map(|value| CompareTarget::Value(value.into())),
        number().prop_map(CompareTarget::Lease),
    ];
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let result = select(&[Equal, Greater, Less, NotEqual][..]);
    (key_range(), result, target).prop_map(|(keys, result, target)| Compare {
        keys,
        result,
        target,
    })
}

fn txn_request(op: impl Strategy<Value = RequestOp> + Clone) -> impl Strategy<Value = TxnRequest> {
    let ops = proptest::collection::vec(op, 0..4);
    (proptest::collection::vec(compare(), 0..3), ops.clone(), ops)
        .prop_map(|(compare, success, failure)| TxnRequest { compare, success, failure })
}

fn op() -> impl Strategy<Value = RequestOp> {
    let plain = prop_oneof![
        3 => put_request().prop_map(RequestOp::Put),
        1 => delete_request().prop_map(RequestOp::DeleteRange),
        1 => range_request().prop_map(RequestOp::Range),
    ];
    let leaf = plain.boxed();
    leaf.clone().prop_recursive(2, 12, 4, move |inner| {
        prop_oneof![3 => leaf.clone(), 1 => txn_request(inner).prop_map(RequestOp::Txn)]
    })
}

fn step() -> impl Strategy<Value = Step> {
    let hundredth = || -10..120_i64;
    prop_oneof![
        6 => put_request().prop_map(Step::Put),
        2 => delete_request().prop_map(Step::Delete),
        5 => txn_request(op().boxed()).prop_map(Step::Txn),
        1 => hundredth().prop_map(Step::Compact),
        2 => (0..6_usize).prop_map(Step::Sweep),
        2 => lease().prop_map(Step::Grant),
        1 => lease().prop_map(Step::Revoke),
        3 => (range_request(), hundredth()).prop_map(|(range, at)| Step::Range(range, at)),
        2 => (key_range(), hundredth(), hundredth()).prop_map(|(k, a, b)| Step::Watch(k, a, b)),
        1 => Just(Step::Snapshot),
        1 => (any::<u8>(), 0..60_u8).prop_map(|(first, count)| Step::Fill(first, count)),
    ]
}

struct Run {
    state: State,
    model: Model,
    /// Follows by effects alone.
    follower: State,
}

impl Run {
    fn at(&self, hundredth: i64) -> i64 {
        let (from, to) = (self.model.compacted.max(0), self.model.revision);
        from + (to - from) * hundredth / 100
    }

    fn follow(&mut self, effect: Option<Effect>) {
        if let Some(effect) = effect {
            self.follower.apply(&effect).unwrap();
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put(request) => {
                let result = self.state.put(request);
                let expected = self.model.put(request);
                self.compare(result, expected);
            }
            Step::Delete(request) => {
                let result = self.state.delete_range(request);
                let expected = Ok(self.model.delete_range(request));
                self.compare(result, expected);
            }
            Step::Txn(request) if request.check(DEFAULT_MAX_TXN_OPS).is_err() => {}
            Step::Txn(request) => {
                let result = self.state.txn(request);
                let expected = self.model.txn(request);
                self.compare(result, expected);
            }
            Step::Compact(at) => {
                let revision = self.at(*at);
                let result = self.state.compact(revision).map(|effect| ((), Some(effect)));
                let expected = self.model.compact(revision);
                self.compare(result, expected);
            }
            Step::Grant(id) => {
                let result = self.state.grant(*id, 5).map(|effect| ((), Some(effect)));
                let expected = self.model.grant(*id, 5);
                self.compare(result, expected);
            }
            Step::Revoke(id) => {
                let result = self.state.revoke(*id).map(|effect| ((), Some(effect)));
                let expected = self.model.revoke(*id);
                self.compare(result, expected);
            }
            Step::Sweep(budget) => self.state.sweep(*budget),
            Step::Range(request, at) => {
                let at = RangeRequest { revision: self.at(*at), ..request.clone() };
                for request in [request, &at] {
                    assert_eq!(self.state.range(request), self.model.range(request), "{request:?}");
                }
            }
            Step::Watch(keys, from, to) => {
                let (from, to) = (self.at(*from), self.at(*to));
                let events = self.state.events(from, to, keys).map(Iterator::collect::<Vec<_>>);
                assert_eq!(events, self.model.events(from, to, keys));
            }
            Step::Snapshot => {}
            Step::Fill(first, count) => {
                for number in 0..*count {
                    // Neighbours, and far from each other in time.
                    let key = format!("c{}", first.wrapping_add(number.wrapping_mul(37)) / 2);
                    self.step(&Step::Put(put(&key, "")));
                }
            }
        }
    }

    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        result: Result<(T, Option<Effect>), Error>,
        expected: Result<T, Error>,
    ) {
        let (response, effect) = match result {
            Ok((response, effect)) => (Ok(response), effect),
            Err(error) => (Err(error), None),
        };
        assert_eq!(response, expected);
        self.follow(effect);
    }
}

/// All that can be asked of a state, against the model.
fn check(state: &State, model: &Model) {
    assert_eq!((state.revision(), state.compacted()), (model.revision, model.compacted));
    let items: Vec<Item> = state.items().collect();
    assert_eq!(items, model.items());
    let everything = keys("\0..");
    let from = model.compacted.max(0);
    let events = model.events(from, i64::MAX, &everything).unwrap();
    assert!(state.events(from, i64::MAX, &everything).unwrap().eq(events.iter().cloned()));
    for revision in from..model.revision + 2 {
        let at = events.iter().filter(|event| event.kv.mod_revision == revision);
        assert!(state.events_at(revision).iter().eq(at));
        let request = RangeRequest { revision, ..range("\0..") };
        assert_eq!(state.range(&request), model.range(&request));
    }
    assert_eq!(state.keys(), model.range(&range("\0..")).unwrap().count as u64);
    let leases: Vec<_> = state.leases().map(|(id, lease)| (id, lease.ttl)).collect();
    assert_eq!(leases, model.leases.clone().into_iter().collect::<Vec<_>>());
    for (id, lease) in state.leases() {
        let attached: Vec<_> = lease.keys.iter().cloned().collect();
        assert_eq!(attached, model.attached(id));
    }
}

fn rebuilt(state: &State) -> State {
    let mut builder = State::builder();
    state.items().for_each(|item| builder.push(item).unwrap());
    builder.finish().unwrap()
}

fn run_program(steps: &[Step]) {
    let mut run = Run { state: State::new(), model: Model::new(), follower: State::new() };
    let mut snapshots = Vec::new();
    for step in steps {
        run.step(step);
        if matches!(step, Step::Snapshot) {
            snapshots.push((run.state.clone(), run.model.clone()));
        }
    }
    let Run { mut state, model, mut follower } = run;
    check(&state, &model);
    check(&follower, &model);
    let built = rebuilt(&state);
    check(&built, &model);
    let hash = state.hash_kv(0);
    sweep(&mut state);
    sweep(&mut follower);
    check(&state, &model);
    assert_eq!((state.size(), built.size()), (follower.size(), state.size()));
    assert!([&state, &built, &follower].iter().all(|state| state.hash_kv(0) == hash));
    for (state, model) in &snapshots {
        check(state, model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(200)))]

    #[test]
    fn a_random_program_does_as_the_model_does(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        run_program(&steps);
    }
}
