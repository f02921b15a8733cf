//! Packages that are unpacked as they arrive.

use std::fs;

use formats::deb::{Member, archive};
use image::fetch::{Cache, Digest, FetchOptions, Wanted};
use image::progress::Silent;
use image::tree::Kind;
use image::unpack::{Package, Store};

use crate::server::Server;

/// A package whose `data.tar` holds one file.
fn package(path: &str, content: &[u8]) -> Vec<u8> {
    let tar = |path: &str, content: &[u8]| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, path, content).unwrap();
        tar.into_inner().unwrap()
    };
    let (control, data) = (tar("control", b"Package: x\n"), tar(path, content));
    let member = |name, bytes| Member { name, bytes };
    archive(&[
        member("debian-binary", b"2.0\n"),
        member("control.tar", &control),
        member("data.tar", &data),
    ])
    .unwrap()
}

/// Fetches `bytes` as a package with [`Store::fetch`].
fn fetched(bytes: &[u8]) -> (tempfile::TempDir, Store, Package) {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let cache = Cache::open(folder.path()).unwrap();
    server.put("/x.deb", bytes);
    let wanted = [Wanted {
        label: "x 1.0-1".to_owned(),
        sha256: Digest::of(bytes),
        size: bytes.len() as u64,
        mirrors: vec![server.url("/x.deb")],
        archives: Vec::new(),
    }];
    let store = Store::new(cache.folder());
    let paths = store.fetch(&cache, &wanted, &FetchOptions::default(), &Silent).unwrap();
    let (name, sha256) = ("x".to_owned(), wanted[0].sha256);
    (folder, store, Package { name, sha256, archive: paths[0].clone() })
}

#[test]
fn what_arrives_is_unpacked_at_once() {
    let (_folder, store, package) = fetched(&package("usr/bin/x", b"bytes"));
    fs::remove_file(&package.archive).unwrap();
    let unpacked = store.unpack(&[package], 1, &Silent).unwrap();
    let [(path, node)] = &unpacked[0].entries[..] else { panic!("{unpacked:?}") };
    let Kind::File(content) = &node.kind else { panic!("{node:?}") };
    assert_eq!((path.as_str(), &content.read().unwrap()[..]), ("usr/bin/x", &b"bytes"[..]));
}

#[test]
fn what_cannot_be_unpacked_is_fetched_and_told_to_who_needs_it() {
    let (_folder, store, package) = fetched(b"no archive at all");
    assert_eq!(
        store.unpack(&[package], 1, &Silent).unwrap_err().to_string(),
        "cannot unpack the package x: cannot read the Debian package: no `!<arch>` at byte 0"
    );
}
