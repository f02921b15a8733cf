//! `duetd witness` as a program: sites are added while it runs, a room asks, it ends and starts, is restored
//! from a backup, and says so. Each test has a folder of its own and ends what it starts.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use pair::witness::{Refusal, Reply, Request};
use pair::{GrantedBy, InSync, Incarnations, Register, Room};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use witness::wire::Refused;
use witness::{AskError, Client, Config};

/// How long the program may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = dir.join(format!("{name}-ca.crt"));
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), file }
    }

    fn sign(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let paths = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        fs::write(&paths.0, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }
}

/// A witness that runs; it is killed when it goes out of sight.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    /// Starts a witness on `dir` and waits until it says that it is ready.
    fn start(dir: &Path) -> Running {
        let notify = dir.join("notify");
        let _ = fs::remove_file(&notify);
        let heard = UnixDatagram::bind(&notify).unwrap();
        heard.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = duetd(dir)
            .args(["--listen=127.0.0.1:0", "--cert-file=witness.duet.internal.crt"])
            .arg("--key-file=witness.duet.internal.key")
            .env("NOTIFY_SOCKET", &notify)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From here on it is killed, whatever happens.
        let mut running = Running { child, address: String::new() };
        let mut bytes = [0; 4096];
        while running.address.is_empty() {
            let count = match heard.recv(&mut bytes) {
                // The end of another test's child interrupts.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count.unwrap(),
            };
            let said = String::from_utf8_lossy(&bytes[..count]).into_owned();
            if said.contains("READY=1") {
                running.address = said.rsplit(' ').next().unwrap().to_owned();
            }
        }
        running
    }

    fn client(&self, dir: &Path, files: &(PathBuf, PathBuf)) -> Client {
        Client::new(Config {
            addresses: vec![self.address.clone()],
            server_name: witness::DEFAULT_SERVER_NAME.to_owned(),
            ca_file: dir.join("witness-ca.crt"),
            cert_file: files.0.clone(),
            key_file: files.1.clone(),
            timeout: PATIENCE,
        })
    }

    /// Tells it to end; it ends well.
    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn duetd(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duetd"));
    command.arg("witness").current_dir(dir).env("DUET_WITNESS_DATA_DIR", dir.join("data"));
    command.env_remove("WATCHDOG_USEC").env_remove("NOTIFY_SOCKET");
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    duetd(dir).args(args).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

fn done(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn within<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.unwrap() })
}

fn both(epoch: u64, witness: u64) -> Register {
    Register {
        cluster: 7,
        epoch,
        leader: Room::A,
        in_sync: InSync::Both,
        granted_by: GrantedBy::Consent,
        witness,
        boot_id: 0,
        incarnations: Incarnations { a: 1, b: 1 },
    }
}

/// The site's generation at the witness, once the running one has noticed what was typed.
async fn generation(client: &Client) -> u64 {
    loop {
        match client.site().await {
            Ok(status) => return status.generation,
            Err(AskError::Rejected { .. } | AskError::Refused(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Asks, also if the site has asked too often just before; the witness then makes it wait.
async fn ask(client: &Client, request: Request) -> Reply {
    loop {
        match client.ask(request).await {
            Err(AskError::Refused(Refused::Busy { .. })) => {}
            reply => return reply.unwrap(),
        }
    }
}

#[test]
fn a_room_is_granted_and_a_restored_witness_grants_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Authority::new(dir, "witness").sign(dir, witness::DEFAULT_SERVER_NAME);
    let running = Running::start(dir);
    let site = Authority::new(dir, "harbour");
    let added = done(dir, &["site", "add", "harbour", "--ca", site.file.to_str().unwrap()]);
    assert!(added.starts_with("added harbour, generation "), "{added}");
    let (a, b) =
        ["a", "b"].map(|room| site.sign(dir, &format!("room-{room}.harbour.duet.internal"))).into();
    let first = within(async {
        let client = running.client(dir, &a);
        let generation = generation(&client).await;
        let reply = ask(&client, Request::Report(both(4, generation))).await;
        assert_eq!(reply, Reply::Holds(both(4, generation)));
        generation
    });
    // A backup is a copy of the folder, also while it runs.
    let copied = Command::new("cp").args(["-a", "data", "backup"]).current_dir(dir).status();
    assert!(copied.unwrap().success());
    let grant = |room, base| Request::Grant { room, incarnation: 1, base };
    within(async {
        let reply = ask(&running.client(dir, &b), grant(Room::B, both(4, first))).await;
        assert!(matches!(reply, Reply::Granted(_)), "{reply:?}");
    });
    let list: Value = serde_json::from_str(&done(dir, &["site", "list", "--json"])).unwrap();
    let line = &list["sites"][0];
    assert_eq!(line["held"]["epoch"], 6);
    assert_eq!(line["held"]["in_sync"], "{b}");
    assert_eq!(line["generation"], format!("{first:016x}"));
    assert!(line["asked"].is_string() && line["disk_bytes"].as_u64().unwrap() < 4096);
    assert!(said(&run(dir, &[])).contains("in use by another witness"));
    running.end();

    // The backup knows nothing of the grant. Room a, which was cut off, must not get one.
    fs::remove_dir_all(dir.join("data")).unwrap();
    fs::rename(dir.join("backup"), dir.join("data")).unwrap();
    let renewed = done(dir, &["renew", "--all"]);
    assert!(renewed.starts_with("harbour: generation "), "{renewed}");
    let running = Running::start(dir);
    within(async {
        let client = running.client(dir, &a);
        let reply = ask(&client, grant(Room::A, both(4, first))).await;
        let Reply::Refused { why: Refusal::OtherGeneration(second), .. } = reply else {
            panic!("{reply:?}")
        };
        assert_ne!(first, second);
    });
    running.end();
}

#[test]
fn what_is_typed_wrong_or_damaged_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let site = Authority::new(dir, "harbour");
    let ca = site.file.to_str().unwrap();
    let check = |args: &[&str], code: i32, expected: &str| {
        let output = run(dir, args);
        let said = said(&output);
        assert!(output.status.code() == Some(code) && said.contains(expected), "{args:?}: {said}");
    };
    check(&["site", "list"], 3, "is not the data folder of a witness");
    check(&["site", "add", "harbour", "--ca", "missing"], 3, "cannot read the certificate in");
    check(&["site", "add", "Harbour", "--ca", ca], 2, "the name has a 'H' in it");
    check(&["renew"], 2, "--site <NAME>");
    done(dir, &["site", "add", "harbour", "--ca", ca]);
    check(&["site", "add", "harbour", "--ca", ca], 3, "is there already");
    site.sign(dir, "room-a.harbour.duet.internal");
    check(&["site", "add", "x", "--ca", "room-a.harbour.duet.internal.key"], 3, "a private key");
    check(&["site", "remove", "nowhere"], 3, "there is no site nowhere");
    check(&["site", "remove", "harbour"], 2, "its name was not typed");
    check(&["--cert-file=missing", "--listen=127.0.0.1:0"], 3, "cannot read missing");

    let file = dir.join("data/registers/harbour");
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    check(&["site", "list"], 5, "DAMAGED: registers/harbour: its checksum does not hold");
    done(dir, &["renew", "--site", "harbour"]);
    assert!(done(dir, &["site", "list"]).contains("nothing yet"));

    let mut asking = duetd(dir)
        .args(["site", "remove", "harbour"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    asking.stdin.take().unwrap().write_all(b"harbour\n").unwrap();
    assert!(asking.wait().unwrap().success());
    check(&["renew", "--site", "harbour"], 3, "there is no site harbour");
}
