//! Other people's programs, asked whether what Duet wrote is right.
//!
//! A judge that is missing is an error that says how to get it: a test that passes because nobody
//! looked proves nothing. `make test` installs them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::programs::{hold, kept, plain};
use crate::run::{Said, run};

/// Reading a whole image on a busy computer.
const JUDGING: Duration = Duration::from_secs(5 * 60);

/// The version of the SPDX project's own validator.
const SPDX_TOOLS: &str = "spdx-tools==0.8.3";

/// Words of a command line: texts and paths mixed.
pub type Words<'a> = &'a [&'a dyn AsRef<OsStr>];

/// Asks a judge of the host. Debian keeps many of them in folders that are not in a person's PATH.
///
/// # Panics
/// If the judge is missing or does not answer.
#[track_caller]
pub fn ask(program: &str, words: Words<'_>) -> Said {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = folders.split(':').map(|folder| Path::new(folder).join(program));
    let Some(path) = found.into_iter().find(|path| path.is_file()) else {
        panic!("the judge {program} is missing; `make test` installs it from Debian's packages");
    };
    let mut command = plain(path);
    run(command.args(words).env("LC_ALL", "C.UTF-8").env("PATH", folders), JUDGING)
}

/// Asks a program of the tools tree that the builds unpacked into `cache`: one that the host has
/// not, or has too old.
///
/// # Panics
/// If no tree has the program, or it does not answer.
#[track_caller]
pub fn ask_tool(cache: &Path, program: &str, words: Words<'_>) -> Said {
    let trees = fs::read_dir(cache.join("tools")).expect("a build has unpacked its tools");
    let trees = trees.flatten().map(|tree| tree.path());
    let Some(tree) = trees.into_iter().find(|tree| tree.join(program).exists()) else {
        panic!("no tools tree in {} has {program}", cache.display());
    };
    let mut command = plain(tree.join("usr/lib64/ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(tree.join("usr/lib/x86_64-linux-gnu"));
    run(command.arg(tree.join(program)).args(words).env("LC_ALL", "C.UTF-8"), JUDGING)
}

/// The SPDX project's validator, installed from PyPI into an environment of its own the first time.
///
/// # Panics
/// If it cannot be installed.
#[track_caller]
pub fn spdx_validator() -> PathBuf {
    let _one_installer = hold("spdx");
    let home = kept("judges").join(SPDX_TOOLS);
    let program = home.join("bin/pyspdxtools");
    if !program.is_file() {
        let python = "/usr/bin/python3";
        let _ = run(plain(python).args(["-m", "venv", "--clear"]).arg(&home), JUDGING).well();
        let mut pip = plain(home.join("bin/pip"));
        let _ = run(pip.args(["install", "--quiet", SPDX_TOOLS]), JUDGING).well();
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_found_in_sbin() {
        assert!(ask("sfdisk", &[&"--version"]).well().out.contains("sfdisk"));
    }

    #[test]
    #[should_panic(expected = "the judge no-such-judge is missing")]
    fn a_missing_judge_is_an_error() {
        let _ = ask("no-such-judge", &[]);
    }
}
