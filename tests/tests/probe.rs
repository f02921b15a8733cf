//! `duetd store probe` against real stores: what it counts, what it leaves, and what it says of a store that
//! loses what it acknowledged.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bytes::Bytes;
use pair::Room;
use serde_json::Value;
use store::client::Client;
use store::wire::proto::{DeleteRangeRequest, RangeRequest};
use tests::local_rooms::{LocalRooms, Setup};
use tests::programs::{kept, plain};
use tests::server::{Make, Plan, Server, duetd};

/// Everything that probes write.
const FOLDER: Bytes = Bytes::from_static(b"/duet-probe/");
const FOLDER_END: Bytes = Bytes::from_static(b"/duet-probe0");

fn probe(endpoint: &str, words: &[&str]) -> Command {
    let mut command = plain(duetd());
    command.args(["store", "probe", "--json", "--endpoint", endpoint]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The lines that a probe printed; the last one is its summary.
fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{output:?}");
    lines
}

async fn keys(endpoint: &str) -> usize {
    let mut client = Client::connect(endpoint, None).await.unwrap();
    let request = RangeRequest { key: FOLDER, range_end: FOLDER_END, ..RangeRequest::default() };
    client.kv.range(request).await.unwrap().into_inner().kvs.len()
}

/// A probe that runs, ended also when the test fails.
struct Running(Option<Child>);

impl Running {
    fn end(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn single(folder: &Path) -> Server {
    Server::start(Plan::new(Make::Duet, folder))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_store_has_all_and_keeps_nothing() {
    let folder = tempfile::tempdir_in(kept("stores")).unwrap();
    let store = single(folder.path());
    let output = probe(&store.endpoint(), &["--every=10ms", "--for=1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines.len(), 2, "one change, one summary: {lines:?}");
    assert_eq!(lines[0]["state"], "acknowledged");
    let summary = &lines[1];
    assert!(summary["acknowledged"].as_u64().unwrap() > 10, "{summary}");
    assert_eq!(summary["missing"], 0);
    assert!(summary["longest_gap_ms"].as_u64().unwrap() < 1000, "{summary}");
    assert_eq!(keys(&store.endpoint()).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_write_is_found() {
    let folder = tempfile::tempdir_in(kept("stores")).unwrap();
    let store = single(folder.path());
    let endpoint = store.endpoint();
    let output = probe(&endpoint, &["--every=10ms", "--for=500ms", "--keep"]).output().unwrap();
    let summary = lines(&output).pop().unwrap();
    let run = summary["run"].as_str().unwrap();
    let mut client = Client::connect(&endpoint, None).await.unwrap();
    let key = format!("/duet-probe/{run}/write/{:020}", 2).into();
    let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
    let deleted = client.kv.delete_range(request).await.unwrap().into_inner().deleted;
    assert_eq!(deleted, 1);

    let verify = |words: &[&str]| {
        let words = [&["--verify", run], words].concat();
        probe(&endpoint, &words).output().unwrap()
    };
    let output = verify(&["--keep"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(lines(&output)[0]["missing"], 1);
    let output = verify(&[]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let output = verify(&[]);
    assert_eq!(output.status.code(), Some(3), "it was removed: {output:?}");
    assert_eq!(keys(&endpoint).await, 0);
}

#[test]
fn the_survivor_of_two_rooms_has_all_after_a_gap_and_so_has_the_one_that_comes_back() {
    let folder = tempfile::tempdir_in(kept("stores")).unwrap();
    let mut two = LocalRooms::start(Setup::new(folder.path()).granted_by("witness"));
    let leader = two.until_in_sync();
    let survivor = leader.other();
    two.until_it_would_survive(survivor);
    let endpoint = two.room(survivor).endpoint();
    let words = ["--every=20ms", "--for=8s", "--deadline=1s", "--keep"];
    let running = Running(Some(probe(&endpoint, &words).spawn().unwrap()));
    // Some writes are acknowledged by both before one is lost.
    let before = revision(&two, survivor);
    two.until("written to", |two| (revision(two, survivor) > before + 10).then_some(()));
    two.kill(leader);
    let output = running.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}\n{}", two.said());
    let summary = lines(&output).pop().unwrap();
    assert_eq!(summary["missing"], 0, "{summary}");
    assert!(summary["longest_gap_ms"].as_u64().unwrap() < 8000, "{summary}");

    two.return_room(leader);
    let run = summary["run"].as_str().unwrap();
    let output = probe(&two.room(leader).endpoint(), &["--verify", run]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let verified = &lines(&output)[0];
    assert_eq!(verified["acknowledged"], summary["acknowledged"]);
    assert_eq!(verified["missing"], 0);
}

fn revision(two: &LocalRooms, room: Room) -> u64 {
    two.status(room).and_then(|said| said["revision"].as_u64()).unwrap_or_default()
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |words: &[&str]| {
        let output = probe("unix:///nowhere/store.sock", words).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = refused(&["--every=1us", "--for=1h"]);
    assert!(code == Some(2) && said.contains("at most 1000000"), "{said}");
    assert_eq!(refused(&["--every=0"]).0, Some(2));
    assert_eq!(refused(&[]).0, Some(4), "nobody is there");
}
