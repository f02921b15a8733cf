//! Stores that run: Debian's etcd, Duet's, and kine; each with a folder of its own, on the loopback.
//!
//! Start at [`Server::start`]. A server ends when its value is dropped, also when the test fails, and
//! the kernel ends it when the test itself is killed. What it said is in its log, whose end is in the
//! message of a failure. Nothing here speaks gRPC.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::programs::{node_program, peers, plain};
use crate::tools::unpacked;

/// From the start to the first healthy answer, with a large store on a busy disk.
const STARTING: Duration = Duration::from_secs(120);

/// From SIGTERM to the end.
const ENDING: Duration = Duration::from_secs(60);

/// A port that was free a moment ago may be taken; then others are tried.
const TRIES: usize = 3;

/// How much of a log is shown.
const SHOWN: usize = 4 << 10;

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Debian's etcd, of `profiles/peers.lock`.
    Etcd,
    /// `duetd store`.
    Duet,
    /// kine on SQLite, as k3s uses it; of `tests/peers/kine`.
    Kine,
}

impl Make {
    /// The word for it in messages and names of files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Make::Etcd => "etcd",
            Make::Duet => "duet",
            Make::Kine => "kine",
        }
    }
}

/// What is started.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose store.
    pub make: Make,
    /// Where its data and its log lie; made if it is not there.
    pub folder: PathBuf,
    /// Whether what it acknowledges is on the disk. Only etcd can be told not to care; what is not
    /// about speed or crashes need not wait for the disk.
    pub durable: bool,
    /// A unix socket that it listens on, too.
    pub socket: Option<PathBuf>,
    /// Further words of its command line.
    pub words: Vec<OsString>,
}

impl Plan {
    /// A store that is as durable as it can be.
    #[must_use]
    pub fn new(make: Make, folder: impl Into<PathBuf>) -> Plan {
        Plan { make, folder: folder.into(), durable: true, socket: None, words: Vec::new() }
    }

    /// The same, without waiting for the disk where the store knows how.
    #[must_use]
    pub fn hasty(self) -> Plan {
        Plan { durable: false, ..self }
    }

    /// The same, listening on this socket, too.
    #[must_use]
    pub fn socket(self, path: impl Into<PathBuf>) -> Plan {
        Plan { socket: Some(path.into()), ..self }
    }

    /// The same, with a further word on the command line.
    #[must_use]
    pub fn word(mut self, word: impl Into<OsString>) -> Plan {
        self.words.push(word.into());
        self
    }
}

/// A store that runs, or is about to run again.
#[derive(Debug)]
pub struct Server {
    plan: Plan,
    ports: Ports,
    child: Option<Child>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: u16,
    peers: u16,
    metrics: u16,
}

impl Ports {
    fn free() -> Ports {
        let ports = lab::free_ports(3).expect("the loopback has free ports");
        Ports { clients: ports[0], peers: ports[1], metrics: ports[2] }
    }
}

impl Server {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    #[must_use]
    pub fn start(plan: Plan) -> Server {
        let mut server = Server::planned(plan);
        let _ = server.start_again();
        server
    }

    /// Starts servers of which none comes up alone, in new folders. `plans` is asked again, for other
    /// ports, when one of them was taken.
    ///
    /// # Panics
    /// If they do not come up.
    #[track_caller]
    #[must_use]
    pub fn start_together(mut plans: impl FnMut() -> Vec<Plan>) -> Vec<Server> {
        for attempt in 1.. {
            let mut servers: Vec<Server> = plans().into_iter().map(Server::planned).collect();
            servers.iter_mut().for_each(Server::launch);
            match servers.iter_mut().try_for_each(Server::wait) {
                Ok(()) => return servers,
                Err(said) if attempt < TRIES && port_was_taken(&said) => {
                    for Server { plan, .. } in &mut servers {
                        // What one has noted of the others is not true any more.
                        let _ = fs::remove_dir_all(&plan.folder);
                    }
                }
                Err(said) => panic!("one of several did not come up:\n{said}"),
            }
        }
        unreachable!("the last attempt panics")
    }

