//! The judges: programs of others, and the one place that decides what a missing one means.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Where Debian keeps programs; the last three are often not in a user's PATH.
const FOLDERS: [&str; 5] = ["/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program of the host, by name. If it is missing, the test is to return early; on a build
/// server (`CI=true`) it fails instead, since an unheard judge is no verdict.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    look(name, std::env::var_os("CI").is_some_and(|ci| ci == "true"))
}

fn look(name: &str, must: bool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    assert!(found.is_some() || !must, "the judge {name} is not installed (see .ci/test)");
    found
}

/// What a judge says, whatever its verdict; standard input is `input`.
pub(crate) fn hear(program: &Path, args: &[&OsStr], folder: &Path, input: &[u8]) -> Output {
    let stdin = folder.join(".stdin");
    std::fs::write(&stdin, input).unwrap();
    Command::new(program)
        .args(args)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::from(std::fs::File::open(stdin).unwrap()))
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()))
}

/// What a judge prints if its verdict is good; else the test fails with all that it said.
pub(crate) fn approve<S: AsRef<OsStr>>(program: &Path, args: &[S], folder: &Path) -> String {
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    let output = hear(program, &args, folder, b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{} {args:?} refuses: {}\n{said}{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// A folder that is gone when the test ends.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("duet-formats-").tempdir().unwrap()
}

/// Bytes that look random, differ from block to block, and are always the same.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let block: Vec<u8> = (0..512).flat_map(|_| next().to_le_bytes()).collect();
    let mut bytes = block.repeat(length.div_ceil(block.len()));
    for (number, block) in bytes.chunks_exact_mut(block.len()).enumerate() {
        block[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn a_missing_judge_is_no_verdict() {
    assert_eq!(look("no-such-judge", false), None);
    assert!(look("sh", true).is_some());
}

#[test]
#[should_panic(expected = "the judge no-such-judge is not installed")]
fn a_missing_judge_fails_a_build_server() {
    look("no-such-judge", true);
}
