//! `duetd store` as a program: it runs, is backed up, is killed, is restored, and says so. Each test has a
//! folder of its own and ends what it starts.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use store::client::Client;
use store::wire::proto::{PutRequest, RangeRequest};

/// How long the program may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that runs; it is killed when it goes out of sight.
struct Running {
    child: Child,
    socket: PathBuf,
    notify: UnixDatagram,
}

impl Running {
    /// Starts a store on `data` and waits until it says that it is ready.
    fn start(dir: &Path, data: &str) -> Running {
        let socket = dir.join("store.sock");
        let notify = dir.join("notify");
        let _ = std::fs::remove_file(&notify);
        let heard = UnixDatagram::bind(&notify).unwrap();
        heard.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = duetd()
            .args(["store", "--data-dir"])
            .arg(dir.join(data))
            .arg(format!("--listen-client-urls=unix://{}", socket.display()))
            .env("NOTIFY_SOCKET", &notify)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let running = Running { child, socket, notify: heard };
        assert!(running.hears("READY=1").contains("Serving on unix://"));
        running
    }

    /// Waits until systemd would be told this.
    fn hears(&self, word: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let count = self.notify.recv(&mut bytes).unwrap();
            let said = String::from_utf8_lossy(&bytes[..count]).into_owned();
            if said.contains(word) {
                return said;
            }
        }
    }

    fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    fn put(&self, key: &str, value: &str) {
        within(async {
            let mut client = Client::connect(&self.endpoint(), None).await.unwrap();
            let key = key.to_owned().into();
            let value = value.to_owned().into();
            client.kv.put(PutRequest { key, value, ..PutRequest::default() }).await.unwrap();
        });
    }

    /// The value of a key, and the store's revision.
    fn get(&self, key: &str) -> (Option<String>, i64) {
        within(async {
            let mut client = Client::connect(&self.endpoint(), None).await.unwrap();
            let key = key.to_owned().into();
            let answer = client.kv.range(RangeRequest { key, ..RangeRequest::default() }).await;
            let answer = answer.unwrap().into_inner();
            let value = answer.kvs.first().map(|kv| String::from_utf8(kv.value.to_vec()).unwrap());
            (value, answer.header.unwrap().revision)
        })
    }

    /// Tells it to end; what it said, if it ended well.
    fn end(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn within<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.unwrap() })
}

fn duetd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duetd"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("ETCD") || text.starts_with("DUET") || text.starts_with("WATCHDOG") {
            command.env_remove(&name);
        }
    }
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    duetd().arg("store").args(args).current_dir(dir).output().unwrap()
}

