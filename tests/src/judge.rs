//! Other people's programs, asked whether what Duet wrote is right.
//!
//! A judge that is missing is an error that says how to get it: a test that passes because nobody
//! looked proves nothing. `make test` installs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::programs::{hold, kept, plain};
use crate::run::{Said, run};

/// Reading a whole image on a busy computer.
const JUDGING: Duration = Duration::from_secs(5 * 60);

/// The version of the SPDX project's own validator.
const SPDX_TOOLS: &str = "spdx-tools==0.8.3";

/// Asks a judge of the host. Debian keeps many of them in folders that are not in a person's PATH.
///
/// # Panics
/// If the judge is missing or does not answer.
#[track_caller]
pub fn ask(program: &str, prepare: impl FnOnce(&mut Command)) -> Said {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = folders.split(':').map(|folder| Path::new(folder).join(program));
    let Some(path) = found.into_iter().find(|path| path.is_file()) else {
        panic!("the judge {program} is missing; `make test` installs it from Debian's packages");
    };
    let mut command = plain(path);
    command.env("LC_ALL", "C.UTF-8").env("PATH", folders);
    prepare(&mut command);
    run(&mut command, JUDGING)
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
        let version = ask("sfdisk", |command| {
            command.arg("--version");
        });
        assert!(version.well().out.contains("sfdisk"));
    }

    #[test]
    #[should_panic(expected = "the judge no-such-judge is missing")]
    fn a_missing_judge_is_an_error() {
        let _ = ask("no-such-judge", |_| {});
    }
}