    fn planned(plan: Plan) -> Server {
        fs::create_dir_all(&plan.folder)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", plan.folder.display()));
        Server { plan, ports: Ports::free(), child: None }
    }

    /// Starts its program on what data there is, and does not wait for an answer.
    ///
    /// # Panics
    /// If it runs.
    #[track_caller]
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.plan.make.name());
        self.child = Some(self.spawn());
    }

    /// Waits until one that was launched answers.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn must_come_up(&mut self) {
        if let Err(said) = self.wait() {
            panic!("{} did not come up:\n{said}", self.plan.make.name());
        }
    }

    /// Whether its program was started and has not been ended from here.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it on the data that it left, and returns how long that took.
    ///
    /// # Panics
    /// If it runs, or does not come up.
    #[track_caller]
    pub fn start_again(&mut self) -> Duration {
        for attempt in 1.. {
            let start = Instant::now();
            self.launch();
            match self.wait() {
                Ok(()) => return start.elapsed(),
                Err(said) if attempt < TRIES && port_was_taken(&said) => {
                    self.ports = Ports::free();
                }
                Err(said) => panic!("{} did not come up:\n{said}", self.plan.make.name()),
            }
        }
        unreachable!("the last attempt panics")
    }

    /// Where clients connect.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.clients)
    }

    /// Where `/health` and `/metrics` are; kine has them not.
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.metrics).into()
    }

    /// Whose store it is.
    #[must_use]
    pub fn make(&self) -> Make {
        self.plan.make
    }

    /// Its process.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("the store runs").id()
    }

    /// The folder that it was planned with.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.plan.folder
    }

    /// Ends it at once, as a power cut of the process would (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Panics
    /// If it takes too long; then it is killed.
    #[track_caller]
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(process.expect("a process has a number"), Signal::TERM);
        let until = Instant::now() + ENDING;
        while Instant::now() < until {
            if let Ok(Some(_)) = child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.child = Some(child);
        self.kill();
        panic!("{} did not end when asked:\n{}", self.plan.make.name(), self.said());
    }

    /// The end of its log.
    #[must_use]
    pub fn said(&self) -> String {
        let bytes = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SHOWN)..]).into_owned()
    }

    /// What `path` holds at the address of the metrics; none if nobody answers well.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.metrics(), ENDING).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        said.starts_with("HTTP/1.1 200").then_some(said)
    }

    fn log(&self) -> PathBuf {
        self.plan.folder.join(format!("{}.log", self.plan.make.name()))
    }

    fn spawn(&self) -> Child {
        let program = program(self.plan.make);
        // The kernel kills the store when the thread that started it ends, whatever ended that.
        let mut command = plain("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program.get_program());
        command.args(program.get_args()).args(self.words()).args(&self.plan.words);
        for (name, value) in program.get_envs() {
            let _ = match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.unwrap_or_else(|error| panic!("{}: {error}", self.log().display()));
        let again = log.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(log).stderr(again).current_dir(&self.plan.folder);
        command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
    }

    /// The command line, after the program.
    fn words(&self) -> Vec<OsString> {
        let Ports { clients, peers, metrics } = self.ports;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let data = self.plan.folder.join("data");
        let socket = self.plan.socket.iter().map(|path| format!(",unix://{}", path.display()));
        let socket: String = socket.collect();
        if self.plan.make == Make::Kine {
            // The options that kine itself uses if it is not told otherwise, but for NORMAL: with that, a
            // power cut takes back what was acknowledged.
            let file = self.plan.folder.join("kine.db");
            let options = "_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate\
                           &_stmt_cache_size=20&cache=shared";
            return vec![
                format!("--endpoint=sqlite://{}?{options}", file.display()).into(),
                format!("--listen-address=127.0.0.1:{clients}").into(),
                format!("--metrics-bind-address=127.0.0.1:{metrics}").into(),
            ];
        }
        let mut words: Vec<OsString> = vec![
            "--name=judged".into(),
            format!("--data-dir={}", data.display()).into(),
            format!("--listen-client-urls={}{socket}", url(clients)).into(),
            format!("--advertise-client-urls={}", url(clients)).into(),
            format!("--listen-metrics-urls={}", url(metrics)).into(),
            "--log-level=warn".into(),
        ];
        if self.plan.make == Make::Etcd {
            words.push(format!("--listen-peer-urls={}", url(peers)).into());
            words.push(format!("--initial-advertise-peer-urls={}", url(peers)).into());
            words.push(format!("--initial-cluster=judged={}", url(peers)).into());
            if !self.plan.durable {
                words.push("--unsafe-no-fsync".into());
            }
        }
        words
    }

    /// Waits until it answers; otherwise, the end of its log.
    fn wait(&mut self) -> Result<(), String> {
        let until = Instant::now() + STARTING;
        let mut patience = Duration::from_millis(2);
        while Instant::now() < until {
            let child = self.child.as_mut().expect("it was just started");
            if let Ok(Some(status)) = child.try_wait() {
                self.child = None;
                return Err(format!("{status}\n{}", self.said()));
            }
            if self.healthy() {
                return Ok(());
            }
            thread::sleep(patience);
            patience = (patience * 2).min(Duration::from_millis(20));
        }
        self.kill();
        Err(format!("no healthy answer in {} s\n{}", STARTING.as_secs(), self.said()))
    }

    fn healthy(&self) -> bool {
        let clients = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.clients));
        match self.plan.make {
            // It listens after its table is there.
            Make::Kine => TcpStream::connect(clients).is_ok(),
            Make::Etcd | Make::Duet => {
                self.get("/health").is_some() && TcpStream::connect(clients).is_ok()
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether what a server said last is that somebody else had its port.
fn port_was_taken(said: &str) -> bool {
    said.to_lowercase().contains("address already in use")
}

/// The program, with the words that start it.
fn program(make: Make) -> Command {
    match make {
        Make::Etcd => tool("usr/bin/etcd"),
        Make::Duet => {
            let mut command = plain(duetd());
            command.arg("store");
            command
        }
        Make::Kine => plain(kine()),
    }
}

/// One of etcd's programs, such as `usr/bin/etcdctl`.
///
/// # Panics
/// If it cannot be unpacked.
#[must_use]
pub fn tool(program: &str) -> Command {
    let tools = unpacked("peers");
    tools.command(program).unwrap_or_else(|error| panic!("{error:?}"))
}

/// The node program that is tested: that of this checkout, or the one that `DUET_DUETD` names.
#[must_use]
pub fn duetd() -> PathBuf {
    std::env::var_os("DUET_DUETD").map_or_else(|| node_program("duetd"), PathBuf::from)
}

/// kine. Who starts one where there may be no Go asks [`peers`] first.
fn kine() -> PathBuf {
    peers("kine").expect("kine takes the Go toolchain").join("kine")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn runs(process: u32) -> bool {
        Path::new("/proc").join(process.to_string()).exists()
    }

    #[test]
    fn a_store_starts_ends_and_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(Plan::new(Make::Etcd, folder.path()).hasty());
        let first = server.process();
        assert!(server.get("/health").unwrap().contains("true"));
        server.stop();
        assert!(!runs(first));
        let _ = server.start_again();
        server.kill();
        let _ = server.start_again();
        let last = server.process();
        drop(server);
        assert!(!runs(last));
    }

    #[test]
    fn a_store_does_not_outlive_who_started_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let forgotten = thread::spawn(move || {
            let server = Server::start(Plan::new(Make::Etcd, path).hasty());
            let process = server.process();
            std::mem::forget(server);
            process
        });
        let process = forgotten.join().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        // Nobody waits for it any more, so what is left of it is a zombie.
        let state = || fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        while !state().contains(") Z ") && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(state().contains(") Z "), "{}", state());
    }

    #[test]
    #[should_panic(expected = "did not come up")]
    fn a_store_that_ends_at_once_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let _ = Server::start(Plan::new(Make::Etcd, folder.path()).word("--no-such-flag"));
    }
}
