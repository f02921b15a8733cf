//! One build, from a profile and its lock to artefacts.
//!
//! Start at [`plan`], which decides everything and touches nothing, then [`execute`], which makes
//! no choices. Every artefact is written under another name and renamed when it is whole.

mod artefacts;
mod root;
mod stamp;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::component::{self, ComponentError, Part};
use crate::compose::ComposeError;
use crate::compose::overlay::OverlayError;
use crate::digest::{Hasher, hex, sha256};
use crate::disk::DiskError;
use crate::fetch::{Cache, FetchError, FetchOptions, Wanted, fetch_all};
use crate::initramfs::InitramfsError;
use crate::lock::{Lock, Set};
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::scripts::Reviewed;
use crate::tools::ToolError;
use crate::tree::Tree;
use crate::unpack::{Store, UnpackError};

pub use artefacts::UkiError;

/// Grows when the same inputs give other bytes, so that stamps and caches notice.
const COMPOSER: &str = "composer-3";

/// Why an image was not built.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BuildError {
    /// A profile that only names tools.
    #[error("the profile {0} has no role: it makes no image")]
    #[diagnostic(code(usage::profile), help("build `control` or `worker`"))]
    NoRole(String),
    /// The lock was made for another request.
    #[error("the profile {0} has changed since it was locked")]
    #[diagnostic(code(input::stale_lock), help("run `duet lock {0}`"))]
    StaleLock(String),
    /// An overlay.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Overlay(#[from] OverlayError),
    /// A component.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Component(#[from] ComponentError),
    /// A package could not be fetched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// A package could not be unpacked.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unpack(#[from] UnpackError),
    /// A tool failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tool(#[from] ToolError),
    /// The root could not be composed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Compose(#[from] ComposeError),
    /// The initrd could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Initramfs(#[from] InitramfsError),
    /// The UKI could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Uki(#[from] UkiError),
    /// The disk image could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] DiskError),
    /// Less space than the build needs, seen before writing.
    #[error("{path} has {has} MiB free, and the build needs {needs} MiB")]
    #[diagnostic(code(output::full), help("free some space, or name another folder with --out"))]
    Full {
        /// The folder.
        path: PathBuf,
        /// MiB.
        has: u64,
        /// MiB.
        needs: u64,
    },
    /// A file could not be written.
    #[error("cannot write {path}")]
    #[diagnostic(
        code(output::write),
        help("see that the disk has space and that the folder is writable")
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The two static programs that Duet brings itself.
#[derive(Clone)]
pub struct Programs {
    /// The initrd's /init.
    pub init: Vec<u8>,
    /// The node's daemon.
    pub duetd: Vec<u8>,
}

/// What tells one node from another: laid beside the image, on the ESP.
#[derive(Clone)]
pub struct SeedFiles {
    /// Names the disk image: `my-campus-a1`.
    pub name: String,
    /// The seed.
    pub seed: String,
    /// Its signature.
    pub signature: String,
    /// The secrets that go with it.
    pub secrets: Zeroizing<String>,
}

/// Everything that a build is made of.
pub struct Request<'a> {
    /// The profile, complete.
    pub profile: &'a site::Profile,
    /// Its lock.
    pub lock: &'a Lock,
    /// The maintainer scripts that a person has read.
    pub reviewed: &'a Reviewed,
    /// The reviewed list's own text, which is an input of the build.
    pub reviewed_text: &'a str,
    /// The profile's overlays, in order.
    pub overlays: Vec<Tree>,
    /// The components that the profile wants, each decided.
    pub components: Vec<Part>,
    /// systemd-boot's settings, `loader.conf`.
    pub loader_conf: &'a str,
    /// The node's programs.
    pub programs: Programs,
    /// The release's version.
    pub version: &'a str,
    /// The node's seed; none for an image that belongs to no site yet.
    pub seed: Option<SeedFiles>,
    /// Where artefacts go.
    pub out: &'a Path,
}

