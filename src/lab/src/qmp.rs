//! QEMU's control socket. Start at [`Qmp::connect`]. Waits for nothing longer than [`PATIENCE`].
//!
//! The protocol is lines of JSON: a greeting, then one answer to each command, with events between
//! them that the lab has no use for (QEMU Machine Protocol Specification, sections 2.2 to 2.5).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long QEMU may take to answer. It answers within milliseconds, but on a computer that is
/// busy with emulation it may have to wait for its turn; so does whoever finds the socket taken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// No answer that the lab asks for comes near this length, in bytes.
const LONGEST: u64 = 1 << 20;
/// Events that may come before an answer.
const MOST_EVENTS: usize = 10_000;

/// A connection that QEMU has greeted.
#[derive(Debug)]
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    deadline: Instant,
}

impl Qmp {
    /// Connects, and leaves the negotiation mode. `patience` counts for all commands together.
    pub(crate) fn connect(socket: &Path, patience: Duration) -> io::Result<Qmp> {
        let stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(patience))?;
        let mut qmp = Qmp { reader: BufReader::new(stream), deadline: Instant::now() + patience };
        let greeting = qmp.line()?;
        if greeting.get("QMP").is_none() {
            return Err(strange("QEMU did not greet"));
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Carries out one command and returns its answer.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes())?;
        for _ in 0..MOST_EVENTS {
            let mut answer = self.line()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let said = error["desc"].as_str().unwrap_or("refused without a reason");
                return Err(io::Error::other(said.to_owned()));
            }
        }
        Err(strange("QEMU sends events without end"))
    }

    fn line(&mut self) -> io::Result<Value> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.reader.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        let read = (&mut self.reader).take(LONGEST).read_line(&mut line).map_err(|error| {
            // A read that timed out says "try again".
            match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => error,
            }
        })?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(|_| strange("QEMU's answer is not JSON"))
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Answers like QEMU: the script's lines, one batch per line that the client sends.
    fn talk<const N: usize>(script: [&'static str; N]) -> io::Result<Value> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            for (index, batch) in script.iter().enumerate() {
                if index > 0 {
                    let mut command = String::new();
                    reader.read_line(&mut command).unwrap();
                    serde_json::from_str::<Value>(&command).unwrap()["execute"].as_str().unwrap();
                }
                stream.write_all(batch.as_bytes()).unwrap();
            }
        });
        let answer = Qmp::connect(&socket, Duration::from_secs(5))
            .and_then(|mut qmp| qmp.execute("query-status", json!({})));
        server.join().unwrap();
        answer
    }

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
    const READY: &str = "{\"return\": {}}\r\n";

    #[test]
    fn events_before_the_answer_are_passed_over() {
        let event = "{\"event\": \"RESET\", \"timestamp\": {}}\r\n{\"return\": {\"status\": \"running\"}}\n";
        assert_eq!(talk([GREETING, READY, event]).unwrap()["status"], "running");
    }

    #[test]
    fn a_refusal_says_why() {
        let refusal = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such wire\"}}\n";
        assert_eq!(talk([GREETING, READY, refusal]).unwrap_err().to_string(), "no such wire");
    }

    #[test]
    fn what_is_not_qemu_is_an_error() {
        assert!(talk(["{\"hello\": 1}\n"]).is_err());
        assert!(talk(["SSH-2.0\n"]).is_err());
    }

    #[test]
    fn a_qemu_that_ends_is_an_error() {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let kind = talk([GREETING]).unwrap_err().kind();
        assert!([BrokenPipe, ConnectionReset, UnexpectedEof].contains(&kind), "{kind}");
    }
}
