//! The tools tree: QEMU and firmware from Debian packages, unpacked as an ordinary user. Start at
//! [`Tools::open`]. The one place that knows how a program of such a tree is started.
//!
//! Nothing of the tree is installed, so a program cannot find its libraries by itself: the tree's
//! own dynamic loader is started instead, and given the libraries and the program (ld.so(8)).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::LabError;

/// The dynamic loader in a Debian amd64 tree.
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
/// Where libraries lie in a Debian amd64 tree.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const QEMU: &str = "usr/bin/qemu-system-x86_64";
/// A TPM 2.0 in software.
const SWTPM: &str = "usr/bin/swtpm";
/// Where its own library lies, which it finds by an absolute path when it is installed.
const SWTPM_LIBRARIES: &str = "usr/lib/x86_64-linux-gnu/swtpm";
/// UEFI firmware without Secure Boot and SMM: the quickest variant.
const FIRMWARE: &str = "usr/share/OVMF/OVMF_CODE_4M.fd";
/// What a new machine's firmware variables are.
const VARIABLES: &str = "usr/share/OVMF/OVMF_VARS_4M.fd";
/// Where QEMU looks for ROMs: its own, then SeaBIOS and the BIOSes of video cards.
const ROMS: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// A tools tree that has all the lab needs.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Takes the tree at `root`, once the files that the lab needs are seen in it.
    pub fn open(root: &Path) -> Result<Tools, LabError> {
        let root = std::path::absolute(root).map_err(LabError::system("find", root))?;
        for file in [LOADER, QEMU, FIRMWARE, VARIABLES] {
            if !root.join(file).is_file() {
                return Err(LabError::Tools { root, file });
            }
        }
        Ok(Tools { root })
    }

    /// Where the tree lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How a program of the tree is started: `program` is its path in the tree.
    ///
    /// The environment is emptied, since `LD_PRELOAD`, `LD_LIBRARY_PATH`, `QEMU_*` and the like are
    /// meant for the host's programs. `--inhibit-cache` keeps the host's `/etc/ld.so.cache` out.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join(LOADER));
        command.args(self.loader_arguments(program, &[LIBRARIES])).env_clear();
        command.env("LC_ALL", "C").env("PATH", self.root.join("usr/bin"));
        command.env("QEMU_MODULE_DIR", self.root.join(LIBRARIES).join("qemu"));
        command
    }

    /// QEMU, told where its ROMs are.
    pub fn qemu(&self) -> Command {
        let mut command = self.command(QEMU);
        for roms in ROMS {
            command.arg("-L").arg(self.root.join(roms));
        }
        command
    }

    /// How swtpm is started: the program, and the arguments before its own.
    pub(crate) fn swtpm(&self) -> Result<(PathBuf, [OsString; 4]), LabError> {
        if !self.root.join(SWTPM).is_file() {
            return Err(LabError::Tools { root: self.root.clone(), file: SWTPM });
        }
        let arguments = self.loader_arguments(SWTPM, &[LIBRARIES, SWTPM_LIBRARIES]);
        Ok((self.root.join(LOADER), arguments))
    }

    /// The firmware's code, which all machines share.
    pub fn firmware(&self) -> PathBuf {
        self.root.join(FIRMWARE)
    }

    /// The firmware's variables, of which each machine needs a copy of its own.
    pub fn variables(&self) -> PathBuf {
        self.root.join(VARIABLES)
    }

    fn loader_arguments(&self, program: &str, libraries: &[&str]) -> [OsString; 4] {
        let mut path = OsString::new();
        for folder in libraries {
            if !path.is_empty() {
                path.push(":");
            }
            path.push(self.root.join(folder));
        }
        ["--inhibit-cache".into(), "--library-path".into(), path, self.root.join(program).into()]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tree_that_lacks_firmware_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for file in [LOADER, QEMU] {
            std::fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let error = Tools::open(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("has no usr/share/OVMF/OVMF_CODE_4M.fd"), "{error}");
    }

    #[test]
    fn programs_are_started_by_the_trees_own_loader_with_nothing_of_the_hosts() {
        let tools = Tools { root: "/tree".into() };
        let command = tools.qemu();
        let said: Vec<_> = command.get_args().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(command.get_program(), "/tree/usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(
            said.join(" "),
            "--inhibit-cache --library-path /tree/usr/lib/x86_64-linux-gnu \
             /tree/usr/bin/qemu-system-x86_64 -L /tree/usr/share/qemu -L /tree/usr/share/seabios"
        );
        assert!(command.get_envs().all(|(name, _)| name != "LD_LIBRARY_PATH"));
        let error = tools.swtpm().unwrap_err().to_string();
        assert!(error.ends_with("has no usr/bin/swtpm"), "{error}");
    }
}
