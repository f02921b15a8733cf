//! `duetd agent` as a program: two rooms that show each other, and a third machine that would like to be one
//! of them. Each test has folders and addresses of its own and ends what it starts.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(40);

/// A site's authority.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority(Issuer::new(params, key), pem)
    }

    fn sign(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ServerAuth, ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::write(folder.join("node.crt"), certificate.pem()).unwrap();
        fs::write(folder.join("node.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("ca.crt"), &self.1).unwrap();
    }
}

/// A machine's folder tree, and its agent if it runs.
struct Machine {
    folder: tempfile::TempDir,
    address: String,
    agent: Option<Child>,
}

impl Machine {
    /// `certified` is the room that its certificate names.
    fn new(
        authority: &Authority,
        room: char,
        certified: char,
        address: &str,
        port: u16,
    ) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for part in ["run/duet", "run/duet-agent"] {
            fs::create_dir_all(path(part)).unwrap();
        }
        authority.sign(folder.path(), &format!("room-{certified}.demo.duet.internal"));
        let settings = format!(
            "site = \"demo\"\nroom = \"{room}\"\nrole = \"control\"\nname = \"demo-{room}1\"\n\
             store_port = 2380\npage_port = {port}\ndiscovery = false\nother_room = []\n\
             certificate_file = {:?}\nkey_file = {:?}\nauthority_file = {:?}\n",
            path("node.crt"),
            path("node.key"),
            path("ca.crt"),
        );
        fs::write(path("run/duet/agent.toml"), settings).unwrap();
        Machine { folder, address: format!("{address}:{port}"), agent: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn knows_of(&self, other: &Machine) {
        // Discovery, which is off here, writes once that it knows nobody; this is as if it had found somebody,
        // with the port of the store.
        let peers = self.path("run/duet-agent/peers");
        let deadline = Instant::now() + PATIENCE;
        while !peers.exists() {
            assert!(Instant::now() < deadline, "discovery has written nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
        let host = other.address.split(':').next().unwrap();
        fs::write(peers, format!("https://{host}:2380 # heard\n")).unwrap();
    }

    fn start(&mut self, store: u16) {
        let notify = self.path("notify");
        let heard = UnixDatagram::bind(&notify).unwrap();
        heard.set_read_timeout(Some(PATIENCE)).unwrap();
        let agent = Command::new(env!("CARGO_BIN_EXE_duetd"))
            .args(["agent", "--root"])
            .arg(self.folder.path())
            .args(["--listen", &self.address, "--store", &format!("127.0.0.1:{store}")])
            .env("NOTIFY_SOCKET", &notify)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.agent = Some(agent);
        let mut bytes = [0; 999];
        let count = heard.recv(&mut bytes).unwrap();
        let said = String::from_utf8_lossy(&bytes[..count]).into_owned();
        assert!(said.starts_with("READY=1\nSTATUS=Showing both rooms on 127."), "{said}");
        fs::remove_file(notify).unwrap();
    }

    fn view(&self) -> Value {
        let url = format!("https://{}/status.json", self.address);
        let said =
            Command::new("curl").args(["--silent", "--insecure", "--max-time", "9", &url]).output();
        serde_json::from_slice(&said.unwrap().stdout).unwrap_or_default()
    }

    /// Waits until the view is so.
    fn shows(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.view();
            if so(&view) {
                return view;
            }
            let left_out = &view["left_out"];
            assert!(Instant::now() < deadline, "{what} is not shown; left out: {left_out}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// As systemd ends it; how it ended.
    fn end(&mut self) -> Option<i32> {
        let mut agent = self.agent.take()?;
        let pid = agent.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = agent.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = agent.kill();
        let _ = agent.wait();
        None
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// Answers as a store does, as long as the test runs: with its pair's page and one event.
fn store(room: char) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let answer = |mut socket: TcpStream| -> std::io::Result<()> {
            let mut head = [0; 2048];
            let count = socket.read(&mut head)?;
            let events =
                String::from_utf8_lossy(&head[..count]).starts_with("GET /duet/pair/events ");
            let body = if events {
                json!([{ "time": 1.0, "room": room.to_string(), "epoch": 1, "type": "Normal",
                    "reason": "Following", "message": "follows" }])
            } else {
                json!({ "room": room.to_string(), "role": "follows", "epoch": 3, "in_sync": ["a", "b"] })
            };
            let body = body.to_string();
            write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        for socket in listener.incoming().flatten() {
            let _ = answer(socket);
        }
    });
    port
}

/// A port that is free on every address of the loopback.
fn port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn each_room_shows_the_other_one_and_says_when_it_is_silent() {
    let (authority, port) = (Authority::new(), port());
    let mut a = Machine::new(&authority, 'a', 'a', "127.0.3.1", port);
    let mut b = Machine::new(&authority, 'b', 'b', "127.0.3.2", port);
    let (of_a, of_b) = (store('a'), store('b'));
    a.start(of_a);
    let alone = a.shows("this room", |view| view["here"]["pair"]["room"] == "a");
    assert_eq!(alone["there"], Value::Null);
    assert!(alone["left_out"].to_string().contains("no address of room b is known yet"), "{alone}");

    // What discovery finds later is used without a restart.
    b.start(of_b);
    a.knows_of(&b);
    b.knows_of(&a);
    for (one, other) in [(&a, "b"), (&b, "a")] {
        let view = one.shows("the other room", |view| view["there"]["pair"]["room"] == other);
        assert_eq!((&view["format"], &view["site"]), (&json!(1), &json!("demo")));
        assert_eq!(view["there"]["pair_events"][0]["room"], other);
        assert!(view["there"]["status"]["hostname"].is_string() && view["left_out"] == json!([]));
    }
    let left: Value =
        serde_json::from_slice(&fs::read(a.path("run/duet-agent/there.json")).unwrap()).unwrap();
    assert_eq!(left["there"]["pair"]["room"], "b");
    assert!(left["heard"].as_u64() > Some(1_700_000_000));

    // What was seen stays, with its age.
    assert_eq!(b.end(), Some(0));
    let view = a.shows("its silence", |view| view["there_heard_s"].as_u64() >= Some(3));
    assert_eq!(view["there"]["pair"]["room"], "b");
    assert!(view["left_out"][0].as_str().unwrap().starts_with("the other room's page: 127.0.3.2:"));
    assert_eq!(a.end(), Some(0));
}

#[test]
fn who_has_not_the_other_rooms_certificate_is_not_shown_as_it() {
    let (authority, foreign, port) = (Authority::new(), Authority::new(), port());
    let mut a = Machine::new(&authority, 'a', 'a', "127.0.4.1", port);
    // One of another authority, and one of this site that stands in this room.
    let mut stranger = Machine::new(&foreign, 'b', 'b', "127.0.4.2", port);
    let mut twin = Machine::new(&authority, 'b', 'a', "127.0.4.3", port);
    for machine in [&mut a, &mut stranger, &mut twin] {
        machine.start(store('b'));
    }
    for impostor in [&stranger, &twin] {
        a.knows_of(impostor);
        let host = impostor.address.clone();
        let told = |view: &Value| {
            let left_out = view["left_out"].to_string();
            left_out.contains(&host) && left_out.contains("is no machine of the site")
        };
        let view = a.shows("who it is not", told);
        assert_eq!(view["there"], Value::Null);
    }
}

/// Gives a machine what `duetd boot` and k3s would have left, as far as joining needs it.
fn with_kubernetes(machine: &Machine, authority: Option<&str>) {
    let write = |name: &str, text: &str| {
        let path = machine.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("run/duet/k3s/told.json", r#"{"alike":{},"find":[]}"#);
    let state = json!({ "phase": "ready", "authority": authority, "at_s": 1 });
    write("run/duet-kubernetes/state.json", &state.to_string());
    for file in ["node.crt", "node.key"] {
        let text = fs::read_to_string(machine.path(file)).unwrap();
        write(&format!("var/lib/duet/identity/{file}"), &text);
    }
    write("var/lib/duet/secrets/join.token", "secret\n");
}

#[test]
fn a_worker_joins_the_cluster_of_its_own_site_alone() {
    let (authority, foreign, port) = (Authority::new(), Authority::new(), port());
    let hash = "5e".repeat(32);
    // The first listens for workers and is another site's; the second has no cluster yet; the third is right.
    let mut stranger = Machine::new(&foreign, 'b', 'b', "127.0.5.1", port);
    let mut early = Machine::new(&authority, 'b', 'b', "127.0.5.2", port);
    let mut right = Machine::new(&authority, 'a', 'a', "127.0.5.3", port);
    with_kubernetes(&stranger, Some(&"66".repeat(32)));
    with_kubernetes(&early, None);
    with_kubernetes(&right, Some(&hash));
    let mut doors = Vec::new();
    for machine in [&mut stranger, &mut early, &mut right] {
        machine.start(store('a'));
        let host = machine.address.split(':').next().unwrap();
        doors.push(TcpListener::bind((host, 6443)).unwrap());
    }
    let told = |view: &Value| view["here"]["status"]["kubernetes"]["state"]["authority"] == *hash;
    right.shows("its cluster", told);

    let worker = Machine::new(&authority, 'b', 'b', "127.0.5.4", port);
    with_kubernetes(&worker, None);
    let join = |servers: &str, seconds: &str| {
        fs::write(worker.path("run/duet/k3s/servers"), servers).unwrap();
        let said = Command::new(env!("CARGO_BIN_EXE_duetd"))
            .args(["kubernetes", "join", "--timeout", seconds, "--root"])
            .arg(worker.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!text.contains("secret"), "{text}");
        (said.status.code(), text)
    };
    let token = worker.path("run/duet/k3s/join.token");
    let (code, text) = join("127.0.5.1\n", "0");
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("127.0.5.1") && text.contains("is no machine of the site"), "{text}");
    assert!(!token.exists(), "nothing is made for a stranger");

    let (code, text) = join("127.0.5.1\n127.0.5.2\n127.0.5.3\n", "40");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(fs::read_to_string(&token).unwrap(), format!("K10{hash}::server:secret\n"));
    let chosen = fs::read_to_string(worker.path("run/duet/k3s/agent.yaml.d/server.yaml")).unwrap();
    assert!(chosen.contains("server: \"https://127.0.5.3:6443\"\n"), "{chosen}");
    for door in doors {
        door.set_nonblocking(true).unwrap();
        let knocked = door.accept().is_ok();
        assert_eq!(knocked, door.local_addr().unwrap().ip().to_string() == "127.0.5.3");
    }
}

#[test]
fn settings_that_are_none_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    let run = |expected: &str| {
        let said = Command::new(env!("CARGO_BIN_EXE_duetd"))
            .args(["agent", "--settings"])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(3), "{text}");
        assert!(text.contains(expected) && text.contains("hint: "), "{text}");
    };
    run("cannot read ");
    fs::write(&file, "site = \"demo\"\nrom = \"a\"\n").unwrap();
    run("holds no settings of the agent: unknown field `rom`");
}