/// What will be done; printing it is `--dry-run`.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// `duet-control-0.1.0`: what every artefact's name begins with.
    pub name: String,
    /// `control` or `worker`.
    pub role: String,
    /// The release's version.
    pub version: String,
    /// The time of all files, seconds since 1970.
    pub source_date: u64,
    /// Packages of the root: name and version.
    pub root: Vec<(String, String)>,
    /// Packages that only build.
    pub tools: Vec<(String, String)>,
    /// Components, present or left out.
    pub components: Vec<component::Record>,
    /// Bytes of all archives.
    pub archive_bytes: u64,
    /// Bytes of the archives that are not in the cache yet.
    pub download_bytes: u64,
    /// Partitions: name and MiB.
    pub partitions: Vec<(String, u32)>,
    /// The kernel's command line, but for the root hash.
    pub cmdline: String,
    /// Files that will come out.
    pub artefacts: Vec<String>,
    /// The hash of everything that all rooms' artefacts are made of.
    pub shared_inputs: String,
    /// The same with the seed.
    pub inputs: String,
    /// Where artefacts go.
    pub out: PathBuf,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The manifest.
    pub manifest: Manifest,
    /// The disk image, when a seed was given.
    pub disk: PathBuf,
    /// Whether everything stood there already.
    pub unchanged: bool,
    /// Seconds spent on each stage.
    pub seconds: Vec<(String, f64)>,
}

/// Decides everything; asks the cache only which archives it has.
///
/// # Errors
/// When the profile makes no image or its lock is stale.
pub fn plan(request: &Request<'_>, cache: &Cache) -> Result<Plan, BuildError> {
    let profile = request.profile;
    let system = profile.system.as_ref().ok_or_else(|| BuildError::NoRole(profile.name.clone()))?;
    if !request.lock.is_for(profile) {
        return Err(BuildError::StaleLock(profile.lock_name().to_owned()));
    }
    let names = |set: Set| -> Vec<(String, String)> {
        let all = request.lock.set(set);
        all.map(|one| (one.name.clone(), one.version.clone())).collect()
    };
    let archives = request.lock.packages.iter().map(|one| (one.sha256, one.size));
    let files = component_files(request);
    let archives: Vec<_> =
        archives.chain(files.iter().map(|file| (file.sha256, file.size))).collect();
    let missing = archives.iter().filter(|(sha256, size)| !cache.holds(sha256, *size));
    let name = format!("duet-{}-{}", profile.name, request.version);
    let shared_inputs = shared_inputs(request);
    let image = &system.image;
    let partitions = [
        ("duet-esp", image.esp_mib),
        ("duet-root-a", image.root_mib),
        ("duet-verity-a", image.verity_mib),
        ("duet-root-b", image.root_mib),
        ("duet-verity-b", image.verity_mib),
        ("duet-state", image.state_mib),
    ];
    Ok(Plan {
        role: system.role.to_string(),
        version: request.version.to_owned(),
        source_date: request.lock.source_date(),
        root: names(Set::Root),
        tools: names(Set::Tools),
        components: request.components.iter().map(Part::record).collect(),
        archive_bytes: archives.iter().map(|(_, size)| size).sum(),
        download_bytes: missing.map(|(_, size)| size).sum(),
        partitions: partitions.map(|(name, mib)| (name.to_owned(), mib)).into(),
        cmdline: system.kernel.cmdline.join(" "),
        artefacts: artefacts::names(&name, request.seed.as_ref()),
        inputs: with_seed(&shared_inputs, request.seed.as_ref()),
        shared_inputs,
        out: request.out.to_owned(),
        name,
    })
}

