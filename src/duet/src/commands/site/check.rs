//! `duet site check`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use site::{Role, Room, Site};

use super::Ended;
use crate::console::Console;
use crate::load::{self, Keys};

/// Say whether a site file and the keys beside it are in order
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The site file
    #[arg(default_value = "site.toml")]
    file: PathBuf,
}

impl Check {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let site = load::site(&self.file)?;
        let keys = load::keys(&self.file)?;
        console.result(summary(&site, &keys))?;
        if site.ssh_keys.is_empty() {
            console.warning("nobody can log in to the machines: [ssh] names no key");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(site: &Site, keys: &Keys) -> String {
    let mut text = format!("site {} is in order\n", site.name);
    for room in Room::ALL {
        let plan = site.room(room);
        let _ = writeln!(text, "  room {room}   {}", plan.title);
        for role in Role::ALL {
            if let Ok(node) = site.node(room, role) {
                let _ = writeln!(text, "           {role}: {}", node.hostname);
            }
        }
    }
    let servers: Vec<&str> = site.time_servers.iter().map(|host| host.as_str()).collect();
    let _ = writeln!(text, "  time     {}", servers.join(", "));
    for key in &site.ssh_keys {
        let _ = writeln!(text, "  login    {}", key.comment());
    }
    let _ = writeln!(text, "  signer   {}", keys.release.public().id());
    text
}
