//! `duetd store import`: moves in from etcd or from kine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::store::backup;
use ::store::checkpoint::Stamp;
use ::store::import::{self, Harvest, Summary};
use clap::Args;
use mvcc::ApplyError;
use serde::Serialize;

use super::endpoint::{self, Certificates};
use super::{folder, words};
use crate::console;

/// The log's place that an import takes: the first.
const INDEX: u64 = 1;

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A running etcd, such as https://127.0.0.1:2379
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "from_kine",
        required_unless_present = "from_kine"
    )]
    from_etcd: Option<String>,

    /// kine's SQLite file; k3s has it in /var/lib/rancher/k3s/server/db/state.db
    #[arg(long, value_name = "FILE")]
    from_kine: Option<PathBuf>,

    #[command(flatten)]
    certificates: Certificates,

    /// The folder to make; it must be empty or not be there yet
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    data_dir: Option<PathBuf>,

    /// Only the keys that begin so
    #[arg(long, value_name = "KEY", default_value = "")]
    prefix: String,

    /// Only say what would be moved
    #[arg(long)]
    dry_run: bool,

    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

/// What was read contradicts itself.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("what {source_name} holds cannot be a store")]
#[diagnostic(code(integrity::import), help("it may be damaged; nothing was written"))]
struct Contradiction {
    source_name: String,
    #[source]
    source: ApplyError,
}

/// The JSON of format 1.
#[derive(Serialize)]
struct Done<'a> {
    format: u32,
    moved: bool,
    from: &'a str,
    data_dir: Option<&'a Path>,
    cluster_id: Option<String>,
    member_id: Option<String>,
    holds: Summary,
}

impl Import {
    /// Reads the source, shows what it holds, writes.
    pub(crate) fn run(mut self) -> Result<ExitCode, miette::Report> {
        if let Some(path) = &self.data_dir {
            folder::refuse_full(path)?;
        }
        let (from, harvest) = self.harvest()?;
        let holds = harvest.summary();
        let state = harvest
            .into_state()
            .map_err(|source| Contradiction { source_name: from.clone(), source })?;
        if !self.json {
            console::answer(&describe(&from, &holds))?;
        }
        let data_dir = self.data_dir.as_deref();
        let mut done = Done {
            format: 1,
            moved: false,
            from: &from,
            data_dir,
            cluster_id: None,
            member_id: None,
            holds,
        };
        if let Some(path) = data_dir.filter(|_| !self.dry_run) {
            let ids = folder::ids();
            let (cluster_id, member_id) = (ids.cluster_id, ids.member_id);
            let new = folder::New::open(path)?;
            let progress = console::Progress::new("writing the data folder");
            let stamp = Stamp { index: INDEX, term: 1, cluster_id, member_id };
            backup::lay(&new.disk, state, &stamp, &mut |bytes| progress.add(bytes as u64))?;
            drop(progress);
            new.hand_over()?;
            done.moved = true;
            done.cluster_id = Some(format!("{cluster_id:x}"));
            done.member_id = Some(format!("{member_id:x}"));
            if !self.json {
                let path = path.display();
                console::answer(&format!(
                    "moved to {path} as member {member_id:x} of cluster {cluster_id:x}\n"
                ))?;
            }
        }
        if self.json {
            console::json(&done)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// All that the source holds, and its name.
    fn harvest(&mut self) -> Result<(String, Harvest), miette::Report> {
        let progress = console::Progress::new("reading the source");
        let mut told = |done, total| progress.set(done, total);
        if let Some(path) = &self.from_kine {
            let mut harvest = import::kine::read(path, &mut told)?;
            harvest.keep(self.prefix.as_bytes());
            return Ok((path.display().to_string(), harvest));
        }
        let endpoint = self.from_etcd.take().unwrap_or_default();
        let certificates = std::mem::take(&mut self.certificates);
        let harvest = endpoint::within(async {
            let client = certificates.connect(&endpoint).await?;
            Ok(import::etcd::read(client, self.prefix.as_bytes(), &mut told).await?)
        })?;
        Ok((endpoint, harvest))
    }
}

/// What a source holds, for a person.
fn describe(from: &str, holds: &Summary) -> String {
    let Summary { revision, keys, bytes, leases } = *holds;
    format!(
        "from        {from}\n\
         revision    {revision}\n\
         keys        {keys}, {}\n\
         leases      {leases}\n",
        words::size(bytes)
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_source_is_described() {
        let holds = Summary { revision: 17, keys: 3, bytes: 2048, leases: 0 };
        expect![[r#"
            from        state.db
            revision    17
            keys        3, 2.0 KiB
            leases      0
        "#]]
        .assert_eq(&describe("state.db", &holds));
    }
}
