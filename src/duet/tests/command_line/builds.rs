//! Locks, builds, the cache and artefacts, as far as no network is needed.

use super::*;

/// A folder with the site `x` and small profiles: `plain` is not locked, `tools` makes no image.
fn with_profiles() -> tempfile::TempDir {
    let folder = with_site();
    let profiles = folder.path().join("profiles");
    fs::create_dir(&profiles).unwrap();
    let debian = "summary = \"Debian\"\n[repositories.debian]\n\
                  uris = [\"http://127.0.0.1:1/debian\"]\nsuite = \"trixie\"\n\
                  components = [\"main\"]\nkeyring = \"debian.gpg\"\n";
    let tools = "summary = \"Tools\"\ninherit = \"debian\"\n[packages]\ntools = [\"mawk\"]\n";
    fs::write(profiles.join("debian.toml"), debian).unwrap();
    fs::write(profiles.join("tools.toml"), tools).unwrap();
    folder
}

#[test]
fn a_profile_that_is_not_there_is_answered_with_those_that_are() {
    let folder = with_profiles();
    check(folder.path(), &["lock", "tolls"], expect![[r#""#]]);
    check(folder.path(), &["lock", "--profiles", "gone"], expect![[r#""#]]);
    fs::remove_dir_all(folder.path().join("profiles")).unwrap();
    let output = run(folder.path(), &["fetch", "--profiles", "profiles", "tools"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

#[test]
fn a_profile_with_slips_is_shown_with_their_places() {
    let folder = with_profiles();
    let file = folder.path().join("profiles/tools.toml");
    fs::write(&file, "sumary = \"Tools\"\ninherit = \"debian\"\n").unwrap();
    check(folder.path(), &["lock", "tools"], expect![[r#""#]]);
    fs::write(&file, "summary = \"Tools\"\ninherit = \"nothing\"\n").unwrap();
    check(folder.path(), &["lock", "tools"], expect![[r#""#]]);
}

#[test]
fn what_is_not_locked_is_neither_fetched_nor_built() {
    let folder = with_profiles();
    check(folder.path(), &["lock", "--check"], expect![[r#""#]]);
    check(folder.path(), &["fetch", "tools"], expect![[r#""#]]);
    fs::write(folder.path().join("profiles/tools.lock"), "format = 1\nformta = 2\n").unwrap();
    check(folder.path(), &["fetch", "tools"], expect![[r#""#]]);
    fs::write(folder.path().join("profiles/tools.lock"), "format = 9\n").unwrap();
    check(folder.path(), &["fetch", "tools"], expect![[r#""#]]);
}

#[test]
fn a_build_needs_a_room_a_version_and_the_node_s_programs() {
    let folder = with_profiles();
    let build = ["build", "tools", "--site", "x/site.toml"];
    check(folder.path(), &build, expect![[r#""#]]);
    let build = [&build[..], &["--room", "a"]].concat();
    check(folder.path(), &[&build[..], &["--version", "1+2"]].concat(), expect![[r#""#]]);
    check(folder.path(), &[&build[..], &["--jobs", "0"]].concat(), expect![[r#""#]]);
    check(folder.path(), &[&build[..], &["--node-programs", "gone"]].concat(), expect![[r#""#]]);
}

#[test]
fn only_a_cache_is_cleaned() {
    let folder = folder();
    let home = folder.path().join("home");
    fs::create_dir_all(home.join("objects")).unwrap();
    fs::write(home.join("objects/precious"), "x").unwrap();
    check(folder.path(), &["cache", "clean", "--all", "--cache", "home"], expect![[r#""#]]);
    assert!(home.join("objects/precious").exists());
    check(folder.path(), &["cache", "size"], expect![[r#""#]]);
}

#[test]
fn a_cache_is_measured_and_emptied() {
    let folder = folder();
    let cache = folder.path().join(".cache/duet");
    for (file, bytes) in [("objects/ab/abcd", 3 << 20), ("tools/x/bin", 1 << 20)] {
        let file = cache.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, vec![1; bytes]).unwrap();
    }
    fs::hard_link(cache.join("objects/ab/abcd"), cache.join("tools/x/again")).unwrap();
    fs::write(cache.join("CACHEDIR.TAG"), "").unwrap();
    check(folder.path(), &["cache", "size"], expect![[r#""#]]);
    let json = succeed(folder.path(), &["cache", "size", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["bytes"], 4 << 20);
    check(folder.path(), &["cache", "clean"], expect![[r#""#]]);
    assert!(cache.join("objects/ab/abcd").exists() && !cache.join("tools").exists());
    check(folder.path(), &["cache", "clean", "--all"], expect![[r#""#]]);
    assert!(!cache.join("objects").exists() && cache.join("CACHEDIR.TAG").exists());
}

#[test]
fn what_is_no_artefact_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("hello.raw"), "hello").unwrap();
    for arguments in [
        &["inspect", "hello.raw"][..],
        &["inspect", "--json", "hello.raw"],
        &["inspect", "gone.raw"],
        &["inspect", "."],
        &["diff", "hello.raw", "hello.raw"],
        &["diff", "--json", "gone", "gone"],
    ] {
        let output = run(folder.path(), arguments);
        let said = text(&output.stderr);
        assert!([3, 5].contains(&output.status.code().unwrap()), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains("\nhint: "), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_lab_without_images_says_which_commands_make_them() {
    let folder = with_profiles();
    check(folder.path(), &["lab", "up"], expect![[r#""#]]);
    succeed(folder.path(), &["site", "new", "y"]);
    check(folder.path(), &["lab", "up"], expect![[r#""#]]);
    check(folder.path(), &["lab", "up", "--image-a", "a.raw"], expect![[r#""#]]);
}

#[test]
fn ctrl_c_ends_with_its_own_code() {
    let folder = with_profiles();
    // A mirror that takes the connection and never answers.
    let mirror = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let debian = folder.path().join("profiles/debian.toml");
    let port = mirror.local_addr().unwrap().port();
    let text_of = fs::read_to_string(&debian).unwrap();
    fs::write(&debian, text_of.replace(":1/", &format!(":{port}/"))).unwrap();
    fs::write(folder.path().join("profiles/debian.gpg"), KEYRING).unwrap();
    let mut child = duet(folder.path(), &["lock", "tools"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let _connection = mirror.accept().unwrap();
    let kill = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    let code = child.wait().unwrap().code();
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(code, Some(130), "{said}");
    expect![[r#""#]].assert_eq(&said);
}

/// Any keyring will do where nothing is ever verified.
const KEYRING: &[u8] = include_bytes!("../../../../profiles/keyrings/debian-archive-trixie.gpg");
