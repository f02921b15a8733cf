//! `duet lab up`

use std::process::ExitCode;
use std::time::Duration;

use lab::{Goal, Lab, LabError, Sight, Stage};

use super::setup::Setup;
use super::{Dir, Ended};
use crate::console::Console;

/// Four times what two emulated machines on two busy cores take to their status screens.
const PATIENCE: Duration = Duration::from_secs(600);
/// What `duetd` writes at the top of a status screen that needs nobody (see its `screen` module).
const SETTLED: [&str; 2] = ["All is well", "Have a look"];

/// Start both rooms, each from its disk image
///
/// Without images: the newest ones that `duet build` made for the site. The images are copied and
/// never written to. KVM is used where it really works, else emulation.
#[derive(Debug, clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    dir: Dir,

    #[command(flatten)]
    setup: Setup,

    /// Wait until all status screens are settled
    #[arg(long)]
    wait: bool,
}

impl Up {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let lab = self.setup.up(&self.dir, console)?;
        if self.wait {
            wait(&lab, console)?;
        }
        console.hint("`duet lab screen` shows the machines, `duet lab down` ends them");
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits for all status screens, and tells each stage once.
fn wait(lab: &Lab, console: &Console) -> Result<(), LabError> {
    let machines: Vec<&str> = lab.plan().machines.iter().map(|one| one.name.as_str()).collect();
    let mut told: Vec<(String, Option<Stage>)> = Vec::new();
    let settled = |sight: &Sight<'_>| SETTLED.iter().any(|word| sight.screen.contains(word));
    lab.wait_for(
        &machines,
        Goal { what: "a settled status screen", limit: PATIENCE },
        &mut |sight| settled(sight),
        &mut |sight| {
            let at = (sight.machine.to_owned(), sight.stages.last());
            if let (_, Some(stage)) = &at {
                if !told.contains(&at) {
                    console.note(format!("{} {:>6.1} s  {stage}", at.0, sight.since.as_secs_f64()));
                    told.push(at);
                }
            }
        },
    )?;
    console.note("all status screens are settled");
    Ok(())
}
