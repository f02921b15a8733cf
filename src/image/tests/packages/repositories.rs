//! Repositories that are to be believed, and every way in which they are not.

use std::time::Duration;

use image::fetch::{Cache, FetchOptions};
use image::progress::Silent;
use image::repository::{Indexes, LoadOptions, RepositoryError, Source, load};
use miette::Diagnostic;

use crate::debian::{Debian, Signer};
use crate::server::{Manner, Server};

/// The seconds of 2036: long after a test key was made, so that its signatures are of the past.
const NOW: &str = "2036-01-01T00:00:00Z";

struct Bench {
    server: Server,
    signer: Signer,
    _folder: tempfile::TempDir,
    cache: Cache,
    source: Source,
    options: LoadOptions,
}

impl Bench {
    fn new(debian: &Debian) -> Bench {
        let (server, signer) = (Server::start(), Signer::new(1));
        debian.publish(&server, &signer);
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache")).unwrap();
        let source = Source {
            name: "debian".to_owned(),
            uris: vec![server.url("/debian")],
            snapshot: None,
            suite: "trixie".to_owned(),
            components: vec!["main".to_owned()],
            keyring: signer.keyring(),
        };
        let fetch = FetchOptions {
            attempts: 1,
            backoff: Duration::from_millis(1),
            patience: Duration::from_millis(500),
            ..FetchOptions::default()
        };
        let options =
            LoadOptions { now: NOW.parse().unwrap(), architecture: "amd64".to_owned(), fetch };
        Bench { server, signer, _folder: folder, cache, source, options }
    }

    fn load(&self) -> Result<Indexes, RepositoryError> {
        load(std::slice::from_ref(&self.source), &self.cache, &self.options, &Silent)
    }

    /// The class and text of the error.
    fn fault(&self) -> (String, String) {
        let error = self.load().err().expect("this repository is not to be believed");
        assert!(error.help().is_some());
        (
            error.code().unwrap().to_string(),
            error.to_string().replace(&self.server.url(""), "http://mirror"),
        )
    }
}

const IN_RELEASE: &str = "/debian/dists/trixie/InRelease";

#[test]
fn a_signed_repository_is_read() {
    for (form, by_hash) in [("xz", true), ("gz", true), ("xz", false)] {
        let debian = Debian { form, by_hash, ..Debian::default() };
        let bench = Bench::new(&debian);
        let indexes = bench.load().unwrap();
        let index = &indexes.repositories[0];
        assert_eq!((index.len(), index.date.to_string().as_str()), (9, "2026-11-21T09:15:44Z"));
        assert_eq!(index.signer.len(), 40);
        let names: Vec<&str> = indexes.packages().map(|package| package.name()).collect();
        assert_eq!(&names[..3], ["base", "systemd", "libc6"]);
        assert_eq!(bench.server.requests(), [IN_RELEASE.to_owned(), debian.index_path()]);
        bench.load().unwrap();
        assert_eq!(
            bench.server.requests().len(),
            3,
            "the index comes from the cache, InRelease does not"
        );
    }
}

#[test]
fn a_suite_may_be_called_by_both_its_names() {
    let mut bench = Bench::new(&Debian::default());
    bench
        .server
        .put("/debian/dists/stable/InRelease", bench.signer.sign(&Debian::default().release()));
    bench.server.put(
        &Debian::default().index_path().replace("trixie", "stable"),
        Debian::default().packed(),
    );
    bench.source.suite = "stable".to_owned();
    bench.load().unwrap();
}

#[test]
fn offline_the_last_known_state_is_judged_again() {
    let debian = Debian { valid_until: Some("Mon, 10 Jan 2036 00:00:00 UTC"), ..Debian::default() };
    let mut bench = Bench::new(&debian);
    bench.options.fetch.offline = true;
    assert_eq!(bench.fault().0, "network::offline");
    bench.options.fetch.offline = false;
    bench.load().unwrap();
    bench.options.fetch.offline = true;
    bench.server.forget_requests();
    bench.load().unwrap();
    assert!(bench.server.requests().is_empty());
    bench.options.now = "2036-02-01T00:00:00Z".parse().unwrap();
    assert_eq!(bench.fault().0, "integrity::expired");
}

