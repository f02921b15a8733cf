//! Runs the store: settings, data folder, listeners, and its end. Start at [`run`].
//!
//! ```text
//!  settings ─► lock the folder ─► listen ─► read the data ─► READY ─► serve ─► stop
//!                (one store)      (clients wait meanwhile)             │
//!                                                                      └─► the disk failed: exit 11
//! ```
//!
//! Nothing here waits for the disk longer than the disk takes: a slow one is no dead one.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::store::config::Config;
use ::store::disk::{Disk, RealDisk};
use ::store::engine::{Engine, Failure, Options};
use ::store::recover::{self, Progress};
use ::store::serve::{Listeners, ServeError};

use super::flags::{Flags, Settled};
use super::{folder, number, pair};
use crate::service::{SystemError, Systemd, told_to_end};
use crate::{console, journal};

/// Threads for what blocks, such as backups that are being sent; each holds a stack.
const MOST_BLOCKING_THREADS: usize = 64;

/// How often systemd is told how far reading has come.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Why the store ended, or did not begin.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum RunError {
    /// The disk did not take or keep a write of the log.
    #[error("the disk did not keep what the store wrote, so the store ends")]
    #[diagnostic(
        code(durability::log),
        help(
            "`journalctl -k` tells what the disk says. What was acknowledged is on it as far as it keeps \
             what it has; the next start reads what is there"
        )
    )]
    Disk(#[source] Failure),
    /// The other room's history takes the place of this one's.
    #[error("this room's data is given up")]
    #[diagnostic(
        code(other::void),
        help(
            "start it again: it begins with an empty folder, and the other room sends it everything"
        )
    )]
    Void(#[source] Failure),
    /// A thread of ours broke.
    #[error("reading the data folder broke off")]
    #[diagnostic(code(other::panic), help("the lines before tell where; please report them"))]
    Broken,
}

/// Runs the store until it is told to end, or cannot go on.
pub(crate) fn run(flags: Flags) -> Result<ExitCode, miette::Report> {
    let Settled { config, print, loudness, left_aside } = flags.settle(std::env::vars_os())?;
    if print {
        console::answer(&config.to_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    journal::begin(loudness);
    if !left_aside.is_empty() {
        tracing::info!(
            "left aside, since they mean nothing to this store: {}",
            left_aside.join(", ")
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MOST_BLOCKING_THREADS)
        .thread_name("duet-serve")
        .build()
        .map_err(|source| SystemError { action: "start the store's threads", source })?;
    let ended = runtime.block_on(work(config));
    // A thread that waits for a broken disk must not hold up the end.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

async fn work(config: Config) -> Result<(), miette::Report> {
    let systemd = Systemd::new()?;
    let end = told_to_end()?;
    tokio::pin!(end);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&config.data_dir)?);
    let listeners = Listeners::bind(&config).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), folder = %config.data_dir.display(), "reading the data folder");
    let engine = tokio::select! {
        engine = open(disk.clone(), &config, systemd.clone()) => engine?,
        // Reading changes nothing that was acknowledged, so it may end anywhere.
        () = &mut end => return Ok(()),
    };
    let road = match &config.pair {
        Some(config) => Some(pair::open(config, &engine).await?),
        None => None,
    };
    let urls = listeners.client_urls().collect::<Vec<_>>().join(", ");
    let revision = engine.status().revision;
    tracing::info!(revision, "ready on {urls}");
    systemd.say(&format!("READY=1\nSTATUS=Serving on {urls}"));
    let mut outdated = false;
    let stop = async {
        outdated = tokio::select! {
            () = end => false,
            () = number::outdated(&engine), if config.pair.is_some() => true,
        };
        systemd.say("STATUS=Leaving the pair");
        engine.depart().await;
        tracing::info!("ending: requests that are under way are answered");
        systemd.say("STOPPING=1\nSTATUS=Ending");
    };
    match listeners.run_joined(engine.clone(), road.clone(), stop).await {
        Err(ServeError::Failed(failure)) if failure.void => Err(RunError::Void(failure).into()),
        Err(ServeError::Failed(failure)) => Err(RunError::Disk(failure).into()),
        ended => {
            engine.stop().await;
            if let Some(road) = road {
                road.peer().stop().await;
            }
            ended?;
            // It may have come to count a moment ago: the disk says so, now that nobody writes to it.
            if outdated && !recover::counts(&*disk)? {
                tracing::warn!(
                    "the clock was set: this blank disk begins again, with a number by the right time"
                );
                recover::void(&*disk, "its number was that of a wrong clock")?;
            }
            tracing::info!("ended");
            Ok(())
        }
    }
}

/// Reads the data folder, however long that takes.
async fn open(
    disk: Arc<dyn Disk>,
    config: &Config,
    systemd: Systemd,
) -> Result<Engine, miette::Report> {
    let options = Options {
        name: config.name.clone(),
        quota: config.quota_backend_bytes,
        retention: config.auto_compaction,
        watch_progress: config.watch_progress_notify_interval,
        ..Options::new(folder::ids())
    };
    let pair = config.pair.as_ref().map(pair::options).transpose()?;
    let reading = tokio::task::spawn_blocking(move || {
        let told = Mutex::new(Instant::now());
        let tell = |progress| {
            // A poisoned lock would only mean that a report was cut off.
            let Ok(mut told) = told.lock() else { return };
            if told.elapsed() >= TOLD_EVERY {
                *told = Instant::now();
                systemd.say(&format!("STATUS={}", describe(progress)));
            }
        };
        match pair {
            Some(pair) => Engine::open_paired(disk, options, pair, &tell),
            None => Engine::open(disk, options, &tell),
        }
    });
    Ok(reading.await.map_err(|_| RunError::Broken)??)
}

/// How far reading has come, for `systemctl status`.
fn describe(progress: Progress) -> String {
    let (what, done, total) = match progress {
        Progress::Checkpoint { done, total } => ("checkpoint", done, total),
        Progress::Log { done, total } => ("log", done, total),
    };
    format!("Reading the {what}: {} %", done.saturating_mul(100) / total.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_sentence() {
        let half = describe(Progress::Log { done: 5, total: 10 });
        assert_eq!(half, "Reading the log: 50 %");
        assert_eq!(
            describe(Progress::Checkpoint { done: 0, total: 0 }),
            "Reading the checkpoint: 0 %"
        );
    }
}
