//! A room's disk is full, or sticks. The other room goes on without it, and takes it in again when it is well.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::geteuid;
use store::client::Client;
use tests::programs::{plain, say};
use tests::run::run;
use tests::two_rooms::{Grants, LONG, Side, Site, alone};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::Runtime;

use super::load::Load;

/// A command of util-linux.
const COMMAND: Duration = Duration::from_secs(20);

/// Room for one segment of the log (64 MiB), not for two.
const SMALL: [&str; 5] = ["-t", "tmpfs", "-o", "size=100m", "tmpfs"];
const LARGE: [&str; 5] = ["-t", "tmpfs", "-o", "remount,size=1g", "tmpfs"];

/// So many values of 1 MiB are more than a segment takes.
const VALUES: usize = 80;

/// Has the store of `side` write more than a small disk takes; each is tried until it is done.
fn write_much(runtime: &Runtime, site: &Site, side: Side) {
    let endpoint = site.room(side).endpoint();
    runtime.block_on(async {
        let mut client = Client::connect(&endpoint, None).await.unwrap();
        let value = Bytes::from(vec![b'x'; 1 << 20]);
        let until = tokio::time::Instant::now() + LONG;
        for number in 0..VALUES {
            let key = Bytes::from(format!("much/{number}"));
            let put = pb::PutRequest { key, value: value.clone(), ..Default::default() };
            while let Err(status) = client.kv.put(put.clone()).await {
                assert!(tokio::time::Instant::now() < until, "{status}");
            }
        }
    });
}

fn full(side: Side) {
    let mut site = Site::plan(Grants::Witness);
    site.mount(side, &SMALL);
    for side in Side::BOTH {
        // Not the 10 s that a disk may take in earnest.
        site.room_mut(side).plan.words.push("--disk-stuck-after=2s".into());
        site.room_mut(side).start();
    }
    site.in_sync();
    assert_eq!(site.wait_for_leader(), Side::A, "who founds a site leads it");
    let load = Load::start(&site);
    let begun = load.book.now();
    let good = side.other();
    write_much(&Runtime::new().unwrap(), &site, good);
    site.room(side).says("the disk is full");
    load.writes_go_on(&site, good);
    let _ = load.tell("a disk is full", good, begun);
    let status = site.status(good).unwrap();
    assert_eq!(status["in_sync"], serde_json::json!([good.letter()]), "{status:#}");
    site.mount(side, &LARGE);
    load.finish(&site);
}

#[test]
fn the_followers_disk_is_full() {
    alone(|| full(Side::B));
}

#[test]
fn the_leaders_disk_is_full() {
    alone(|| full(Side::A));
}

/// A file system that takes no write (fsfreeze(8)): who writes waits, as for a disk that does not answer.
struct Frozen(PathBuf);

impl Frozen {
    fn freeze(site: &Site, side: Side) -> Frozen {
        let data = site.room(side).plan.data.clone();
        let _ = run(plain("fsfreeze").arg("-f").arg(&data), COMMAND).well();
        Frozen(data)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Also when the test fails: nothing that waits for this disk could end.
        let _ = run(plain("fsfreeze").arg("-u").arg(&self.0), COMMAND);
    }
}

/// A site whose room `side` has a file system of its own, and whose disks may stick for 2 s.
fn with_a_disk(side: Side) -> Site {
    let mut site = Site::plan(Grants::Witness);
    let image = site.folder().join("disk");
    File::create(&image).unwrap().set_len(600 << 20).unwrap();
    let _ = run(plain("mkfs.ext4").arg("-q").arg(&image), COMMAND).well();
    site.mount(side, &["-o", "loop", image.to_str().unwrap()]);
    for side in Side::BOTH {
        site.room_mut(side).plan.words.push("--disk-stuck-after=2s".into());
        site.room_mut(side).start();
    }
    site.in_sync();
    site
}

/// Only root mounts a disk of its own.
fn as_root(body: impl FnOnce()) {
    if geteuid().is_root() {
        return body();
    }
    say("rooms: A DISK THAT STICKS WAS NOT TESTED: only root can mount one\n");
}

fn sticks(side: Side) {
    let site = with_a_disk(side);
    let load = Load::start(&site);
    let begun = load.book.now();
    let frozen = Frozen::freeze(&site, side);
    let good = side.other();
    load.writes_go_on(&site, good);
    let _ = load.tell("a disk sticks", good, begun);
    load.go_on(Duration::from_secs(1));
    drop(frozen);
    load.finish(&site);
}

#[test]
fn the_leaders_disk_sticks() {
    as_root(|| alone(|| sticks(Side::A)));
}

#[test]
fn the_followers_disk_sticks() {
    as_root(|| alone(|| sticks(Side::B)));
}

/// Shared disks stall for a second or so every day. Writes wait for it, and nobody loses anything by it.
#[test]
fn a_disk_that_stalls_for_a_second_changes_nothing() {
    as_root(|| {
        alone(|| {
            for side in Side::BOTH {
                let site = with_a_disk(side);
                let epoch = site.status(Side::A).unwrap()["epoch"].clone();
                let load = Load::start(&site);
                let begun = load.book.now();
                let frozen = Frozen::freeze(&site, side);
                load.go_on(Duration::from_millis(1200));
                drop(frozen);
                load.writes_go_on(&site, side);
                let _ = load.tell("a disk stalls", side, begun);
                assert_eq!(site.status(Side::A).unwrap()["epoch"], epoch);
                let failed = Side::BOTH.map(|side| load.book.failures(side));
                assert!(failed.iter().all(Vec::is_empty), "a stall fails no write: {failed:#?}");
                load.finish(&site);
            }
        });
    });
}
