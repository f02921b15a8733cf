//! `duetd status`: the status for a person or, as JSON, for a script.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Instant;

use rustix::termios::tcgetwinsize;

use super::collect::Looker;
use super::{Health, Status};
use crate::console;
use crate::root::Root;
use crate::screen::{self, Page};

/// Columns of a page for a person: not so few that nothing fits, not so many that lines get lost.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=100;

/// Prints the status.
pub(crate) fn status(root: &Root, json: bool) -> Result<ExitCode, miette::Report> {
    let status = Status::of(&Looker::new(root.clone()).look(Instant::now()));
    let text = if json {
        let text = serde_json::to_string_pretty(&status)
            .map_err(|error| miette::miette!("cannot write the status as JSON: {error}"))?;
        text + "\n"
    } else {
        screen::render(&status, page())
    };
    console::answer(&text)?;
    Ok(ExitCode::from(match status.health {
        Health::Starting | Health::Good => 0,
        Health::Degraded => 1,
        Health::Bad => 2,
    }))
}

/// What fits the reader: the whole status, in colour on a terminal.
fn page() -> Page {
    let columns = tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col));
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Page { width: columns.clamp(*WIDTHS.start(), *WIDTHS.end()), height: None, colour }
}
