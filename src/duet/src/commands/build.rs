//! `duet build`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use image::build::{self, Outcome, Plan, Request, SeedFiles};
use image::lock::Lock;
use serde::Serialize;
use site::{Profile, Room, Timestamp, seed};

use super::components::{Components, tell_left_out};
use super::options::{CacheDir, Jobs, Offline, ProfilesDir};
use super::{Ended, rooms};
use crate::console::Console;
use crate::places::Places;
use crate::{interrupt, load};

/// What the names of a build's drafts begin with (see `image::build`).
const DRAFT: &str = ".building-";

/// Build the image of a profile for a room of a site
///
/// Out come a disk image, a UKI, a netboot image, the root and its hash tree, a manifest and an SBOM.
/// The same lock gives the same bytes, whoever builds them, wherever, whenever.
///
/// A component that the profile requires, such as k3s of `control`, has to be locked or given. `lab` is a
/// control node that is built also without it; what is left out is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// The profile, such as `control`, or `lab` to try things
    profile: String,

    /// The site file
    #[arg(long, value_name = "FILE")]
    site: PathBuf,

    /// The room that the machine stands in
    #[arg(long, value_parser = rooms())]
    room: Room,

    /// Where the artefacts go; without it `build/ROOM` beside the site file
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// The release's version
    #[arg(long, value_name = "V", default_value = env!("CARGO_PKG_VERSION"))]
    #[arg(value_parser = version)]
    version: String,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    components: Components,

    #[command(flatten)]
    offline: Offline,

    #[command(flatten)]
    jobs: Jobs,

    #[command(flatten)]
    profiles: ProfilesDir,

    #[command(flatten)]
    cache: CacheDir,

    /// The folder of the node's programs, duetd and initrd
    #[arg(long, value_name = "DIR", env = "DUET_NODE_PROGRAMS", hide_env_values = true)]
    node_programs: Option<PathBuf>,
}

/// Part of file names, of a boot entry's name and of the kernel's command line: the Boot Loader
/// Specification takes `+` for boot counting, so it is not among these.
fn version(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || ".-~^".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && text.len() <= 40 && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("a version has 1 to 40 of: letters, digits, `.`, `-`, `~` and `^`".to_owned())
    }
}

impl Build {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let folder = self.profiles.find()?;
        let programs = match &self.node_programs {
            Some(programs) => programs.clone(),
            None => Places::now().node_programs()?,
        };
        console.detail(format!("profiles: {}", folder.display()));
        console.detail(format!("node programs: {}", programs.display()));
        let profile = load::profile(&folder, &self.profile)?;
        let lock = load::lock_of(&folder, profile.lock_name())?;
        let seed = self.seed(&profile, &lock)?;
        let materials = load::materials(&folder, &profile, &programs)?;
        let components = match profile.system {
            Some(_) => self.components.parts(&folder, &profile)?,
            None => Vec::new(), // the plan refuses a profile that makes no image
        };
        let cache = self.cache.find()?;
        let out = self.out();
        let request = Request {
            profile: &profile,
            lock: &lock,
            reviewed: &materials.reviewed,
            reviewed_text: &materials.reviewed_text,
            overlays: materials.overlays,
            components,
            loader_conf: &materials.loader_conf,
            programs: materials.programs,
            version: &self.version,
            seed,
            out: &out,
        };
        let plan = build::plan(&request, &cache)?;
        if self.dry_run {
            self.result(&plan, console)?;
            return Ok(ExitCode::SUCCESS);
        }
        console.detail(&plan);
        let _sweep = interrupt::sweep(&out, DRAFT);
        let options = self.jobs.options(self.offline.offline);
        let outcome = build::execute(&plan, &request, &cache, &options, console)?;
        for script in &outcome.manifest.unreviewed {
            console.warning(script);
        }
        tell_left_out(&outcome.manifest.components, console);
        if self.json {
            console.json(&outcome)?;
        } else {
            console.result(summary(&plan, &outcome))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn out(&self) -> PathBuf {
        let beside = || load::beside(&self.site).join("build").join(self.room.to_string());
        self.out.clone().unwrap_or_else(beside)
    }

    /// The seed of the room's machine, signed; none for a profile that makes no image, which the plan
    /// refuses. It is as old as the lock, so that two builds give the same bytes.
    fn seed(&self, profile: &Profile, lock: &Lock) -> miette::Result<Option<SeedFiles>> {
        let site = load::site(&self.site)?;
        let keys = load::keys(&self.site)?;
        let Some(system) = &profile.system else { return Ok(None) };
        let issued = Timestamp::from_unix(lock.source_date()).unwrap_or_else(load::now);
        let secrets = keys.secrets(self.room)?.encode();
        let seed = site.seed(self.room, system.role, &keys.certificate, &secrets, issued, None)?;
        let name = seed.hostname.to_string();
        let (seed, signature) = seed::sign(&seed, &keys.release);
        Ok(Some(SeedFiles { name, seed, signature, secrets }))
    }

    fn result(&self, result: &(impl Serialize + std::fmt::Display), console: &Console) -> Ended {
        if self.json {
            console.json(result)?;
        } else {
            console.result(result)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(plan: &Plan, outcome: &Outcome) -> String {
    let Outcome { manifest, disk, unchanged, seconds } = outcome;
    let name = |path: &Path| path.display().to_string();
    let seconds: f64 = seconds.iter().map(|(_, seconds)| seconds).sum();
    let how = if *unchanged { "unchanged".to_owned() } else { format!("built in {seconds:.1} s") };
    format!(
        "{} {how}\n  root hash   {}\n  packages    {}\n  disk image  {}\n  and beside  {} more files\n",
        plan.name,
        manifest.root_hash,
        manifest.packages.len(),
        name(disk),
        plan.artefacts.len().saturating_sub(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_fits_a_boot_entry() {
        for good in ["0.1.0", "2026.11.1~rc1", "1^2", "v1-2"] {
            assert_eq!(version(good).as_deref(), Ok(good));
        }
        for bad in ["", "1+3", "a/b", ".1", "1 2", &"1".repeat(41), "ü"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
