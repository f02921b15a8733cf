//! `duet lock`

use std::path::Path;
use std::process::ExitCode;

use image::component::{ComponentLock, lock_component};
use image::fetch::{Cache, FetchOptions};
use image::lock::{Change, Lock, lock_profile, request_hash, sources};
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

/// A profile uses the lock of another, and asks for other packages.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{profile} uses the lock of {owner}, and asks for other packages")]
#[diagnostic(
    code(input::lock_owner),
    help("remove `lock` from {profile}.toml and run: duet lock {profile}")
)]
struct Differs {
    profile: String,
    owner: String,
}

/// Decide exactly which packages a profile's images are made of
///
/// Reads Debian's repositories, believes them only if they are signed and not expired, and writes the
/// decision beside the profile, as PROFILE.lock. A lock that still answers the profile is left as it
/// is, without asking the network. A profile that uses another's lock is locked with that one.
///
/// Of a component, such as k3s, the lock says the SHA-256 that its release publishes.
#[derive(Debug, clap::Args)]
pub(crate) struct LockCommand {
    /// The profiles and components; without any, all that something is built from
    #[arg(value_name = "NAME")]
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
        let (components, names) = match self.names.as_slice() {
            [] => (load::component_names(&folder)?, load::lockable(&folder)?),
            names => names.iter().cloned().partition(|name| load::is_component(&folder, name)),
        };
        console.detail(format!("profiles: {}", folder.display()));
        if self.check {
            return check(&folder, names, &components, console);
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
        for name in &components {
            all.extend(self.lock_component(&folder, name, console)?);
        }
        if self.json {
            console.json(&all)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Locks a component. Where nobody named it, a release that cannot be reached is told and passed
    /// over: the profiles are locked all the same, and a build that needs it says so.
    fn lock_component(
        &self,
        folder: &Path,
        name: &str,
        console: &Console,
    ) -> miette::Result<Option<Locked>> {
        let component = load::component(folder, name)?;
        let old = load::component_lock(folder, name).unwrap_or_else(|broken| {
            console.warning(format!("{broken}: it is made anew"));
            None
        });
        let known = |lock: &ComponentLock| lock.is_for(&component) && lock.hashes().is_some();
        let (changed, files) = if old.as_ref().is_some_and(known) {
            (false, component.files.len())
        } else {
            let new = match lock_component(&component, &FetchOptions::default()) {
                Ok(new) => new,
                Err(error) if self.names.is_empty() => {
                    let without = "images that require it are built from a local file only";
                    console.warning(format!("{error}: {without}"));
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            if !self.dry_run {
                let path = load::component_path(folder, name, "lock");
                files::write("the lock", &path, new.encode().as_bytes())?;
            }
            (true, new.files.len())
        };
        let what = match (changed, self.dry_run) {
            (false, _) => "nothing changed",
            (true, true) => "would be written",
            (true, false) => "written",
        };
        if !self.json {
            let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
            console.result(format!("{name} {}: {files}, {what}\n", component.version))?;
        }
        let changes = Vec::new();
        Ok(Some(Locked { profile: name.to_owned(), changed, packages: files, changes }))
    }

    fn lock(
        &self,
        folder: &Path,
        name: &str,
        repositories: &mut Repositories<'_>,
        console: &Console,
    ) -> miette::Result<Locked> {
        let asked = load::profile(folder, name)?;
        let (name, profile) = match asked.lock_name() {
            own if own == name => (name, asked),
            other => (other, same_as(load::profile(folder, other)?, &asked)?),
        };
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

/// The profile whose lock `asked` uses, if both ask for the same packages.
fn same_as(owner: Profile, asked: &Profile) -> Result<Profile, Differs> {
    if request_hash(&owner, ARCHITECTURE) == request_hash(asked, ARCHITECTURE) {
        Ok(owner)
    } else {
        Err(Differs { profile: asked.name.clone(), owner: owner.name })
    }
}

fn check(folder: &Path, names: Vec<String>, components: &[String], console: &Console) -> Ended {
    let mut stale = Vec::new();
    for name in names {
        let profile = load::profile(folder, &name)?;
        match load::lock(folder, profile.lock_name())? {
            Some(lock) if lock.is_for(&profile) => console.note(format!("{name}: in order")),
            _ => stale.push(name),
        }
    }
    for name in components {
        let component = load::component(folder, name)?;
        match load::component_lock(folder, name)? {
            Some(lock) if !lock.is_for(&component) => stale.push(name.clone()),
            Some(lock) if lock.hashes().is_some() => console.note(format!("{name}: in order")),
            _ => console.warning(format!("{name}: the SHA-256 of its release is not locked")),
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
