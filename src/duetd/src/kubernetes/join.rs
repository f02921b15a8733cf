//! `duetd kubernetes join`: the control machine that a worker joins through.
//!
//! k3s takes one address to join at, and learns all control machines there; from then on its own load
//! balancer changes between them. So the choice matters at each start only, and the one that answers is
//! the right one.

use std::fs;
use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent::kubernetes::{CHOSEN, PORT, SERVERS, chosen};
use clap::Args;
use site::Host;

use super::talk::Talk;
use super::{GivenUp, Patience};
use crate::root::Root;
use crate::{console, durable};

/// How long a machine may take to answer; one across a campus takes milliseconds.
const CONNECT: Duration = Duration::from_secs(3);

/// How long is waited before all are asked again.
const LOOK: Duration = Duration::from_secs(2);

/// Far more control machines than the two that a site has.
const MOST_SERVERS: usize = 16;

/// The list is never longer: each name has at most 253 bytes.
const LONGEST_LIST: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Join {
    #[command(flatten)]
    patience: Patience,
}

/// There is nobody to ask.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum JoinError {
    /// The list cannot be read.
    #[error("cannot read {path}")]
    #[diagnostic(
        code(input::kubernetes),
        help("`duetd boot` writes it on workers; `journalctl -u duet-boot` tells why it did not")
    )]
    Read {
        path: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// The list has no good name.
    #[error("{path} names no control machine")]
    #[diagnostic(
        code(input::kubernetes),
        help("the site file says where the control machines are; write this machine's seed again")
    )]
    Nobody { path: &'static str },
    /// The choice cannot be written down.
    #[error("cannot write {path}")]
    #[diagnostic(code(output::kubernetes), help("see that /run has space: df /run"))]
    Write {
        path: &'static str,
        #[source]
        source: std::io::Error,
    },
}

impl Join {
    pub(super) fn run(self, root: &Root) -> Result<ExitCode, miette::Report> {
        let servers = read(&root.path(SERVERS))
            .map_err(|source| JoinError::Read { path: SERVERS, source })?;
        let servers = parse(&servers);
        if servers.is_empty() {
            return Err(JoinError::Nobody { path: SERVERS }.into());
        }
        let begun = Instant::now();
        let mut talk = Talk::default();
        loop {
            if let Some(host) = servers.iter().find(|host| answers(host.as_str(), PORT)) {
                let write = durable::write(&root.path(CHOSEN), chosen(host).as_bytes(), 0o600);
                write.map_err(|source| JoinError::Write { path: CHOSEN, source })?;
                console::note(&format!("This worker joins through {host}."));
                return Ok(ExitCode::SUCCESS);
            }
            let names: Vec<&str> = servers.iter().map(Host::as_str).collect();
            let why = format!("no control machine answers on port {PORT}: {}", names.join(", "));
            let waited = begun.elapsed();
            if self.patience.is_over(waited) {
                let cure = "are the control machines up, and does this network reach them?";
                return Err(GivenUp { seconds: waited.as_secs(), why, cure }.into());
            }
            if talk.says(waited, &why) {
                console::note(&format!("This worker waits: {why}."));
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST_LIST).read_to_string(&mut text)?;
    Ok(text)
}

/// The hosts of a list, one a line; what is none is passed over.
fn parse(text: &str) -> Vec<Host> {
    text.lines().filter_map(|line| line.trim().parse().ok()).take(MOST_SERVERS).collect()
}

/// Whether somebody takes connections there.
fn answers(host: &str, port: u16) -> bool {
    let addresses = (host, port).to_socket_addrs().into_iter().flatten();
    addresses.take(MOST_SERVERS).any(|to| TcpStream::connect_timeout(&to, CONNECT).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_list_is_read_line_by_line() {
        let hosts = parse("my-campus-a1\n\n 2001:db8::b1 \nno host\n");
        let words: Vec<&str> = hosts.iter().map(Host::as_str).collect();
        assert_eq!(words, ["my-campus-a1", "2001:db8::b1"]);
        assert_eq!(parse(&"a\n".repeat(100)).len(), MOST_SERVERS);
    }

    #[test]
    fn who_listens_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(answers("127.0.0.1", port));
        drop(listener);
        assert!(!answers("127.0.0.1", port));
        assert!(!answers("no-such-name.invalid", port));
    }

    #[test]
    fn nobody_to_ask_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let run = |seconds| Join { patience: Patience { seconds: Some(seconds) } }.run(&root);
        assert_eq!(run(60).unwrap_err().to_string(), format!("cannot read {SERVERS}"));
        durable::write(&root.path(SERVERS), b"no host\n", 0o644).unwrap();
        let error = run(60).unwrap_err().to_string();
        assert_eq!(error, format!("{SERVERS} names no control machine"));
        durable::write(&root.path(SERVERS), b"no-such-name.invalid\n", 0o644).unwrap();
        let error = run(0).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "given up after 0 s: no control machine answers on port {PORT}: no-such-name.invalid"
            )
        );
        assert!(!root.path(CHOSEN).exists());
    }

    #[test]
    fn the_first_that_answers_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        // All of 127.0.0.0/8 is this machine; nobody else listens on this address.
        let own = "127.64.43.1";
        let _listener = TcpListener::bind((own, PORT)).unwrap();
        let list = format!("no-such-name.invalid\n127.64.43.2\n{own}\n");
        durable::write(&root.path(SERVERS), list.as_bytes(), 0o644).unwrap();
        Join { patience: Patience { seconds: Some(60) } }.run(&root).unwrap();
        let text = fs::read_to_string(root.path(CHOSEN)).unwrap();
        assert!(text.contains(&format!("server: \"https://{own}:{PORT}\"")), "{text}");
    }
}
