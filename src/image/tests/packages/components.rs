//! A component's release: locked from a server, fetched by its hash, and refused when it differs.

use std::path::Path;
use std::time::Duration;

use image::component::{Asked, ComponentError, ComponentLock, Part, choose, lock_component};
use image::fetch::{Cache, Digest, FetchOptions, fetch_all};
use image::progress::Silent;
use image::tree::{Kind, Tree};
use miette::Diagnostic;
use site::profile::{Component, Need};

use crate::server::{Manner, Server};

const PROGRAM: &[u8] = b"the program of a release";

fn options() -> FetchOptions {
    FetchOptions {
        attempts: 2,
        backoff: Duration::from_millis(1),
        patience: Duration::from_millis(400),
        ..FetchOptions::default()
    }
}

/// A component whose release is on the server; a file that a person writes could only say https.
fn component(server: &Server) -> Component {
    let text = "summary = 's'\nversion = 'v1'\nlicence = 'Apache-2.0'\nhomepage = 'https://x.org/y'\n\
        [[file]]\nurl = 'https://x.org/thing'\nsums = 'https://x.org/sums.txt'\n\
        path = '/usr/bin/thing'\nmode = '0755'\n";
    let mut component = Component::parse(text, Path::new("thing.toml")).unwrap();
    component.files[0].url = server.url("/v1/thing");
    component.files[0].sums = server.url("/v1/sums.txt");
    component
}

fn publish(server: &Server) {
    let sum = Digest::of(PROGRAM);
    server.put("/v1/thing", PROGRAM);
    server.put("/v1/sums.txt", format!("{}  thing-arm64\n{sum}  thing\n", "0".repeat(64)));
}

fn part(component: &Component, lock: &ComponentLock) -> Part {
    choose(component, Need::Required, Some(lock), Asked::Nothing, Tree::default()).unwrap()
}

#[test]
fn a_release_is_locked_and_comes_in_by_its_hash() {
    let server = Server::start();
    publish(&server);
    let component = component(&server);
    let lock = lock_component(&component, &options()).unwrap();
    assert_eq!(lock.hashes(), Some(vec![(Digest::of(PROGRAM), PROGRAM.len() as u64)]));
    assert!(lock.is_for(&component));
    let newer = Component { version: "v2".into(), ..component.clone() };
    assert!(!lock.is_for(&newer), "a lock is of one release");

    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let part = part(&component, &lock);
    fetch_all(&cache, &part.wanted(), &options(), &Silent).unwrap();
    let tree = part.tree(&cache).unwrap();
    let node = tree.get("usr/bin/thing").unwrap();
    let Kind::File(content) = &node.kind else { panic!("{node:?}") };
    assert_eq!((&*content.read().unwrap(), node.mode), (PROGRAM, 0o755));
    let record = part.record();
    assert_eq!(record.source, Some(server.url("/v1/thing")));
    assert_eq!(record.files[0].sha256, Digest::of(PROGRAM));
    assert!(!record.is_local());
}

#[test]
fn a_release_that_changed_since_it_was_locked_is_refused() {
    let server = Server::start();
    publish(&server);
    let component = component(&server);
    let lock = lock_component(&component, &options()).unwrap();
    server.behave("/v1/thing", Manner::Wrong);
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let wanted = part(&component, &lock).wanted();
    let error = fetch_all(&cache, &wanted, &options(), &Silent).unwrap_err();
    assert!(error.code().unwrap().to_string().starts_with("integrity::"), "{error}");
    assert!(!cache.holds(&wanted[0].sha256, wanted[0].size));
}

#[test]
fn a_release_that_cannot_be_had_or_says_too_little_is_not_locked() {
    let server = Server::start();
    let component = component(&server);
    let absent = lock_component(&component, &options()).unwrap_err();
    assert_eq!(absent.to_string(), "cannot lock thing v1");
    assert!(absent.help().unwrap().to_string().contains("--component thing=PATH"));
    publish(&server);
    server.put("/v1/sums.txt", format!("{}  another\n", "0".repeat(64)));
    let error = lock_component(&component, &options()).unwrap_err();
    assert!(matches!(&error, ComponentError::NoSum { file, .. } if file == "thing"), "{error}");
    publish(&server);
    server.put("/v1/thing", b"");
    let error = lock_component(&component, &options()).unwrap_err();
    assert!(matches!(error, ComponentError::Size { .. }), "{error}");
}