/// Does what the plan says.
///
/// # Errors
/// See [`BuildError`]; nothing is left half written under its final name.
pub fn execute(
    plan: &Plan,
    request: &Request<'_>,
    cache: &Cache,
    options: &FetchOptions,
    progress: &dyn Progress,
) -> Result<Outcome, BuildError> {
    if let Some(manifest) = stamp::fresh(plan) {
        let disk = artefacts::disk_path(plan, request);
        return Ok(Outcome { manifest, disk, unchanged: true, seconds: Vec::new() });
    }
    let mut clock = Clock::default();
    let wanted = request.lock.wanted(Some(request.profile));
    Store::new(cache.folder()).fetch(cache, &wanted, options, progress)?;
    fetch_all(cache, &component_files(request), options, progress)?;
    clock.lap("fetch");
    let root = root::make(plan, request, cache, options.jobs, progress, &mut clock)?;
    let outcome = artefacts::write(plan, request, &root, progress, &mut clock)?;
    stamp::write(plan)?;
    Ok(Outcome { seconds: clock.laps, ..outcome })
}

/// What present components are made of.
fn component_files(request: &Request<'_>) -> Vec<Wanted> {
    request.components.iter().flat_map(Part::wanted).collect()
}

/// The hash of everything that the artefacts of all rooms depend on.
fn shared_inputs(request: &Request<'_>) -> String {
    let mut hasher = Hasher::default();
    let mut add = |bytes: &[u8]| hasher.update(&sha256(bytes));
    add(COMPOSER.as_bytes());
    add(request.version.as_bytes());
    add(request.lock.encode().as_bytes());
    add(&serde_json::to_vec(request.profile).expect("a profile is plain data"));
    add(request.reviewed_text.as_bytes());
    add(request.loader_conf.as_bytes());
    add(&request.programs.init);
    add(&request.programs.duetd);
    for overlay in &request.overlays {
        crate::derive::hash_tree(&mut hasher, overlay);
    }
    for part in &request.components {
        part.hash(&mut hasher);
    }
    hex(&hasher.finish())
}

fn with_seed(shared: &str, seed: Option<&SeedFiles>) -> String {
    let mut hasher = Hasher::default();
    hasher.update(shared.as_bytes());
    for text in
        seed.iter().flat_map(|seed| [&seed.name, &seed.seed, &seed.signature, &*seed.secrets])
    {
        hasher.update(&sha256(text.as_bytes()));
    }
    hex(&hasher.finish())
}

/// Seconds of each stage, for `--json` and the benchmark; never part of an artefact.
#[derive(Default)]
struct Clock {
    last: Option<std::time::Instant>,
    laps: Vec<(String, f64)>,
}

impl Clock {
    fn lap(&mut self, stage: &str) {
        let now = std::time::Instant::now();
        let seconds = self.last.map_or(0.0, |last| (now - last).as_secs_f64());
        self.last = Some(now);
        self.laps.push((stage.to_owned(), seconds));
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        writeln!(f, "{}: role {}, version {}", self.name, self.role, self.version)?;
        let (all, missing) = (mib(self.archive_bytes), mib(self.download_bytes));
        let (root, tools) = (self.root.len(), self.tools.len());
        writeln!(
            f,
            "  packages    {root} in the root, {tools} for building; {all} MiB, {missing} MiB to fetch"
        )?;
        for (at, one) in self.components.iter().enumerate() {
            let head = if at == 0 { "components" } else { "" };
            writeln!(f, "  {head:<11} {one}")?;
        }
        writeln!(f, "  cmdline     {} duet.root=…", self.cmdline)?;
        for (at, (name, mib)) in self.partitions.iter().enumerate() {
            let head = if at == 0 { "partitions" } else { "" };
            writeln!(f, "  {head:<11} {name:<14} {mib:>5} MiB")?;
        }
        for (at, name) in self.artefacts.iter().enumerate() {
            let head = if at == 0 { "artefacts" } else { "" };
            writeln!(f, "  {head:<11} {}", self.out.join(name).display())?;
        }
        write!(f, "  inputs      {}", &self.inputs[..16])
    }
}
