//! `duetd store restore`: a backup becomes a new data folder.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use ::store::backup::{self, Summary};
use clap::Args;
use serde::Serialize;

use super::{folder, words};
use crate::console;

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup, as `duetd store backup` or `etcdctl snapshot save` wrote it
    file: PathBuf,

    /// The folder to make; it must be empty or not be there yet
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    data_dir: Option<PathBuf>,

    /// Keep the identity of the store that the backup was taken from
    ///
    /// For a store that takes the place of the old one, with the same clients. Never let both run.
    #[arg(long)]
    keep_ids: bool,

    /// Make the revision greater by N and forget the history
    ///
    /// Clients that have seen revisions after the backup's would otherwise see them twice, with other
    /// contents. Kubernetes needs this unless everything that uses the API is restarted: 1000000000
    /// is more than a busy cluster writes in a year.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    bump_revision: i64,

    /// Only verify the backup and say what is in it
    #[arg(long)]
    dry_run: bool,

    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

/// The JSON of format 1.
#[derive(Serialize)]
struct Done {
    format: u32,
    restored: bool,
    data_dir: Option<PathBuf>,
    revision: i64,
    cluster_id: Option<String>,
    member_id: Option<String>,
    backup: Summary,
}

impl Restore {
    /// Verifies, shows, restores.
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        if let Some(path) = &self.data_dir {
            folder::refuse_full(path)?;
        }
        let mut file = File::open(&self.file).map_err(|source| {
            miette::miette!(
                code = "input::backup",
                help = "give a file that `duetd store backup` wrote",
                "cannot open {}: {source}",
                self.file.display()
            )
        })?;
        let progress = console::Progress::new("verifying the backup");
        let backup = backup::open(&mut file, &mut |done, total| progress.set(done, total))?;
        drop(progress);
        let summary = backup.summary.clone();
        if !self.json {
            console::answer(&describe(&summary))?;
        }
        let mut done = Done {
            format: 1,
            restored: false,
            data_dir: self.data_dir.clone(),
            revision: summary.revision,
            cluster_id: None,
            member_id: None,
            backup: summary,
        };
        if let Some(path) = self.data_dir.filter(|_| !self.dry_run) {
            let ids = if self.keep_ids { backup.ids() } else { folder::ids() };
            let new = folder::New::open(&path)?;
            let progress = console::Progress::new("writing the data folder");
            backup::restore(backup, &new.disk, &ids, self.bump_revision, &mut |bytes| {
                progress.add(bytes as u64);
            })?;
            drop(progress);
            new.hand_over()?;
            done.restored = true;
            done.revision += self.bump_revision;
            done.cluster_id = Some(format!("{:x}", ids.cluster_id));
            done.member_id = Some(format!("{:x}", ids.member_id));
            if !self.json {
                console::answer(&format!(
                    "restored to {} as member {:x} of cluster {:x}, at revision {}\n",
                    path.display(),
                    ids.member_id,
                    ids.cluster_id,
                    done.revision
                ))?;
            }
        }
        if self.json {
            console::json(&done)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is in a backup, for a person.
pub(crate) fn describe(summary: &Summary) -> String {
    let Summary { revision, compacted, keys, versions, leases, index, term, .. } = *summary;
    format!(
        "revision    {revision}, compacted at {compacted}\n\
         keys        {keys}, in {versions} versions\n\
         leases      {leases}\n\
         log         up to entry {index} of term {term}\n\
         taken from  member {} of cluster {}\n\
         size        {}\n\
         SHA-256     {}, verified\n",
        summary.member_id,
        summary.cluster_id,
        words::size(summary.size_bytes),
        summary.sha256,
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_backup_is_described() {
        let summary = Summary {
            revision: 4711,
            compacted: 4000,
            keys: 812,
            versions: 1523,
            leases: 3,
            index: 5000,
            term: 2,
            cluster_id: "c1".into(),
            member_id: "e1".into(),
            size_bytes: 1_234_592,
            sha256: "ab12".into(),
        };
        expect![[r#"
            revision    4711, compacted at 4000
            keys        812, in 1523 versions
            leases      3
            log         up to entry 5000 of term 2
            taken from  member e1 of cluster c1
            size        1.2 MiB
            SHA-256     ab12, verified
        "#]]
        .assert_eq(&describe(&summary));
    }
}
