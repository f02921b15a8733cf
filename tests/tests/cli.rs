//! What bad input gets: one screen that says what, where and what to do, and the exit code that
//! docs/exit-codes.md promises.
//!
//! Each case is a command as a person types it. A case that must stop before anything is written
//! looks for what was.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tests::bytes::flip;
use tests::demo::{build, cache, demo, finish, new_site};
use tests::mirror::{Manner, Mirror};
use tests::programs::{checkout, duet, plain};
use tests::run::{Said, run};

const USAGE: i32 = 2;
const INPUT: i32 = 3;
const NETWORK: i32 = 4;
const INTEGRITY: i32 = 5;
const RESOLVE: i32 = 6;
const OUTPUT: i32 = 7;
const PERMISSION: i32 = 10;
const INTERRUPTED: i32 = 130;

/// A terminal's lines, less the prompt.
const SCREEN: usize = 23;

/// A place of its own: a site with keys, and copies of what a build is made of, for changing.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        new_site(&folder.path().join("my-site"));
        for name in ["profiles", "overlays", "firmware"] {
            let mut copy = plain("cp");
            copy.args(["--recursive"]).arg(checkout().join(name)).arg(folder.path());
            let _ = run(&mut copy, Duration::from_secs(60)).well();
        }
        Desk { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn site(&self) -> PathBuf {
        self.path("my-site/site.toml")
    }

    fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Replaces a text that must be there.
    #[track_caller]
    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    /// `duet`, run here: profiles and overlays are the copies.
    fn duet(&self, words: &[&str]) -> Command {
        let mut command = duet();
        command.args(words).current_dir(self.folder.path()).env("DUET_CACHE", cache());
        command
    }

    /// A build of room a, here.
    fn build(&self) -> Command {
        let mut command = build(&self.site(), "a", &self.out());
        command.current_dir(self.folder.path());
        command
    }
}

/// The command fails with this code, on one screen, with a hint, and says all of `words`.
#[track_caller]
fn fails(command: &mut Command, code: i32, words: &[&str]) -> Said {
    let said = finish(command).with(code);
    assert!(said.err.lines().count() <= SCREEN, "more than a screen\n{said}");
    assert!(said.err.contains("hint:"), "no hint\n{said}");
    for word in words {
        assert!(said.err.contains(word), "does not say {word:?}\n{said}");
    }
    assert!(!said.err.contains("panicked"), "{said}");
    said
}

#[track_caller]
fn wrote_nothing(desk: &Desk) {
    let left = fs::read_dir(desk.out()).map(|files| files.count()).unwrap_or_default();
    assert_eq!(left, 0, "something was written to {}", desk.out().display());
}

#[test]
fn a_misspelt_command_is_answered_with_the_right_one() {
    let said = run(duet().arg("bild"), Duration::from_secs(10)).with(USAGE);
    assert!(said.err.contains("build"), "{said}");
}

#[test]
fn a_misspelt_key_is_shown_in_its_line_with_the_nearest_name() {
    let desk = Desk::new();
    desk.edit("my-site/site.toml", "title = \"Room A\"", "titel = \"Room A\"");
    let text = fs::read_to_string(desk.site()).unwrap();
    let line = text.lines().position(|line| line.starts_with("titel")).unwrap() + 1;
    let place = format!("site.toml:{line}:1");
    fails(&mut desk.build(), INPUT, &[&place, "titel", "`title`"]);
    fails(&mut desk.duet(&["site", "check", "my-site/site.toml"]), INPUT, &[&place]);
    wrote_nothing(&desk);
}

#[test]
fn an_impossible_value_is_refused() {
    let desk = Desk::new();
    desk.edit("my-site/site.toml", "#[room.b.network]", "[room.b.network]\nvlan = 5000");
    fails(&mut desk.build(), INPUT, &["5000", "4094", "site.toml:"]);
    wrote_nothing(&desk);
}

