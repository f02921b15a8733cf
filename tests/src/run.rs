//! Runs a program to its end, within a time, and keeps what it said.

use std::fmt;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a program ended and what it said.
#[derive(Clone)]
pub struct Said {
    /// The command as a person would read it.
    pub line: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// The same, if the program ended well.
    ///
    /// # Panics
    /// If it did not, with everything that it said.
    #[track_caller]
    #[must_use]
    pub fn well(self) -> Said {
        assert!(self.code == Some(0), "{self}");
        self
    }

    /// The same, if the program ended with `code`.
    ///
    /// # Panics
    /// If it did not, with everything that it said.
    #[track_caller]
    #[must_use]
    pub fn with(self, code: i32) -> Said {
        assert!(self.code == Some(code), "expected exit code {code}\n{self}");
        self
    }
}

impl fmt::Display for Said {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { line, code, out, err } = self;
        write!(to, "$ {line}\nexit code: {code:?}\n--- said\n{out}\n--- complained\n{err}\n---")
    }
}

/// Runs `command` with nothing on its standard input, for at most `limit`.
///
/// # Panics
/// If it cannot be started, or takes longer than `limit`; then it is killed.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Said {
    let line = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
    let out = listen(child.stdout.take());
    let err = listen(child.stderr.take());

    let until = Instant::now() + limit;
    let mut patience = Duration::from_millis(2);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => thread::sleep(patience),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                // What it started may hold the pipes open, so what it said is not waited for.
                panic!("took longer than {} s: {line}", limit.as_secs());
            }
        }
        patience = (patience * 2).min(Duration::from_millis(100));
    };
    let hear = |said: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&said.join().unwrap_or_default()).into_owned()
    };
    Said { line, code: status.code(), out: hear(out), err: hear(err) }
}

fn listen(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut said);
        }
        said
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Said {
        run(Command::new("sh").args(["-c", script]), Duration::from_secs(20))
    }

    #[test]
    fn both_streams_and_the_code_are_kept() {
        let said = sh("echo out; echo err >&2; exit 7").with(7);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
        assert_eq!(sh("kill -9 $$").code, None);
    }

    #[test]
    #[should_panic(expected = "exit code: Some(3)")]
    fn a_failure_is_not_well() {
        let _ = sh("exit 3").well();
    }

    #[test]
    #[should_panic(expected = "took longer than 0 s")]
    fn a_program_that_hangs_is_stopped() {
        let _ = run(Command::new("sleep").arg("30"), Duration::from_millis(50));
    }
}
