//! Runs a program of the verified root, bounded in time and in what is kept of its words. Start at
//! [`run`].

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; `None` if a signal or the time limit ended it.
    pub code: Option<i32>,
    /// The last lines it wrote, to either stream.
    pub words: Vec<String>,
}

impl Outcome {
    /// `exit code 8`, or that it was ended.
    pub fn ending(&self) -> String {
        match self.code {
            Some(code) => format!("exit code {code}"),
            None => "it was ended, by a signal or the time limit".to_owned(),
        }
    }
}

/// Runs `program` to its end, or to the end of `limit`.
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<Outcome> {
    // A file in memory takes any amount of words without a second thread that reads them.
    let mut words = File::from(memfd_create("words", MemfdFlags::CLOEXEC)?);
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words.try_clone()?)
        .spawn()?;
    let pid = Pid::from_child(&child);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let patience = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&patience))? == 0 {
        child.kill()?;
    }
    let status = child.wait()?;
    Ok(Outcome { code: status.code(), words: last_lines(&mut words)? })
}

/// The last ten lines of at most 4 KiB: what a screen has room for.
fn last_lines(file: &mut File) -> Result<Vec<String>> {
    const MOST: u64 = 4096;
    let from = file.metadata()?.len().saturating_sub(MOST);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Ok(lines.split_off(lines.len().saturating_sub(10)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_is_heard_and_its_code_kept() {
        let script = "echo one; echo two >&2; exit 3";
        let outcome = run("/bin/sh", &["-c", script], Duration::from_secs(20)).unwrap();
        assert_eq!((outcome.code, outcome.words), (Some(3), vec!["one".into(), "two".into()]));
        assert!(run("/nowhere/at/all", &[], Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let outcome = run("/bin/sh", &["-c", "exec sleep 1000"], Duration::from_secs(1)).unwrap();
        assert_eq!(outcome.code, None);
        assert!(outcome.ending().contains("time limit"));
    }

    #[test]
    fn only_the_last_words_are_kept() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
        let words = run("/bin/sh", &["-c", script], Duration::from_secs(60)).unwrap().words;
        assert_eq!((words.len(), words[9].as_str()), (10, "line 2999"));
    }
}
