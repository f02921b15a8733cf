//! A mirror on the loopback that misbehaves in one way, as real ones do some day.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How the mirror answers every request.
#[derive(Clone, Debug)]
pub enum Manner {
    /// It does not have the file.
    Gone,
    /// It says that the file is so long, sends these bytes, and hangs up.
    Short(u64, Vec<u8>),
    /// It sends this.
    Sends(Vec<u8>),
}

/// A running mirror; dropping it stops it.
#[derive(Debug)]
pub struct Mirror {
    address: std::net::SocketAddr,
    ends: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Listens on a free port of the loopback.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn start(manner: Manner) -> Mirror {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback is there");
        let address = listener.local_addr().expect("a listener has an address");
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        let server = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::Acquire) {
                    return;
                }
                // A client that goes away in between is part of the game.
                let _ = answer(&stream, &manner);
            }
        });
        Mirror { address, ends, server: Some(server) }
    }

    /// Its address as a repository's.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}/debian", self.address)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        // One more connection, so that the server looks.
        let _ = TcpStream::connect(self.address);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn answer(mut stream: &TcpStream, manner: &Manner) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = BufReader::new(stream.take(64 << 10));
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let (status, length, body) = match manner {
        Manner::Gone => ("404 Not Found", 0, &Vec::new()),
        Manner::Short(length, body) => ("200 OK", *length, body),
        Manner::Sends(body) => ("200 OK", body.len() as u64, body),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn get(mirror: &Mirror) -> String {
        let mut stream = TcpStream::connect(mirror.address).unwrap();
        stream.write_all(b"GET /debian/x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    }

    #[test]
    fn it_answers_in_its_manner() {
        let answer = |manner| get(&Mirror::start(manner));
        assert!(answer(Manner::Gone).starts_with("HTTP/1.1 404 "));
        let short = answer(Manner::Short(9, b"abc".to_vec()));
        assert!(
            short.contains("Content-Length: 9\r\n") && short.ends_with("\r\n\r\nabc"),
            "{short}"
        );
        assert!(answer(Manner::Sends(b"abc".to_vec())).contains("Content-Length: 3\r\n"));
    }
}
