//! Two rooms beside etcd with two and with three members: all on this computer, each member with a folder
//! of its own, TLS between members. Start at [`page`].

mod clusters;
mod table;

use std::fmt::Write as _;

use tests::machine::machine;
use tests::programs::kept;
use tokio::runtime::Runtime;

use crate::channel::Channel;
use crate::fan::fan;
use crate::load::{Run, Whom, Work, drive};
use crate::work::{Gets, Objects, Puts};
use crate::{Size, Words, compact, fill, goal, process};
use clusters::{Cluster, Clusters};
use table::{Row, section};

/// What there is.
pub(crate) const SECTIONS: [&str; 5] =
    ["pair", "pair-puts", "pair-transactions", "pair-reads", "pair-watches"];

/// Measures, and writes the page.
pub(crate) fn page(runtime: &Runtime, words: &Words, size: Size, quick: bool) -> String {
    let short = if quick { " A quick run: the figures are rough." } else { "" };
    let mut text = format!(
        "# Two rooms beside etcd\n\nMeasured and written by `make bench`, on {}.{short} etcd is Debian's 3.5.16, with \
         two members and with three; Duet is `duetd store` in two rooms. Every member has a folder of its own on the \
         same disk, and what is acknowledged is synced: by both members of two, by two of three, by both rooms. \
         Members speak TLS with each other over the loopback, which takes no time; all of them and the one client \
         program share the processors. So the figures say what the work costs, not what distance does.\n",
        machine()
    );
    let folder = tempfile::tempdir_in(kept("bench-pair")).unwrap();
    let clusters = Clusters::start(folder.path(), runtime);
    let want = |section: &str| words.want("pair") || words.want(section);
    if want("pair-puts") {
        text += &runtime.block_on(puts(&clusters, size));
    }
    if want("pair-transactions") {
        text += &runtime.block_on(objects(&clusters, size));
    }
    if want("pair-reads") {
        text += &runtime.block_on(reads(&clusters, size));
    }
    if want("pair-watches") {
        text += &runtime.block_on(watches(&clusters, size));
    }
    text + &memory(&clusters)
}

/// Whom the clients of a row ask.
#[derive(Clone, Copy)]
enum At {
    Leader,
    Follower,
    /// Each the next one, as the API servers of a site do.
    All,
}

impl At {
    fn of(self, cluster: &Cluster) -> Whom {
        match self {
            At::Leader => cluster.leader(),
            At::Follower => cluster.follower(),
            At::All => cluster.all(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            At::Leader => "at the leader",
            At::Follower => "at a follower",
            At::All => "everywhere",
        }
    }
}

/// One row: each takes its turn in each round.
async fn row<W: Work>(
    clusters: &Clusters,
    (what, at, clients): (&str, At, usize),
    goal: f64,
    size: Size,
    make: impl Fn(usize, Channel) -> W,
) -> Row {
    let name = format!("{what}, {clients} clients {}", at.name());
    let mut runs: [Run; 3] = Default::default();
    for _ in 0..size.rounds {
        for (run, cluster) in runs.iter_mut().zip(clusters.each()) {
            let more = drive(&at.of(cluster), clients, size.time, &make).await;
            *run = std::mem::take(run).and(more);
            // Nobody carries the history of the one before.
            compact(&cluster.leader()).await;
        }
    }
    let [two, three, duet] = runs;
    eprintln!("{name}: {:.0} {:.0} {:.0}", two.rate(), three.rate(), duet.rate());
    Row { name, two, three, duet, goal }
}

async fn puts(clusters: &Clusters, size: Size) -> String {
    let mut rows = Vec::new();
    for clients in [1, 8, 64, 256, 1000] {
        let what = ("puts", At::Leader, clients);
        rows.push(row(clusters, what, goal(clients), size, Puts::new).await);
    }
    for (at, clients) in [(At::Follower, 1), (At::Follower, 64), (At::All, 64), (At::All, 1000)] {
        rows.push(row(clusters, ("puts", at, clients), goal(clients), size, Puts::new).await);
    }
    let words = "Values of 256 bytes; each client puts to a hundred keys of its own in turn.";
    section("Puts", words, "puts", &rows)
}

async fn objects(clusters: &Clusters, size: Size) -> String {
    let mut rows = Vec::new();
    for clients in [1, 8, 64, 256, 1000] {
        let what = ("transactions", At::Leader, clients);
        rows.push(row(clusters, what, goal(clients), size, Objects::new).await);
    }
    for (at, clients) in [(At::Follower, 1), (At::All, 64)] {
        let what = ("transactions", at, clients);
        rows.push(row(clusters, what, goal(clients), size, Objects::new).await);
    }
    let words = "As an API server writes: each client creates an object of 1 KiB, updates it three times if it is \
                 unchanged, and deletes it.";
    section("Kubernetes' transactions", words, "txns", &rows)
}

async fn reads(clusters: &Clusters, size: Size) -> String {
    for cluster in clusters.each() {
        fill(&cluster.leader(), size.objects).await;
    }
    let mut rows = Vec::new();
    for at in [At::Leader, At::Follower] {
        for clients in [1, 64, 256] {
            let make = |id, channel| Gets::new(id, channel, size.objects);
            let what = ("linearizable gets", at, clients);
            rows.push(row(clusters, what, 1.0, size, make).await);
        }
    }
    let words = format!("One of {} objects of 1 KiB at a time.", size.objects);
    section("Reads", &words, "reads", &rows)
}

async fn watches(clusters: &Clusters, size: Size) -> String {
    let mut rows = Vec::new();
    for watches in size.watches {
        let mut runs: [Run; 3] = Default::default();
        for (run, cluster) in runs.iter_mut().zip(clusters.each()) {
            *run = fan(&cluster.follower(), &cluster.leader(), watches, size.time).await;
        }
        let [two, three, duet] = runs;
        let name = format!("a write told to {watches} watches at a follower");
        eprintln!("{name}: {:.0} {:.0} {:.0}", two.rate(), three.rate(), duet.rate());
        rows.push(Row { name, two, three, duet, goal: 1.0 });
    }
    let words = "One writer creates a key at the leader, waits until every watch at a follower has been told of it, \
                 and creates the next. 50 watches share a stream.";
    section("Watches", words, "writes", &rows)
}

fn memory(clusters: &Clusters) -> String {
    let mut text = "\n## Memory after all that\n\n".to_owned();
    for cluster in clusters.each() {
        let used: Vec<String> = cluster
            .all()
            .processes
            .iter()
            .map(|process| format!("{} MiB", process::memory(*process).0))
            .collect();
        let _ = writeln!(text, "- {}: {} resident", cluster.name(), used.join(" and "));
    }
    text
}
