//! Which process is a machine's, beyond its number. Start at [`ProcessId::of`] and
//! [`ProcessId::hold`]. A process that merely inherited the number is never signalled.
//!
//! Numbers are used again, after some time and after every restart of the computer. A process is
//! the one that was meant only if it started at the same tick (proc_pid_stat(5), field 22) of the
//! same boot. It is checked while a pidfd holds on to it (pidfd_open(2)), so it cannot change
//! between the check and the signal.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// One process of one boot of this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since this computer did.
    pub started_ticks: u64,
    /// The kernel's random name of the boot in which it started.
    pub boot: String,
}

/// A process that was found alive and is the one that was meant.
#[derive(Debug)]
pub struct Held {
    pidfd: OwnedFd,
}

impl ProcessId {
    /// The identity of the process that has this number now; `None` if there is none.
    pub fn of(pid: u32) -> io::Result<Option<ProcessId>> {
        let Some(started_ticks) = started(pid)? else { return Ok(None) };
        Ok(Some(ProcessId { pid, started_ticks, boot: boot()? }))
    }

    /// Takes hold of the process, if it still runs.
    pub fn hold(&self) -> io::Result<Option<Held>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let same = ProcessId::of(self.pid)?.as_ref() == Some(self);
        Ok(same.then_some(Held { pidfd }))
    }

    /// Whether the process still runs.
    pub fn runs(&self) -> bool {
        matches!(self.hold(), Ok(Some(_)))
    }

    /// Whether the process belongs to an earlier boot of this computer, so that it ended with it.
    pub fn is_of_earlier_boot(&self) -> bool {
        boot().is_ok_and(|now| now != self.boot)
    }
}

impl Held {
    /// Ends the process at once, as pulling a plug does.
    pub fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the end of the process; false if it still runs after `limit`.
    pub fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut wanted = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut wanted, Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// When the process with this number started; `None` if there is none or it is only a zombie.
fn started(pid: u32) -> io::Result<Option<u64>> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => Ok(parse_stat(&stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // The process ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The start time in `/proc/PID/stat`, unless the process has ended and waits for its parent. The
/// program's name may hold blanks and parentheses, so fields are counted from the last one.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    // The state is field 3, the start time field 22.
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(started)
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> (Child, ProcessId) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap().unwrap();
        (child, id)
    }

    #[test]
    fn the_start_time_is_found_behind_an_odd_name() {
        let stat = |state: &str| {
            format!("7 (a ) R 1 2) {state} 1 7 7 0 -1 4 5 6 7 8 9 1 2 3 20 0 1 0 4711 99 1")
        };
        assert_eq!(parse_stat(&stat("S")), Some(4711));
        assert_eq!(parse_stat(&stat("Z")), None, "a zombie does not run");
        assert_eq!(parse_stat("7 (short) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_process_is_held_killed_and_gone() {
        let (mut child, id) = sleeper();
        let held = id.hold().unwrap().unwrap();
        assert!(!held.ends_within(Duration::from_millis(20)).unwrap());
        held.kill().unwrap();
        assert!(held.ends_within(Duration::from_secs(10)).unwrap());
        assert!(!id.runs(), "a zombie does not run");
        child.wait().unwrap();
        assert!(id.hold().unwrap().is_none());
        held.kill().unwrap();
    }

    #[test]
    fn a_number_that_was_used_again_is_somebody_else() {
        let (mut child, id) = sleeper();
        let recycled = ProcessId { started_ticks: id.started_ticks - 1, ..id.clone() };
        assert!(recycled.hold().unwrap().is_none());
        let earlier = ProcessId { boot: "0d9c1b5e".into(), ..id.clone() };
        assert!(earlier.hold().unwrap().is_none());
        assert!(earlier.is_of_earlier_boot());
        assert!(id.runs() && !id.is_of_earlier_boot());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(ProcessId::of(0).unwrap(), None);
    }
}
