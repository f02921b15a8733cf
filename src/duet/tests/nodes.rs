//! `duet status` and `duet logs` against nodes that answer: with the keys of `duet site new`, over real TLS.
//! The nodes are the agent's own server with views of files; each test ends what it starts.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use agent::page::bundle::Bundler;
use agent::page::{Board, Server};
use agent::{Files, View};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use tokio::runtime::Runtime;

/// A site that `duet site new` made.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let made = duet(folder.path(), &["site", "new", "harbour"]);
        assert!(made.status.success(), "{made:?}");
        Site { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("harbour").join(name)
    }

    /// A machine's certificate, as the site's authority signs it.
    fn files(&self, name: &str) -> Files {
        let signer =
            KeyPair::from_pem(&fs::read_to_string(self.path("keys/ca.key")).unwrap()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Duet");
        params.distinguished_name.push(DnType::CommonName, "site harbour");
        let issuer = Issuer::new(params, signer);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ServerAuth, ClientAuth];
        let at = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        fs::write(at("crt"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(at("key"), key.serialize_pem()).unwrap();
        Files { certificate: at("crt"), key: at("key"), authority: self.path("keys/ca.crt") }
    }

    /// Asks the nodes at these ports.
    fn ask(&self, command: &[&str], nodes: &[&Node]) -> (Option<i32>, String, String) {
        let file = self.path("site.toml");
        let mut words = command.to_vec();
        words.extend(["--site", file.to_str().unwrap()]);
        for node in nodes {
            words.extend(["--node", &node.address]);
        }
        let said = duet(self.folder.path(), &words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (said.status.code(), text(&said.stdout), text(&said.stderr))
    }
}

fn duet(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_duet")).current_dir(folder).args(words).output().unwrap()
}

/// A node that answers until it is dropped.
struct Node {
    address: String,
    _runtime: Runtime,
}

impl Node {
    fn start(files: Files, view: View) -> Node {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(async {
            Server::bind_at(files, &"harbour".parse().unwrap(), ([127, 0, 0, 1], 0).into())
        });
        let server = server.unwrap();
        let address = server.addresses()[0].to_string();
        let bundler = Bundler::new(Path::new("/nowhere"), Path::new("/nowhere"));
        runtime.spawn(server.run(Board::new(view), bundler, std::future::pending()));
        Node { address, _runtime: runtime }
    }
}

fn view(name: &str) -> View {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/views");
    View::read(&fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap()
}

/// As the other room's control machine sees it.
fn from_there(view: View) -> View {
    View { here: view.there.unwrap(), there: Some(view.here), ..view }
}

const ROOM_A: &str = "room-a.harbour.duet.internal";
const ROOM_B: &str = "room-b.harbour.duet.internal";

#[test]
fn both_rooms_answer_and_all_is_well() {
    let site = Site::new();
    let a = Node::start(site.files(ROOM_A), view("in-sync"));
    let b = Node::start(site.files(ROOM_B), from_there(view("in-sync")));
    let (code, out, err) = site.ask(&["status"], &[&a, &b]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("Both rooms are in sync. Room A leads."), "{out}");
    assert!(out.contains("harbour-a1                          harbour-b1"), "{out}");
    assert!(!out.contains('\x1b'), "no colours where nobody looks");

    let (code, out, _) = site.ask(&["status", "--json"], &[&b]);
    let said = View::read(out.as_bytes()).unwrap();
    assert_eq!((code, said.here.pair["room"].as_str()), (Some(0), Some("b")));
}

#[test]
fn somebody_should_look_is_an_exit_code() {
    let site = Site::new();
    let a = Node::start(site.files(ROOM_A), view("room-b-lost"));
    let (code, out, _) = site.ask(&["status"], &[&a]);
    assert_eq!(code, Some(1));
    assert!(out.contains("Room A goes on alone, by the witness."), "{out}");
    // One node is gone: the other one tells, and what is missing is said.
    let gone = Node { address: "127.0.0.1:9".into(), _runtime: Runtime::new().unwrap() };
    let (code, out, _) = site.ask(&["status"], &[&gone, &a]);
    assert_eq!(code, Some(1));
    assert!(out.contains("Not shown: 127.0.0.1:9 does not answer"), "{out}");
    let (code, _, err) = site.ask(&["status"], &[&gone]);
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("127.0.0.1:9 does not answer") && err.contains("hint: "), "{err}");
}

#[test]
fn who_is_not_of_the_site_is_not_believed() {
    let (site, other) = (Site::new(), Site::new());
    let foreign = Node::start(other.files(ROOM_A), view("in-sync"));
    let alike = Node::start(site.files("room-a.lighthouse.duet.internal"), view("in-sync"));
    for node in [&foreign, &alike] {
        let (code, out, err) = site.ask(&["status"], &[node]);
        assert_eq!((code, out.as_str()), (Some(5), ""), "{err}");
        assert!(err.contains("is no machine of the site"), "{err}");
    }
    // A key that others can read is not used.
    use std::os::unix::fs::PermissionsExt as _;
    let key = site.path("keys/operator.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = site.ask(&["status"], &[&foreign]);
    assert_eq!(code, Some(10), "{err}");
}

#[test]
fn logs_of_all_nodes_are_one_file() {
    let site = Site::new();
    let a = Node::start(site.files(ROOM_A), view("in-sync"));
    let b = Node::start(site.files(ROOM_B), from_there(view("in-sync")));
    let out = site.folder.path().join("logs.tar.gz");
    let (code, _, err) = site.ask(&["logs", "--out", out.to_str().unwrap()], &[&a, &b]);
    assert_eq!(code, Some(0), "{err}");
    let listed = Command::new("tar").arg("-tzf").arg(&out).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for (room, node) in [("a", &a), ("b", &b)] {
        let folder = format!("room-{room}-{}", node.address.replace(':', "_"));
        for file in ["journal.txt", "status.json", "pair.json", "os-release"] {
            assert!(listed.lines().any(|line| line == format!("{folder}/{file}")), "{listed}");
        }
    }
    let (code, _, err) = site.ask(&["logs", "--out", "/nowhere/at/all.tar.gz"], &[&a]);
    assert_eq!(code, Some(7), "{err}");
}
