//! The running nodes of a site, asked over the network. Start at [`Nodes::ask`]. Which machine answers is
//! known by its certificate; an address is only where to dial.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::Files;
use agent::ask::{AskError, Asker, Question, Said, Target};
use site::{Addressing, Room, Site, keys};

use crate::files::FileError;
use crate::load;
use crate::places::Places;

/// Where the page of a node is if nothing else is said.
const PORT: u16 = 8443;

/// More nodes are not asked at one time; a site has two control machines and some workers.
const MOST: usize = 64;

/// Which nodes, and with which keys.
#[derive(Debug, clap::Args)]
pub(super) struct Nodes {
    /// The site file (else `site.toml` here); the operator's key is in `keys` beside it
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,

    /// A node to ask; without any, the control machines of both rooms: by the addresses that the site
    /// file gives them, or else by their names, as NAME.local
    #[arg(long, value_name = "HOST[:PORT]")]
    node: Vec<Target>,
}

/// Everything about a site that asking takes.
pub(super) struct Asking {
    asker: Asker,
    targets: Vec<Vec<Target>>,
}

/// The nodes' answers: each is a node's, or the reasons why none of its addresses gave one.
pub(super) type Answers = Vec<Result<(Target, Said), AskError>>;

/// The system gives no thread.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot ask the network")]
#[diagnostic(code(other::threads), help("see the limits of this process: `ulimit -a`"))]
struct NoRuntime(#[from] std::io::Error);

impl Nodes {
    /// Reads the site and its keys.
    pub(super) fn ready(&self) -> miette::Result<Asking> {
        let file = Places::now().site(self.site.as_deref())?;
        let site = load::site(&file)?;
        let folder = file.parent().unwrap_or(Path::new(".")).join(keys::FOLDER);
        let key = folder.join(keys::OPERATOR_KEY);
        match fs::metadata(&key) {
            Ok(meta) => keys::check_mode(&key, meta.permissions().mode())?,
            Err(source) => {
                return Err(
                    FileError::Read { what: "the operator's key", path: key, source }.into()
                );
            }
        }
        let files = Files {
            certificate: folder.join(keys::OPERATOR_CERTIFICATE),
            key,
            authority: folder.join(keys::CA_CERTIFICATE),
        };
        let asker = Asker::new(&files, &site.name, &Room::ALL)?;
        let targets = if self.node.is_empty() {
            Room::ALL.into_iter().map(|room| control(&site, room)).collect()
        } else {
            self.node.iter().take(MOST).map(|node| vec![node.clone().or_at(PORT)]).collect()
        };
        Ok(Asking { asker, targets })
    }
}

/// Where the control machine of a room may be.
fn control(site: &Site, room: Room) -> Vec<Target> {
    let node = &site.room(room).control;
    let texts: Vec<String> = match &node.network.addressing {
        Addressing::Static { addresses, .. } => {
            // A subnet's length is no part of an address.
            let host = |text: String| text.split('/').next().unwrap_or_default().to_owned();
            addresses.iter().map(|address| host(address.to_string())).collect()
        }
        Addressing::Dhcp => vec![format!("{}.local", node.hostname)],
    };
    let targets = texts.iter().filter_map(|text| text.parse::<Target>().ok());
    targets.map(|target| target.or_at(PORT)).collect()
}

impl Asking {
    /// Asks all nodes at the same time.
    pub(super) fn ask(&self, question: Question<'_>) -> miette::Result<Answers> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(NoRuntime)?;
        Ok(runtime.block_on(async {
            let mut answers = Vec::new();
            let asked: Vec<_> = self
                .targets
                .iter()
                .map(|targets| {
                    let (asker, targets) = (self.asker.clone(), targets.clone());
                    let (path, patience) = (question.path.to_owned(), question.patience);
                    let longest = question.longest;
                    tokio::spawn(async move {
                        let question = Question { path: &path, longest, patience };
                        first(&asker, &targets, question).await
                    })
                })
                .collect();
            for one in asked {
                answers.extend(one.await);
            }
            answers
        }))
    }
}

/// The first of a node's addresses that answers, or why the last one does not.
async fn first(
    asker: &Asker,
    targets: &[Target],
    question: Question<'_>,
) -> Result<(Target, Said), AskError> {
    let mut why = AskError::Unreached {
        target: "the node".to_owned(),
        reason: "it has no address".to_owned(),
    };
    for target in targets {
        match asker.get(target, question).await {
            Ok(said) => return Ok((target.clone(), said)),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// How long a node has for a view.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
