//! The tools tree: Debian's programs, unpacked as an ordinary user and run in place.
//!
//! Start at [`Tools::prepare`] and [`Tools::command`]. Nothing of it is installed on the host, and
//! nothing of the host's is used: a program is started by the tree's own dynamic loader with the
//! tree's own libraries, so a build gives the same bytes on every machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::digest::{Hasher, hex};
use crate::merge::{MergeError, merge};
use crate::progress::Progress;
use crate::scratch::{self, ScratchError};
use crate::unpack::{Package, Store, UnpackError};

/// Where libraries lie in a Debian amd64 tree.
const LIBRARIES: [&str; 3] =
    ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib"];
/// The dynamic loader in a Debian amd64 tree.
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
/// How much of what a failed tool said goes into the error.
const MAX_SAID: usize = 4 << 10;

/// Why the tools are not ready, or one of them failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ToolError {
    /// A package of the tools.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unpack(#[from] UnpackError),
    /// Two packages of the tools.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Merge(#[from] MergeError),
    /// The tree could not be laid out.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scratch(#[from] ScratchError),
    /// The program is not in the tree.
    #[error("the tools tree has no program {program}")]
    #[diagnostic(
        code(tool::missing),
        help(
            "name the package that ships it in the profile's [packages] tools, then run `duet lock`"
        )
    )]
    Missing {
        /// Path in the tree.
        program: String,
    },
    /// The program could not be started or fed.
    #[error("cannot run the tool {program}")]
    #[diagnostic(code(tool::start), help("is the cache on a file system mounted noexec?"))]
    Start {
        /// Path in the tree.
        program: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The program ended with an error.
    #[error("the tool {program} failed ({status}): {said}")]
    #[diagnostic(code(tool::failed), help("what it said is above; a full disk is the usual cause"))]
    Failed {
        /// Path in the tree.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of its standard error.
        said: String,
    },
}

/// A tools tree on disk.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Lays out the packages' tree in the cache, unless it stands there already.
    ///
    /// # Errors
    /// When a package cannot be unpacked or the cache cannot be written.
    pub fn prepare(
        cache: &Path,
        packages: &[Package],
        jobs: usize,
        progress: &dyn Progress,
    ) -> Result<Self, ToolError> {
        let mut hasher = Hasher::default();
        for package in packages {
            hasher.update(&package.sha256.0);
        }
        let name = hex(&hasher.finish()[..12]);
        let root = cache.join("tools").join(name);
        if !root.is_dir() {
            let unpacked = Store::new(cache).unpack(packages, jobs, progress)?;
            scratch::lay_out(&merge(&unpacked)?.tree, &root)?;
        }
        Ok(Tools { root })
    }

    /// The tree's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What names this tree: a hash of its packages.
    pub fn name(&self) -> &str {
        self.root.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// A command that runs `program` (a path in the tree, `usr/bin/…`) with a clean environment:
    /// C locale, UTC, nothing of the caller's.
    ///
    /// # Errors
    /// When the tree has no such program.
    pub fn command(&self, program: &str) -> Result<Command, ToolError> {
        let path = self.root.join(program);
        if !path.exists() {
            return Err(ToolError::Missing { program: program.into() });
        }
        let libraries: Vec<_> =
            LIBRARIES.iter().map(|folder| self.root.join(folder).display().to_string()).collect();
        let mut command = if is_static(&path) {
            Command::new(path)
        } else {
            let mut command = Command::new(self.root.join(LOADER));
            // The host's /etc/ld.so.cache names the host's libraries.
            command.arg("--inhibit-cache").arg("--library-path").arg(libraries.join(":"));
            command.arg("--argv0").arg(program);
            command.arg(path);
            command
        };
        command.env_clear().env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("PATH", self.root.join("usr/bin")).env("SYSTEMD_OFFLINE", "1");
        Ok(command)
    }

    /// Runs `program` to its end and returns what it printed.
    ///
    /// # Errors
    /// When it is missing, cannot start, or fails; the end of its standard error is in the error.
    pub fn run(
        &self,
        program: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Vec<u8>, ToolError> {
        let mut command = self.command(program)?;
        prepare(&mut command);
        let output = command.stdin(Stdio::null()).output();
        let output =
            output.map_err(|source| ToolError::Start { program: program.into(), source })?;
        check(program, output.status, &output.stderr)?;
        Ok(output.stdout)
    }

    /// Runs `program` and lets `feed` write its standard input.
    ///
    /// # Errors
    /// As [`Tools::run`]; a failure of the program is told before one of `feed`.
    pub fn feed(
        &self,
        program: &str,
        prepare: impl FnOnce(&mut Command),
        feed: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<(), ToolError> {
        let start = |source| ToolError::Start { program: program.into(), source };
        let mut command = self.command(program)?;
        prepare(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(start)?;
        let mut input = child.stdin.take().expect("standard input was asked for");
        let said = child.stderr.take().expect("standard error was asked for");
        let listener = std::thread::spawn(move || {
            let mut all = Vec::new();
            let _ = std::io::Read::read_to_end(&mut { said }, &mut all);
            all
        });
        let fed = feed(&mut input);
        drop(input);
        let status = child.wait().map_err(start)?;
        check(program, status, &listener.join().unwrap_or_default())?;
        fed.map_err(start)
    }
}

fn check(program: &str, status: std::process::ExitStatus, said: &[u8]) -> Result<(), ToolError> {
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(MAX_SAID)..]);
    Err(ToolError::Failed { program: program.into(), status, said: said.trim().to_owned() })
}

/// Whether an ELF program names no interpreter (System V ABI, program header type PT_INTERP), such
/// as Debian's ldconfig: the dynamic loader cannot start it, and it needs none.
fn is_static(path: &Path) -> bool {
    let Ok(program) = std::fs::read(path) else { return false };
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(program.get(at..at + len)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let headers = || {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        Some((0..count).map(move |at| start + at * size))
    };
    const PT_INTERP: usize = 3;
    headers().is_some_and(|mut all| all.all(|at| number(at, 4) != Some(PT_INTERP)))
}
