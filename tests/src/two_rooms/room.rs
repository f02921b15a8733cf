//! A room's process: `duetd store` in the room's network. Start at [`Room::start`].

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::OnceLock;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::client;
use tokio::runtime::Runtime;

use super::{Cables, LONG, SITE, Side, wait};
use crate::certificates::Authority;
use crate::programs::plain;
use crate::run::{Said, run};
use crate::server::duetd;

/// How much of a log is shown.
const SHOWN: u64 = 12 << 10;

/// Where rooms hear each other, and where clients connect, in each room's own network.
pub(super) const PEERS: u16 = 2380;
const CLIENTS: u16 = 2379;

/// How a room is started.
#[derive(Clone, Debug)]
pub struct RoomPlan {
    /// Which one.
    pub side: Side,
    /// The folder of its data.
    pub data: PathBuf,
    /// Its certificate and key.
    pub own: (PathBuf, PathBuf),
    /// The site's authority.
    pub ca: PathBuf,
    /// As which room it takes itself.
    pub name: String,
    /// As whose room it takes itself.
    pub site: String,
    /// Where it looks for the other room, as `host:port`; empty to say nothing about it.
    pub peer: String,
    /// The address at which it listens for the other room.
    pub listen: String,
    /// Further words of the command line.
    pub words: Vec<String>,
    /// A program that it is started by, with its words.
    pub by: Vec<String>,
    /// The node program; none for that of [`duetd`].
    pub program: Option<PathBuf>,
    /// Where its log, its socket and its number lie.
    folder: PathBuf,
}

impl RoomPlan {
    pub(super) fn new(side: Side, folder: &Path, authority: &Authority) -> RoomPlan {
        let room = side.letter();
        RoomPlan {
            side,
            data: folder.join(format!("data-{room}")),
            own: authority.sign(room, &format!("room-{room}.{SITE}.duet.internal")),
            ca: authority.file.clone(),
            name: room.to_owned(),
            site: SITE.to_owned(),
            peer: format!("{}:{PEERS}", Cables::inside(side.other())),
            listen: "0.0.0.0".to_owned(),
            words: Vec::new(),
            by: Vec::new(),
            program: None,
            folder: folder.to_owned(),
        }
    }

    fn command_line(&self) -> Vec<String> {
        let mut words = vec![
            "store".to_owned(),
            format!("--data-dir={}", self.data.display()),
            format!("--listen-client-urls=http://0.0.0.0:{CLIENTS},unix://{}", self.socket()),
            format!("--listen-peer-urls=https://{}:{PEERS}", self.listen),
        ];
        if !self.name.is_empty() {
            words.extend([
                format!("--site={}", self.site),
                format!("--room={}", self.name),
                format!("--peer-cert-file={}", self.own.0.display()),
                format!("--peer-key-file={}", self.own.1.display()),
                format!("--peer-trusted-ca-file={}", self.ca.display()),
            ]);
        }
        if !self.name.is_empty() && !self.peer.is_empty() {
            words.push(format!("--peer-urls=https://{}", self.peer));
        }
        words.extend(self.words.iter().cloned());
        words
    }

    /// On the new world's own `/run`, where paths are short enough for sockets.
    fn socket(&self) -> String {
        format!("/run/{}.sock", self.side.letter())
    }
}

/// A room, running or not.
#[derive(Debug)]
pub struct Room {
    /// How it is started next.
    pub plan: RoomPlan,
    child: Option<Child>,
    /// Where its log was when it was started last.
    since: u64,
}

impl Room {
    pub(super) fn new(plan: RoomPlan) -> Room {
        Room { plan, child: None, since: 0 }
    }

    /// Which one.
    #[must_use]
    pub fn side(&self) -> Side {
        self.plan.side
    }

    /// Starts its process, and waits for nothing.
    ///
    /// # Panics
    /// If it runs, or cannot be started.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "room {} runs already", self.plan.name);
        let room = self.plan.side.letter();
        // `ip netns exec` becomes the program, so that the child's number is the program's.
        let mut command = plain("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL", "--", "ip", "netns", "exec", room]);
        let program = self.plan.program.clone().unwrap_or_else(duetd);
        command.args(&self.plan.by).arg(program).args(self.plan.command_line());
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.unwrap_or_else(|error| panic!("{}: {error}", self.log().display()));
        self.since = log.metadata().map_or(0, |about| about.len());
        let again = log.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(log).stderr(again).current_dir(&self.plan.folder);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start: {error}"));
        let number = self.plan.folder.join(format!("{room}.pid"));
        fs::write(number, child.id().to_string()).expect("the folder can be written");
        self.child = Some(child);
    }

    /// Ends it at once, as a power cut of the room would (SIGKILL); what the kernel has goes to the disk.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the room runs");
        let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(process.expect("a process has a number"), signal).expect("it is ours");
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Panics
    /// If it takes too long, or does not end well.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "room {} ended with {status}", self.plan.name);
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("the room runs");
        let mut status = None;
        let ended = wait(LONG, || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        assert!(ended, "room {} did not end:\n{}", self.plan.side.letter(), self.said());
        self.child = None;
        status.expect("it was waited for")
    }

    /// Whether its process runs.
    pub fn runs(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        if matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        self.child = None;
        false
    }

    /// Where clients within the room connect: whatever happens to the cables.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.plan.socket())
    }

    /// Where clients outside connect.
    #[must_use]
    pub fn endpoint_outside(&self) -> String {
        format!("http://{}:{CLIENTS}", Cables::outside(self.plan.side))
    }

    /// One of its pages; none if it does not answer well.
    #[must_use]
    pub fn page(&self, path: &str) -> Option<Value> {
        self.ask(Method::GET, path).ok()
    }

    /// Has it do something, as `duetd store hand-over` does.
    ///
    /// # Errors
    /// What it says instead.
    pub fn ask(&self, method: Method, path: &str) -> Result<Value, String> {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        let runtime = RUNTIME.get_or_init(|| Runtime::new().expect("threads can be started"));
        let endpoint = self.endpoint();
        let answer = runtime.block_on(client::page(&endpoint, None, method, path));
        let (status, text) = answer.map_err(|error| error.to_string())?;
        let value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if status.is_success() { Ok(value) } else { Err(text) }
    }

    /// Has a person type `duetd store WORDS --endpoint …`.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Said {
        let mut command = plain(duetd());
        command.arg("store").args(words).args(["--endpoint", &self.endpoint()]);
        run(&mut command, LONG)
    }

    /// The end of its log.
    #[must_use]
    pub fn said(&self) -> String {
        let length = fs::metadata(self.log()).map_or(0, |about| about.len());
        self.said_from(length.saturating_sub(SHOWN))
    }

    /// What it has said since it was started last.
    #[must_use]
    pub fn said_now(&self) -> String {
        self.said_from(self.since)
    }

    /// Waits until it has said `text` since it was started last.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let said = wait(LONG, || self.said_now().contains(text));
        assert!(said, "room {} does not say {text:?}:\n{}", self.plan.side.letter(), self.said());
    }

    fn said_from(&self, place: u64) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(self.log()) {
            let _ = file.seek(SeekFrom::Start(place));
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn log(&self) -> PathBuf {
        self.plan.folder.join(format!("{}.log", self.plan.side.letter()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.kill();
    }
}
