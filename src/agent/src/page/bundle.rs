//! What a person who helps wants to see of a node, as one `.tar.gz`. Start at [`Bundler::make`].
//!
//! Only what is named here goes in: what a few programs say, a few files of the image, and the view. No file
//! with a key is among them. What was logged by mistake is taken out by [`redact`], since the journal is
//! other programs' word.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::view::View;

pub use redact::redact;

mod redact;

/// How much of what a program says is kept; its end, which is the newest of a journal.
const LONGEST: usize = 16 << 20;

/// How much of a file is kept.
const LONGEST_FILE: u64 = 1 << 20;

/// How long a program may take: a journal of a month is read in seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program, and the file in which its answer goes.
#[derive(Debug, Clone)]
struct Said {
    file: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
}

/// Makes bundles of a machine.
#[derive(Debug, Clone)]
pub struct Bundler {
    root: PathBuf,
    said: Vec<Said>,
}

/// What is asked of which program.
const PROGRAMS: [(&str, &str, &[&str]); 4] = [
    ("journal.txt", "journalctl", &["-b", "--no-pager", "-o", "short-iso-precise"]),
    ("failed-units.txt", "systemctl", &["--failed", "--no-pager", "--full"]),
    ("network.txt", "networkctl", &["status", "--all", "--no-pager", "--full", "--lines=0"]),
    ("kernel.txt", "uname", &["-a"]),
];

/// Which files of the machine go in: none of them may ever hold a secret.
const FILES: [(&str, &str); 4] = [
    ("os-release", "/etc/os-release"),
    ("packages.txt", "/usr/lib/sysimage/dpkg/status"),
    ("boot.json", "/run/duet/boot.json"),
    ("health.json", "/run/duet/health.json"),
];

impl Bundler {
    /// For the machine below `root`, with the programs in the folder `programs`.
    #[must_use]
    pub fn new(root: &Path, programs: &Path) -> Bundler {
        let said = PROGRAMS.map(|(file, program, arguments)| Said {
            file,
            program: programs.join(program),
            arguments,
        });
        Bundler { root: root.to_owned(), said: said.into() }
    }

    /// A bundle. What cannot be had is in it as the reason why.
    ///
    /// # Errors
    /// If the archive cannot be made.
    pub async fn make(&self, view: &View) -> std::io::Result<Vec<u8>> {
        let pretty = |value: &serde_json::Value| {
            serde_json::to_string_pretty(value).unwrap_or_default().into_bytes()
        };
        let mut files = vec![
            ("status.json", pretty(&view.here.status)),
            ("pair.json", pretty(&view.here.pair)),
            ("pair-events.json", pretty(&view.here.pair_events)),
            ("view.json", pretty(&serde_json::to_value(view).unwrap_or_default())),
        ];
        for (name, path) in FILES {
            files.push((name, read(&self.root.join(path.trim_start_matches('/')))));
        }
        for said in &self.said {
            let text = ask(said).await.unwrap_or_else(|why| format!("{why}\n").into_bytes());
            files.push((said.file, text));
        }
        // Searching and packing some megabytes would hold up everybody else.
        tokio::task::spawn_blocking(move || pack(files)).await.map_err(std::io::Error::other)?
    }
}

/// The longest bundle that is taken from a node, unpacked: its journal and some more.
const LONGEST_BUNDLE: u64 = 64 << 20;

/// Bundles of several nodes as one, each in a folder with its name.
///
/// # Errors
/// If one of them is no bundle.
pub fn merge(bundles: &[(String, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut all = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (node, bytes) in bundles {
        let mut bundle = tar::Archive::new(GzDecoder::new(bytes.as_slice()).take(LONGEST_BUNDLE));
        for entry in bundle.entries()? {
            let mut entry = entry?;
            let mut header = entry.header().clone();
            // Only plain files, by their own names: nothing is unpacked outside of the folder some day.
            let path = entry.path()?.into_owned();
            let Some(name) = path.file_name().filter(|_| header.entry_type().is_file()) else {
                continue;
            };
            all.append_data(&mut header, Path::new(node).join(name), &mut entry)?;
        }
    }
    all.into_inner()?.finish()
}

fn pack(files: Vec<(&'static str, Vec<u8>)>) -> std::io::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, content) in files {
        let text = redact(&String::from_utf8_lossy(&content));
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(now);
        archive.append_data(&mut header, format!("duet-bundle/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    match opened.and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut bytes)) {
        Ok(_) => bytes,
        Err(error) => format!("cannot read {}: {error}\n", path.display()).into_bytes(),
    }
}

/// What a program says, its complaints last.
async fn ask(said: &Said) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot run {}: {error}", said.program.display());
    let mut child = Command::new(&said.program)
        .args(said.arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("SYSTEMD_COLORS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let heard = async {
        let (out, err) = tokio::join!(newest(out), newest(err));
        let _ = child.wait().await;
        [out, err].concat()
    };
    tokio::time::timeout(PATIENCE, heard)
        .await
        .map_err(|_| format!("{} took too long", said.program.display()))
}

/// The last [`LONGEST`] bytes of a pipe.
async fn newest(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut pipe) = pipe else { return Vec::new() };
    let mut kept = VecDeque::new();
    let mut chunk = vec![0; 64 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        kept.extend(&chunk[..count]);
        let excess = kept.len().saturating_sub(LONGEST);
        kept.drain(..excess);
    }
    kept.into()
}
