//! Fetching from servers that do not always do what they should.

use std::fs;
use std::path::Path;
use std::time::Duration;

use image::fetch::{Cache, Digest, FetchError, FetchOptions, Wanted, fetch_all};
use image::progress::Silent;
use miette::Diagnostic;

use crate::server::{Manner, Server};

/// Two hundred thousand bytes that do not repeat soon.
fn content(seed: u32) -> Vec<u8> {
    (0..50_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) ^ seed).to_le_bytes()).collect()
}

struct Bench {
    server: Server,
    folder: tempfile::TempDir,
    cache: Cache,
    options: FetchOptions,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache")).unwrap();
        let options = FetchOptions {
            jobs: 3,
            attempts: 2,
            backoff: Duration::from_millis(1),
            patience: Duration::from_millis(400),
            ..FetchOptions::default()
        };
        Bench { server: Server::start(), folder, cache, options }
    }

    /// Puts a file on the server, there with some manner, and returns the wish for it.
    fn serve(&self, path: &str, bytes: &[u8], manner: Manner) -> Wanted {
        self.server.put(path, bytes);
        self.server.behave(path, manner);
        Wanted {
            label: format!("{} 1.0-1", path.trim_start_matches('/')),
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
            mirrors: vec![self.server.url(path)],
            archives: Vec::new(),
        }
    }

    fn fetch(&self, wanted: &[Wanted]) -> Result<Vec<std::path::PathBuf>, FetchError> {
        fetch_all(&self.cache, wanted, &self.options, &Silent)
    }

    fn partial(&self, wanted: &Wanted) -> std::path::PathBuf {
        self.folder.path().join("cache/partial").join(wanted.sha256.to_string())
    }
}