#[test]
fn keys_that_others_can_read_are_not_used() {
    let desk = Desk::new();
    let keys = fs::read_dir(desk.path("my-site/keys")).unwrap().flatten();
    let secret = keys.map(|file| file.path()).find(|path| path.ends_with("release.key")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    fails(&mut desk.build(), PERMISSION, &["release.key", "chmod 600"]);
    wrote_nothing(&desk);
}

#[test]
fn a_profile_that_is_not_there_is_answered_with_the_nearest() {
    let desk = Desk::new();
    let mut command = desk.duet(&["build", "contrl", "--room", "a", "--site"]);
    fails(command.arg(desk.site()), USAGE, &["contrl", "control"]);
}

#[test]
fn a_profile_that_changed_since_it_was_locked_is_not_built() {
    let desk = Desk::new();
    desk.edit("profiles/base.toml", "\"nftables\", ", "");
    fails(&mut desk.build(), INPUT, &["control", "duet lock control"]);
    wrote_nothing(&desk);
}

#[test]
fn a_slot_or_an_esp_that_is_too_small_is_refused_before_anything_is_written() {
    for (from, to, words) in [
        ("root_mib = 1536", "root_mib = 64", ["root_mib", "64 MiB"]),
        ("esp_mib = 512", "esp_mib = 64", ["esp_mib", "64 MiB"]),
    ] {
        let desk = Desk::new();
        desk.edit("profiles/base.toml", from, to);
        fails(&mut desk.build(), OUTPUT, &words);
        wrote_nothing(&desk);
    }
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let desk = Desk::new();
    fs::write(desk.out(), "a file where the folder should be").unwrap();
    let out = desk.out();
    fails(&mut desk.build(), OUTPUT, &[out.to_str().unwrap()]);
}

/// Lays the lock's packages at a mirror that misbehaves; the cache is empty.
fn from_mirror(manner: Manner) -> (Desk, Mirror, Command) {
    let desk = Desk::new();
    let mirror = Mirror::start(manner);
    // The profile's mirrors come before the lock's, which are those of the day when it was made.
    for path in ["profiles/control.lock", "profiles/debian.toml"] {
        let text = fs::read_to_string(desk.path(path)).unwrap();
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines() {
            if line.starts_with("uris = ") {
                lines.push(format!("uris = [\"{}\"]", mirror.uri()));
            } else if !line.starts_with("snapshot = ") {
                lines.push(line.to_owned());
            }
        }
        fs::write(desk.path(path), lines.join("\n") + "\n").unwrap();
    }
    let mut command = desk.build();
    command.env("DUET_CACHE", desk.path("cache"));
    (desk, mirror, command)
}

#[test]
fn a_mirror_that_sends_other_bytes_is_not_believed() {
    let (desk, _mirror, mut command) = from_mirror(Manner::Sends(b"not a package".to_vec()));
    fails(&mut command, INTEGRITY, &["127.0.0.1"]);
    wrote_nothing(&desk);
}

#[test]
fn a_mirror_that_has_lost_a_package_or_hangs_up_is_named() {
    let (desk, _mirror, mut command) = from_mirror(Manner::Gone);
    fails(&mut command, NETWORK, &["duet lock"]);
    wrote_nothing(&desk);
}

#[test]
fn without_network_and_cache_a_build_says_what_it_lacks() {
    let desk = Desk::new();
    let mut command = desk.build();
    command.arg("--offline").env("DUET_CACHE", desk.path("cache"));
    fails(&mut command, NETWORK, &["--offline"]);
    wrote_nothing(&desk);
}

#[test]
fn metadata_without_a_good_signature_is_not_believed() {
    let desk = Desk::new();
    let release = b"Origin: Debian\nSuite: stable\nCodename: trixie\n".to_vec();
    let mirror = Mirror::start(Manner::Sends(release));
    desk.edit(
        "profiles/debian.toml",
        "http://deb.debian.org/debian\"",
        &format!("{}\"", mirror.uri()),
    );
    let mut command = desk.duet(&["lock", "control", "--update"]);
    fails(command.env("DUET_CACHE", desk.path("cache")), INTEGRITY, &["InRelease"]);
}

#[test]
fn packages_that_cannot_be_together_are_explained() {
    let desk = Desk::new();
    desk.edit(
        "profiles/control.toml",
        "[services]",
        "[packages]\nroot = [\"no-such-package\"]\n\n[services]",
    );
    fails(&mut desk.duet(&["lock", "control"]), RESOLVE, &["no-such-package"]);
}

#[test]
fn a_damaged_image_is_told_from_a_good_one() {
    let built = &demo().rooms[0];
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.raw");
    let mut copy = plain("cp");
    let _ =
        run(copy.arg("--sparse=always").arg(built.disk()).arg(&image), Duration::from_secs(120))
            .well();
    let inspect = || {
        let mut command = duet();
        command.arg("inspect").arg(&image);
        command
    };
    let said = finish(&mut inspect()).well();
    for word in ["duet-root-a", built.says("root_hash"), "room", built.says("version")] {
        assert!(said.out.contains(word), "does not say {word}\n{said}");
    }
    // The table's own checksum covers its header (UEFI Specification, 5.3.2).
    flip(&image, 512 + 40);
    flip(&image, fs::metadata(&image).unwrap().len() - 512 + 40);
    fails(&mut inspect(), INTEGRITY, &["image.raw"]);
    fs::File::options().write(true).open(&image).unwrap().set_len(700).unwrap();
    fails(&mut inspect(), INTEGRITY, &["image.raw"]);
    fs::write(&image, "hello").unwrap();
    fails(&mut inspect(), INPUT, &["image.raw"]);
    fs::remove_file(&image).unwrap();
    let said = finish(&mut inspect());
    assert!(said.code != Some(0) && said.err.contains("image.raw"), "{said}");
}

#[test]
fn an_interrupted_build_leaves_nothing_that_looks_whole_and_goes_on_later() {
    let desk = Desk::new();
    // A cache without what was unpacked, so that there is something to interrupt.
    let mut link = plain("cp");
    link.args(["--recursive", "--link"]).arg(cache().join("objects"));
    fs::create_dir(desk.path("cache")).unwrap();
    let _ = run(link.arg(desk.path("cache")), Duration::from_secs(60)).well();

    let build = desk.build();
    let mut script = plain("timeout");
    script.args(["--signal=INT", "--preserve-status", "1.5"]).arg(build.get_program());
    script.args(build.get_args()).current_dir(desk.folder.path());
    script.env("DUET_CACHE", desk.path("cache")).env("NO_COLOR", "1");
    let said = finish(&mut script).with(INTERRUPTED);
    assert!(said.err.contains("hint:"), "{said}");
    wrote_nothing(&desk);

    let _ = finish(desk.build().env("DUET_CACHE", desk.path("cache")).arg("--offline")).well();
    assert!(fs::read_dir(desk.out()).unwrap().count() >= 8);
}

#[test]
fn the_documented_exit_codes_are_the_programs_own() {
    let page = fs::read_to_string(checkout().join("docs/exit-codes.md")).unwrap();
    let said = run(duet().arg("exit-codes"), Duration::from_secs(10)).well().out;
    let mut codes = 0;
    for line in said.lines() {
        let Some((code, rest)) = line.trim_start().split_once(char::is_whitespace) else {
            continue;
        };
        if code.parse::<u8>().is_err() {
            continue;
        }
        codes += 1;
        let row = page.lines().find(|row| row.starts_with(&format!("| {code} |")));
        let row = row.unwrap_or_else(|| panic!("docs/exit-codes.md has no row for {code}"));
        // The last column of the program's table is what is wrong.
        let wrong = rest.trim().rsplit("  ").next().unwrap().trim();
        assert!(row.contains(wrong), "{row}\ndoes not say: {wrong}");
    }
    assert!(codes >= 10, "{said}");
}

#[test]
fn the_list_of_commands_is_up_to_date() {
    let page = fs::read_to_string(checkout().join("docs/commands.md")).unwrap();
    let said = run(duet().args(["man", "--markdown"]), Duration::from_secs(10)).well();
    assert!(said.out == page, "docs/commands.md is old; run `make docs`");
}
