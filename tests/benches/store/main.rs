//! Measures Duet's store beside etcd and kine: the same client, the same disk, one run. Writes
//! docs/bench-store.md, and docs/bench-pair.md for two rooms beside etcd with two and three members.
//!
//! Run it with `make bench`. `DUET_BENCH=quick` takes two minutes and says less; words after `--` choose
//! sections (`puts`, `transactions`, `reads`, `watches`, `large`; `pair`, and `pair-puts` and so on), and then
//! the pages are only printed. The servers take turns at each point, so that a disk that is slow for a while
//! is slow for all of them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a program for the workstation whose figures are rounded to three digits"
)]

mod channel;
mod fan;
mod large;
mod load;
mod page;
mod pair;
mod process;
mod work;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::machine::machine;
use tests::programs::{checkout, kept};
use tests::server::{Make, Plan, Server};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::{Builder, Runtime};

use channel::Channel;
use fan::fan;
use large::{large, newest};
use load::{Run, Whom, Work, drive};
use page::{Row, large_section, section};
use work::{Gets, Lists, OBJECT, Objects, Puts, bytes, client, create, object};

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    /// Of each point and server, in each round.
    time: Duration,
    rounds: usize,
    keys: u64,
    /// Objects that are read and listed.
    objects: u64,
    watches: [usize; 2],
}

const WHOLE: Size = Size {
    time: Duration::from_secs(3),
    rounds: 2,
    keys: 1_000_000,
    objects: 10_000,
    watches: [100, 10_000],
};

const QUICK: Size = Size {
    time: Duration::from_millis(700),
    rounds: 1,
    keys: 100_000,
    objects: 2000,
    watches: [100, 1000],
};

fn main() {
    // `cargo test --benches` passes this word; measuring is not testing.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    let quick = std::env::var("DUET_BENCH").is_ok_and(|word| word == "quick");
    let size = if quick { QUICK } else { WHOLE };
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let words = Words(words);
    // One thread asks: it leaves the other processors to the servers.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    if words.want_any(&SECTIONS) {
        let text = head(quick) + &alone(&runtime, &words, size);
        show("bench-store.md", &text, !quick && words.0.is_empty());
    }
    if words.want_any(&pair::SECTIONS) {
        let text = pair::page(&runtime, &words, size, quick);
        show("bench-pair.md", &text, !quick && words.0.is_empty());
    }
}

/// What there is for single stores.
const SECTIONS: [&str; 5] = ["puts", "transactions", "reads", "watches", "large"];

/// The sections that are asked for; all if none is named.
struct Words(Vec<String>);

impl Words {
    fn want(&self, section: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| word == section)
    }

    fn want_any(&self, sections: &[&str]) -> bool {
        sections.iter().any(|section| self.want(section))
    }
}

fn show(name: &str, text: &str, kept: bool) {
    println!("{text}");
    if kept {
        let path = checkout().join("docs").join(name);
        fs::write(&path, text).unwrap();
        println!("written to {}", path.display());
    }
}

/// A store beside single ones of other people.
fn alone(runtime: &Runtime, words: &Words, size: Size) -> String {
    let folder = tempfile::tempdir_in(kept("bench-store")).unwrap();
    let mut text = String::new();
    let trio = Trio::start(folder.path());
    if words.want("puts") {
        text += &runtime.block_on(puts(&trio, size));
    }
    if words.want("transactions") {
        text += &runtime.block_on(objects(&trio, size));
    }
    if words.want("reads") {
        text += &runtime.block_on(reads(&trio, size));
    }
    if words.want("watches") {
        text += &runtime.block_on(watches(&trio, size));
    }
    text += &trio.memory();
    drop(trio);
    if words.want("large") {
        let [etcd, duet] = [Make::Etcd, Make::Duet].map(|make| {
            let folder = folder.path().join("large").join(make.name());
            let mut server = Server::start(Plan::new(make, folder));
            runtime.block_on(large(&mut server, size.keys, 2 * size.time))
        });
        text += &large_section(size.keys, &etcd, &duet);
    }
    text
}

fn head(quick: bool) -> String {
    let short = if quick { " A quick run: the figures are rough." } else { "" };
    format!(
        "# The store beside etcd and kine\n\nMeasured and written by `make bench`, on {}.{short} etcd is Debian's \
         3.5.16; kine is built from its Go module and keeps a SQLite file as in k3s, but with `synchronous=FULL`: as it ships, a power cut takes back what it \
         acknowledged. So all three have fsynced what they acknowledge, on the same disk. \
         One client program asks all of them, on the same computer: it takes processors from the server, \
         so the figures say how the stores compare, not what either could do alone.\n",
        machine()
    )
}

/// The three of them.
struct Trio {
    etcd: Server,
    kine: Server,
    duet: Server,
}

impl Trio {
    fn start(folder: &Path) -> Trio {
        let start = |make: Make| Server::start(Plan::new(make, folder.join(make.name())));
        Trio { etcd: start(Make::Etcd), kine: start(Make::Kine), duet: start(Make::Duet) }
    }

