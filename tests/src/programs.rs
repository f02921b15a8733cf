//! Finds the checkout, and builds the programs that are tested: the released ones, as a person gets
//! them from `make`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::run::run;

/// Compiling everything on two cores that are busy.
const COMPILING: Duration = Duration::from_secs(40 * 60);

/// Compiling Kubernetes, the largest of the peers, on two cores that are busy.
const COMPILING_PEERS: Duration = Duration::from_secs(90 * 60);

/// What .ci/peers answers where there is no Go.
const NOT_HERE: i32 = 77;

/// The checkout's root.
///
/// # Panics
/// Never: this crate lies in a folder of it.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate has a parent folder")
}

/// Where cargo puts what it builds, and these tests what they make.
///
/// # Panics
/// If the running test does not lie where cargo puts tests, `TARGET/debug/deps`.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    test.ancestors().nth(3).expect("a test lies in TARGET/debug/deps").to_owned()
}

/// A folder for what the tests make, kept from one run to the next.
///
/// # Panics
/// If it cannot be made.
pub fn kept(name: &str) -> PathBuf {
    let folder = target().join("tests").join(name);
    fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
    folder
}

/// Holds a thing that several test programs would make at the same time. Released when dropped.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code, reason = "the lock lasts as long as the open file")] File);

/// Waits until nobody else holds `name`.
///
/// # Panics
/// If the lock's file cannot be made.
pub fn hold(name: &str) -> Hold {
    let path = kept("locks").join(name);
    let file = File::create(&path)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .unwrap_or_else(|error| panic!("cannot lock {}: {error}", path.display()));
    Hold(file)
}

/// A command that knows nothing of the `cargo test` that runs around it.
pub fn plain(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let of_cargo = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if of_cargo.iter().any(|start| name.starts_with(start))
            || ["LD_LIBRARY_PATH", "CARGO_PRIMARY_PACKAGE", "RUSTFLAGS", "RUST_BACKTRACE"]
                .contains(&&*name)
        {
            command.env_remove(&*name);
        }
    }
    command
}

/// `duet`, compiled if its sources changed, or the one that `DUET_DUET` names; run in the checkout.
///
/// # Panics
/// If the programs do not compile.
pub fn duet() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        if let Some(named) = std::env::var_os("DUET_DUET") {
            return named.into();
        }
        let _one_compiler = hold("programs");
        let mut script = plain(checkout().join(".ci/programs"));
        let _ = run(script.env("CARGO_TARGET_DIR", target()), COMPILING).well();
        target().join("release/duet")
    });
    let mut command = plain(program);
    command.current_dir(checkout()).env_remove("DUET_CACHE").env("NO_COLOR", "1");
    command
}

/// The node program of this name, compiled if its sources changed.
///
/// # Panics
/// If the programs do not compile.
pub fn node_program(name: &str) -> PathBuf {
    let _ = duet();
    target().join("node/x86_64-unknown-linux-gnu/release").join(name)
}

/// What the tests boot in the place of systemd: it says what /init has prepared.
///
/// # Panics
/// If it does not compile.
pub fn probe() -> PathBuf {
    let _one_compiler = hold("programs");
    let mut script = plain(checkout().join(".ci/programs"));
    let _ = run(script.arg("probe").env("CARGO_TARGET_DIR", target()), COMPILING).well();
    target().join("node/x86_64-unknown-linux-gnu/release/examples/probe")
}

/// The folder of programs of other people that exist as Go sources only (`tests/peers`), compiled the first
/// time; none, told loudly, where there is no Go for them.
///
/// # Panics
/// If they do not compile, or if there is no Go where `CI` is true.
#[must_use]
pub fn peers(name: &str) -> Option<PathBuf> {
    let mut script = plain(checkout().join(".ci/peers"));
    let said = run(script.arg(name), COMPILING_PEERS);
    if said.code == Some(NOT_HERE) {
        say(&said.err);
        return None;
    }
    Some(PathBuf::from(said.well().out.trim_end()))
}

/// Says something to who waits: the test's runner swallows what is printed.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
