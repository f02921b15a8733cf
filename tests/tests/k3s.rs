//! What stands around k3s: it comes into an image as a component, or is left out aloud; and of two rooms,
//! one starts the first server. k3s itself is not here: a stand-in takes its place in the tree, and the
//! store's own keys that of what it writes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::client::Client;
use store::wire::proto::PutRequest;
use tests::demo::{Built, build, build_profile, demo, extract, finish};
use tests::local_rooms::{LocalRooms, Setup};
use tests::programs::{kept, plain};
use tests::run::{Said, run};
use tests::server::duetd;

/// What is not there is said with these.
const USAGE: i32 = 2;
const INPUT: i32 = 3;
const NETWORK: i32 = 4;

/// How long anything may take on a busy computer.
const PATIENCE: Duration = Duration::from_secs(60);

// ---- In the image --------------------------------------------------------------------------------

/// A program that says what it is, so that nobody takes it for k3s.
const STAND_IN: &str = "#!/bin/sh\necho 'a stand-in for k3s, made by a test'\n";

fn stand_in() -> PathBuf {
    let path = kept("k3s").join("stand-in-for-k3s");
    fs::write(&path, STAND_IN).unwrap();
    path
}

fn with_stand_in(out: &Path) -> Command {
    let mut command = build(&demo().site, "a", out);
    command.arg("--component").arg(format!("k3s={}", stand_in().display()));
    command
}

fn json_file(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn an_image_with_k3s_has_its_units_and_says_where_it_came_from() {
    let out = kept("k3s").join("with");
    let said = finish(&mut with_stand_in(&out)).well();
    assert!(!said.err.contains("left out"), "{said}");
    let built = Built::read(&out);
    let [k3s] = &built.manifest["components"].as_array().unwrap()[..] else { panic!("{built:?}") };
    let sha256 = image::digest::hex(&image::digest::sha256(STAND_IN.as_bytes()));
    assert_eq!(k3s["present"], true);
    assert_eq!(k3s["source"], "a local file");
    assert_eq!(
        k3s["files"],
        json!([{"path": "/usr/bin/k3s", "size": STAND_IN.len(), "sha256": sha256}])
    );
    let sbom = json_file(&built.artefact(".spdx.json"));
    let packages = sbom["packages"].as_array().unwrap();
    let part = packages.iter().find(|one| one["name"] == "k3s").unwrap();
    assert_eq!(part["checksums"][0]["checksumValue"], sha256.as_str());
    assert_eq!(part["licenseDeclared"], "Apache-2.0");
    assert!(part["comment"].as_str().unwrap().starts_with("local: "), "{part}");
    let contained = sbom["relationships"].as_array().unwrap();
    assert!(contained.iter().any(|one| one["relatedSpdxElement"] == part["SPDXID"]), "{sbom:#}");

    // No path of this computer is in what others get.
    for name in [".manifest.json", ".spdx.json", ".files.txt"] {
        let text = fs::read_to_string(built.artefact(name)).unwrap();
        assert!(!text.contains("stand-in"), "{name} names the local file");
    }

    let root = kept("k3s").join("root");
    let _ = extract(&built, &root).well();
    assert_eq!(fs::read_to_string(root.join("usr/bin/k3s")).unwrap(), STAND_IN);
    for unit in ["k3s.service", "k3s-agent.service", "duet-kubernetes.service"] {
        let wanted = root.join("etc/systemd/system/multi-user.target.wants").join(unit);
        assert!(fs::symlink_metadata(&wanted).is_ok(), "{unit} is not enabled");
        let text = fs::read_to_string(root.join("usr/lib/systemd/system").join(unit)).unwrap();
        assert!(text.contains("ConditionPathExists=/usr/bin/k3s\n"), "{text}");
        // What waits for the other room must not keep a boot from being good.
        assert!(text.contains("DefaultDependencies=no\n"), "{text}");
    }
    let modules = fs::read_to_string(root.join("usr/lib/modules-load.d/k3s.conf")).unwrap();
    assert_eq!(modules.lines().skip(1).collect::<Vec<_>>(), ["br_netfilter", "overlay"]);
    assert_eq!(fs::read_link(root.join("etc/rancher")).unwrap(), Path::new("/var/lib/rancher/etc"));
    let made = fs::read_to_string(root.join("usr/lib/tmpfiles.d/k3s.conf")).unwrap();
    for folder in ["/var/lib/rancher/etc/node", "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods"]
    {
        assert!(made.lines().any(|line| line.starts_with(&format!("d {folder} "))), "{folder}");
    }
    let list = json_file(&root.join("usr/lib/duet/components.json"));
    assert_eq!((&list[0]["name"], &list[0]["present"]), (&json!("k3s"), &json!(true)));
}

#[test]
fn an_image_without_k3s_says_so_everywhere_and_has_nothing_of_it() {
    let out = kept("k3s").join("without");
    // Also where its release is locked.
    let without = || {
        let mut command = build(&demo().site, "a", &out);
        command.args(["--without", "k3s"]);
        command
    };
    let said = finish(&mut without()).well();
    let warning = "k3s is left out of this image: the build was told to leave it out";
    assert!(said.err.contains(warning), "{said}");
    let built = &Built::read(&out);
    let [k3s] = &built.manifest["components"].as_array().unwrap()[..] else { panic!("{built:?}") };
    assert_eq!((&k3s["present"], &k3s["files"]), (&json!(false), &json!([])));
    assert!(k3s["why"].as_str().is_some_and(|why| !why.is_empty()), "{k3s}");
    let list = fs::read_to_string(built.artefact(".files.txt")).unwrap();
    assert!(!list.contains("k3s"), "something of k3s is in an image without it");
    let root = kept("k3s").join("root-without");
    let _ = extract(built, &root).well();
    let list = json_file(&root.join("usr/lib/duet/components.json"));
    assert_eq!((&list[0]["present"], &list[0]["why"]), (&json!(false), &k3s["why"]));
    let sbom = json_file(&built.artefact(".spdx.json"));
    assert!(sbom["packages"].as_array().unwrap().iter().all(|one| one["name"] != "k3s"));
    // A build says it each time, also when everything stands there already.
    let again = finish(&mut without()).well();
    assert!(again.out.contains("unchanged") && again.err.contains(warning), "{again}");
}

#[test]
fn a_control_image_is_not_built_without_k3s() {
    let out = kept("k3s").join("control");
    let control =
        |words: &[&str]| finish(build_profile("control", &demo().site, "a", &out).args(words));
    let refused = control(&[]).with(INPUT);
    assert!(refused.err.contains("the profile requires k3s"), "{refused}");
    assert!(refused.err.contains("duet lock k3s") && refused.err.contains("--component k3s=PATH"));
    let refused = control(&["--without", "k3s"]).with(USAGE);
    assert!(refused.err.contains("cannot be left out"), "{refused}");
    let refused = control(&["--component", "k4s=/bin/true"]).with(USAGE);
    assert!(refused.err.contains("the components of this profile: k3s"), "{refused}");
    assert!(!out.exists(), "something was written");
    let given = format!("k3s={}", stand_in().display());
    let plan = control(&["--component", &given, "--dry-run"]).well();
    assert!(plan.out.contains("from a local file"), "{plan}");
}

// ---- Which room starts first ---------------------------------------------------------------------

/// `duetd kubernetes wait` on a socket.
fn wait(socket: &Path) -> Command {
    let mut command = plain(duetd());
    command.args(["kubernetes", "wait", "--endpoint"]);
    command.arg(format!("unix://{}", socket.display()));
    command
}

/// The same, which gives up after the first look that lets nothing start.
fn one_look(socket: &Path) -> Said {
    run(wait(socket).args(["--timeout", "0"]), PATIENCE)
}

/// One that goes on; it is ended when it goes out of sight.
struct Waiting {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Waiting {
    fn start(socket: &Path) -> Waiting {
        let mut child = wait(socket).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Waiting { child, said }
    }

    /// The next line that it says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line
    }

    /// Waits until it ends by itself.
    fn end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it goes on waiting");
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (status, rest)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes what k3s would, through a room's socket.
fn put(socket: &Path, value: &'static [u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = format!("unix://{}", socket.display());
        let mut client = Client::connect(&endpoint, None).await.unwrap();
        let key = b"/bootstrap/5f0c1a".to_vec();
        let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
        let _ = client.kv.put(put).await.unwrap();
    });
}

