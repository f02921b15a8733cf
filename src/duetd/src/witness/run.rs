//! Runs the witness: settings, data folder, listeners, and its end. Start at [`run`].
//!
//! ```text
//!  settings ─► lock the folder ─► read the sites ─► listen ─► READY ─► serve ─► stop
//!               (one witness)                                  │
//!                                                              └─► the disk failed: exit 11
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use ::witness::Keeper;
use ::witness::disk::{RealDisk, Use};
use ::witness::serve::Server;

use super::flags::{Flags, Settled};
use crate::journal;
use crate::service::{SystemError, Systemd, told_to_end};

/// Threads for what blocks: reading the folder at the start.
const MOST_BLOCKING_THREADS: usize = 8;

/// Runs the witness until it is told to end, or cannot go on.
pub(crate) fn run(flags: Flags) -> Result<ExitCode, miette::Report> {
    let settled = flags.settle()?;
    journal::begin(settled.loudness);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MOST_BLOCKING_THREADS)
        .thread_name("duet-witness")
        .build()
        .map_err(|source| SystemError { action: "start the witness' threads", source })?;
    let ended = runtime.block_on(work(settled));
    // A thread that waits for a broken disk must not hold up the end.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

async fn work(settled: Settled) -> Result<(), miette::Report> {
    let systemd = Systemd::new()?;
    let end = told_to_end()?;
    tokio::pin!(end);
    let Settled { data_dir, settings, .. } = settled;
    let disk = Arc::new(RealDisk::open(&data_dir, Use::Serve)?);
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, folder = %data_dir.display(), "reading the sites");
    let reading = tokio::task::spawn_blocking(move || Keeper::start(disk));
    let keeper = tokio::select! {
        keeper = reading => keeper.map_err(|_| miette::miette!("reading the data folder broke off"))??,
        // Reading changes nothing, so it may end anywhere.
        () = &mut end => return Ok(()),
    };
    let server = Server::bind(settings, keeper.clone()).await?;
    let places: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
    let places = places.join(", ");
    let (sites, damaged) = keeper.sites();
    tracing::info!(sites, damaged, "ready on {places}");
    systemd.say(&format!("READY=1\nSTATUS=Serving {sites} sites on {places}"));
    let stop = async {
        end.await;
        tracing::info!("ending");
        systemd.say("STOPPING=1\nSTATUS=Ending");
    };
    server.run(stop).await?;
    tracing::info!("ended");
    Ok(())
}