    /// One row: each takes its turn in each round.
    async fn row<W: Work>(
        &self,
        name: String,
        (goal, with_kine): (f64, bool),
        size: Size,
        clients: usize,
        make: impl Fn(usize, Channel) -> W,
    ) -> Row {
        let mut row = Row { name, etcd: Run::default(), kine: None, duet: Run::default(), goal };
        for _ in 0..size.rounds {
            row.etcd = row.etcd.and(self.turn(&self.etcd, size, clients, &make).await);
            if with_kine {
                let run = self.turn(&self.kine, size, clients, &make).await;
                row.kine = Some(row.kine.unwrap_or_default().and(run));
            }
            row.duet = row.duet.and(self.turn(&self.duet, size, clients, &make).await);
        }
        eprintln!("{}: {:.0} {:.0}", row.name, row.etcd.rate(), row.duet.rate());
        row
    }

    async fn turn<W: Work>(
        &self,
        server: &Server,
        size: Size,
        clients: usize,
        make: &impl Fn(usize, Channel) -> W,
    ) -> Run {
        let whom = Whom::from(server);
        let run = drive(&whom, clients, size.time, make).await;
        // Nobody carries the history of the one before; kine compacts by itself.
        if server.make() != Make::Kine {
            compact(&whom).await;
        }
        run
    }

    fn memory(&self) -> String {
        let mut text = "\n## Memory after all that\n\n".to_owned();
        for server in [&self.etcd, &self.kine, &self.duet] {
            let (all, own) = process::memory(server.process());
            let name = server.make().name();
            let _ = writeln!(text, "- {name}: {all} MiB resident, {own} of it no copy of a file");
        }
        text
    }
}

/// Forgets all old versions.
async fn compact(whom: &Whom) {
    let mut kv = client(whom.connect(1).await.remove(0));
    let revision = newest(&mut kv).await;
    let _ = kv.compact(pb::CompactionRequest { revision, physical: true }).await;
}

/// At least etcd's speed, and twice that where requests come together.
fn goal(clients: usize) -> f64 {
    if clients >= 64 { 2.0 } else { 1.0 }
}

async fn puts(trio: &Trio, size: Size) -> String {
    let mut rows = Vec::new();
    for clients in [1, 16, 64, 256, 1000] {
        let name = format!("puts, {clients} clients");
        rows.push(trio.row(name, (goal(clients), false), size, clients, Puts::new).await);
    }
    let words = "Values of 256 bytes; each client puts to a hundred keys of its own in turn. kine knows no put.";
    section("Puts", words, "puts", &rows)
}

async fn objects(trio: &Trio, size: Size) -> String {
    let mut rows = Vec::new();
    for clients in [1, 16, 64, 256, 1000] {
        let name = format!("transactions, {clients} clients");
        rows.push(trio.row(name, (goal(clients), true), size, clients, Objects::new).await);
    }
    let words = "As an API server writes: each client creates an object of 1 KiB, updates it three times if it is \
                 unchanged, and deletes it.";
    section("Kubernetes' transactions", words, "txns", &rows)
}

async fn reads(trio: &Trio, size: Size) -> String {
    for server in [&trio.etcd, &trio.kine, &trio.duet] {
        fill(&Whom::from(server), size.objects).await;
    }
    let mut rows = Vec::new();
    for clients in [1, 64, 256] {
        let name = format!("linearizable gets, {clients} clients");
        let make = |id, channel| Gets::new(id, channel, size.objects);
        rows.push(trio.row(name, (1.0, true), size, clients, make).await);
    }
    for clients in [1, 16] {
        let name = format!("pages of 500, {clients} clients");
        rows.push(
            trio.row(name, (1.0, true), size, clients, |_, channel| Lists::new(channel)).await,
        );
    }
    let words = format!(
        "Of {} objects of 1 KiB: one at a time, and all of them page after page at one revision.",
        size.objects
    );
    section("Reads", &words, "reads", &rows)
}

/// Creates the objects that are read.
async fn fill(whom: &Whom, objects: u64) {
    let channels = whom.connect(8).await;
    let workers: Vec<_> = (0..64)
        .map(|id: u64| {
            let mut kv = client(channels[usize::try_from(id).unwrap() % channels.len()].clone());
            tokio::spawn(async move {
                let value = bytes(id, OBJECT);
                for number in (id..objects).step_by(64) {
                    kv.txn(create(&object(number), &value)).await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

async fn watches(trio: &Trio, size: Size) -> String {
    let mut rows = Vec::new();
    for watches in size.watches {
        let name = format!("a write told to {watches} watches");
        let told = async |server: &Server| {
            let whom = Whom::from(server);
            fan(&whom, &whom, watches, size.time).await
        };
        let etcd = told(&trio.etcd).await;
        let kine = Some(told(&trio.kine).await);
        let duet = told(&trio.duet).await;
        rows.push(Row { name, etcd, kine, duet, goal: 1.0 });
    }
    let words = "One writer creates a key, waits until every watch has been told of it, and creates the next. 50 \
                 watches share a stream.";
    section("Watches", words, "writes", &rows)
}
