//! Two servers that are told the same, and the first difference between what they say.
//!
//! Start at [`Pair::run`]. Writes go one after the other; reads between two writes go together, since
//! their order cannot matter. [`shrink`] makes a program that found a difference small.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tests::wire::{etcdserverpb as pb, mvccpb};
use tokio::runtime::Runtime;

use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request;
use pb::response_op::Response;

use crate::client::Answer;
use crate::faults::Fault;
use crate::program::{Knowledge, Op, STREAMS};
use crate::side::{Side, Who};
use crate::stream::{MARK, agree};

/// Reads that are under way at a time.
const TOGETHER: usize = 16;

/// Above so many rows Go's sort is not stable (`sort.Sort`, pdqsort: insertion sort up to 12), so the
/// order of equals in etcd's answer means nothing.
const STABLE: i64 = 12;

/// How long a difference may be made smaller.
const SHRINKING: Duration = Duration::from_secs(180);

/// How a program ended.
pub(crate) type Outcome = Result<(), Box<Difference>>;

/// Where two servers parted.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// Which step.
    pub(crate) step: usize,
    /// The step as it was asked.
    pub(crate) asked: String,
    /// What was different.
    pub(crate) found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "step {}: {}\n{}", self.step, self.asked, self.found)
    }
}

/// Two servers, connected.
pub(crate) struct Pair {
    runtime: Runtime,
    left: Side,
    right: Side,
    knowledge: Knowledge,
    /// A step that only the left one is told, to see whether that is found.
    lie: Option<fn(&Op) -> bool>,
    tally: BTreeMap<String, u64>,
}

impl Pair {
    /// Starts both in folders of their own below `folder`.
    pub(crate) fn start(left: Who, right: Who, folder: &Path) -> Pair {
        let runtime = Runtime::new().expect("a runtime can be made");
        let left = Side::start(left, folder.join("left"));
        let right = Side::start(right, folder.join("right"));
        let knowledge = Knowledge { revision: 1, compacted: 0 };
        let mut pair = Pair { runtime, left, right, knowledge, lie: None, tally: BTreeMap::new() };
        pair.connect().unwrap_or_else(|error| panic!("{error}"));
        pair
    }

    /// From here on the right one does not hear of such a step, and the left one's answer is taken for
    /// its own: for a test of this test.
    pub(crate) fn lie_at(&mut self, step: fn(&Op) -> bool) {
        self.lie = Some(step);
    }

    /// How often each kind of answer was seen: by the answer's name, `event`, `compacted` for what
    /// watches were told, or the refusal's text.
    pub(crate) fn tally(&self) -> &BTreeMap<String, u64> {
        &self.tally
    }

    fn connect(&mut self) -> Result<(), String> {
        self.left.connect(&self.runtime)?;
        self.right.connect(&self.runtime)
    }

    /// Runs a program on both until they differ.
    pub(crate) fn run(&mut self, program: &[Op]) -> Outcome {
        let mut at = 0;
        while at < program.len() {
            let reads =
                program[at..].iter().take(TOGETHER).take_while(|op| op.only_reads()).count();
            let batch = &program[at..at + reads.max(1)];
            self.batch(at, batch)?;
            at += batch.len();
        }
        let last = Op::Settle;
        self.quiet().map_err(|found| difference(at, &last, found))
    }

    fn batch(&mut self, at: usize, batch: &[Op]) -> Outcome {
        let asked: Vec<Op> = batch.iter().map(|op| self.knowledge.settle(op)).collect();
        if batch[0].needs_quiet() {
            self.quiet().map_err(|found| difference(at, &asked[0], found))?;
        }
        match asked[0] {
            Op::Restart { killed } => {
                return self.restart(killed).map_err(|found| difference(at, &asked[0], found));
            }
            Op::Fault(fault) => {
                return self.fault(fault).map_err(|found| difference(at, &asked[0], found));
            }
            Op::Cancel(stream, nth, count) => {
                let canceled = self.cancel(stream, nth, count);
                return canceled.map_err(|found| difference(at, &asked[0], found));
            }
            _ => {}
        }
        let (left, right) = (&self.left, &self.right);
        if self.lie.is_some_and(|lie| lie(&asked[0])) {
            let _ = self.runtime.block_on(left.run(&asked[0]));
            return Ok(());
        }
        let local = asked.iter().any(Op::is_local);
        let (left, right) = self.runtime.block_on(async {
            if local {
                right.level().await;
            }
            let ask = |side| join_all(asked.iter().map(move |op| Side::run(side, op)));
            tokio::join!(ask(left), ask(right))
        });
        for (number, ((op, left), right)) in asked.iter().zip(left).zip(right).enumerate() {
            let (left, right) = (in_order(op, left), in_order(op, right));
            if left != right {
                let found = format!(" left: {left:?}\nright: {right:?}");
                return Err(difference(at + number, op, found));
            }
            self.learn(op, &left);
            let name = match left {
                Answer::Refused(_, text) => text,
                other => other.name().to_owned(),
            };
            *self.tally.entry(name).or_default() += 1;
        }
        // Whether its number is free again depends on when its end was told.
        if matches!(&asked[0], Op::Watch(_, watch) if self.is_compacted(watch.start_revision)) {
            self.quiet().map_err(|found| difference(at, &asked[0], found))?;
        }
        Ok(())
    }

