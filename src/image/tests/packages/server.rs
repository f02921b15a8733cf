//! A small HTTP server on 127.0.0.1 that serves a map of files and misbehaves when told to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with a request for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers as it should, ranges too.
    Normal,
    /// Announces everything and closes after this many bytes of the body, each time.
    Short(usize),
    /// Announces everything and closes after this many bytes of the body, once; then normal.
    ShortOnce(usize),
    /// Sends other bytes of the same length.
    Wrong,
    /// Sends more than the file has.
    Longer,
    /// Answers 404.
    Absent,
    /// Answers 500 this often, then normal.
    Trouble(u32),
    /// Sends everything, whatever range was asked for.
    IgnoresRange,
    /// Accepts and says nothing.
    Hangs,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    manners: HashMap<String, Manner>,
    requests: Vec<String>,
}

/// The server; it lives as long as the test's process.
#[derive(Clone)]
pub struct Server {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server { address, state: Arc::default() };
        let state = server.state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        server
    }

    /// The URL of a path that begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().files.insert(path.to_owned(), bytes.into());
    }

    pub fn behave(&self, path: &str, manner: Manner) {
        self.state.lock().unwrap().manners.insert(path.to_owned(), manner);
    }

    /// Every request so far: the path, and `from N` if it asked for a range.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    pub fn forget_requests(&self) {
        self.state.lock().unwrap().requests.clear();
    }
}

/// Reads one request: path and start of the range.
fn request(stream: &TcpStream) -> Option<(String, Option<usize>)> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut from = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    Some((path, from))
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Some((path, from)) = request(&stream) else { return };
    let (file, manner) = {
        let mut state = state.lock().unwrap();
        state.requests.push(from.map_or(path.clone(), |from| format!("{path} from {from}")));
        let manner = state.manners.get(&path).copied().unwrap_or(Manner::Normal);
        match manner {
            Manner::ShortOnce(_) => {
                state.manners.insert(path.clone(), Manner::Normal);
            }
            Manner::Trouble(left) => {
                let next = if left > 1 { Manner::Trouble(left - 1) } else { Manner::Normal };
                state.manners.insert(path.clone(), next);
            }
            _ => {}
        }
        (state.files.get(&path).cloned(), manner)
    };
    let (Some(mut file), false) = (file, manner == Manner::Absent) else {
        let _ = stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    match manner {
        Manner::Hangs => return std::thread::sleep(Duration::from_secs(30)),
        Manner::Trouble(_) => {
            let _ = stream
                .write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        Manner::Wrong => file.iter_mut().for_each(|byte| *byte ^= 1),
        Manner::Longer => file.extend_from_slice(b"and more"),
        _ => {}
    }
    let from = from.filter(|_| manner != Manner::IgnoresRange);
    let (total, start) = (file.len(), from.unwrap_or(0));
    if start > total || (from.is_some() && start == total) {
        let head = format!(
            "HTTP/1.1 416 No\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes());
        return;
    }
    let body = &file[start..];
    let status = match from {
        Some(_) => {
            format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}", total - 1)
        }
        None => "200 OK".to_owned(),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let sent = match manner {
        Manner::Short(bytes) | Manner::ShortOnce(bytes) => &body[..bytes.min(body.len())],
        _ => body,
    };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
}
