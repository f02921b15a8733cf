//! `duetd run`: the service that keeps the status screen on the consoles.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::console;
use crate::notify::Notifier;
use crate::root::Root;
use crate::screen::{self, Page};
use crate::status::collect::Looker;
use crate::status::{Seen, Status, judge, pair};
use crate::tty::{CONSOLES, Console};

/// How often the machine is looked at: soon enough for a person who has just plugged in a cable.
const PERIOD: Duration = Duration::from_secs(3);

/// While the machine starts, the consoles become ours and things change quickly.
const STARTING_PERIOD: Duration = Duration::from_secs(1);

/// Draws the screen until the process is ended.
pub(crate) fn run(root: &Root) -> Result<ExitCode, miette::Report> {
    let notifier = Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref())
        .map_err(|error| miette::miette!("cannot reach systemd's notify socket: {error}"))?;
    let mut screens = Screens::new(root);
    let mut looker = Looker::new(root.clone());
    let is_starting = |seen: &Seen| seen.uptime_s < judge::START_PATIENCE_S;
    // A first page at once: systemd may take seconds to answer while it starts everything else.
    let first = looker.glance();
    if is_starting(&first) {
        screens.show(&first);
    }
    let mut state = "READY=1\nWATCHDOG=1";
    loop {
        let seen = looker.look(Instant::now(), pair::ask);
        screens.show(&seen);
        // Systemd's own bound on this service's silence is WatchdogSec= in its unit.
        if let Err(error) = notifier.say(state) {
            console::note(&format!("systemd does not listen: {error}"));
        }
        state = "WATCHDOG=1";
        thread::sleep(if is_starting(&seen) { STARTING_PERIOD } else { PERIOD });
    }
}

/// All consoles, and for each what was last wrong with it.
struct Screens(Vec<(&'static str, Console, Option<String>)>);

impl Screens {
    fn new(root: &Root) -> Screens {
        Screens(CONSOLES.map(|path| (path, Console::new(root.path(path)), None)).into())
    }

    fn show(&mut self, seen: &Seen) {
        let text = screen::render(&Status::of(seen), Page::CONSOLE);
        for (path, console, complaint) in &mut self.0 {
            let failure = console.show(&text).err().map(|error| error.to_string());
            // Said once, not at every look: many machines have only one of them.
            if let Some(why) = failure.as_ref().filter(|_| failure != *complaint) {
                console::note(&format!("nothing is shown on {path}: {why}"));
            }
            *complaint = failure;
        }
    }
}
