//! A world of its own for a test: networks, mounts and processes that end with it. Start at [`alone`].
//!
//! The test's program is started again, within namespaces (unshare(1)): as root, or as an ordinary user who
//! is root in a user namespace. There it is the first process, so that the kernel ends with it all that it
//! started.

use std::any::type_name;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::programs::{kept, plain, say};
use crate::run::run;
use crate::server::duetd;

/// What a line for who waits begins with; the runner swallows all others.
const TOLD: &str = "rooms: ";

/// Says that this process is in its own world already.
const INSIDE: &str = "DUET_ALONE";

/// One test. Those that take longest take some 30 s on a quiet computer; `DUET_STORM` adds to it.
const LIMIT: Duration = Duration::from_secs(240);

/// How many run at once: they wait most of the time, and two processors carry two of them.
const AT_ONCE: usize = 2;

/// What of a failed test's words is shown.
const SHOWN: usize = 48 << 10;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Runs the test that calls this in a world of its own. `body` is a closure that is written in the test.
///
/// # Panics
/// If the test fails there, or if there can be no such world here.
#[track_caller]
pub fn alone<F: FnOnce()>(body: F) {
    if std::env::var_os(INSIDE).is_some() {
        prepare();
        return body();
    }
    // Such as `rooms::crash::the_leader_is_killed::{{closure}}`.
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let _turn = Turn::take();
    let start = Instant::now();
    let path = kept("two-rooms").join(format!("{}.said", name.replace("::", ".")));
    let mut command = world().unwrap_or_else(|why| panic!("{why}"));
    command.arg(std::env::current_exe().expect("a running program has a path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    let code = run_into(&mut command, &path);
    let said = fs::read_to_string(&path).unwrap_or_default();
    let passed = code == Some(0) && said.contains("1 passed");
    assert!(passed, "{name} failed ({code:?}):\n{}", end_of(&said));
    // The first one stands behind the test's name.
    for words in said.lines().filter_map(|line| Some(&line[line.find(TOLD)?..])) {
        say(&format!("{words}\n"));
    }
    say(&format!("rooms: {name}: well after {:.1} s\n", start.elapsed().as_secs_f64()));
}

/// Has this program, which is no test, go on in a world of its own: it is started again there with its own
/// words. Returns in there.
///
/// # Panics
/// If there can be no such world here.
pub fn in_a_world_of_its_own() {
    if std::env::var_os(INSIDE).is_some() {
        return prepare();
    }
    let mut command = world().unwrap_or_else(|why| panic!("{why}"));
    command.arg(std::env::current_exe().expect("a running program has a path"));
    command.args(std::env::args_os().skip(1));
    let status = command.status().unwrap_or_else(|error| panic!("cannot start: {error}"));
    std::process::exit(status.code().unwrap_or(1));
}

/// Who waits for a turn is woken when another one ends.
struct Turn;

impl Turn {
    fn take() -> Turn {
        let (running, ended) = &RUNNING;
        let mut running = running.lock().expect("nothing panics here");
        while *running >= AT_ONCE {
            running = ended.wait(running).expect("nothing panics here");
        }
        *running += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (running, ended) = &RUNNING;
        if let Ok(mut running) = running.lock() {
            *running -= 1;
        }
        ended.notify_one();
    }
}

/// What starts a program in namespaces; it is ended with the thread that starts it.
fn world() -> Result<Command, String> {
    let mut words = vec!["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !rustix::process::geteuid().is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    let command = || {
        let mut command = plain("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare"]).args(&words).arg("--");
        // It is compiled before, if it has to be: in there is no way to a registry.
        command.env("DUET_DUETD", duetd()).env(INSIDE, "1");
        command
    };
    let said = run(command().args(["ip", "link"]), Duration::from_secs(20));
    if said.code == Some(0) {
        return Ok(command());
    }
    Err(format!(
        "two rooms need networks of their own. That takes root, or a kernel that lets users have user \
         namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), \
         and iproute2:\n{said}"
    ))
}

/// The first things in a new world: places for the names of networks, for sockets and for shared memory that
/// goes by process numbers (faketime's), and a loopback.
fn prepare() {
    for words in ["mount -t tmpfs tmpfs /run", "mount -t tmpfs tmpfs /dev/shm", "ip link set lo up"]
    {
        let mut words = words.split(' ');
        let mut command = plain(words.next().unwrap_or_default());
        let _ = run(command.args(words), Duration::from_secs(20)).well();
    }
}

/// Runs a program whose words go to a file; none if it takes too long, and is killed.
fn run_into(command: &mut Command, path: &Path) -> Option<i32> {
    let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let again = file.try_clone().expect("a file can be opened twice");
    command.stdin(Stdio::null()).stdout(file).stderr(again);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start: {error}"));
    let storm = std::env::var("DUET_STORM").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + LIMIT + Duration::from_secs(storm.unwrap_or(0));
    while Instant::now() < until {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn end_of(said: &str) -> &str {
    let mut from = said.len().saturating_sub(SHOWN);
    while !said.is_char_boundary(from) {
        from += 1;
    }
    &said[from..]
}
