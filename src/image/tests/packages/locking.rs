//! From a profile to a lock and back, and what changed.

use std::time::Duration;

use expect_test::expect;
use image::fetch::{Cache, FetchOptions, fetch_all};
use image::lock::{Change, Lock, LockError, Set, lock_profile, sources};
use image::progress::Silent;
use image::repository::{Indexes, LoadOptions, load};
use miette::Diagnostic;
use site::Profile;
use site::profile::{Files, Image, Initrd, Kernel, Packages, Repository, System};

use crate::debian::{Debian, Signer};
use crate::server::{Manner, Server};

fn profile(server: &Server) -> Profile {
    let words = |text: &str| text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    Profile {
        name: "control".to_owned(),
        summary: "for tests".to_owned(),
        repositories: vec![Repository {
            name: "debian".to_owned(),
            uris: vec![server.url("/debian")],
            snapshot: Some(server.url("/snapshot")),
            suite: "trixie".to_owned(),
            components: vec!["main".to_owned()],
            keyring: "test.gpg".to_owned(),
            architectures: vec!["amd64".to_owned()],
        }],
        packages: Packages {
            root: words("systemd"),
            exclude: vec!["initramfs-tools".to_owned()],
            tools: words("erofs-utils"),
        },
        system: Some(System {
            role: "control".parse().unwrap(),
            kernel: Kernel {
                package: "linux-image-amd64".to_owned(),
                cmdline: Vec::new(),
                microcode: vec!["intel-microcode".to_owned()],
            },
            initrd: Initrd::default(),
            image: Image {
                esp_mib: 1,
                root_mib: 1,
                verity_mib: 1,
                state_mib: 1,
                compression: String::new(),
                cluster: 4096,
            },
            overlays: Vec::new(),
            enable: Vec::new(),
            files: Files::default(),
        }),
        lock: None,
        components: Vec::new(),
    }
}

/// Publishes `debian` on the server and reads it as the profile says.
fn indexes(server: &Server, profile: &Profile, debian: &Debian) -> Indexes {
    let signer = Signer::new(1);
    debian.publish(server, &signer);
    let folder = tempfile::tempdir().unwrap();
    let sources = sources(profile, |_| Ok::<_, ()>(signer.keyring())).unwrap();
    let options = LoadOptions {
        now: "2036-01-01T00:00:00Z".parse().unwrap(),
        architecture: "amd64".to_owned(),
        fetch: FetchOptions::default(),
    };
    load(&sources, &Cache::open(folder.path()).unwrap(), &options, &Silent).unwrap()
}

fn lock(server: &Server, debian: &Debian) -> Lock {
    let profile = profile(server);
    lock_profile(&profile, &indexes(server, &profile, debian)).unwrap()
}

/// `name (sets)` for each package.
fn summary(lock: &Lock) -> Vec<String> {
    let sets = |sets: &std::collections::BTreeSet<Set>| {
        sets.iter().map(Set::to_string).collect::<Vec<_>>().join(" ")
    };
    lock.packages.iter().map(|one| format!("{} ({})", one.name, sets(&one.sets))).collect()
}

#[test]
fn each_set_gets_what_it_needs() {
    let server = Server::start();
    let lock = lock(&server, &Debian::default());
    assert_eq!(
        summary(&lock),
        [
            "base (root)",
            "erofs-utils (tools)",
            "intel-microcode (initrd)",
            "libc6 (root tools)",
            "linux-image-6.12-amd64 (root initrd)",
            "linux-image-amd64 (root initrd)",
            "systemd (root)",
        ]
    );
    assert_eq!(lock.dropped.len(), 1);
    assert_eq!(lock.dropped[0].package, "linux-image-amd64");
    assert_eq!(lock.source_date(), 1_795_252_544);
    assert_eq!(lock.set(Set::Initrd).count(), 3);
}

