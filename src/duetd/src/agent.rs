//! `duetd agent`: the service that finds the other room, and shows people how both are. Start at [`Agent::run`]. What is shown and
//! who may see what is decided in the crate `agent`; here it is given this node's status, and systemd hears
//! of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::agent::page::bundle::Bundler;
use ::agent::page::look::{self, Places};
use ::agent::page::{Board, Server};
use ::agent::{Files, Settings, discovery};
use clap::Args;
use tokio::sync::mpsc;

use crate::exit;
use crate::journal::{self, Loudness};
use crate::root::{AGENT_FOLDER, AGENT_SETTINGS, Root};
use crate::service::{SystemError, Systemd, told_to_end};
use crate::status::Status;
use crate::status::collect::Looker;

/// Threads that answer; the page is small and its readers are few.
const THREADS: usize = 2;

/// Threads for what blocks: a look at this node, and a bundle.
const MOST_BLOCKING_THREADS: usize = 4;

/// How often discovery hears where the store is connected.
const CONFIRMED_EVERY: Duration = Duration::from_secs(5);

/// Where the programs are that a bundle is made with.
const PROGRAMS: &str = "/usr/bin";

/// What is typed after `duetd agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The settings that `duetd boot` wrote
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Where the store of this machine has its pages (for tests)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2381", hide = true)]
    store: SocketAddr,

    /// Listen here alone (for tests)
    #[arg(long, value_name = "ADDRESS", hide = true)]
    listen: Option<SocketAddr>,
}

/// Why the settings are not taken.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum SettingsError {
    /// There are none.
    #[error("cannot read {}", path.display())]
    #[diagnostic(
        code(input::agent_settings),
        help("`duetd boot` writes them from a good seed: `journalctl -u duet-boot`")
    )]
    Read { path: PathBuf, source: std::io::Error },
    /// They say something else.
    #[error("{} holds no settings of the agent: {reason}", path.display())]
    #[diagnostic(
        code(input::agent_settings),
        help("they are written at each boot: restart duet-boot.service, and then this one")
    )]
    Form { path: PathBuf, reason: String },
}

impl Agent {
    /// Shows the page until it is told to end.
    pub(crate) fn run(self, root: &Root) -> ExitCode {
        exit::end(self.serve(root))
    }

    fn serve(self, root: &Root) -> Result<ExitCode, miette::Report> {
        journal::begin(Loudness::default());
        let path = self.settings.clone().unwrap_or_else(|| root.path(AGENT_SETTINGS));
        let settings = load_settings(&path)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(MOST_BLOCKING_THREADS)
            .thread_name("duet-agent")
            .enable_all()
            .build()
            .map_err(|source| SystemError { action: "start the agent's threads", source })?;
        let ended = runtime.block_on(self.work(settings, root));
        // A look that hangs must not hold up the end.
        runtime.shutdown_background();
        ended.map(|()| ExitCode::SUCCESS)
    }

    async fn work(self, settings: Settings, root: &Root) -> Result<(), miette::Report> {
        let systemd = Systemd::new()?;
        let end = told_to_end()?;
        let files = Files {
            certificate: settings.certificate_file.clone(),
            key: settings.key_file.clone(),
            authority: settings.authority_file.clone(),
        };
        let server = match self.listen {
            Some(address) => Server::bind_at(files, &settings.site, address)?,
            None => Server::bind(files, &settings.site, settings.page_port)?,
        };
        let places: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
        let places = places.join(", ");
        let board = Board::new(look::nothing(&settings));
        let run = root.path(AGENT_FOLDER);
        let status = look_at(root.clone());
        let finds = tokio::spawn(find(settings.clone(), run.clone(), board.clone()));
        let looks = look::run(settings, Places { run, store: self.store }, status, board.clone());
        let looks = tokio::spawn(looks);
        systemd.say(&format!("READY=1\nSTATUS=Showing both rooms on {places}"));
        let stop = async {
            end.await;
            tracing::info!("ending");
            systemd.say("STOPPING=1\nSTATUS=Ending");
        };
        server.run(board, Bundler::new(&root.path("/"), Path::new(PROGRAMS)), stop).await;
        looks.abort();
        finds.abort();
        Ok(())
    }
}

/// Announces this machine and finds the others, for as long as it is let to.
async fn find(settings: Settings, run: PathBuf, board: Board) {
    let (tell, confirmed) = mpsc::channel(1);
    let places = discovery::Places {
        peers: run.join("peers"),
        neighbours: run.join("neighbours.json"),
        ..discovery::Places::default()
    };
    // Where the store is connected is the one address that is known to be right.
    let confirms = async {
        loop {
            if let Some(place) = board.linked() {
                let _ = tell.send(place).await;
            }
            tokio::time::sleep(CONFIRMED_EVERY).await;
        }
    };
    tokio::join!(discovery::run(&settings, &places, confirmed, std::future::pending()), confirms);
}

fn load_settings(path: &Path) -> Result<Settings, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    let form = |error: toml::de::Error| SettingsError::Form {
        path: path.to_owned(),
        reason: error.message().to_owned(),
    };
    toml::from_str(&text).map_err(form)
}

/// This node's status, as `duetd status --json` prints it.
fn look_at(root: Root) -> look::Status {
    let mut looker = Looker::new(root);
    Box::new(move |page| {
        let status = Status::of(&looker.look(Instant::now(), || page));
        serde_json::to_value(status).unwrap_or_default()
    })
}