#[test]
fn a_tampered_release_is_refused() {
    let bench = Bench::new(&Debian::default());
    let signed = bench.signer.sign(&Debian::default().release());
    bench.server.put(IN_RELEASE, signed.replace("Codename: trixie", "Codename: trixie\nEvil: yes"));
    let (class, text) = bench.fault();
    assert_eq!(class, "integrity::signature");
    assert!(
        text.starts_with("http://mirror/debian/dists/trixie/InRelease is not signed by a key"),
        "{text}"
    );
    assert!(text.ends_with(": the text is not what this key signed"), "{text}");
}

#[test]
fn an_unknown_key_is_refused() {
    let bench = Bench::new(&Debian::default());
    bench.server.put(IN_RELEASE, Signer::new(2).sign(&Debian::default().release()));
    let (class, text) = bench.fault();
    assert_eq!(class, "integrity::signature");
    assert!(text.ends_with(": a key that the keyring does not have"), "{text}");
}

#[test]
fn what_is_not_signed_at_all_is_refused() {
    let bench = Bench::new(&Debian::default());
    for page in
        [Debian::default().release(), "<html>please log in</html>".to_owned(), String::new()]
    {
        bench.server.put(IN_RELEASE, page);
        let (class, text) = bench.fault();
        assert_eq!(class, "integrity::signature");
        assert!(text.ends_with("it has no readable signature at all"), "{text}");
    }
    bench.server.put(IN_RELEASE, vec![0xff; 100]);
    assert_eq!(bench.fault().0, "integrity::metadata");
}

#[test]
fn old_and_future_metadata_are_refused() {
    let expired =
        Debian { valid_until: Some("Sat, 28 Nov 2026 09:15:44 UTC"), ..Debian::default() };
    let (class, text) = Bench::new(&expired).fault();
    assert_eq!(class, "integrity::expired");
    assert_eq!(
        text,
        "the metadata of the repository `debian` expired on 2026-11-28T09:15:44Z; it is 2036-01-01T00:00:00Z now"
    );
    let future = Debian { date: "Tue, 01 Jan 2036 00:20:00 UTC", ..Debian::default() };
    assert_eq!(Bench::new(&future).fault().0, "integrity::clock");
    let slack = Debian { date: "Tue, 01 Jan 2036 00:05:00 UTC", ..Debian::default() };
    Bench::new(&slack).load().unwrap();
}

#[test]
fn another_suite_or_component_is_refused() {
    let mut bench = Bench::new(&Debian::default());
    let other = Debian { suite: "bookworm", ..Debian::default() };
    bench.server.put(IN_RELEASE, bench.signer.sign(&other.release()));
    let (class, text) = bench.fault();
    assert_eq!(class, "integrity::suite");
    assert!(text.ends_with("describes the suite `stable (bookworm)`, not `trixie`"), "{text}");
    Debian::default().publish(&bench.server, &bench.signer);
    bench.source.components.push("non-free".to_owned());
    assert_eq!(bench.fault().0, "input::component");
}

#[test]
fn a_wrong_index_is_refused() {
    let bench = Bench::new(&Debian::default());
    let path = Debian::default().index_path();
    for (manner, class) in [(Manner::Wrong, "integrity::hash"), (Manner::Longer, "integrity::size")]
    {
        bench.server.behave(&path, manner);
        assert_eq!(bench.fault().0, class);
    }
    bench.server.behave(&path, Manner::Absent);
    assert_eq!(bench.fault().0, "network::gone");
    bench.server.behave(&path, Manner::Normal);
    bench.load().unwrap();
}

#[test]
fn an_index_that_is_signed_but_broken_is_refused() {
    let packages = vec![("a", "1", "Filename: again")];
    let bench = Bench::new(&Debian { packages, ..Debian::default() });
    let (class, text) = bench.fault();
    assert_eq!(class, "integrity::metadata");
    assert!(text.ends_with("Packages.xz is malformed: line 7: a second Filename field"), "{text}");
}

#[test]
fn the_next_mirror_is_asked_when_one_is_not_to_be_believed() {
    let mut bench = Bench::new(&Debian::default());
    bench
        .server
        .put("/evil/dists/trixie/InRelease", Signer::new(2).sign(&Debian::default().release()));
    for bad in ["/evil", "/nothing"] {
        bench.source.uris = vec![bench.server.url(bad), bench.server.url("/debian/")];
        bench.load().unwrap();
        bench.source.uris.pop();
        bench.fault();
    }
}

#[test]
fn a_file_that_is_no_keyring_is_named() {
    let mut bench = Bench::new(&Debian::default());
    bench.source.keyring = b"no keys".to_vec();
    assert_eq!(bench.fault().0, "input::keyring");
}
