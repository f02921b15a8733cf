//! Components of a profile: their locks, and those who share a lock. No network is needed: the releases
//! are where nobody answers.

use super::*;

const THING: &str = "summary = \"A thing\"\nversion = \"v1\"\nlicence = \"MIT\"\n\
    homepage = \"https://example.org/thing\"\n[[file]]\nurl = \"https://127.0.0.1:1/{version}/thing\"\n\
    sums = \"https://127.0.0.1:1/{version}/sums.txt\"\npath = \"/usr/bin/thing\"\nmode = \"0755\"\n";

/// A folder with profiles of tools only and the component `thing`.
fn with_component() -> tempfile::TempDir {
    let folder = folder();
    let profiles = folder.path().join("profiles");
    fs::create_dir_all(profiles.join("components")).unwrap();
    let debian = "summary = \"Debian\"\n[repositories.debian]\n\
                  uris = [\"http://127.0.0.1:1/debian\"]\nsuite = \"trixie\"\n\
                  components = [\"main\"]\nkeyring = \"debian.gpg\"\n\
                  [packages]\ntools = [\"mawk\"]\n[components]\nthing = \"optional\"\n";
    fs::write(profiles.join("debian.toml"), debian).unwrap();
    fs::write(profiles.join("components/thing.toml"), THING).unwrap();
    folder
}

#[test]
fn a_release_that_cannot_be_reached_is_an_error_where_it_was_named() {
    let folder = with_component();
    check(
        folder.path(),
        &["lock", "thing"],
        expect![[r#"
        error: cannot lock thing v1
        cause: cannot fetch https://127.0.0.1:1/v1/sums.txt from https://127.0.0.1:1/v1/sums.txt
        cause: Connection refused (os error 111)
        hint: run `duet lock thing` on a machine that reaches 127.0.0.1:1; until then build with --component thing=PATH
        => 4
    "#]],
    );
    assert!(!folder.path().join("profiles/components/thing.lock").exists());
}

#[test]
fn a_lock_is_of_one_release() {
    let folder = with_component();
    let lock = folder.path().join("profiles/components/thing.lock");
    let text = "format = 1\ncomponent = \"thing\"\nversion = \"v0\"\n\
                [[file]]\nurl = \"https://127.0.0.1:1/v0/thing\"\n";
    fs::write(&lock, text).unwrap();
    check(
        folder.path(),
        &["lock", "--check", "thing"],
        expect![[r#"
        error: not locked as the profile asks now: thing
        hint: run: duet lock thing
        => 3
    "#]],
    );
    fs::write(&lock, text.replace("v0", "v1")).unwrap();
    check(
        folder.path(),
        &["lock", "--check", "thing"],
        expect![[r#"
        warning: thing: the SHA-256 of its release is not locked
        => 0
    "#]],
    );
    let sum = format!("sha256 = \"{}\"\nsize = 7\n", "ab".repeat(32));
    fs::write(&lock, text.replace("v0", "v1") + &sum).unwrap();
    check(
        folder.path(),
        &["lock", "--check", "thing"],
        expect![[r#"
        thing: in order
        => 0
    "#]],
    );
    check(
        folder.path(),
        &["lock", "thing"],
        expect![[r#"
            thing v1: 1 file, nothing changed
            => 0
        "#]],
    );
    fs::write(&lock, text.replace("v0", "v1") + "sha256 = \"7\"\n").unwrap();
    check(
        folder.path(),
        &["lock", "thing"],
        expect![[r#"
            warning: cannot read the lock ./profiles/components/thing.lock: `7` is not a SHA-256: it is made anew
            error: cannot lock thing v1
            cause: cannot fetch https://127.0.0.1:1/v1/sums.txt from https://127.0.0.1:1/v1/sums.txt
            cause: Connection refused (os error 111)
            hint: run `duet lock thing` on a machine that reaches 127.0.0.1:1; until then build with --component thing=PATH
            => 4
        "#]],
    );
}

#[test]
fn a_component_that_is_not_described_is_named() {
    let folder = with_component();
    fs::remove_file(folder.path().join("profiles/components/thing.toml")).unwrap();
    check(
        folder.path(),
        &["fetch", "debian"],
        expect![[r#"
        error: there is no component `thing` in ./profiles/components
        hint: write thing.toml there, or correct the profile's [components]
        => 2
    "#]],
    );
}

#[test]
fn a_profile_uses_another_ones_lock_only_for_the_same_packages() {
    let folder = with_component();
    let mine = "summary = \"Mine\"\ninherit = \"debian\"\nlock = \"debian\"\n";
    let path = folder.path().join("profiles/mine.toml");
    fs::write(&path, format!("{mine}[packages]\ntools = [\"gawk\"]\n")).unwrap();
    check(
        folder.path(),
        &["lock", "mine"],
        expect![[r#"
        error: mine uses the lock of debian, and asks for other packages
        hint: remove `lock` from mine.toml and run: duet lock mine
        => 3
    "#]],
    );
    fs::write(&path, mine).unwrap();
    // The lock that is missing is the other one's, and is what would be made.
    check(
        folder.path(),
        &["fetch", "mine"],
        expect![[r#"
        error: the profile `debian` has no lock
        hint: make one: duet lock debian
        => 3
    "#]],
    );
}
