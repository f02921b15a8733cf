//! [`check_mode`]: whether a secret is its owner's alone.

use std::path::{Path, PathBuf};

/// A secret that others on the same computer can read or change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the secret key {} can be {what} by others (mode {mode:04o})", path.display())]
#[diagnostic(
    code(permission::key),
    help("run `chmod 600 {}`; if others use this computer, make new keys with `duet site new`", path.display())
)]
pub struct ExposedKey {
    /// The file.
    pub path: PathBuf,
    /// Its permissions, as `chmod` takes them.
    pub mode: u32,
    /// What others can do to it.
    pub what: &'static str,
}

/// Refuses a secret file that anybody but its owner can read or change. `mode` is the file's, as
/// stat(2) gives it; the bits that are no permissions are ignored.
pub fn check_mode(path: &Path, mode: u32) -> Result<(), ExposedKey> {
    let mode = mode & 0o7777;
    let what = match (mode & 0o044 != 0, mode & 0o022 != 0) {
        (true, true) => "read and changed",
        (true, false) => "read",
        (false, true) => "changed",
        (false, false) => return Ok(()),
    };
    Err(ExposedKey { path: path.to_owned(), mode, what })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use miette::Diagnostic;

    use super::*;

    #[test]
    fn a_secret_is_its_owners_alone() {
        let path = Path::new("my-campus/keys/release.key");
        for mode in [0o100_600, 0o600, 0o400, 0o700] {
            assert_eq!(check_mode(path, mode), Ok(()), "{mode:o}");
        }
        for (mode, text) in [
            (0o100_644, "can be read by others (mode 0644)"),
            (0o640, "can be read by others (mode 0640)"),
            (0o622, "can be changed by others (mode 0622)"),
            (0o666, "can be read and changed by others (mode 0666)"),
        ] {
            let error = check_mode(path, mode).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the secret key my-campus/keys/release.key {text}")
            );
            assert!(
                error
                    .help()
                    .unwrap()
                    .to_string()
                    .starts_with("run `chmod 600 my-campus/keys/release.key`")
            );
            assert_eq!(error.code().unwrap().to_string(), "permission::key");
        }
    }
}
