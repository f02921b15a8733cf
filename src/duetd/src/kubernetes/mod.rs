//! `duetd kubernetes`: what has to be so before k3s starts, and how it is afterwards. One file per
//! subcommand; units of overlays/k3s run them. Start at [`Kubernetes::run`].
//!
//! Starts no k3s and writes no setting but what is known only then: this machine's addresses, and the control
//! machine that a worker joins through.

mod address;
mod join;
mod talk;
mod wait;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use self::talk::Talk;
use crate::notify::Notifier;
use crate::root::Root;
use crate::{console, exit};

/// What is typed after `duetd kubernetes`.
#[derive(Debug, Args)]
pub(crate) struct Kubernetes {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Wait until this control machine may start its Kubernetes server (k3s.service)
    ///
    /// It may once this room's store answers, and this room leads or the first server of the site has left
    /// its certificates in the store. So one room makes them, and the other one takes them.
    ///
    /// Exit status: 0 when it may, 4 if --timeout passed.
    Wait(wait::Wait),

    /// Choose the control machine that this worker joins through (k3s-agent.service)
    ///
    /// Takes the first one that answers of those that the site file names and of those that were heard on
    /// the wire, those of the own room first, and waits until one does. It must show that it is of this
    /// site before anything is told to it.
    ///
    /// Exit status: 0 when one is chosen, 3 if `duetd boot` wrote no settings, 4 if --timeout passed.
    Join(join::Join),

    /// Look how Kubernetes is on this machine, and leave it where the status screen finds it
    /// (duet-kubernetes.service)
    ///
    /// Exit status: 0 when told to end, 7 if it cannot be left there.
    Watch(watch::Watch),
}

/// How long something is waited for.
#[derive(Debug, Args)]
struct Patience {
    /// Give up after so many seconds, instead of never
    #[arg(long = "timeout", value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32))]
    seconds: Option<u32>,
}

impl Patience {
    /// Looks every `pause` until a look gives something, and says meanwhile for what `who` waits: in the
    /// journal, and to systemd. A look that fails is the end.
    async fn until<T>(
        &self,
        who: &str,
        pause: Duration,
        cure: &'static str,
        mut look: impl AsyncFnMut() -> Result<Result<T, NotYet>, miette::Report>,
    ) -> Result<T, miette::Report> {
        let begun = Instant::now();
        let mut talk = Talk::default();
        loop {
            let NotYet(why) = match look().await? {
                Ok(found) => return Ok(found),
                Err(why) => why,
            };
            let waited = begun.elapsed();
            if self.is_over(waited) {
                return Err(GivenUp { seconds: waited.as_secs(), why, cure }.into());
            }
            if talk.says(waited, &why) {
                tell(&why);
                console::note(&format!("{who} waits: {why}."));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether it is over after `waited`.
    fn is_over(&self, waited: Duration) -> bool {
        self.seconds.is_some_and(|seconds| waited >= Duration::from_secs(seconds.into()))
    }
}

/// What is waited for, in words.
#[derive(Debug, PartialEq, Eq)]
struct NotYet(String);

/// Nothing came of waiting.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("given up after {seconds} s: {why}")]
#[diagnostic(code(network::kubernetes), help("{cure}"))]
struct GivenUp {
    seconds: u64,
    why: String,
    cure: &'static str,
}

/// Something that others on this machine need cannot be written down.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write {path}")]
#[diagnostic(code(output::kubernetes), help("see that /run has space: df /run"))]
struct Unwritten {
    path: &'static str,
    #[source]
    source: std::io::Error,
}

impl Kubernetes {
    /// Carries out what was typed, and says what went wrong.
    pub(crate) fn run(self, root: &Root) -> ExitCode {
        exit::end(match self.command {
            Command::Wait(wait) => wait.run(root),
            Command::Join(join) => join.run(root),
            Command::Watch(watch) => watch.run(root),
        })
    }
}

/// Has systemd know why k3s is not started yet; its status screen asks systemd.
fn tell(why: &str) {
    let notifier = Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref());
    // Whoever runs this by hand reads it on the terminal.
    let _ = notifier.and_then(|notifier| notifier.say(&format!("STATUS={why}")));
}