    fn is_compacted(&self, start: i64) -> bool {
        start != 0 && start < self.knowledge.compacted
    }

    fn learn(&mut self, op: &Op, answer: &Answer) {
        if let Some(revision) = answer.revision() {
            self.knowledge.revision = revision;
        }
        if let (Op::Compact(compact), Answer::Compact(_)) = (op, answer) {
            self.knowledge.compacted = compact.revision;
        }
    }

    /// Waits until every watch has told everything, and compares.
    fn quiet(&mut self) -> Result<(), String> {
        let (left, right) = (self.left.client(), self.right.client());
        // The last stream has no watch that lags, but some that have not begun. etcd 3.5 promises them
        // what is before their beginning; Duet, as etcd 3.6, makes no promise until they have begun.
        let mark = async { tokio::join!(left.put(MARK, b"", 0), right.put(MARK, b"", 0)) };
        let (one, other) = self.runtime.block_on(mark);
        if one != other {
            return Err(format!(" left: {one:?}\nright: {other:?}"));
        }
        let revision = one.revision().ok_or_else(|| format!("the mark got {one:?}"))?;
        self.knowledge.revision = revision;
        let (left, right) = (self.left.streams(), self.right.streams());
        let told = self.runtime.block_on(async {
            let lagging = left.iter().zip(&right).take(STREAMS - 1);
            let promises = lagging.flat_map(|(left, right)| [*left, *right]);
            let promises = join_all(promises.map(|stream| stream.settle(revision)));
            let (left_mark, right_mark) = (left[STREAMS - 1], right[STREAMS - 1]);
            let marks = async { tokio::join!(left_mark.mark(revision), right_mark.mark(revision)) };
            let (promises, marks) = tokio::join!(promises, marks);
            promises.into_iter().chain([marks.0, marks.1]).collect::<Result<(), String>>()?;
            agree(&left, &right).await
        })?;
        for (name, times) in told {
            *self.tally.entry(name.to_owned()).or_default() += times;
        }
        Ok(())
    }

