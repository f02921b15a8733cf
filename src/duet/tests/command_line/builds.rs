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
    check(
        folder.path(),
        &["lock", "tolls"],
        expect![[r#"
        error: there is no profile `tolls` in ./profiles
        hint: the profiles there are: debian, tools
        => 2
    "#]],
    );
    check(
        folder.path(),
        &["lock", "--profiles", "gone"],
        expect![[r#"
        error: cannot read the folder of profiles gone
        cause: No such file or directory (os error 2)
        hint: see whether the path is right and the file is there
        => 3
    "#]],
    );
    fs::remove_dir_all(folder.path().join("profiles")).unwrap();
    let output = run(folder.path(), &["fetch", "--profiles", "profiles", "tools"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

#[test]
fn a_profile_with_slips_is_shown_with_their_places() {
    let folder = with_profiles();
    let file = folder.path().join("profiles/tools.toml");
    fs::write(&file, "sumary = \"Tools\"\ninherit = \"debian\"\n").unwrap();
    check(
        folder.path(),
        &["lock", "tools"],
        expect![[r#"
        error: a problem in ./profiles/tools.toml:

        ./profiles/tools.toml:1:1: unknown key `sumary`
          1 | sumary = "Tools"
            | ^^^^^^
          hint: did you mean `summary`?

        hint: correct the file and run the same command again; nothing was changed
        => 3
    "#]],
    );
    fs::write(&file, "summary = \"Tools\"\ninherit = \"nothing\"\n").unwrap();
    check(
        folder.path(),
        &["lock", "tools"],
        expect![[r#"
        error: there is no profile `nothing` in ./profiles
        hint: the profiles there are: debian, tools
        => 2
    "#]],
    );
}

#[test]
fn what_is_not_locked_is_neither_fetched_nor_built() {
    let folder = with_profiles();
    check(
        folder.path(),
        &["lock", "--check"],
        expect![[r#"
        error: not locked as the profile asks now: tools
        hint: run: duet lock tools
        => 3
    "#]],
    );
    check(
        folder.path(),
        &["fetch", "tools"],
        expect![[r#"
        error: the profile `tools` has no lock
        hint: make one: duet lock tools
        => 3
    "#]],
    );
    fs::write(folder.path().join("profiles/tools.lock"), "format = 1\nformta = 2\n").unwrap();
    check(
        folder.path(),
        &["fetch", "tools"],
        expect![[r#"
        error: cannot read the lock ./profiles/tools.lock: unknown field `formta`, expected one of `format`, `profile`, `architecture`, `request`, `repository`, `dropped`, `package`
         --> ./profiles/tools.lock:2:1
        2 | formta
          | ^^^^^^ here
        hint: a lock is not edited by hand: restore it from version control, or make it anew with `duet lock`
        => 3
    "#]],
    );
    fs::write(folder.path().join("profiles/tools.lock"), "format = 9\n").unwrap();
    check(
        folder.path(),
        &["fetch", "tools"],
        expect![[r#"
        error: the lock ./profiles/tools.lock has the format 9, and this program reads 1
        hint: make it anew with `duet lock`, or use the duet that wrote it
        => 3
    "#]],
    );
}

#[test]
fn a_build_needs_a_room_a_version_and_the_node_s_programs() {
    let folder = with_profiles();
    let build = ["build", "tools", "--site", "x/site.toml"];
    check(
        folder.path(),
        &build,
        expect![[r#"
        error: the following required arguments were not provided:
          --room <ROOM>

        Usage: duet build --site <FILE> --room <ROOM> <PROFILE>

        For more information, try '--help'.
        => 2
    "#]],
    );
    let build = [&build[..], &["--room", "a"]].concat();
    check(
        folder.path(),
        &[&build[..], &["--version", "1+2"]].concat(),
        expect![[r#"
        error: invalid value '1+2' for '--version <V>': a version has 1 to 40 of: letters, digits, `.`, `-`, `~` and `^`

        For more information, try '--help'.
        => 2
    "#]],
    );
    check(
        folder.path(),
        &[&build[..], &["--jobs", "0"]].concat(),
        expect![[r#"
        error: invalid value '0' for '--jobs <N>': 0 is not in 1..=32

        For more information, try '--help'.
        => 2
    "#]],
    );
    check(
        folder.path(),
        &[&build[..], &["--node-programs", "gone"]].concat(),
        expect![[r#"
        error: the profile `tools` has no lock
        hint: make one: duet lock tools
        => 3
    "#]],
    );
}

#[test]
fn only_a_cache_is_cleaned() {
    let folder = folder();
    let home = folder.path().join("home");
    fs::create_dir_all(home.join("objects")).unwrap();
    fs::write(home.join("objects/precious"), "x").unwrap();
    check(
        folder.path(),
        &["cache", "clean", "--all", "--cache", "home"],
        expect![[r#"
        error: home is not a cache of duet: it has no CACHEDIR.TAG
        hint: give the cache's folder with --cache or DUET_CACHE
        => 2
    "#]],
    );
    assert!(home.join("objects/precious").exists());
    check(
        folder.path(),
        &["cache", "size"],
        expect![[r#"
        error: FOLDER/.cache/duet is not a cache of duet: it has no CACHEDIR.TAG
        hint: give the cache's folder with --cache or DUET_CACHE
        => 2
    "#]],
    );
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
    check(
        folder.path(),
        &["cache", "size"],
        expect![[r#"
        FOLDER/.cache/duet
          objects            3 MiB
          tools              1 MiB
          in all             4 MiB
        => 0
    "#]],
    );
    let json = succeed(folder.path(), &["cache", "size", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["bytes"], 4 << 20);
    check(
        folder.path(),
        &["cache", "clean"],
        expect![[r#"
        1 MiB freed, 3 MiB left in FOLDER/.cache/duet
        => 0
    "#]],
    );
    assert!(cache.join("objects/ab/abcd").exists() && !cache.join("tools").exists());
    check(
        folder.path(),
        &["cache", "clean", "--all"],
        expect![[r#"
        3 MiB freed, 0 MiB left in FOLDER/.cache/duet
        => 0
    "#]],
    );
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
    check(
        folder.path(),
        &["lab", "up"],
        expect![[r#"
            error: there is no disk image of a control machine of room a in ./x/build/a
            hint: build both rooms first:
              duet build control --site ./x/site.toml --room a
              duet build control --site ./x/site.toml --room b
            or name the images with --image-a and --image-b
            => 2
        "#]],
    );
    succeed(folder.path(), &["site", "new", "y"]);
    check(
        folder.path(),
        &["lab", "up"],
        expect![[r#"
        error: cannot find the site; looked in ./site.toml, ./x/site.toml, ./y/site.toml
        hint: name the site file with --site; `duet site new` makes one
        => 2
    "#]],
    );
    check(
        folder.path(),
        &["lab", "up", "--image-a", "a.raw"],
        expect![[r#"
        error: the following required arguments were not provided:
          --image-b <FILE>

        Usage: duet lab up --image-a <FILE> --image-b <FILE>

        For more information, try '--help'.
        => 2
    "#]],
    );
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
    expect![[r#"
        interrupted: nothing unfinished has a final name
        hint: run it again: it goes on where it stopped
    "#]]
    .assert_eq(&said);
}

/// Any keyring will do where nothing is ever verified.
const KEYRING: &[u8] = include_bytes!("../../../../profiles/keyrings/debian-archive-trixie.gpg");

#[test]
fn the_witness_is_packaged_the_same_from_every_folder() {
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles");
    let make = |format: &str| {
        let folder = folder();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        // As much of a static program as is looked at: no program headers.
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        fs::write(programs.join("duetd"), elf).unwrap();
        let line = ["witness-package", "--format", format, "--out", "a/b", "--version", "1.2~rc1"];
        let places = ["--node-programs", "programs", "--profiles", profiles];
        let said = succeed(folder.path(), &[&line[..], &places].concat());
        let made = fs::read_dir(folder.path().join("a/b")).unwrap().next().unwrap().unwrap();
        let name = made.file_name().into_string().unwrap();
        assert!(said.starts_with(&format!("a/b/{name}: a ")), "{said}");
        (name, fs::read(made.path()).unwrap(), said)
    };
    for (format, name) in [("deb", "amd64.deb"), ("oci", "amd64.oci.tar")] {
        let first = make(format);
        assert_eq!(first.0, format!("duet-witness_1.2~rc1_{name}"));
        assert!(first == make(format), "{format}: another folder gives other bytes");
    }
}

#[test]
fn what_is_no_static_program_is_not_packaged() {
    let folder = folder();
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles");
    fs::write(folder.path().join("duetd"), "#!/bin/sh\n").unwrap();
    check(
        folder.path(),
        &["witness-package", "--format", "deb", "--node-programs", ".", "--profiles", profiles],
        expect![[r#"
            error: the program duetd cannot be packaged: it is no program for 64-bit Linux
            hint: build it with .ci/programs, and give it with --node-programs
            => 3
        "#]],
    );
}
