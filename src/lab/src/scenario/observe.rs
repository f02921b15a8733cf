//! Watches one machine over ssh, for as long as the value lives. Start at [`Observer::new`]. A machine that
//! is off, or starting, says nothing; it is asked again by itself.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::seen::Seen;
use super::site::{Answers, Words};

/// What is carried out on the machine: one line of JSON for each look. The store is asked itself only where
/// the node's status does not speak of it. A shell whose reader is gone ends by itself when it writes.
const LOOK: &str = "while :; do s=$(duetd status --json); p=; \
                    case $s in *'\"pair\"'*) ;; *) p=$(duetd store status --json 2>/dev/null) ;; esac; \
                    n=$(cat /run/duet-agent/neighbours.json 2>/dev/null); \
                    printf '{\"status\":%s,\"pair\":%s,\"neighbours\":%s}' \
                    \"$s\" \"${p:-null}\" \"${n:-null}\" | tr -d '\\n'; echo; sleep 0.5; done";
/// After a machine that does not answer. Its ssh server forgives one that gave up each second.
const PAUSE: Duration = Duration::from_millis(1200);

/// Watches one machine.
#[derive(Debug)]
pub(super) struct Observer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<(Instant, Seen)>,
    child: Option<Child>,
    ended: bool,
}

impl Observer {
    /// Begins to watch.
    pub(super) fn new((ssh, answers): (Words, Answers)) -> Observer {
        let shared = Arc::new(Shared::default());
        let words = ssh(LOOK);
        let watching = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !watching.lock().ended {
                if answers() {
                    watching.listen(&words);
                }
                thread::sleep(PAUSE);
            }
        });
        Observer { shared, thread: Some(thread) }
    }

    /// What it said last, if that was after `since` and is not older than `age`.
    pub(super) fn seen(&self, since: Instant, age: Duration) -> Option<Seen> {
        let state = self.shared.lock();
        let (when, seen) = state.last.as_ref()?;
        (*when >= since && when.elapsed() <= age).then(|| seen.clone())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the machine says no more.
    fn listen(&self, words: &[OsString]) {
        let Some((program, arguments)) = words.split_first() else { return };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return };
        let output = child.stdout.take();
        {
            let mut state = self.lock();
            if state.ended {
                end(&mut child);
                return;
            }
            state.child = Some(child);
        }
        let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
        for line in lines.map_while(Result::ok) {
            if let Some(seen) = Seen::parse(&line) {
                self.lock().last = Some((Instant::now(), seen));
            }
        }
        if let Some(mut child) = self.lock().child.take() {
            end(&mut child);
        }
    }
}

/// Fails only if it has ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Observer {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.ended = true;
            if let Some(child) = &mut state.child {
                // The thread waits for it.
                let _ = child.kill();
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_takes_what_is_whole_and_ends_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!(
            "echo $$ > {}; echo nonsense; echo '{{\"status\":{{\"pair\":null}}}}'; exec sleep 60",
            note.display()
        );
        let begun = Instant::now();
        let words: Words = Box::new(move |_| ["sh", "-c", &script].map(OsString::from).to_vec());
        let observer = Observer::new((words, Box::new(|| true)));
        let seen = loop {
            if let Some(seen) = observer.seen(begun, Duration::from_secs(10)) {
                break seen;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing is seen");
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(seen.pair, None);
        assert_eq!(observer.seen(Instant::now(), Duration::from_secs(10)), None, "that is old");
        drop(observer);
        let pid: u32 = std::fs::read_to_string(note).unwrap().trim().parse().unwrap();
        assert_eq!(crate::process::ProcessId::of(pid).unwrap(), None);
    }
}