    fn cancel(&self, stream: usize, nth: usize, count: usize) -> Result<(), String> {
        let (left, right) = (self.left.stream(stream), self.right.stream(stream));
        let open: Vec<i64> = left.heard().open.iter().copied().collect();
        let plain = |answer: Result<pb::WatchResponse, tonic::Status>| {
            let mut answer = answer.map_err(|status| status.to_string())?;
            if let Some(header) = &mut answer.header {
                (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
            }
            Ok::<_, String>(answer)
        };
        for id in open.iter().cycle().skip(nth).take(count.min(open.len())) {
            let both = async { tokio::join!(left.cancel(*id), right.cancel(*id)) };
            let (left, right) = self.runtime.block_on(both);
            let (left, right) = (plain(left), plain(right));
            if left != right {
                return Err(format!(" left: {left:?}\nright: {right:?}"));
            }
        }
        Ok(())
    }

    /// What happens to rooms happens to the right side.
    fn fault(&mut self, fault: Fault) -> Result<(), String> {
        for stream in self.right.suffer(fault, &self.runtime)? {
            self.left.reopen(stream, &self.runtime)?;
            self.right.reopen(stream, &self.runtime)?;
        }
        *self.tally.entry(fault.name().to_owned()).or_default() += 1;
        Ok(())
    }

    fn restart(&mut self, killed: bool) -> Result<(), String> {
        self.left.restart(killed);
        self.right.restart(killed);
        self.connect()?;
        // All that there is, at the revision that there was.
        let (key, range_end) = (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"));
        let all = Op::Range(pb::RangeRequest { key, range_end, ..Default::default() });
        for op in [all, Op::HashKv(0), Op::Leases] {
            let (left, right) = (&self.left, &self.right);
            let both = async {
                right.level().await;
                tokio::join!(left.run(&op), right.run(&op))
            };
            let (left, right) = self.runtime.block_on(both);
            let before = self.knowledge.revision;
            let lost = left.revision().is_some_and(|revision| revision != before);
            if left != right || lost {
                return Err(format!(
                    "{op:?}, at {before} before\n left: {left:?}\nright: {right:?}"
                ));
            }
        }
        Ok(())
    }
}

fn difference(step: usize, op: &Op, found: String) -> Box<Difference> {
    Box::new(Difference { step, asked: format!("{op:?}"), found })
}

/// The answer with the order of equals settled where etcd's own means nothing; see [`STABLE`].
fn in_order(op: &Op, mut answer: Answer) -> Answer {
    match (op, &mut answer) {
        (Op::Range(asked), Answer::Range(answer)) => settle_equals(asked, answer),
        (Op::Txn(asked), Answer::Txn(answer)) => settle_txn(asked, answer),
        _ => {}
    }
    answer
}

fn settle_txn(asked: &pb::TxnRequest, answer: &mut pb::TxnResponse) {
    let branch = if answer.succeeded { &asked.success } else { &asked.failure };
    for (asked, answer) in branch.iter().zip(&mut answer.responses) {
        match (&asked.request, &mut answer.response) {
            (Some(Request::RequestRange(asked)), Some(Response::ResponseRange(answer))) => {
                settle_equals(asked, answer);
            }
            (Some(Request::RequestTxn(asked)), Some(Response::ResponseTxn(answer))) => {
                settle_txn(asked, answer);
            }
            _ => {}
        }
    }
}

fn settle_equals(asked: &pb::RangeRequest, answer: &mut pb::RangeResponse) {
    let by = asked.sort_target();
    // What is sorted by anything but the key is sorted, with or without an order.
    if by == SortTarget::Key || answer.count <= STABLE {
        return;
    }
    if by == SortTarget::Value && asked.keys_only {
        // What they were sorted by is not in the answer. Without it only the number says something if
        // the limit cut equals apart.
        if answer.more {
            answer.kvs.iter_mut().for_each(|kv| *kv = mvccpb::KeyValue::default());
        }
        answer.kvs.sort_by(|one, other| one.key.cmp(&other.key));
        return;
    }
    let rank = |kv: &mvccpb::KeyValue| match by {
        SortTarget::Version => (kv.version, Bytes::new()),
        SortTarget::Create => (kv.create_revision, Bytes::new()),
        SortTarget::Mod => (kv.mod_revision, Bytes::new()),
        SortTarget::Value | SortTarget::Key => (0, kv.value.clone()),
    };
    let whole = answer.kvs.len();
    if let Some(last) = answer.kvs.last().filter(|_| answer.more).map(rank) {
        // Of the equals at the limit, which are in is as arbitrary as their order.
        answer.kvs.retain(|kv| rank(kv) != last);
    }
    let descending = asked.sort_order() == SortOrder::Descend;
    answer.kvs.sort_by(|one, other| {
        let ranks = rank(one).cmp(&rank(other));
        if descending { ranks.reverse() } else { ranks }.then_with(|| one.key.cmp(&other.key))
    });
    answer.kvs.resize(whole, mvccpb::KeyValue::default());
}

/// A shorter program that also finds a difference, as short as the time allows; and that difference.
/// `attempt` runs a program on new servers.
pub(crate) fn shrink(
    program: &[Op],
    found: Box<Difference>,
    attempt: &mut dyn FnMut(&[Op]) -> Outcome,
) -> (Vec<Op>, Box<Difference>) {
    let until = Instant::now() + SHRINKING;
    let end = (found.step + 1).min(program.len());
    let (mut small, mut found) = (program[..end].to_vec(), found);
    // The end of the program alone is often enough.
    for length in [16, 64, 256, 1024, 4096] {
        if length < end && Instant::now() < until {
            if let Err(again) = attempt(&program[end - length..end]) {
                small = program[end - length..end].to_vec();
                found = again;
                break;
            }
        }
    }
    small.truncate((found.step + 1).min(small.len()));
    // Then pieces of halving size are left out.
    let mut piece = small.len() / 2;
    while piece > 0 && Instant::now() < until {
        let mut at = 0;
        while at < small.len() && Instant::now() < until {
            let mut without = small.clone();
            without.drain(at..(at + piece).min(small.len()));
            match attempt(&without) {
                Err(again) => {
                    without.truncate((again.step + 1).min(without.len()));
                    (small, found) = (without, again);
                }
                Ok(()) => at += piece,
            }
        }
        piece /= 2;
    }
    (small, found)
}
