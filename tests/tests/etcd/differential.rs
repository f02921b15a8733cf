//! Random programs on a real etcd and on Duet's store, alone and as two rooms of which one fails again and
//! again; every field of every answer is the same.
//!
//! `DUET_REQUESTS` is the number of operations (100,000, and 5,000 for two rooms), `DUET_SEED` the seed of
//! the long programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use tests::programs::kept;
use tests::server::Make;

use crate::faults::with_faults;
use crate::pair::{Difference, Pair, shrink};
use crate::program::{Op, program};
use crate::side::Who;
use crate::{number, scratch};

/// Operations in `make test`.
const OPERATIONS: u64 = 100_000;

/// The same for two rooms: it is the faults that take time.
const OPERATIONS_OF_TWO: u64 = 5000;

/// Operations of each seed that is kept.
const KEPT_OPERATIONS: usize = 1500;

/// Seeds whose programs once found something, of any length up to [`KEPT_OPERATIONS`].
const KEPT: [u64; 3] = [1, 2, 3];

/// What a program for two rooms must have seen.
const HAPPENED: [&str; 6] = [
    "a hand-over",
    "the leader is killed",
    "the follower is killed",
    "the leader is stopped",
    "the follower is stopped",
    "a room returns",
];

/// What a long program must have seen.
const REACHED: [&str; 30] = [
    "range",
    "put",
    "delete",
    "txn, then",
    "txn, else",
    "compact",
    "grant",
    "revoke",
    "keep alive",
    "time to live",
    "leases",
    "hash",
    "watch",
    "no watch",
    "several",
    "event",
    "deletion",
    "event with the value before",
    "compacted",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: key is not provided",
    "etcdserver: key not found",
    "etcdserver: lease already exists",
    "etcdserver: lease is provided",
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: mvcc: required revision is a future revision",
    "etcdserver: requested lease not found",
    "etcdserver: too large lease TTL",
    "etcdserver: too many operations in txn request",
    "etcdserver: value is provided",
];

/// How many operations of a failed program are shown.
const SHOWN: usize = 30;

#[test]
fn seeds_that_are_kept() {
    for seed in KEPT {
        judge(seed, &program(seed, KEPT_OPERATIONS), Who::One(judged()));
    }
}

#[test]
fn a_long_program() {
    let operations = usize::try_from(number("DUET_REQUESTS", OPERATIONS)).unwrap();
    let seed = number("DUET_SEED", 20_261_125);
    let tally = judge(seed, &program(seed, operations), Who::One(judged()));
    if operations >= 50_000 {
        must_have_seen(&REACHED, &tally);
    }
    eprintln!("{tally:#?}");
}

#[test]
fn two_rooms_of_which_one_fails_again_and_again() {
    let operations = usize::try_from(number("DUET_REQUESTS", OPERATIONS_OF_TWO)).unwrap();
    let seed = number("DUET_SEED", 20_261_125);
    let program = with_faults(program(seed, operations), seed);
    let tally = judge(seed, &program, Who::TwoRooms);
    if operations >= 5000 {
        must_have_seen(&HAPPENED, &tally);
    }
    eprintln!("{tally:#?}");
}

/// A program that never gets there proves nothing.
fn must_have_seen(names: &[&str], tally: &BTreeMap<String, u64>) {
    let unseen: Vec<_> = names.iter().filter(|name| !tally.contains_key(**name)).collect();
    assert!(unseen.is_empty(), "never seen: {unseen:?} in {tally:#?}");
}

/// The judge is worth something: it finds one operation that only one of two real etcds was told, and
/// shows little more than that.
#[test]
fn a_difference_is_found_and_made_small() {
    let (seed, steps) = (5, 400);
    let mut attempt = |program: &[Op]| {
        let folder = scratch("etcd-judged");
        let mut pair = Pair::start(Who::One(Make::Etcd), Who::One(Make::Etcd), folder.path());
        pair.lie_at(|op| matches!(op, Op::Put(put) if put.key == b"k2"[..] && !put.ignore_value));
        pair.run(program)
    };
    let program = program(seed, steps);
    let found = attempt(&program).expect_err("the judge sees no difference");
    let (small, found) = shrink(&program, found, &mut attempt);
    assert!(small.len() <= 3, "{} steps were left: {small:#?}\n{found}", small.len());
}

/// Runs a program on both, and returns what was seen how often.
///
/// # Panics
/// If they differ; with a small program that finds it.
fn judge(seed: u64, program: &[Op], judged: Who) -> BTreeMap<String, u64> {
    let mut tally = BTreeMap::new();
    let mut attempt = |program: &[Op]| {
        let folder = scratch("etcd-differential");
        let mut pair = Pair::start(Who::One(Make::Etcd), judged, folder.path());
        let ran = pair.run(program);
        tally = pair.tally().clone();
        ran
    };
    let Err(found) = attempt(program) else { return tally };
    let first = report(seed, program, &found);
    let who = if judged == Who::TwoRooms { "two-rooms" } else { "one" };
    let path = kept("etcd").join(format!("difference-{seed}-{who}.txt"));
    fs::write(&path, &first).unwrap();
    let (small, found) = shrink(program, found, &mut attempt);
    let text = format!("{first}\nmade small:\n{}", report(seed, &small, &found));
    fs::write(&path, &text).unwrap();
    panic!("etcd (left) and the store (right) differ; also in {}\n{text}", path.display());
}

/// Whom etcd is compared with. Another etcd must pass everything here; that judges the tests.
pub(crate) fn judged() -> Make {
    match std::env::var("DUET_JUDGED").as_deref() {
        Ok("etcd") => Make::Etcd,
        _ => Make::Duet,
    }
}

fn report(seed: u64, program: &[Op], found: &Difference) -> String {
    let mut text = format!("seed {seed}, {} steps, {found}\nthe last steps:\n", program.len());
    let end = (found.step + 1).min(program.len());
    for (at, op) in program.iter().enumerate().take(end).skip(end.saturating_sub(SHOWN)) {
        let _ = writeln!(text, "{at:6} {op:?}");
    }
    text
}
