//! Ctrl-C: ends the program at once, with its own exit code.
//!
//! Artefacts and cached files get their final name only when they are whole, so nothing needs to be
//! undone, and what was fetched stays for the next run.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::console::Console;
use crate::exit;

/// Why Ctrl-C cannot be watched for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot watch for Ctrl-C")]
#[diagnostic(
    code(other::signals),
    help("the system refused a thread or a pipe; is it out of memory?")
)]
pub(crate) struct WatchError(#[from] io::Error);

/// Ends the program when a person (or the system) asks it to.
pub(crate) fn watch(console: &Console) -> Result<(), WatchError> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let console = console.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            console.interrupted();
            std::process::exit(match signal {
                SIGINT => i32::from(exit::INTERRUPTED),
                other => 128 + other,
            });
        }
    })?;
    Ok(())
}
