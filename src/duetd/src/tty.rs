//! [`Console`]: a terminal that shows the screen. Draws only what changed, and never waits for a
//! terminal that does not take its text.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::OFlags;
use rustix::termios::{LocalModes, OptionalActions, OutputModes, isatty, tcgetattr, tcsetattr};

/// Cursor off, home, and everything erased (ECMA-48: DECTCEM, CUP, ED).
const FRESH: &str = "\x1b[?25l\x1b[H\x1b[2J";

/// The consoles of a machine: VGA, and the first serial line.
pub(crate) const CONSOLES: [&str; 2] = ["/dev/tty1", "/dev/ttyS0"];

/// One terminal.
#[derive(Debug)]
pub(crate) struct Console {
    path: PathBuf,
    device: Option<File>,
    shown: String,
}

impl Console {
    /// The terminal at `path`, which need not be there yet.
    pub(crate) fn new(path: PathBuf) -> Console {
        Console { path, device: None, shown: String::new() }
    }

    /// Makes the terminal show `text`, unless it does so already; whether it does now. A terminal
    /// that is missing, busy or not ours yet is tried again the next time.
    pub(crate) fn show(&mut self, text: &str) -> io::Result<bool> {
        if self.shown == text {
            return Ok(true);
        }
        // If this ends half-way, nothing is known about what is on the screen.
        self.shown.clear();
        match self.draw(text) {
            Ok(()) => {
                text.clone_into(&mut self.shown);
                Ok(true)
            }
            // Nobody reads the serial line's other end and it holds the sender back.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => {
                self.device = None;
                Err(error)
            }
        }
    }

    fn draw(&mut self, text: &str) -> io::Result<()> {
        let mut device = match &self.device {
            Some(device) => device,
            None => self.device.insert(open(&self.path)?),
        };
        device.write_all(format!("{FRESH}{text}").as_bytes())
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits();
    let device = OpenOptions::new().write(true).custom_flags(flags as i32).open(path)?;
    if isatty(&device) {
        // What somebody types is read by nobody, and shall not be seen either.
        let mut settings = tcgetattr(&device)?;
        settings.local_modes -= LocalModes::ECHO | LocalModes::ECHONL;
        // Every newline also returns to the first column.
        settings.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        tcsetattr(&device, OptionalActions::Now, &settings)?;
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_terminal_is_drawn_when_the_text_changes_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tty1");
        let mut console = Console::new(path.clone());
        assert!(console.show("one\n").is_err(), "it is not there yet");

        std::fs::write(&path, "").unwrap();
        assert!(console.show("one\n").unwrap());
        assert!(console.show("one\n").unwrap());
        assert!(console.show("two\nlines\n").unwrap());

        let drawn = std::fs::read_to_string(&path).unwrap();
        assert_eq!(drawn, format!("{FRESH}one\n{FRESH}two\nlines\n"));
    }
}
