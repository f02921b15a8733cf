//! Clients that ask as fast as they are answered, and how long each answer took. Start at [`drive`].
//!
//! The same code asks every server. What it costs itself is measured too ([`Run::client_cpu`]), since
//! on a small computer it takes processors from the server that it measures.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tests::server::Server;
use tonic::Status;

use crate::channel::Channel;
use crate::process::cpu;

/// More connections than this make no difference, fewer make one processor the limit.
const CONNECTIONS: usize = 8;

/// A client that fails as often as this in a run is measuring nothing.
const FAILURES: u64 = 100_000;

/// Time for caches and connections to warm before it counts.
const WARMING: Duration = Duration::from_millis(300);

/// What one client does, again and again.
pub(crate) trait Work: Send + 'static {
    /// One request and its answer.
    fn step(&mut self) -> impl Future<Output = Result<(), Status>> + Send;
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// Requests that were answered well.
    pub(crate) done: u64,
    /// Requests that were refused or lost.
    pub(crate) failed: u64,
    /// How long it took.
    pub(crate) time: Duration,
    /// How long each answer took, in microseconds, sorted.
    pub(crate) took: Vec<u32>,
    /// Processor time of the server and of this program.
    pub(crate) server_cpu: Duration,
    pub(crate) client_cpu: Duration,
}

impl Run {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.time.as_secs_f64().max(1e-9)
    }

    /// The time within which so many of a thousand were answered, in milliseconds.
    pub(crate) fn per_mille(&self, mille: usize) -> f64 {
        let at = (self.took.len() * mille / 1000).min(self.took.len().saturating_sub(1));
        self.took.get(at).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }

    /// The longest, in milliseconds.
    pub(crate) fn longest(&self) -> f64 {
        self.took.last().map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }

    /// Processor time for each request in microseconds: the server's, this program's.
    pub(crate) fn cpu_each(&self) -> (f64, f64) {
        let each = |all: Duration| all.as_secs_f64() * 1e6 / (self.done.max(1) as f64);
        (each(self.server_cpu), each(self.client_cpu))
    }

    /// This and another run of the same, as one.
    pub(crate) fn and(mut self, other: Run) -> Run {
        self.done += other.done;
        self.failed += other.failed;
        self.time += other.time;
        self.server_cpu += other.server_cpu;
        self.client_cpu += other.client_cpu;
        self.took.extend(other.took);
        self.took.sort_unstable();
        self
    }
}

/// Who is asked.
#[derive(Clone, Debug)]
pub(crate) struct Whom {
    /// Where clients connect, one after the other.
    pub(crate) endpoints: Vec<String>,
    /// All that work for the answers.
    pub(crate) processes: Vec<u32>,
}

impl From<&Server> for Whom {
    fn from(server: &Server) -> Whom {
        Whom { endpoints: vec![server.endpoint()], processes: vec![server.process()] }
    }
}

impl Whom {
    /// The processor time of them all.
    pub(crate) fn cpu(&self) -> Duration {
        self.processes.iter().map(|process| cpu(*process)).sum()
    }

    /// So many connections.
    pub(crate) async fn connect(&self, count: usize) -> Vec<Channel> {
        let endpoints = self.endpoints.iter().cycle().take(count.max(1));
        join_all(endpoints.map(|endpoint| Channel::connect(endpoint))).await
    }
}

/// Lets `clients` clients work for `time`; `make` gives each its work, on a connection that it may
/// share.
pub(crate) async fn drive<W: Work>(
    whom: &Whom,
    clients: usize,
    time: Duration,
    make: impl Fn(usize, Channel) -> W,
) -> Run {
    let channels = whom.connect(clients.min(CONNECTIONS)).await;
    let (counts, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..clients)
        .map(|id| {
            let work = make(id, channels[id % channels.len()].clone());
            tokio::spawn(repeat(work, Arc::clone(&counts), Arc::clone(&over)))
        })
        .collect();
    tokio::time::sleep(WARMING).await;
    let own = std::process::id();
    let (server_before, own_before, start) = (whom.cpu(), cpu(own), Instant::now());
    counts.store(true, Ordering::Release);
    tokio::time::sleep(time).await;
    counts.store(false, Ordering::Release);
    let mut run = Run {
        time: start.elapsed(),
        server_cpu: whom.cpu().saturating_sub(server_before),
        client_cpu: cpu(own).saturating_sub(own_before),
        ..Run::default()
    };
    over.store(true, Ordering::Release);
    for (took, failed) in join_all(workers).await.into_iter().flatten() {
        run.done += took.len() as u64;
        run.failed += failed;
        run.took.extend(took);
    }
    run.took.sort_unstable();
    run
}

/// What took how long while it counted, and how often it failed then.
async fn repeat<W: Work>(
    mut work: W,
    counts: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
) -> (Vec<u32>, u64) {
    let (mut took, mut failed) = (Vec::new(), 0);
    while !over.load(Ordering::Acquire) && failed < FAILURES {
        let start = Instant::now();
        let done = work.step().await;
        // An answer counts if it came while it counted, whenever it was asked for.
        if counts.load(Ordering::Acquire) {
            match done {
                Ok(()) => took.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX)),
                Err(_) => failed += 1,
            }
        }
    }
    (took, failed)
}
