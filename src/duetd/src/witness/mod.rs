//! `duetd witness`: runs the witness, or works on its sites. One file per subcommand. Start at
//! [`Witness::run`].
//!
//! What these commands do is decided in the crate `witness`; here a person's words become its values, and
//! its values words. [`exit`] has the numbers that they end with.

mod flags;
mod renew;
mod run;
mod site;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::witness::definition::Generation;
use ::witness::disk::{FolderError, RealDisk, Use};
use clap::{Args, Subcommand};
use ring::rand::{SecureRandom, SystemRandom};

use crate::exit;

/// The data folder of duet-witness.service.
const DATA_DIR: &str = "/var/lib/duet-witness";

/// What is typed after `duetd witness`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Witness {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    flags: flags::Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer the rooms of the sites in the data folder: what no subcommand does, too
    Run(flags::Flags),

    /// Add, remove and list the sites of a witness, also while it runs
    #[command(subcommand)]
    Site(site::Site),

    /// Give sites a new generation: after their files were restored from a backup, or are damaged
    ///
    /// A witness that was restored may have forgotten what it granted since. Under a new generation it
    /// grants nothing before both rooms of a site have met and registered with it, which they do by
    /// themselves.
    Renew(renew::Renew),
}

impl Witness {
    /// Carries out what was typed, and says what went wrong.
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.command {
            None => run::run(self.flags),
            Some(Command::Run(flags)) => run::run(flags),
            Some(Command::Site(site)) => site.run(),
            Some(Command::Renew(renew)) => renew.run(),
        };
        exit::end(done)
    }
}

/// Where the sites are, for the commands that work on them.
#[derive(Debug, Args)]
struct Folder {
    /// The data folder of the witness
    #[arg(long, value_name = "DIR", default_value = DATA_DIR, env = "DUET_WITNESS_DATA_DIR")]
    data_dir: PathBuf,
}

impl Folder {
    fn open(&self, r#use: Use) -> Result<RealDisk, FolderError> {
        RealDisk::open(&self.data_dir, r#use)
    }
}

/// A new generation.
fn generation() -> Generation {
    loop {
        let mut bytes = [0; 8];
        SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
        if let Some(generation) = Generation::new(u64::from_le_bytes(bytes)) {
            return generation;
        }
    }
}

/// The text of a small file that a person named.
fn text_of(path: &Path, what: &str) -> Result<String, miette::Report> {
    use std::io::Read as _;
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        // More than any such file has; one that is longer is something else.
        let read = file.take(1 << 20).read_to_string(&mut text)?;
        if read == 1 << 20 { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
    };
    read().map_err(|source| {
        miette::miette!(
            code = "input::witness_file",
            help = "see that the file is there and may be read",
            "cannot read {what} {}: {source}",
            path.display()
        )
    })
}