#[test]
fn of_two_rooms_the_one_that_leads_starts_the_first_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut two = LocalRooms::start(Setup::new(folder.path()));
    let leader = two.until_in_sync();
    let (first, second) = (two.socket(leader), two.socket(leader.other()));

    let mut follower = Waiting::start(&second);
    let line = follower.line();
    assert!(line.contains("the other room starts this site's first server"), "{line}");
    let may = run(wait(&first).args(["--timeout", "60"]), PATIENCE).well();
    assert!(may.err.contains("this room leads"), "{may}");

    // An empty value holds no certificates.
    put(&first, b"");
    let not_yet = one_look(&second).with(NETWORK);
    assert!(not_yet.err.contains("the other room starts"), "{not_yet}");
    put(&first, b"certificates, encrypted with the token");
    let (status, said) = follower.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("the cluster's certificates are in the store"), "{said}");
    let _ = one_look(&first).well();

    // A room that may not answer starts nothing, whatever it holds: the other one may be ahead.
    two.kill(leader);
    let refused = one_look(&second).with(NETWORK);
    assert!(refused.err.contains("hint: `duetd store status`"), "{refused}");
    two.return_room(leader);
    let _ = run(wait(&second).args(["--timeout", "60"]), PATIENCE).well();
}

#[test]
fn a_store_that_does_not_run_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = Waiting::start(&folder.path().join("nobody.sock"));
    let line = waiting.line();
    assert!(line.starts_with("The Kubernetes server waits: cannot connect to unix://"), "{line}");
    let refused = one_look(&folder.path().join("nobody.sock")).with(NETWORK);
    assert!(refused.err.contains("given up after 0 s"), "{refused}");
}
