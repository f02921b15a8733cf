//! What is in a bundle, and that no secret ever is. Every kind of key of a site is planted where a machine
//! has it, and where a careless program would log it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use agent::page::bundle::Bundler;
use flate2::read::GzDecoder;
use site::keys::SiteKeys;

use super::rig::view;

fn plant(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    plant(&path, &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_bundle_tells_much_and_no_secret() {
    let machine = tempfile::tempdir().unwrap();
    let (root, programs) = (machine.path().join("root"), machine.path().join("bin"));
    let now = "2026-11-23T08:00:00Z".parse().unwrap();
    let keys = SiteKeys::generate(&"harbour".parse().unwrap(), now).unwrap().files();
    let mut secrets: Vec<String> = Vec::new();
    let mut logged = String::from("Nov 28 duet-boot: all is well\n");
    for key in &keys {
        let text = key.contents.as_str();
        for place in ["var/lib/duet/identity", "run/duet", "run/credentials/duet-agent.service"] {
            plant(&root.join(place).join(key.name), text);
        }
        if key.is_secret() {
            // As a whole, and line by line after a time.
            logged.push_str(&format!("careless says {text}"));
            logged.extend(text.lines().map(|line| format!("Nov 28 careless: got {line}\n")));
            secrets.extend(text.lines().filter(|line| !line.contains("-----")).map(str::to_owned));
        }
    }
    let token = "K10aabb::server:0123456789abcdef";
    plant(&root.join("var/lib/rancher/k3s/server/token"), token);
    logged.push_str(&format!("k3s: K3S_TOKEN={token}\n"));
    secrets.push(token.to_owned());
    plant(&root.join("etc/os-release"), "IMAGE_ID=duet-control\n");
    plant(&machine.path().join("journal"), &logged);
    program(&programs, "journalctl", &format!("cat {}", machine.path().join("journal").display()));
    program(&programs, "systemctl", "echo 0 loaded units listed; echo a complaint >&2");
    program(&programs, "networkctl", "exit 3");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bundler = Bundler::new(&root, &programs);
    let bytes = runtime.block_on(bundler.make(&view("waiting"))).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
    let mut files = std::collections::BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name.trim_start_matches("duet-bundle/").to_owned(), text);
    }

    assert!(secrets.len() >= 4, "there is something to be looked for");
    for (name, text) in &files {
        for secret in &secrets {
            assert!(!text.contains(secret), "{name} holds {secret}");
        }
    }
    for (name, words) in [
        ("journal.txt", "duet-boot: all is well"),
        ("journal.txt", "[taken out]"),
        ("status.json", "\"hostname\": \"harbour-a1\""),
        ("pair.json", "\"role\": \"waits\""),
        ("pair-events.json", "AuthorityAsked"),
        ("view.json", "\"there_heard_s\": 44"),
        ("os-release", "IMAGE_ID=duet-control"),
        ("failed-units.txt", "0 loaded units listed"),
        ("failed-units.txt", "a complaint"),
        ("packages.txt", "cannot read"),
        ("kernel.txt", "cannot run"),
    ] {
        assert!(files[name].contains(words), "{name} has {words}: {}", files[name]);
    }
}

#[test]
fn a_long_journal_is_cut_where_it_is_old() {
    let machine = tempfile::tempdir().unwrap();
    let script = "echo the oldest line; head -c 18000000 /dev/zero | tr '\\0' 'x'; echo; echo the newest line";
    program(machine.path(), "journalctl", script);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bundler = Bundler::new(machine.path(), machine.path());
    let bytes = runtime.block_on(bundler.make(&view("in-sync"))).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
    let mut text = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("journal.txt") {
            entry.read_to_string(&mut text).unwrap();
        }
    }
    assert_eq!(text.len(), 16 << 20);
    assert!(text.contains("the newest line") && !text.contains("the oldest line"));
}
