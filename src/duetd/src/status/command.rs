//! `duetd status`: the status for a person or, as JSON, for a script.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use super::collect::Looker;
use super::{Health, Status, pair};
use crate::console;
use crate::root::Root;
use crate::screen::{self, Page};

/// Columns of a page for a person: not so few that nothing fits, not so many that lines get lost.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=100;

/// Prints the status.
pub(crate) fn status(root: &Root, json: bool) -> Result<ExitCode, miette::Report> {
    let status = Status::of(&Looker::new(root.clone()).look(Instant::now(), pair::ask));
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

/// Draws the status again and again until the process is ended; what was on the terminal before stays above.
pub(crate) fn watch(root: &Root) -> Result<ExitCode, miette::Report> {
    /// As often as a person looks. Systemd and chrony are asked less often.
    const PERIOD: Duration = Duration::from_secs(2);
    // ECMA-48: home, and erase what follows. Nothing is erased first, so that the page does not flicker.
    const HOME: &str = "\x1b[H";
    const REST: &str = "\x1b[J";
    const LINE: &str = "\x1b[K\n";
    if !io::stdout().is_terminal() {
        return Err(miette::miette!(
            code = "usage::watch",
            help = "leave out --watch, or ask again with `duetd status --json`",
            "--watch draws on a terminal, and standard output is none"
        ));
    }
    let mut looker = Looker::new(root.clone());
    console::answer("\x1b[2J")?;
    loop {
        let status = Status::of(&looker.look(Instant::now(), pair::ask));
        let rows = tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row));
        let text = screen::render(&status, page());
        // A line more than the terminal has would scroll it.
        let lines: Vec<&str> = text.lines().take(rows.saturating_sub(1)).collect();
        console::answer(&format!("{HOME}{}{LINE}{REST}", lines.join(LINE)))?;
        std::thread::sleep(PERIOD);
    }
}

/// What fits the reader: the whole status, in colour on a terminal.
fn page() -> Page {
    let columns = tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col));
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Page { width: columns.clamp(*WIDTHS.start(), *WIDTHS.end()), height: None, colour }
}