#[test]
fn a_lock_is_read_as_it_was_written() {
    let server = Server::start();
    let lock = lock(&server, &Debian::default());
    let text = lock.encode();
    assert_eq!(Lock::parse(&text, "control.lock").unwrap(), lock);
    assert_eq!(Lock::parse(&text, "control.lock").unwrap().encode(), text);
    let (_, package) = text.split_once("[[package]]\nname = \"libc6\"").unwrap();
    let (package, _) = package.split_once("\n\n").unwrap();
    expect![[r#"

        version = "2.41-12"
        architecture = "amd64"
        sets = ["root", "tools"]
        repository = "debian"
        path = "pool/libc6_2.41-12.deb"
        size = 1400
        sha256 = "da251ceadc827c00d49b599568182cbc15bdafd51f571477b948ae2120f9cdbd""#]]
    .assert_eq(package);
}

#[test]
fn a_lock_knows_its_profile() {
    let server = Server::start();
    let lock = lock(&server, &Debian::default());
    let same = profile(&server);
    assert!(lock.is_for(&same));
    let changes: [fn(&mut Profile); 6] = [
        |p| p.name = "worker".to_owned(),
        |p| p.packages.root.clear(),
        |p| p.packages.exclude.clear(),
        |p| p.repositories[0].suite = "sid".to_owned(),
        |p| p.repositories[0].keyring = "other.gpg".to_owned(),
        |p| p.system.as_mut().unwrap().kernel.microcode.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = same.clone();
        change(&mut other);
        assert!(!lock.is_for(&other), "change {number}");
    }
    let mut mirrored = same.clone();
    mirrored.repositories[0].uris = vec!["http://mirror.example.org/debian".to_owned()];
    mirrored.repositories[0].snapshot = None;
    mirrored.system.as_mut().unwrap().kernel.cmdline.push("quiet".to_owned());
    assert!(lock.is_for(&mirrored), "where bytes come from does not change which");
    let first = |lock: &Lock, profile| lock.wanted(profile)[0].mirrors[0].clone();
    assert_eq!(first(&lock, Some(&mirrored)), "http://mirror.example.org/debian/pool/base_1.deb");
    assert_eq!(first(&lock, None), server.url("/debian/pool/base_1.deb"));
}

#[test]
fn what_is_locked_is_fetched_from_mirror_or_snapshot() {
    let server = Server::start();
    let lock = lock(&server, &Debian::default());
    let gone = "/debian/pool/systemd_257.13-1.deb";
    server.behave(gone, Manner::Absent);
    let at = "/snapshot/20261122T091544Z/pool/systemd_257.13-1.deb";
    server.put(at, "systemd 257.13-1 ".repeat(100));
    server.forget_requests();
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let options = FetchOptions { backoff: Duration::from_millis(1), ..FetchOptions::default() };
    fetch_all(&cache, &lock.wanted(None), &options, &Silent).unwrap();
    let asked = server.requests();
    assert_eq!(asked.iter().filter(|path| path.starts_with("/snapshot")).count(), 2, "{asked:?}");
    assert!(asked.contains(&"/snapshot/20261121T091544Z/pool/systemd_257.13-1.deb".to_owned()));
    assert!(lock.packages.iter().all(|one| cache.holds(&one.sha256, one.size)));
}

#[test]
fn changes_are_named() {
    let server = Server::start();
    let old = lock(&server, &Debian::default());
    assert_eq!(Lock::changes(&old, &old), []);
    let mut debian = Debian { date: "Fri, 20 Nov 2026 09:15:44 UTC", ..Debian::default() };
    for (name, version, depends) in [
        ("systemd", "257.14-1", "Depends: libc6, libzstd1"),
        ("libc6", "2.41-11", ""),
        ("libzstd1", "1.5", ""),
        ("erofs-utils", "1.8.6", ""),
    ] {
        debian.packages.retain(|(other, ..)| *other != name);
        debian.packages.push((name, version, depends));
    }
    let mut new = lock(&server, &debian);
    new.packages.iter_mut().find(|one| one.name == "base").unwrap().sha256 = old.request;
    let changes = Lock::changes(&old, &new);
    let text: Vec<String> = changes.iter().map(Change::to_string).collect();
    expect![[r#"
        ! debian is older than before: 2026-11-20T09:15:44Z, it was 2026-11-21T09:15:44Z
        ! base 1 has other bytes under the same version (root)
        ! libc6 2.41-12 → 2.41-11, a lower version (root)
        - libc6 2.41-12 (tools)
        + libzstd1 1.5 (root)
          systemd 257.13-1 → 257.14-1 (root)"#]]
    .assert_eq(&text.join("\n"));
    let json = serde_json::to_string_pretty(&changes[1]).unwrap();
    expect![[r#"
        {
          "change": "replaced",
          "package": "base",
          "version": "1",
          "from": "c2839e0efeab290429b8047670fd7df78fded6584973cbd87d83f42b2050f697",
          "to": "8ede693bc8484f078c66c5aa3078800a76deced6d52ff65d012d2545574de461",
          "sets": [
            "root"
          ]
        }"#]]
    .assert_eq(&json);
    assert!(changes[0].is_suspicious() && !changes.last().unwrap().is_suspicious());
}

#[test]
fn what_is_no_lock_is_refused() {
    let server = Server::start();
    let good = lock(&server, &Debian::default()).encode();
    let fault = |text: &str| {
        let error = Lock::parse(text, "control.lock").unwrap_err();
        let class = error.code().unwrap().to_string();
        (class, error)
    };
    for (from, to, reason) in [
        ("pool/base_1.deb", "../../etc/base.deb", "the path of base leads out of its repository"),
        (
            "repository = \"debian\"\npath = \"pool/base",
            "repository = \"x\"\npath = \"pool/base",
            "base comes from the unknown repository `x`",
        ),
        ("sets = [\"tools\"]", "sets = []", "erofs-utils belongs to nothing, or is empty"),
        (
            "[[repository]]\nname = \"debian\"",
            "[[repository]]\nname = \"debian2\"",
            "base comes from the unknown repository `debian`",
        ),
        ("name = \"erofs-utils\"", "name = \"libc6\"", "libc6 is in one set twice"),
    ] {
        assert!(good.contains(from), "{from}");
        let (class, error) = fault(&good.replacen(from, to, 1));
        assert_eq!(class, "input::lock");
        assert_eq!(
            error.to_string(),
            format!("the lock control.lock contradicts itself: {reason}")
        );
    }
    let (class, error) = fault(&good.replacen("format = 1", "format = 2", 1));
    assert_eq!(class, "input::lock_format");
    assert_eq!(
        error.to_string(),
        "the lock control.lock has the format 2, and this program reads 1"
    );
    for (from, to) in [
        ("size = ", "size = -"),
        ("sha256 = \"", "sha256 = \"x"),
        ("architecture =", "architcture ="),
    ] {
        let (class, error) = fault(&good.replacen(from, to, 1));
        assert_eq!(class, "input::lock");
        let LockError::Syntax { span, .. } = error else { panic!("{error}") };
        assert!(span.is_some());
    }
    assert_eq!(fault("").0, "input::lock");
    assert_eq!(fault("<html>").0, "input::lock");
}
