//! `duetd store`: runs the state store, or works on what it left. One file per subcommand; without one the
//! store runs, with etcd's own flags. Start at [`Store::run`].
//!
//! What these commands do is decided in the crate `store`; here a person's words become its values, and
//! its values words. [`exit`] has the numbers that they end with.

mod backup;
mod check;
mod dump;
pub(crate) mod endpoint;
mod flags;
mod folder;
mod foreign;
mod import;
mod number;
mod pair;
mod probe;
mod restore;
mod run;
mod status;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::exit;

/// The data folder of a node's store (duet-store.service).
const DATA_DIR: &str = "/var/lib/duet-store";

/// The socket of a node's store (/etc/duet/store.toml).
const ENDPOINT: &str = "unix:///run/duet-store/store.sock";

/// What is typed after `duetd store`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Store {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    flags: flags::Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether a data folder is in order; changes nothing
    ///
    /// Reads every checkpoint and every entry of the log and says what is there and what is damaged.
    /// Stop the store first: what it is writing would look like damage.
    ///
    /// Exit status: 0 if all is well, 5 if something is damaged.
    Check(check::Check),

    /// Print what a data folder holds; changes nothing
    ///
    /// First the keys of the newest checkpoint, then the entries of the log in their order. Values are
    /// often secrets and only printed with --values.
    Dump(dump::Dump),

    /// Make a new data folder from a backup
    ///
    /// The backup's checksum is verified first. The new store gets an identity of its own, as with
    /// etcd, so that no client takes it for the old one by mistake.
    Restore(restore::Restore),

    /// Write a backup of a running store
    ///
    /// The store goes on meanwhile, and the backup is all of it at one moment. The file appears under
    /// its name when it is whole and verified, and not before.
    Backup(backup::Backup),

    /// Move in from etcd, or from kine's SQLite file (k3s)
    ///
    /// Makes a new data folder with all keys at the revisions that they had, so that clients go on
    /// where they were. Stop what writes to the source first. The source is only read.
    Import(import::Import),

    /// Write numbered keys through the store, and see that every acknowledged one is there
    ///
    /// Says when writes begin and cease to be acknowledged, and at the end how long the longest gap was and
    /// whether an acknowledged write is missing. The keys are removed, but with --keep: then `--verify RUN`
    /// reads them back elsewhere, such as in the other room.
    ///
    /// Exit status: 0 if none is missing, 5 if one is, 12 if none was acknowledged.
    Probe(probe::Probe),

    /// How a store that is one of two is: who leads, who is in sync, and what would happen
    ///
    /// Says who leads by which decision, how far the other room is behind, whether the authority answers,
    /// and whether this room would go on if the other one were lost now; and if not, why.
    Status(status::Status),

    /// Have the other room lead
    ///
    /// Writes wait for some milliseconds, and none is lost. Refused where the other room is not in sync.
    HandOver(status::HandOver),

    /// Go on without the other room, which is switched off
    ///
    /// For when no authority decides. What the other room acknowledged and this one does not have is lost,
    /// so the name of the site has to be typed. Never do this while the other room runs.
    GoOnAlone(status::GoOnAlone),
}

impl Store {
    /// Carries out what was typed, and says what went wrong.
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.command {
            None => run::run(self.flags),
            Some(Command::Check(check)) => check.run(),
            Some(Command::Dump(dump)) => dump.run(),
            Some(Command::Restore(restore)) => restore.run(),
            Some(Command::Backup(backup)) => backup.run(),
            Some(Command::Import(import)) => import.run(),
            Some(Command::Probe(probe)) => probe.run(),
            Some(Command::Status(status)) => status.run(),
            Some(Command::HandOver(hand_over)) => hand_over.run(),
            Some(Command::GoOnAlone(go_on_alone)) => go_on_alone.run(),
        };
        exit::end(done)
    }
}

/// The command line as clap wants it. Go's programs take `-data-dir` for `--data-dir`, and scripts made for
/// etcd use that; and a link to this program that is named `etcd` is `duetd store`.
pub(crate) fn command_line(typed: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut line: Vec<OsString> = typed.collect();
    let name = line.first().map(std::path::Path::new).and_then(std::path::Path::file_name);
    if name == Some("etcd".as_ref()) {
        line.insert(1, "store".into());
    }
    if line.get(1).is_none_or(|command| command != "store") {
        return line;
    }
    for word in &mut line[2..] {
        let Some(text) = word.to_str() else { continue };
        let long = text.strip_prefix('-').filter(|flag| {
            flag.len() > 2 && flag.starts_with(|first: char| first.is_ascii_lowercase())
        });
        if long.is_some() {
            *word = format!("-{text}").into();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: &str) {
        let line = command_line(typed.split(' ').map(OsString::from));
        let line: Vec<_> = line.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(line.join(" "), expected);
    }

    #[test]
    fn lines_made_for_etcd_are_understood() {
        check("etcd --name a", "etcd store --name a");
        check("/opt/bin/etcd -log-level warn", "/opt/bin/etcd store --log-level warn");
        check("duetd store -data-dir /d --name=x", "duetd store --data-dir /d --name=x");
        check("duetd store -h -V - -- -1", "duetd store -h -V - -- -1");
        check("duetd status -json", "duetd status -json");
    }
}
