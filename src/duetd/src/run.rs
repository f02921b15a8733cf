//! `duetd run`: the service that keeps the status screen on the consoles.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::console;
use crate::notify::Notifier;
use crate::root::Root;
use crate::screen::{self, Page};
use crate::status::Status;
use crate::status::collect::Looker;
use crate::tty::{CONSOLES, Console};

/// How often the machine is looked at: soon enough for a person who has just plugged in a cable.
const PERIOD: Duration = Duration::from_secs(2);

/// Draws the screen until the process is ended.
pub(crate) fn run(root: &Root) -> Result<ExitCode, miette::Report> {
    let notifier = Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref())
        .map_err(|error| miette::miette!("cannot reach systemd's notify socket: {error}"))?;
    let mut looker = Looker::new(root.clone());
    let mut consoles = CONSOLES.map(|path| (path, Console::new(root.path(path)), None));
    let mut ready = false;
    loop {
        let status = Status::of(&looker.look(Instant::now()));
        let text = screen::render(&status, Page::CONSOLE);
        for (path, console, complaint) in &mut consoles {
            let failure = console.show(&text).err().map(|error| error.to_string());
            // Said once, not every two seconds: many machines have only one of them.
            if failure != *complaint {
                if let Some(why) = &failure {
                    console::note(&format!("nothing is shown on {path}: {why}"));
                }
                *complaint = failure;
            }
        }
        // Systemd's own bound on this service's silence is WatchdogSec= in its unit.
        let state = if ready { "WATCHDOG=1" } else { "READY=1\nWATCHDOG=1" };
        if let Err(error) = notifier.say(state) {
            console::note(&format!("systemd does not listen: {error}"));
        }
        ready = true;
        thread::sleep(PERIOD);
    }
}