/// The exit code's class.
fn class(error: &FetchError) -> String {
    error.code().unwrap().to_string()
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

#[test]
fn many_files_arrive_once_and_are_never_asked_for_again() {
    let bench = Bench::new();
    let mut wanted: Vec<Wanted> =
        (0..20).map(|i| bench.serve(&format!("/f{i}"), &content(i), Manner::Normal)).collect();
    wanted.push(wanted[3].clone());
    let paths = bench.fetch(&wanted).unwrap();
    assert_eq!(paths.len(), 21);
    for (path, wanted) in paths.iter().zip(&wanted) {
        assert_eq!(Digest::of(&fs::read(path).unwrap()), wanted.sha256);
        assert!(!bench.partial(wanted).exists());
    }
    assert_eq!(bench.server.requests().len(), 20);
    bench.fetch(&wanted).unwrap();
    assert_eq!(bench.server.requests().len(), 20);
}

#[test]
fn an_empty_file_is_a_file() {
    let bench = Bench::new();
    let wanted = bench.serve("/empty", b"", Manner::Normal);
    assert_eq!(size_of(&bench.fetch(&[wanted]).unwrap()[0]), 0);
}

#[test]
fn a_broken_download_is_continued_where_it_broke() {
    let bench = Bench::new();
    let wanted = bench.serve("/a", &content(1), Manner::ShortOnce(150_000));
    bench.fetch(&[wanted]).unwrap();
    assert_eq!(bench.server.requests(), ["/a", "/a from 150000"]);
}

#[test]
fn what_one_run_began_the_next_one_ends() {
    let mut bench = Bench::new();
    bench.options.attempts = 1;
    let wanted = bench.serve("/a", &content(1), Manner::Short(20_000));
    let error = bench.fetch(std::slice::from_ref(&wanted)).unwrap_err();
    assert_eq!(class(&error), "network::short");
    assert!(error.to_string().ends_with("ended after 20000 of 200000 bytes of a 1.0-1"), "{error}");
    assert_eq!(size_of(&bench.partial(&wanted)), 20_000);
    assert!(!bench.cache.holds(&wanted.sha256, wanted.size));
    bench.server.behave("/a", Manner::Normal);
    bench.fetch(&[wanted]).unwrap();
    assert_eq!(bench.server.requests(), ["/a", "/a from 20000"]);
}

#[test]
fn a_server_without_ranges_is_asked_from_the_start() {
    let bench = Bench::new();
    let wanted = bench.serve("/a", &content(1), Manner::IgnoresRange);
    fs::write(bench.partial(&wanted), &content(1)[..1000]).unwrap();
    bench.fetch(&[wanted]).unwrap();
    assert_eq!(bench.server.requests(), ["/a from 1000"]);
}

#[test]
fn a_damaged_beginning_is_thrown_away() {
    let bench = Bench::new();
    for (name, length) in [("/a", 1000), ("/b", 200_000), ("/c", 300_000)] {
        let wanted = bench.serve(name, &content(1), Manner::Normal);
        fs::write(bench.partial(&wanted), vec![0; length]).unwrap();
        let path = &bench.fetch(&[wanted]).unwrap()[0];
        assert_eq!(fs::read(path).unwrap(), content(1));
        fs::remove_file(path).unwrap();
    }
    assert_eq!(bench.server.requests(), ["/a from 1000", "/a", "/b", "/c"]);
}

#[test]
fn wrong_bytes_never_get_into_the_cache() {
    let bench = Bench::new();
    for (manner, expected) in
        [(Manner::Wrong, "integrity::hash"), (Manner::Longer, "integrity::size")]
    {
        let wanted = bench.serve("/a", &content(1), manner);
        let error = bench.fetch(std::slice::from_ref(&wanted)).unwrap_err();
        assert_eq!(class(&error), expected);
        assert!(!bench.cache.holds(&wanted.sha256, wanted.size));
        assert_eq!(size_of(&bench.partial(&wanted)), 0, "what is wrong is not continued");
    }
    assert_eq!(bench.server.requests().len(), 2, "a wrong file is not asked for twice");
}

#[test]
fn the_next_mirror_is_asked_when_one_fails() {
    let bench = Bench::new();
    let good = bench.serve("/good/a", &content(1), Manner::Normal);
    for manner in [
        Manner::Absent,
        Manner::Wrong,
        Manner::Longer,
        Manner::Short(10),
        Manner::Trouble(9),
        Manner::Hangs,
    ] {
        let mut wanted = bench.serve("/bad/a", &content(1), manner);
        wanted.mirrors.extend(good.mirrors.clone());
        let path = &bench.fetch(&[wanted]).unwrap()[0];
        fs::remove_file(path).unwrap();
    }
    let dead = format!("http://127.0.0.1:{}/a", unused_port());
    let wanted = Wanted { mirrors: [vec![dead], good.mirrors.clone()].concat(), ..good };
    bench.fetch(&[wanted]).unwrap();
}

/// A port on which nobody listens.
fn unused_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn passing_trouble_passes() {
    let bench = Bench::new();
    let wanted = bench.serve("/a", &content(1), Manner::Trouble(1));
    bench.fetch(&[wanted]).unwrap();
    assert_eq!(bench.server.requests(), ["/a", "/a"]);
    let wanted = bench.serve("/b", &content(2), Manner::Trouble(9));
    let error = bench.fetch(&[wanted]).unwrap_err();
    assert_eq!(class(&error), "network::status");
    assert!(error.to_string().ends_with("/b answered with HTTP status 500"), "{error}");
}

#[test]
fn a_silent_server_is_given_up() {
    let bench = Bench::new();
    let wanted = bench.serve("/a", &content(1), Manner::Hangs);
    let clock = std::time::Instant::now();
    assert_eq!(class(&bench.fetch(&[wanted]).unwrap_err()), "network::unreachable");
    assert!(clock.elapsed() < Duration::from_secs(5));
}

#[test]
fn archives_are_asked_only_for_what_a_mirror_has_no_longer() {
    let bench = Bench::new();
    let mut wanted = bench.serve("/mirror/a", &content(1), Manner::Absent);
    let archive = bench.serve("/archive/a", &content(1), Manner::Normal);
    wanted.archives = vec![bench.server.url("/archive/none"), archive.mirrors[0].clone()];
    bench.fetch(std::slice::from_ref(&wanted)).unwrap();
    assert_eq!(bench.server.requests(), ["/mirror/a", "/archive/none", "/archive/a"]);
    fs::remove_file(bench.cache.object(&wanted.sha256)).unwrap();
    bench.server.forget_requests();
    bench.server.behave("/mirror/a", Manner::Trouble(9));
    bench.fetch(&[wanted]).unwrap_err();
    assert_eq!(bench.server.requests(), ["/mirror/a", "/mirror/a"]);
}

#[test]
fn everything_that_is_gone_is_named_at_once() {
    let bench = Bench::new();
    let mut wanted: Vec<Wanted> =
        (0..5).map(|i| bench.serve(&format!("/f{i}"), &content(i), Manner::Normal)).collect();
    bench.server.behave("/f3", Manner::Absent);
    bench.server.behave("/f1", Manner::Absent);
    wanted.push(bench.serve("/g", &content(9), Manner::Normal));
    let error = bench.fetch(&wanted).unwrap_err();
    assert_eq!(class(&error), "network::gone");
    assert_eq!(error.to_string(), "no mirror carries these any longer:\n  f1 1.0-1\n  f3 1.0-1");
    assert!(error.help().unwrap().to_string().contains("duet lock --update"));
    assert!(bench.cache.holds(&wanted[5].sha256, wanted[5].size), "the rest was fetched");
}

#[test]
fn offline_lists_what_is_missing() {
    let mut bench = Bench::new();
    let wanted: Vec<Wanted> =
        (0..3).map(|i| bench.serve(&format!("/f{i}"), &content(i), Manner::Normal)).collect();
    bench.fetch(&wanted[1..2]).unwrap();
    bench.server.forget_requests();
    bench.options.offline = true;
    let error = bench.fetch(&wanted).unwrap_err();
    assert_eq!(class(&error), "network::offline");
    assert_eq!(
        error.to_string(),
        "the cache lacks 2 files and --offline forbids fetching them:\n  f0 1.0-1\n  f2 1.0-1"
    );
    bench.fetch(&wanted[1..2]).unwrap();
    assert!(bench.server.requests().is_empty());
}

#[test]
fn two_at_once_download_once() {
    let bench = Bench::new();
    let wanted = [bench.serve("/a", &content(1), Manner::Normal)];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| bench.fetch(&wanted).unwrap());
        }
    });
    assert_eq!(bench.server.requests().len(), 1);
}

