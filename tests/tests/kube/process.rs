//! Programs that run beside the test and end with it, also when it panics or is killed. Start at
//! [`Program::start`]. Nothing is ever looked for by its name: a program is ended by its process id.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::programs::plain;

/// So many of a log's last lines are shown when something went wrong.
const TAIL: usize = 40;

/// A running program whose output goes to a log.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command`. The log is appended to, so a program that is started again adds to it.
    ///
    /// Must be called from the test's own thread: the program ends with the thread that started it.
    pub(crate) fn start(name: &str, command: &Command, log: &Path) -> Program {
        let to = File::options().create(true).append(true).open(log).unwrap();
        // A killed test runs no destructor; the kernel then ends what it left.
        // By its path: the command may bring a PATH of its own.
        let mut guarded = plain("/usr/bin/setpriv");
        guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
        guarded.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(name, value),
                None => guarded.env_remove(name),
            };
        }
        guarded.stdin(Stdio::null()).stdout(to.try_clone().unwrap()).stderr(to);
        let child = guarded.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Program { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Ends it as a power cut would: it cannot finish anything.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and returns the exit code; none if a signal ended it.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{} did not end within {limit:?}\n{}", self.name, self.tail());
    }

    /// Panics with the end of its log if the program has ended by itself.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended by itself: {status}\n{}", self.name, self.tail());
        }
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- the end of {}\n{}\n---", self.log.display(), tail.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until there is an answer.
///
/// # Panics
/// If there is none within `limit`.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(100));
    }
}
