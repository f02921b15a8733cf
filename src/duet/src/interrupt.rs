//! Ctrl-C: ends the program at once, with its own exit code.
//!
//! Artefacts and cached files get their final name only when they are whole, so nothing needs to be
//! undone but drafts that would lie in a person's folder ([`sweep`]), and machines that were started for
//! this run only ([`finally`]); what was fetched stays for the next run.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
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
            if let Some(drafts) = &*DRAFTS.lock().unwrap_or_else(PoisonError::into_inner) {
                drafts.remove();
            }
            do_last();
            console.interrupted();
            std::process::exit(match signal {
                SIGINT => i32::from(exit::INTERRUPTED),
                other => 128 + other,
            });
        }
    })?;
    Ok(())
}

/// What to remove before the program ends by a signal.
static DRAFTS: Mutex<Option<Drafts>> = Mutex::new(None);

/// What in a folder begins with a word, but for what was there before.
struct Drafts {
    folder: PathBuf,
    prefix: &'static str,
    before: HashSet<OsString>,
}

impl Drafts {
    fn names(&self) -> HashSet<OsString> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().starts_with(self.prefix)).collect()
    }

    fn remove(&self) {
        for name in self.names().difference(&self.before) {
            // What stays has a name that says that it is a draft.
            let _ = fs::remove_dir_all(self.folder.join(name));
        }
    }
}

/// While this lives, a signal removes new entries of the folder that begin with the word.
#[must_use]
pub(crate) struct Sweep(());

/// Sees to drafts in `folder` whose names begin with `prefix`. One folder at a time.
pub(crate) fn sweep(folder: &Path, prefix: &'static str) -> Sweep {
    let mut drafts = Drafts { folder: folder.into(), prefix, before: HashSet::new() };
    drafts.before = drafts.names();
    *DRAFTS.lock().unwrap_or_else(PoisonError::into_inner) = Some(drafts);
    Sweep(())
}

impl Drop for Sweep {
    fn drop(&mut self) {
        *DRAFTS.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What is done at the end, however that comes.
type Work = Box<dyn FnOnce() + Send>;

static LAST: Mutex<Option<Work>> = Mutex::new(None);

/// Does what is to be done at the end when it is dropped.
#[must_use]
pub(crate) struct Finally(());

/// Has something done when the returned value is dropped, or when a signal ends the program before. One
/// thing at a time.
pub(crate) fn finally(work: impl FnOnce() + Send + 'static) -> Finally {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(work));
    Finally(())
}

fn do_last() {
    // Taken out first, so that it is done once.
    let work = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(work) = work {
        work();
    }
}

impl Drop for Finally {
    fn drop(&mut self) {
        do_last();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_to_be_done_at_the_end_is_done_once() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};
        let count = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&count);
        let at_last = finally(move || {
            counting.fetch_add(1, Ordering::SeqCst);
        });
        do_last();
        drop(at_last);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn only_new_drafts_go() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::create_dir(folder.path().join(name)).unwrap();
        make(".building-theirs");
        let mut drafts =
            Drafts { folder: folder.path().into(), prefix: ".building-", before: HashSet::new() };
        drafts.before = drafts.names();
        make(".building-ours");
        make("precious");
        fs::write(folder.path().join(".building-ours/part"), "x").unwrap();
        drafts.remove();
        let mut left: Vec<OsString> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".building-theirs", "precious"]);
    }
}