/// Runs a command that must do well and answers with JSON.
fn json(dir: &Path, args: &[&str]) -> Value {
    let output = run(dir, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command that must fail with this number; what it said.
fn fails(dir: &Path, args: &[&str], code: i32) -> String {
    let output = run(dir, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_store_is_backed_up_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = Running::start(dir, "data");
    store.put("/a", "one");
    store.put("/a", "two");
    store.put("/b", "three");
    let endpoint = store.endpoint();
    let backed_up = json(dir, &["backup", "--endpoint", &endpoint, "backup.db"]);
    assert_eq!(backed_up["backup"]["revision"], 4);
    store.put("/a", "after the backup");
    let said = store.end();
    assert!(said.contains("ended"), "{said}");
    assert!(!said.contains("three"), "values are not for the log: {said}");

    let dry = json(dir, &["restore", "backup.db", "--dry-run"]);
    assert_eq!((&dry["backup"]["keys"], &dry["restored"]), (&2.into(), &false.into()));
    let taken = fails(dir, &["restore", "backup.db", "--data-dir", "data"], 7);
    assert!(taken.contains("not empty") && taken.contains("hint:"), "{taken}");

    let restored = json(dir, &["restore", "backup.db", "--data-dir", "same", "--keep-ids"]);
    assert_eq!(restored["cluster_id"], backed_up["backup"]["cluster_id"]);
    let store = Running::start(dir, "same");
    assert_eq!(store.get("/a"), (Some("two".into()), 4));
    drop(store);

    let later = ["restore", "backup.db", "--data-dir", "later", "--bump-revision", "1000"];
    let restored = json(dir, &later);
    assert_ne!(restored["cluster_id"], backed_up["backup"]["cluster_id"]);
    let store = Running::start(dir, "later");
    assert_eq!(store.get("/b"), (Some("three".into()), 1004));
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = Running::start(dir, "data");
    for number in 0..20 {
        store.put(&format!("/k{number}"), "x");
    }
    drop(store); // by SIGKILL
    let report = json(dir, &["check", "--data-dir", "data"]);
    assert_eq!((&report["sound"], &report["keys"]), (&true.into(), &20.into()));
    let dump = run(dir, &["dump", "--data-dir", "data", "--prefix", "/k1", "--limit", "3"]);
    let lines = String::from_utf8(dump.stdout).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.lines().all(|line| line.contains("put /k1")), "{lines}");

    let store = Running::start(dir, "data");
    assert_eq!(store.get("/k19"), (Some("x".into()), 21));
    let busy = fails(dir, &["check", "--data-dir", "data"], 7);
    assert!(busy.contains("in use"), "{busy}");
}

#[test]
fn damage_is_told_and_not_started_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = Running::start(dir, "data");
    for number in 0..20 {
        store.put(&format!("/k{number}"), "a value that is long enough to be hit");
    }
    store.end();
    let log = std::fs::read_dir(dir.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.to_string_lossy().contains("log-0")).max().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.windows(3).position(|bytes| bytes == b"/k5").unwrap();
    bytes[middle] ^= 1;
    std::fs::write(&log, &bytes).unwrap();

    let output = run(dir, &["check", "--data-dir", "data", "--json"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sound"], false);
    let url = format!("--listen-client-urls=unix://{}", dir.join("s").display());
    let said = fails(dir, &["--data-dir", "data", &url], 5);
    assert!(said.contains("log-0") && said.contains("hint:"), "{said}");
    assert_eq!(std::fs::read(&log).unwrap(), bytes, "nothing was changed");
    // What is behind the damage can still be looked at.
    let output = run(dir, &["dump", "--data-dir", "data"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

#[test]
fn settings_are_judged_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let said = fails(dir, &["--data-dir=x", "--max-txn-ops=0", "--cert-file=c"], 3);
    assert!(said.contains("max-txn-ops") && said.contains("key-file"), "{said}");
    let said = fails(dir, &["--data-dir=x", "--unsafe-no-fsync"], 2);
    assert!(said.contains("hint:"), "{said}");
    fails(dir, &["--no-such-flag"], 2);
    assert!(!dir.join("x").exists());

    let printed = run(dir, &["--print-config", "-data-dir", "x", "--pre-vote"]);
    assert!(String::from_utf8(printed.stdout).unwrap().contains("data-dir = \"x\""));
    std::fs::write(dir.join("etcd.toml"), "data-dir = \"from the file\"\n").unwrap();
    let printed = run(dir, &["--print-config", "--config-file", "etcd.toml"]);
    assert!(String::from_utf8(printed.stdout).unwrap().contains("from the file"));
}

#[test]
fn a_link_named_etcd_is_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = dir.path().join("etcd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_duetd"), &etcd).unwrap();
    let mut child = Command::new(etcd)
        .args(["-listen-client-urls", "http://127.0.0.1:0", "-advertise-client-urls"])
        .args(["http://127.0.0.1:1", "-listen-peer-urls", "http://127.0.0.1:0"])
        .args(["-data-dir", "data", "-log-level", "info"])
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("listening") && lines.read_line(&mut said).unwrap() > 0 {}
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("left aside") && said.contains("listen-peer-urls"), "{said}");
}

#[test]
fn a_backup_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("half.db"), [7; 1000]).unwrap();
    let said = fails(dir, &["restore", "half.db", "--data-dir", "data"], 5);
    assert!(said.contains("no whole backup"), "{said}");
    assert!(!dir.join("data").exists());
    fails(dir, &["restore", "missing.db", "--data-dir", "data"], 3);
    fails(dir, &["import", "--from-kine", "half.db", "--data-dir", "data"], 3);
    assert!(!dir.join("data").exists());
    let nowhere = format!("unix://{}", dir.join("nobody").display());
    fails(dir, &["backup", "--endpoint", &nowhere, "new.db"], 4);
    fails(dir, &["import", "--from-etcd", &nowhere, "--dry-run"], 4);
    assert!(std::fs::read_dir(dir).unwrap().count() == 1, "nothing is left behind");
}