#[test]
fn a_damaged_object_is_found_and_fetched_again() {
    let bench = Bench::new();
    let wanted = [bench.serve("/a", &content(1), Manner::Normal)];
    let path = bench.fetch(&wanted).unwrap().remove(0);
    assert_eq!(bench.cache.read(&wanted[0].sha256).unwrap(), content(1));
    fs::write(&path, content(2)).unwrap();
    let error = bench.cache.read(&wanted[0].sha256).unwrap_err();
    assert_eq!(class(&error), "integrity::cache");
    bench.fetch(&wanted).unwrap();
    fs::write(&path, "cut").unwrap();
    bench.fetch(&wanted).unwrap();
    assert_eq!(bench.cache.read(&wanted[0].sha256).unwrap(), content(1));
}

#[test]
fn local_files_are_mirrors_too() {
    let bench = Bench::new();
    let file = bench.folder.path().join("a b");
    fs::write(&file, content(1)).unwrap();
    let mut wanted = bench.serve("/a", &content(1), Manner::Normal);
    wanted.mirrors = vec![format!("file://{}", file.display())];
    bench.fetch(std::slice::from_ref(&wanted)).unwrap();
    let other =
        Wanted { sha256: Digest([7; 32]), mirrors: vec!["file:///no/such".to_owned()], ..wanted };
    assert_eq!(class(&bench.fetch(std::slice::from_ref(&other)).unwrap_err()), "network::gone");
    let other = Wanted { mirrors: vec!["ftp://example.org/a".to_owned()], ..other };
    assert_eq!(class(&bench.fetch(&[other]).unwrap_err()), "input::url");
}

#[test]
fn a_cache_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Cache::open(folder.path().join("file/cache")).unwrap_err();
    assert_eq!(class(&error), "output::cache");
    assert!(error.help().unwrap().to_string().contains("--cache"));
}
