//! The page over real TLS: who is let in where, what is answered, and what is not waited for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use agent::ask::{AskError, Asker, Question, Target};
use agent::page::Limits;
use agent::{Files, View};
use site::Room;

use super::rig::{OPERATOR, ROOM_A, ROOM_B, Served, Site, nothing_to_bundle, until, view};

/// An answer as curl gives it: the status, the head in small letters, the body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Asks with other people's TLS.
fn curl(served: &Served, path: &str, files: Option<&Files>, more: &[&str]) -> Answer {
    let mut command = std::process::Command::new("curl");
    command.args(["--silent", "--insecure", "--include", "--max-time", "20", "--http1.1"]);
    if let Some(files) = files {
        command.arg("--cert").arg(&files.certificate).arg("--key").arg(&files.key);
    }
    let output = command.args(more).arg(format!("{}{path}", served.url())).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

#[test]
fn anybody_may_read_and_nobody_may_do_anything() {
    let site = Site::new();
    let served = Served::start(site.files(ROOM_A), view("in-sync"));
    let page = curl(&served, "", None, &[]);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Both rooms are in sync."));
    for header in [
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "content-type: text/html; charset=utf-8",
    ] {
        assert!(page.head.contains(header), "{header} in {}", page.head);
    }
    let status = curl(&served, "status.json", None, &[]);
    assert_eq!(View::read(status.body.as_bytes()).unwrap(), view("in-sync"));
    assert_eq!(curl(&served, "healthz", None, &[]).body, "ok\n");
    assert_eq!(curl(&served, "nowhere", None, &[]).status, 404);
    assert_eq!(curl(&served, "../etc/passwd", None, &["--path-as-is"]).status, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(curl(&served, "", None, &["-X", method]).status, 405, "{method}");
        assert_eq!(curl(&served, "status.json", None, &["-X", method]).status, 405, "{method}");
    }
}

#[test]
fn who_has_the_page_already_is_not_sent_it_again() {
    let site = Site::new();
    let served = Served::start(site.files(ROOM_A), view("in-sync"));
    let first = curl(&served, "", None, &[]);
    let tag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let seen = format!("If-None-Match: {}", tag.replace("w/", "W/"));
    let again = curl(&served, "", None, &["-H", &seen]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    served.board.show(view("waiting"));
    assert_eq!(curl(&served, "", None, &["-H", &seen]).status, 200);
}

#[test]
fn only_operators_get_the_bundle_and_strangers_get_nothing() {
    let (site, other) = (Site::new(), Site::new());
    let served = Served::start(site.files(ROOM_A), view("in-sync"));
    assert_eq!(curl(&served, "bundle", None, &[]).status, 403);
    assert_eq!(curl(&served, "bundle", Some(&site.files(ROOM_B)), &[]).status, 403);
    let alike = site.files("operator.lighthouse.duet.internal");
    assert_eq!(curl(&served, "bundle", Some(&alike), &[]).status, 403, "another site's name");
    assert_eq!(curl(&served, "bundle", Some(&site.files(OPERATOR)), &[]).status, 200);
    let stranger = curl(&served, "status.json", Some(&other.files(OPERATOR)), &[]);
    assert_eq!(stranger.status, 0, "another authority's certificate ends the connection");
}

#[test]
fn a_node_is_believed_by_its_certificate_alone() {
    let (site, other) = (Site::new(), Site::new());
    let served = Served::start(site.files(ROOM_A), view("in-sync"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target: Target = served.address.to_string().parse().unwrap();
    let ask = |files: &Files, rooms: &[Room]| {
        let asker = Asker::new(files, &"harbour".parse().unwrap(), rooms).unwrap();
        let patience = Duration::from_secs(10);
        let question = Question { path: "/status.json", longest: 1 << 20, patience };
        runtime.block_on(asker.get(&target, question))
    };
    let said = ask(&site.files(ROOM_B), &Room::ALL).unwrap();
    assert_eq!(said.room, Room::A);
    assert_eq!(View::read(&said.body).unwrap(), view("in-sync"));
    // Whoever expects room B is not served by room A.
    let error = ask(&site.files(ROOM_B), &[Room::B]).unwrap_err();
    assert!(matches!(error, AskError::Stranger { .. }), "{error}");
    let error = ask(&other.files(ROOM_B), &Room::ALL).unwrap_err();
    assert!(matches!(error, AskError::Stranger { .. }), "{error}");
    // One that has this authority's trust and shows another's certificate.
    let mixed = Files { authority: site.files(ROOM_B).authority, ..other.files(OPERATOR) };
    let error = ask(&mixed, &Room::ALL).unwrap_err();
    assert!(matches!(error, AskError::Stranger { .. }), "{error}");
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let site = Site::new();
    let served = Served::start(site.files(ROOM_A), view("in-sync"));
    let asker =
        |room| Asker::new(&site.files(OPERATOR), &"harbour".parse().unwrap(), &[room]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target: Target = served.address.to_string().parse().unwrap();
    let answers = |room| {
        let patience = Duration::from_secs(10);
        let question = Question { path: "/healthz", longest: 99, patience };
        runtime.block_on(asker(room).get(&target, question)).is_ok()
    };
    assert!(answers(Room::A) && !answers(Room::B));
    // Told apart by its name, the new one takes the place of the old one.
    let new = site.files(ROOM_B);
    let old = |ending: &str| site.folder.path().join(format!("{ROOM_A}.{ending}"));
    std::fs::rename(&new.certificate, old("crt")).unwrap();
    std::fs::rename(&new.key, old("key")).unwrap();
    until("the new certificate", || answers(Room::B));
}

/// The lines of `/events`, as they come.
struct Stream {
    child: std::process::Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Stream {
    fn open(served: &Served, path: &str) -> Stream {
        let mut child = std::process::Command::new("curl")
            .args(["--silent", "--insecure", "--no-buffer", "--max-time", "60"])
            .arg(format!("{}{path}", served.url()))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Stream { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn next_view(&mut self) -> View {
        loop {
            if let Some(data) = self.line().strip_prefix("data: ") {
                return View::read(data.as_bytes()).unwrap();
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn who_follows_hears_what_is_new_and_that_the_node_lives() {
    let site = Site::new();
    let limits =
        Limits { followers: 2, heartbeat: Duration::from_millis(300), ..Limits::default() };
    let at = ([127, 0, 0, 1], 0).into();
    let served =
        Served::start_with(site.files(ROOM_A), view("in-sync"), at, limits, nothing_to_bundle());
    let mut stream = Stream::open(&served, "events");
    assert!(stream.next_view() == view("in-sync"), "the newest comes at once");
    let mut quiet = view("in-sync");
    quiet.here.status["uptime_s"] = 1_036_801.into();
    served.board.show(quiet);
    served.board.show(view("waiting"));
    assert!(stream.next_view() == view("waiting"), "what only ticks is not told");
    let mut line = stream.line();
    while line.is_empty() {
        line = stream.line();
    }
    assert_eq!(line, ": alive");

    let mut second = Stream::open(&served, "events?page");
    let line = second.line();
    assert!(line.starts_with("data: {\"title\":\"Nobody leads"), "{line}");
    // All places are taken; when one goes, the next one gets it.
    let third = curl(&served, "events", None, &[]);
    assert_eq!(third.status, 503);
    assert!(third.head.contains("retry-after: 5"));
    assert_eq!(curl(&served, "status.json", None, &[]).status, 200);
    drop(second);
    let place = || curl(&served, "events", None, &["--max-time", "1"]).status == 200;
    until("a place", place);
}

#[test]
fn who_does_not_speak_is_not_waited_for() {
    let site = Site::new();
    let opening = Duration::from_millis(700);
    let limits = Limits { connections: 3, opening, ..Limits::default() };
    let at = ([127, 0, 0, 1], 0).into();
    let served =
        Served::start_with(site.files(ROOM_A), view("in-sync"), at, limits, nothing_to_bundle());
    // All places are taken by clients that say nothing, or half of something.
    let mut silent: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(served.address).unwrap()).collect();
    let began = Instant::now();
    assert_eq!(curl(&served, "healthz", None, &[]).status, 200, "it waits, and then comes in");
    assert!(began.elapsed() >= opening / 2, "the places were taken");
    for socket in &mut silent {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // What comes is the end, or an alert and then the end.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    // The same within TLS: a head that does not end, and a connection that asks nothing more.
    for half in
        ["GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        let began = Instant::now();
        let mut child = tls(served.address);
        child.stdin.as_mut().unwrap().write_all(half.as_bytes()).unwrap();
        let status = ended(&mut child, Duration::from_secs(20));
        assert!(status, "the connection was left open for {:?}", began.elapsed());
    }
    let long = format!("X-Long: {}", "x".repeat(20_000));
    let answer = curl(&served, "", None, &["-H", &long]);
    assert!(matches!(answer.status, 0 | 431), "{}", answer.status);
}

#[test]
fn one_computer_does_not_take_all_places() {
    let site = Site::new();
    let limits = Limits { of_one: 2, ..Limits::default() };
    let at = ([0, 0, 0, 0], 0).into();
    let served =
        Served::start_with(site.files(ROOM_A), view("in-sync"), at, limits, nothing_to_bundle());
    let port = served.address.port();
    let _two = [0; 2].map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap());
    let ask = |from: &str| {
        let url = format!("https://127.0.0.1:{port}/healthz");
        let words = ["--silent", "--insecure", "--max-time", "5", "--interface", from, &url];
        let said = std::process::Command::new("curl").args(words).output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    assert_eq!(ask("127.0.0.1"), "");
    assert_eq!(ask("127.0.0.2"), "ok\n", "another one is let in");
}

/// A connection of OpenSSL's own client.
fn tls(address: SocketAddr) -> std::process::Child {
    std::process::Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address.to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether a process ends by itself in time; it is ended anyway.
fn ended(child: &mut std::process::Child, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

#[test]
fn both_kinds_of_addresses_are_listened_on() {
    let site = Site::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bound = runtime.block_on(async {
        let server = agent::page::Server::bind(site.files(ROOM_A), &"harbour".parse().unwrap(), 0);
        server.unwrap().addresses()
    });
    assert_eq!(bound.iter().filter(|address| address.is_ipv4()).count(), 1);
    assert_eq!(bound.iter().filter(|address| address.is_ipv6()).count(), 1);
    assert_eq!(bound[0].port(), bound[1].port());
}
