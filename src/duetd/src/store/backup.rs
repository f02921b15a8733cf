//! `duetd store backup`: a running store as a file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::store::backup::{self, Summary};
use ::store::client::Client;
use ::store::wire::proto::SnapshotRequest;
use clap::Args;
use serde::Serialize;

use super::{endpoint, restore};
use crate::{console, durable};

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write; one that is there is replaced when the new one is whole
    file: PathBuf,

    #[command(flatten)]
    store: endpoint::Store,

    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum BackupError {
    /// The store stopped sending.
    #[error("the store at {endpoint} did not send its state")]
    #[diagnostic(
        code(network::backup),
        help(
            "is it still running? Does it want a certificate (--cert and --key)? No file was left"
        )
    )]
    Stream {
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    #[diagnostic(code(output::backup), help("see that the folder is there and the disk has room"))]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The JSON of format 1.
#[derive(Serialize)]
struct Done<'a> {
    format: u32,
    file: &'a Path,
    backup: Summary,
}

impl Backup {
    /// Receives, verifies, names.
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let Backup { file: path, store: endpoint::Store { endpoint, certificates }, json } = self;
        let failed = |source| BackupError::Write { path: path.clone(), source };
        let fresh = durable::Fresh::begin(&path, 0o600).map_err(failed)?;
        endpoint::within(async {
            let client = certificates.connect(&endpoint).await?;
            receive(client, &endpoint, &path, fresh.file()).await
        })?;
        let progress = console::Progress::new("verifying the backup");
        let mut written = fresh.file();
        let summary = backup::verify(&mut written, &mut |done, total| progress.set(done, total))?;
        drop(progress);
        fresh.finish().map_err(failed)?;
        if json {
            console::json(&Done { format: 1, file: &path, backup: summary })?;
        } else {
            console::answer(&format!(
                "{}written to  {}\n",
                restore::describe(&summary),
                path.display()
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes what the store sends.
async fn receive(
    mut client: Client,
    endpoint: &str,
    path: &Path,
    mut file: &File,
) -> Result<(), miette::Report> {
    let broken = |source| BackupError::Stream { endpoint: endpoint.to_owned(), source };
    let parts = client.maintenance.snapshot(SnapshotRequest {}).await;
    let mut parts = parts.map_err(|status| broken(status.into()))?.into_inner();
    let progress = console::Progress::new("receiving the backup");
    let mut done = 0;
    while let Some(part) = parts.message().await.map_err(|status| broken(status.into()))? {
        let failed = |source| BackupError::Write { path: path.to_owned(), source };
        file.write_all(&part.blob).map_err(failed)?;
        done += part.blob.len() as u64;
        progress.set(done, done + part.remaining_bytes);
    }
    Ok(())
}
