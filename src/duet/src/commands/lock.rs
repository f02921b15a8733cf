//! `duet lock`

use std::path::Path;
use std::process::ExitCode;

use image::fetch::{Cache, FetchOptions};
use image::lock::{Change, Lock, lock_profile, sources};
use image::repository::{self, Indexes, LoadOptions};
use serde::Serialize;
use site::Profile;
use site::profile::Repository;

use super::Ended;
use super::options::{CacheDir, ProfilesDir};
use crate::console::Console;
use crate::{files, load};

/// The only architecture that images are built for, as Debian calls it.
const ARCHITECTURE: &str = "amd64";

/// A profile asks for something that its lock does not answer.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("not locked as the profile asks now: {}", profiles.join(", "))]
#[diagnostic(code(input::stale_lock), help("run: duet lock {}", profiles.join(" ")))]
struct Stale {
    profiles: Vec<String>,
}

/// Decide exactly which packages a profile's images are made of
///
/// Reads Debian's repositories, believes them only if they are signed and not expired, and writes the
/// decision beside the profile, as PROFILE.lock. A lock that still answers the profile is left as it
/// is, without asking the network.
#[derive(Debug, clap::Args)]
pub(crate) struct LockCommand {
    /// The profiles; without any, all that something is built from
    #[arg(value_name = "PROFILE")]
    names: Vec<String>,

    /// Take newer packages where there are any, and say which
    #[arg(long, conflicts_with = "check")]
    update: bool,

    /// Only say whether the locks answer what the profiles ask; if not, end with 3
    #[arg(long)]
    check: bool,

    /// Write nothing: only say what would change
    #[arg(long, conflicts_with = "check")]
    dry_run: bool,

    /// Print one JSON document
    #[arg(long, conflicts_with = "check")]
    json: bool,

    #[command(flatten)]
    profiles_dir: ProfilesDir,

    #[command(flatten)]
    cache: CacheDir,
}

/// What became of one profile's lock.
#[derive(Serialize)]
struct Locked {
    profile: String,
    /// Whether the lock was (or would be) written.
    changed: bool,
    packages: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
}

impl LockCommand {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let folder = self.profiles_dir.find()?;
        let names = match self.names.as_slice() {
            [] => load::lockable(&folder)?,
            names => names.to_vec(),
        };
        console.detail(format!("profiles: {}", folder.display()));
        if self.check {
            return check(&folder, names, console);
        }
        let mut repositories =
            Repositories { folder: &folder, cache: self.cache.find()?, loaded: Vec::new() };
        let mut all = Vec::new();
        for name in &names {
            let locked = self.lock(&folder, name, &mut repositories, console)?;
            if !self.json {
                self.tell(&locked, console)?;
            }
            all.push(locked);
        }
        if self.json {
            console.json(&all)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn lock(
        &self,
        folder: &Path,
        name: &str,
        repositories: &mut Repositories<'_>,
        console: &Console,
    ) -> miette::Result<Locked> {
        let profile = load::profile(folder, name)?;
        let old = match load::lock(folder, name) {
            Ok(old) => old,
            Err(broken) => {
                console.warning(format!("{broken}: it is made anew"));
                None
            }
        };
        if let Some(old) = old.as_ref().filter(|old| !self.update && old.is_for(&profile)) {
            let (profile, packages) = (name.to_owned(), old.packages.len());
            return Ok(Locked { profile, changed: false, packages, changes: Vec::new() });
        }
        let new = lock_profile(&profile, repositories.of(&profile, console)?)?;
        for dropped in &new.dropped {
            let (package, depends) = (&dropped.package, &dropped.depends);
            console.detail(format!("{package} does without {depends}, which the profile excludes"));
        }
        let changed = old.as_ref() != Some(&new);
        if changed && !self.dry_run {
            let path = load::lock_path(folder, name);
            files::write("the lock", &path, new.encode().as_bytes())?;
            console.detail(format!("written: {}", path.display()));
        }
        let changes = old.map(|old| Lock::changes(&old, &new)).unwrap_or_default();
        Ok(Locked { profile: name.to_owned(), changed, packages: new.packages.len(), changes })
    }

    fn tell(&self, locked: &Locked, console: &Console) -> miette::Result<()> {
        let Locked { profile, changed, packages, changes } = locked;
        let what = match (changed, self.dry_run) {
            (false, _) => "nothing changed",
            (true, true) => "would be written",
            (true, false) => "written",
        };
        let mut text = format!("{profile}: {packages} packages, {what}\n");
        for change in changes {
            text.push_str(&format!("  {change}\n"));
        }
        console.result(text)?;
        if changes.iter().any(Change::is_suspicious) {
            console.warning(format!(
                "look at the changes marked with ! before you keep {profile}.lock"
            ));
        }
        Ok(())
    }
}

fn check(folder: &Path, names: Vec<String>, console: &Console) -> Ended {
    let mut stale = Vec::new();
    for name in names {
        let profile = load::profile(folder, &name)?;
        match load::lock(folder, &name)? {
            Some(lock) if lock.is_for(&profile) => console.note(format!("{name}: in order")),
            _ => stale.push(name),
        }
    }
    if stale.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Stale { profiles: stale }.into()) }
}

/// The repositories of the profiles; most profiles share one set, which is then read once.
struct Repositories<'a> {
    folder: &'a Path,
    cache: Cache,
    loaded: Vec<(Vec<Repository>, Indexes)>,
}

impl Repositories<'_> {
    fn of(&mut self, profile: &Profile, console: &Console) -> miette::Result<&Indexes> {
        let known = self.loaded.iter().position(|(named, _)| *named == profile.repositories);
        if let Some(known) = known {
            return Ok(&self.loaded[known].1);
        }
        let keyring = |path: &str| files::read("the keyring", &self.folder.join(path));
        let sources = sources(profile, keyring)?;
        let options = LoadOptions {
            now: load::now(),
            architecture: ARCHITECTURE.into(),
            fetch: FetchOptions::default(),
        };
        let indexes = repository::load(&sources, &self.cache, &options, console)?;
        self.loaded.push((profile.repositories.clone(), indexes));
        Ok(&self.loaded[self.loaded.len() - 1].1)
    }
}
