//! A person's terminal on a machine's serial line. Start at [`bridge`]. Ctrl-] leaves.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// Ctrl-], as telnet and virsh have it.
const ESCAPE: u8 = 0x1d;

/// Why the terminal came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The person left by Ctrl-], or there is no more input.
    ByPerson,
    /// The machine went off.
    ByMachine,
}

/// Carries bytes both ways until one side leaves. A terminal is made raw for that time.
pub(crate) fn bridge(
    serial: &UnixStream,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> io::Result<Left> {
    let _raw = Raw::enter(input)?;
    let mut chunk = [0; 4096];
    loop {
        let mut sides =
            [PollFd::new(serial, PollFlags::IN), PollFd::from_borrowed_fd(input, PollFlags::IN)];
        match poll(&mut sides, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [from_machine, from_person] = [sides[0].revents(), sides[1].revents()];
        if !from_machine.is_empty() {
            match read(serial, &mut chunk) {
                Ok(0) | Err(Errno::CONNRESET) => return Ok(Left::ByMachine),
                Ok(length) => write_all(output, &chunk[..length])?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !from_person.is_empty() {
            let length = match read(input, &mut chunk) {
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                // The terminal is gone.
                Err(Errno::IO) => 0,
                Err(error) => return Err(error.into()),
            };
            let (typed, left) = until_escape(&chunk[..length]);
            match write_all(serial.as_fd(), typed) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(Left::ByMachine);
                }
                result => result?,
            }
            if left || length == 0 {
                return Ok(Left::ByPerson);
            }
        }
    }
}

/// What is typed before Ctrl-], and whether that was typed.
fn until_escape(typed: &[u8]) -> (&[u8], bool) {
    match typed.iter().position(|byte| *byte == ESCAPE) {
        Some(at) => (&typed[..at], true),
        None => (typed, false),
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A terminal in raw mode; gets its own mode back when this is dropped.
struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Option<Termios>,
}

impl<'a> Raw<'a> {
    fn enter(terminal: BorrowedFd<'a>) -> io::Result<Raw<'a>> {
        let mut before = None;
        if isatty(terminal) {
            let mode = tcgetattr(terminal)?;
            let mut raw = mode.clone();
            raw.make_raw();
            tcsetattr(terminal, OptionalActions::Now, &raw)?;
            before = Some(mode);
        }
        Ok(Raw { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        if let Some(mode) = &self.before {
            // Fails only if the terminal is gone.
            let _ = tcsetattr(self.terminal, OptionalActions::Now, mode);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::thread;

    use super::*;

    /// A bridge between two socket pairs: the machine's side, the person's side, and the result.
    fn start() -> (UnixStream, UnixStream, thread::JoinHandle<Left>) {
        let (machine, serial) = UnixStream::pair().unwrap();
        let (person, terminal) = UnixStream::pair().unwrap();
        let bridge =
            thread::spawn(move || bridge(&serial, terminal.as_fd(), terminal.as_fd()).unwrap());
        (machine, person, bridge)
    }

    #[test]
    fn bytes_go_both_ways_until_the_escape_is_typed() {
        let (mut machine, mut person, bridge) = start();
        machine.write_all(b"login: ").unwrap();
        let mut shown = [0; 7];
        person.read_exact(&mut shown).unwrap();
        assert_eq!(&shown, b"login: ");
        person.write_all(b"root\r\x03\x1dnot this").unwrap();
        assert_eq!(bridge.join().unwrap(), Left::ByPerson);
        let mut typed = String::new();
        machine.read_to_string(&mut typed).unwrap();
        assert_eq!(typed, "root\r\x03");
    }

    #[test]
    fn a_machine_that_goes_off_gives_the_terminal_back() {
        let (machine, _person, bridge) = start();
        drop(machine);
        assert_eq!(bridge.join().unwrap(), Left::ByMachine);
    }

    #[test]
    fn an_input_that_ends_leaves() {
        let (_machine, person, bridge) = start();
        person.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(bridge.join().unwrap(), Left::ByPerson);
    }
}
