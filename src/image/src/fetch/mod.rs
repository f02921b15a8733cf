//! Brings named bytes into a content-addressed cache: parallel, resumable, every hash checked.
//!
//! Start at [`fetch_all`]. What a [`Wanted`] names is looked for in the [`Cache`] first, then asked
//! of its mirrors in order, then (once a mirror says it no longer has it) of its archives. An object
//! is in the cache only under its own hash, and only once size and hash were right; what is half
//! there waits as a partial file and is continued. Nothing is asked of the network twice.

mod cache;
mod document;
mod download;
mod error;
mod transport;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub use cache::{Cache, Digest, DigestError};
pub(crate) use document::document;
pub use error::FetchError;
pub(crate) use transport::Transport;

use crate::progress::{Progress, Task, Unit};

/// How hard to try, and how.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Downloads at the same time.
    pub jobs: usize,
    /// Whether the network may not be used at all.
    pub offline: bool,
    /// Tries per mirror that bring no new byte before the next mirror is asked.
    pub attempts: u32,
    /// The wait before the second try; doubled before each further one, up to eight times.
    pub backoff: Duration,
    /// The longest wait for a connection, for an answer and for each further piece of it.
    pub patience: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        FetchOptions {
            jobs: 4, // enough to hide latency; more only burdens volunteers' mirrors
            offline: false,
            attempts: 4,
            backoff: Duration::from_millis(500),
            patience: Duration::from_secs(20),
        }
    }
}

/// Bytes known by their hash, and where they may be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What a person calls it: `linux-image-amd64 6.12.57-1`.
    pub label: String,
    /// The SHA-256 of the whole.
    pub sha256: Digest,
    /// The size of the whole in bytes.
    pub size: u64,
    /// URLs (`http`, `https`, `file`), tried in order.
    pub mirrors: Vec<String>,
    /// URLs of a snapshot service, asked only once a mirror said that it has the object no longer.
    pub archives: Vec<String>,
}

/// Sees to it that everything wanted is in the cache; returns where, in the order of `wanted`.
///
/// # Errors
/// Offline, an error that lists everything missing. Otherwise the first failure, after which no
/// further download is begun; only objects that nobody carries any longer are gathered into one
/// error. What was fetched until then stays in the cache.
pub fn fetch_all(
    cache: &Cache,
    wanted: &[Wanted],
    options: &FetchOptions,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>, FetchError> {
    fetch_each(cache, wanted, options, progress, &|_| ())
}

/// As [`fetch_all`]; each download's thread also calls `arrived` once it has brought its object, before
/// it begins the next.
///
/// # Errors
/// As [`fetch_all`].
pub fn fetch_each(
    cache: &Cache,
    wanted: &[Wanted],
    options: &FetchOptions,
    progress: &dyn Progress,
    arrived: &(dyn Fn(&Wanted) + Sync),
) -> Result<Vec<PathBuf>, FetchError> {
    let missing = missing(cache, wanted);
    if !missing.is_empty() {
        if options.offline {
            return Err(FetchError::offline(&missing));
        }
        fetch_missing(cache, &missing, options, progress, arrived)?;
    }
    Ok(wanted.iter().map(|object| cache.object(&object.sha256)).collect())
}

/// What the cache lacks, each hash once, largest first so that the last download is a short one.
fn missing<'a>(cache: &Cache, wanted: &'a [Wanted]) -> Vec<&'a Wanted> {
    let mut seen = HashSet::new();
    let mut missing: Vec<&Wanted> = wanted
        .iter()
        .filter(|object| seen.insert(object.sha256) && !cache.holds(&object.sha256, object.size))
        .collect();
    missing.sort_by_key(|object| std::cmp::Reverse(object.size));
    missing
}

/// Downloads with `options.jobs` threads until the list is empty or one of them fails.
fn fetch_missing(
    cache: &Cache,
    missing: &[&Wanted],
    options: &FetchOptions,
    progress: &dyn Progress,
    arrived: &(dyn Fn(&Wanted) + Sync),
) -> Result<(), FetchError> {
    let total = missing.iter().map(|object| object.size).sum();
    let task = progress.begin(&format!("fetch {} files", missing.len()), total, Unit::Bytes);
    let transport = Transport::new(options);
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failures: Mutex<Vec<(usize, FetchError)>> = Mutex::default();
    let work = || {
        while !stopped.load(Ordering::Relaxed) {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(object) = missing.get(position) else { return };
            match download::obtain(cache, &transport, object, options, &*task) {
                Ok(()) => arrived(object),
                Err(error) => {
                    // Whatever is gone is reported together: one new lock cures all of it.
                    stopped.fetch_or(!matches!(error, FetchError::Gone { .. }), Ordering::Relaxed);
                    failures.lock().unwrap_or_else(|e| e.into_inner()).push((position, error));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = options.jobs.clamp(1, MOST_JOBS).min(missing.len());
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(|e| e.into_inner());
    failures.sort_by_key(|(position, _)| *position);
    match FetchError::most_telling(failures.into_iter().map(|(_, error)| error)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// More downloads at once than this help nobody.
const MOST_JOBS: usize = 32;

/// Counts bytes towards a task, without counting a byte twice when a download starts over.
struct Meter<'a> {
    task: &'a dyn Task,
    counted: u64,
}

impl Meter<'_> {
    /// The download now has `position` bytes.
    fn reach(&mut self, position: u64) {
        if position > self.counted {
            self.task.advance(position - self.counted);
            self.counted = position;
        }
    }
}
