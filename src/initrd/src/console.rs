//! Everything that /init says: to the kernel log, and in need to the screen. Start at [`Log`].

use crate::failure::Failure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::system::{RebootCommand, reboot};
use rustix::time::{ClockId, clock_gettime};
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

/// Kernel log levels (syslog(2)). With `quiet` only what is worse than a warning is shown.
const LEVEL_WARNING: u8 = 4;
const LEVEL_INFO: u8 = 6;

/// Time that one console gets to take the error screen. A serial line at 9600 baud needs 2 s for it;
/// one that is stopped by flow control must not hold the restart.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(5);

/// Seconds since the kernel started.
pub fn uptime() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// The kernel log, the stages passed and the notes taken, for [`crate::record`].
pub struct Log {
    kmsg: Option<File>,
    /// Stage and the seconds since the kernel started at which it was over.
    pub stages: RefCell<Vec<(&'static str, f64)>>,
    /// Sentences on what is not as it should be and did not stop the start.
    pub notes: RefCell<Vec<String>>,
}

impl Log {
    /// Opens /dev/kmsg; without it everything is kept and nothing said.
    pub fn open() -> Self {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let kmsg = open("/dev/kmsg", flags, Mode::empty()).ok().map(File::from);
        Self { kmsg, stages: RefCell::default(), notes: RefCell::default() }
    }

    /// Keeps everything and says nothing.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self { kmsg: None, stages: RefCell::default(), notes: RefCell::default() }
    }

    fn write(&self, level: u8, text: &str) {
        if let Some(mut kmsg) = self.kmsg.as_ref() {
            // One write is one record; a longer one is refused (kernel: LOG_LINE_MAX, about 1000).
            let text: String = text.chars().take(800).collect();
            let _ = kmsg.write_all(format!("<{level}>duet: {text}\n").as_bytes());
        }
    }

    /// Says what is going on.
    pub fn say(&self, text: &str) {
        self.write(LEVEL_INFO, text);
    }

    /// Says what is not as it should be, and keeps it for the status screen.
    pub fn note(&self, text: impl Into<String>) {
        /// More notes than this tell a person nothing new.
        const MOST_NOTES: usize = 50;
        let text = text.into();
        self.write(LEVEL_WARNING, &text);
        let mut notes = self.notes.borrow_mut();
        if notes.len() < MOST_NOTES {
            notes.push(text);
        }
    }

    /// Marks the end of a stage.
    pub fn stage(&self, name: &'static str, text: &str) {
        let now = uptime();
        self.say(&format!("{name}: {text} ({now:.2} s)"));
        self.stages.borrow_mut().push((name, now));
    }
}

/// Shows why the machine cannot start, waits, and restarts it. There is no shell to fall into.
pub fn give_up(failure: &Failure, seconds: u64) -> ! {
    let log = Log::open();
    log.say(&format!("cannot {}: {}", failure.wanted, failure.problem));
    for line in &failure.seen {
        log.say(&format!("seen: {line}"));
    }
    // From now on the kernel says only what ends it, so that the screen stays readable.
    let _ = std::fs::write("/proc/sys/kernel/printk", "1");
    let screen = format!("\x1b[0m\x1b[2J\x1b[H{}", failure.screen(seconds));
    let shown = consoles().iter().filter(|path| show(path, &screen)).count();
    if shown == 0 {
        log.write(2, &format!("cannot {}: {}", failure.wanted, failure.problem));
    }
    std::thread::sleep(Duration::from_secs(seconds));
    rustix::fs::sync();
    let _ = reboot(RebootCommand::Restart);
    // Only a kernel that may not restart comes here; then its own panic= takes over.
    std::process::exit(1)
}

/// The consoles that the kernel writes to: `tty0 ttyS0`. With none, the one that opened with /init.
fn consoles() -> Vec<String> {
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let mut consoles: Vec<_> =
        active.split_whitespace().map(|name| format!("/dev/{name}")).collect();
    if consoles.is_empty() {
        consoles.push("/dev/console".to_owned());
    }
    consoles
}

/// Writes to a terminal without ever hanging on it; true if all of it was taken.
fn show(path: &str, text: &str) -> bool {
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(terminal) = open(path, flags, Mode::empty()) else { return false };
    let deadline = uptime() + CONSOLE_PATIENCE.as_secs_f64();
    let mut rest = text.as_bytes();
    while !rest.is_empty() && uptime() < deadline {
        match rustix::io::write(&terminal, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::AGAIN | Errno::INTR) => {
                let second = Timespec { tv_sec: 1, tv_nsec: 0 };
                let _ = poll(&mut [PollFd::new(&terminal, PollFlags::OUT)], Some(&second));
            }
            Err(_) => return false,
        }
    }
    rest.is_empty()
}
