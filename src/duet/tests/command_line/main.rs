//! What a person sees: the whole output of the built program, and the number it ends with.
//!
//! Start at [`check`]. Each test runs in a folder of its own, with nothing of the surroundings'.

#![allow(clippy::unwrap_used)]

mod builds;
mod components;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect, expect_file};

/// The program in `folder`, with an environment that holds nothing but a path to other programs.
fn duet(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duet"));
    command.args(arguments).current_dir(folder).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    duet(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Output and exit code; the folder's own name is left out.
fn check(folder: &Path, arguments: &[&str], expected: Expect) {
    let output = run(folder, arguments);
    let mut said = text(&output.stdout);
    if !said.is_empty() && !output.stderr.is_empty() {
        said.push_str("--- standard error ---\n");
    }
    said.push_str(&text(&output.stderr));
    let code = output.status.code().unwrap();
    let said = said.replace(folder.to_str().unwrap(), "FOLDER");
    expected.assert_eq(&format!("{said}=> {code}\n"));
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with the site `x`.
fn with_site() -> tempfile::TempDir {
    let folder = folder();
    succeed(folder.path(), &["site", "new", "x"]);
    folder
}

#[test]
fn what_is_typed_wrong_is_said_with_the_word_that_was_meant() {
    let folder = folder();
    check(
        folder.path(),
        &["biuld"],
        expect![[r#"
            error: unrecognized subcommand 'biuld'

              hint: a similar subcommand exists: 'build'

            Usage: duet [OPTIONS] <COMMAND>

            For more information, try '--help'.
            => 2
        "#]],
    );
    check(
        folder.path(),
        &["site", "check", "--jsn"],
        expect![[r#"
        error: unexpected argument '--jsn' found

          hint: to pass '--jsn' as a value, use '-- --jsn'

        Usage: duet site check [OPTIONS] [FILE]

        For more information, try '--help'.
        => 2
    "#]],
    );
    check(
        folder.path(),
        &["lab", "screen", "--room", "c"],
        expect![[r#"
        error: invalid value 'c' for '--room <ROOM>'
          [possible values: a, b]

        For more information, try '--help'.
        => 2
    "#]],
    );
    check(
        folder.path(),
        &["completions", "tcsh"],
        expect![[r#"
        error: invalid value 'tcsh' for '<SHELL>'
          [possible values: bash, elvish, fish, powershell, zsh]

          hint: a similar value exists: 'zsh'

        For more information, try '--help'.
        => 2
    "#]],
    );
    check(
        folder.path(),
        &["--quiet", "--verbose", "exit-codes"],
        expect![[r#"
        error: the argument '--quiet' cannot be used with '--verbose'

        Usage: duet --quiet <COMMAND>

        For more information, try '--help'.
        => 2
    "#]],
    );
}

#[test]
fn a_new_site_is_whole_and_in_order() {
    let folder = folder();
    let said = succeed(folder.path(), &["site", "new", "my-campus"]);
    let site = folder.path().join("my-campus");
    let mode = |path: &str| fs::metadata(site.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("keys"), 0o700);
    for entry in fs::read_dir(site.join("keys")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let public = name.ends_with(".crt") || name.ends_with(".pub");
        let wanted = if public { 0o644 } else { 0o600 };
        assert_eq!(mode(&format!("keys/{name}")), wanted, "{name}");
        let secret = said.contains(&format!("keys/{name}  SECRET"));
        assert_eq!(secret, !public, "{name}");
    }
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names(&site), [".gitignore", "keys", "site.toml"].map(String::from).into());

    let file = site.join("site.toml");
    site::Site::parse(&fs::read_to_string(&file).unwrap(), &file).unwrap();
    let said = succeed(folder.path(), &["site", "check", "my-campus/site.toml"]);
    assert!(said.contains("control: my-campus-a1") && said.contains("signer"), "{said}");
}

#[test]
fn a_new_site_lets_in_whom_it_is_told_to() {
    let folder = folder();
    let key = "ssh-ed25519 \
               AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example";
    fs::write(folder.path().join("ada.pub"), format!("{key}\n")).unwrap();
    succeed(folder.path(), &["site", "new", "x", "--dir", "a/b", "--ssh-key", "ada.pub"]);
    let site = fs::read_to_string(folder.path().join("a/b/site.toml")).unwrap();
    assert!(site.contains(key));
    assert!(!folder.path().join("a/b/keys/ssh").exists());

    fs::write(folder.path().join("not.pub"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    check(
        folder.path(),
        &["site", "new", "y", "--ssh-key", "not.pub"],
        expect![[r#"
        error: cannot use the ssh key not.pub
        cause: this is a private key, not a public one
        hint: paste the line of the .pub file; and since this key was written into a file that travels, make a new pair with `ssh-keygen`
        => 3
    "#]],
    );
    check(
        folder.path(),
        &["site", "new", "y", "--ssh-key", "gone.pub"],
        expect![[r#"
        error: cannot read the ssh key gone.pub
        cause: No such file or directory (os error 2)
        hint: see whether the path is right and the file is there
        => 3
    "#]],
    );
    assert!(!folder.path().join("y").exists());
}

#[test]
fn without_ssh_keygen_a_site_is_made_and_the_lack_is_said() {
    let folder = folder();
    let output = duet(folder.path(), &["site", "new", "x"]).env("PATH", "").output().unwrap();
    assert!(output.status.success());
    expect![[r#"
        warning: nobody can log in to the machines: ssh-keygen is not installed
        hint: paste a public key into [ssh] of x/site.toml
        hint: look through x/site.toml, then: duet build control --site x/site.toml --room a
    "#]]
    .assert_eq(&text(&output.stderr));
}

#[test]
fn nothing_is_overwritten() {
    let folder = with_site();
    let before = fs::read(folder.path().join("x/keys/release.key")).unwrap();
    check(
        folder.path(),
        &["site", "new", "x"],
        expect![[r#"
        error: x/site.toml is there already; a site file is never overwritten
        hint: choose another folder, or move the old one away
        => 7
    "#]],
    );
    fs::remove_file(folder.path().join("x/site.toml")).unwrap();
    check(
        folder.path(),
        &["site", "new", "x"],
        expect![[r#"
        error: x/keys is there already; a folder of keys is never overwritten
        hint: choose another folder, or move the old one away
        => 7
    "#]],
    );
    assert_eq!(fs::read(folder.path().join("x/keys/release.key")).unwrap(), before);
}

#[test]
fn a_site_cannot_be_made_where_or_as_it_cannot_be() {
    let folder = folder();
    check(
        folder.path(),
        &["site", "new", "My_Campus"],
        expect![[r#"
            error: the site cannot be named `My_Campus`
            cause: the name has a 'M' in it
            hint: a name has 1 to 40 of: a-z, 0-9 and `-`, such as my-campus
            => 2
        "#]],
    );
    check(
        folder.path(),
        &["site", "new", "x", "--dir", "/dev/null/x"],
        expect![[r#"
        error: cannot write the site's folder /dev/null/x
        cause: Not a directory (os error 20)
        hint: see that the folder can be written to and that its disk has space
        => 7
    "#]],
    );
}

#[test]
fn a_site_file_with_slips_is_shown_with_their_places() {
    let folder = with_site();
    check(
        folder.path(),
        &["site", "check", "gone.toml"],
        expect![[r#"
        error: cannot read the site file gone.toml
        cause: No such file or directory (os error 2)
        hint: see whether the path is right and the file is there
        => 3
    "#]],
    );
    check(
        folder.path(),
        &["site", "check", "x"],
        expect![[r#"
        error: cannot read the site file x
        cause: Is a directory (os error 21)
        hint: give the file, not its folder
        => 3
    "#]],
    );
    let file = folder.path().join("x/site.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("title = \"Room B\"", "titel = \"Room B\"")).unwrap();
    check(
        folder.path(),
        &["site", "check", "x/site.toml"],
        expect![[r#"
            error: a problem in x/site.toml:

            x/site.toml:75:1: unknown key `titel` in [room.b]
              75 | titel = "Room B"
                 | ^^^^^
              hint: did you mean `title`?

            hint: correct the file and run the same command again; nothing was changed
            => 3
        "#]],
    );
    fs::write(&file, b"name = \"b\xfcro\"\n").unwrap();
    check(
        folder.path(),
        &["site", "check", "x/site.toml"],
        expect![[r#"
        error: a problem in x/site.toml:

        x/site.toml:1:10: the byte 0xfc is not UTF-8 text
          1 | name = "b
            |          ^
          hint: save the file as UTF-8

        hint: correct the file and run the same command again; nothing was changed
        => 3
    "#]],
    );
    fs::write(&file, vec![b'#'; 17 << 20]).unwrap();
    check(
        folder.path(),
        &["site", "check", "x/site.toml"],
        expect![[r#"
        error: x/site.toml is too large for the site file: 17825792 bytes, 16777216 at most
        hint: see whether another file was meant
        => 3
    "#]],
    );
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let folder = with_site();
    let key = folder.path().join("x/keys/join.token");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    check(
        folder.path(),
        &["site", "check", "x/site.toml"],
        expect![[r#"
        error: the secret key x/keys/join.token can be read by others (mode 0644)
        hint: run `chmod 600 x/keys/join.token`; if others use this computer, make new keys with `duet site new`
        => 10
    "#]],
    );
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let folder = with_site();
    succeed(folder.path(), &["site", "new", "y"]);
    let (x, y) = (folder.path().join("x/keys"), folder.path().join("y/keys"));
    let site = ["site", "check", "x/site.toml"];
    fs::copy(y.join("ca.crt"), x.join("ca.crt")).unwrap();
    check(
        folder.path(),
        &site,
        expect![[r#"
        error: cannot use the key x/keys/ca.key
        cause: the site's certificate and its private key do not belong together
        hint: put back the ca.crt and ca.key that were written by one `duet site new`
        => 3
    "#]],
    );
    fs::remove_file(x.join("ca.key")).unwrap();
    succeed(folder.path(), &site);
    fs::copy(y.join("release.pub"), x.join("release.pub")).unwrap();
    check(
        folder.path(),
        &site,
        expect![[r#"
        error: release.key and release.pub in x/keys do not belong together
        hint: put back the files that one `duet site new` wrote
        => 3
    "#]],
    );
    fs::write(x.join("release.key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    check(
        folder.path(),
        &site,
        expect![[r#"
        error: cannot use the key x/keys/release.key
        cause: this is not a release key: it has no whole -----BEGIN block
        hint: put back the file that `duet site new` wrote, from where it was kept
        => 3
    "#]],
    );
    fs::remove_file(x.join("release.key")).unwrap();
    check(
        folder.path(),
        &site,
        expect![[r#"
        error: cannot read the key x/keys/release.key
        cause: No such file or directory (os error 2)
        hint: see whether the path is right and the file is there
        => 3
    "#]],
    );
}

#[test]
fn without_a_lab_every_command_on_it_says_so() {
    let folder = folder();
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["ssh", "a1", "--", "true"],
        &["console", "a1"],
        &["screen"],
        &["power-off", "a1"],
        &["power-on", "a1"],
        &["cut-link"],
        &["mend-link"],
        &["logs"],
        &["down"],
    ] {
        let output = run(folder.path(), &[&["lab"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(9), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(said.starts_with("error: there is no lab in ") && said.contains("hint:"), "{said}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let folder = folder();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = duet(folder.path(), &["exit-codes"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    expect![[r#"
        error: cannot write the result to standard output
        cause: No space left on device (os error 28)
        hint: see that the disk behind the redirection has space
    "#]]
    .assert_eq(&text(&output.stderr));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder();
    let mut child = duet(folder.path(), &["man", "--markdown"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn verbose_names_the_class_and_quiet_names_the_error() {
    let folder = folder();
    check(
        folder.path(),
        &["-v", "site", "check"],
        expect![[r#"
        error: cannot read the site file site.toml
        cause: No such file or directory (os error 2)
        hint: see whether the path is right and the file is there
        code: input::file, exit code 3
        => 3
    "#]],
    );
    check(
        folder.path(),
        &["-q", "site", "check"],
        expect![[r#"
        error: cannot read the site file site.toml
        cause: No such file or directory (os error 2)
        hint: see whether the path is right and the file is there
        => 3
    "#]],
    );
}

#[test]
fn there_is_no_colour_without_a_terminal() {
    let folder = folder();
    for arguments in [&["lab", "status"][..], &["nonsense"], &["--help"]] {
        let output = run(folder.path(), arguments);
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{arguments:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeed(folder.path(), &["completions", shell]);
        assert!(script.contains("mend-link") && script.contains("exit-codes"), "{shell}");
    }
    let script = folder.path().join("duet.bash");
    fs::write(&script, succeed(folder.path(), &["completions", "bash"])).unwrap();
    let judged = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(judged.status.success(), "{}", text(&judged.stderr));
}

#[test]
fn every_command_has_a_man_page() {
    let folder = folder();
    succeed(folder.path(), &["man", "--dir", "man/man1"]);
    let pages = fs::read_dir(folder.path().join("man/man1")).unwrap();
    let pages: BTreeSet<String> =
        pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let markdown = succeed(folder.path(), &["man", "--markdown"]);
    let headings =
        markdown.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(" duet "));
    let mut commands: BTreeSet<String> =
        headings.map(|command| format!("duet-{}.1", command.replace(' ', "-"))).collect();
    commands.insert("duet.1".into());
    assert_eq!(pages, commands);
    assert!(commands.contains("duet-lab-cut-link.1"));
    for page in pages {
        let text = fs::read_to_string(folder.path().join("man/man1").join(&page)).unwrap();
        assert!(text.contains(".TH") && text.contains(".SH SYNOPSIS"), "{page}");
    }
}

/// Where the documents are in the checkout.
fn docs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let folder = folder();
    let page = succeed(folder.path(), &["man", "--markdown"]);
    expect_file![docs().join("commands.md")].assert_eq(&page);
}

#[test]
fn the_page_of_exit_codes_says_what_the_program_does() {
    let folder = folder();
    let rows = |text: &str| -> Vec<String> {
        let row = |line: &str| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let code: u8 = cells.get(1)?.parse().ok()?;
            Some(format!("{code} {}", cells.get(2)?))
        };
        text.lines().filter_map(row).collect()
    };
    let said = rows(&succeed(folder.path(), &["man", "--markdown"]));
    assert!(said.len() > 10, "{said:?}");
    assert_eq!(rows(&fs::read_to_string(docs().join("exit-codes.md")).unwrap()), said);
}

#[test]
fn the_table_of_exit_codes() {
    let folder = folder();
    check(
        folder.path(),
        &["exit-codes"],
        expect![[r#"
        code  class        what is wrong
           0               nothing
           1               something that has no class of its own
                           look at: the message
           2  usage        the command line
                           look at: `duet help COMMAND`
           3  input        a site file, a profile, a lock: unknown key, impossible value
                           look at: the line and column in the message
           4  network      a mirror cannot be reached, or stopped answering
                           look at: the network; `--offline` if the cache is filled
           5  integrity    a hash, a signature or a date does not hold; an artefact is damaged
                           look at: do not use what was read; fetch or build it again
           6  resolve      a profile's packages cannot be installed together
                           look at: the chain of demands in the message
           7  output       the disk is full, a folder is not writable, a slot or the ESP is too small
                           look at: the folder given with `--out`; the sizes in the profile
           8  tool         a program of the locked tools failed
                           look at: its own words, which the message carries
           9  lab          a virtual machine did not start, or stopped
                           look at: its log, which the message names
          10  permission   a key file can be read by others
                           look at: `chmod 600` on the file named
         130  interrupted  Ctrl-C
                           look at: run it again: it goes on where it stopped
        => 0
    "#]],
    );
}
