//! `duet logs`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent::ask::{AskError, Question};
use agent::page::bundle;

use super::Ended;
use super::nodes::Nodes;
use crate::console::Console;
use crate::files;

/// Fetch what a person who helps wants to see of the nodes, as one file
///
/// Of each node: the journal of this boot, the status, the store's page and events, failed units, the
/// network, and which release runs. No key is in it, and what looks like one is taken out of the journal;
/// look through it nevertheless before it leaves the house.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    nodes: Nodes,

    /// Where the archive goes: a gzipped tar, such as logs.tar.gz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Reading a journal takes a while on a slow disk.
const PATIENCE: Duration = Duration::from_secs(180);

/// The largest bundle of a node that is taken.
const LONGEST: usize = 32 << 20;

/// What came is no bundle.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("what the nodes sent is no bundle")]
#[diagnostic(code(network::bundle), help("do the nodes run the same release as this program?"))]
struct NoBundle(#[from] std::io::Error);

impl Logs {
    pub(crate) fn run(&self, console: &Console) -> Ended {
        let asking = self.nodes.ready()?;
        let question = Question { path: "/bundle", longest: LONGEST, patience: PATIENCE };
        let mut bundles = Vec::new();
        let mut failed: Vec<AskError> = Vec::new();
        for answer in asking.ask(question)? {
            match answer {
                Ok((target, said)) => {
                    let node = folder(&format!("room-{}-{target}", said.room));
                    bundles.push((node, said.body.to_vec()));
                }
                Err(error) => failed.push(error),
            }
        }
        if bundles.is_empty() {
            let first = failed.into_iter().next();
            return Err(first.map_or_else(|| miette::miette!("no node was asked"), Into::into));
        }
        let archive = bundle::merge(&bundles).map_err(NoBundle)?;
        files::write("the archive", &self.out, &archive)?;
        for error in &failed {
            console.warning(error);
        }
        for (node, _) in &bundles {
            console.result(node)?;
        }
        console.note(format!("in {}", self.out.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// A name that is a folder's on any system.
fn folder(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    text.chars().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_folder_is_named_like_it() {
        assert_eq!(folder("room-a-[fe80::1%e]:8443"), "room-a-_fe80__1_e__8443");
        assert_eq!(folder("room-a-10.0.0.1:8443"), "room-a-10.0.0.1_8443");
    }
}
