//! Reads files and hands their texts to the libraries, which say what they mean. Decides nothing.
//!
//! Start at [`site()`], [`keys()`], [`profile()`], [`lock()`] and [`Materials`].

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use image::build::Programs;
use image::component::ComponentLock;
use image::compose::overlay;
use image::fetch::{Cache, FetchOptions};
use image::lock::{Lock, Set};
use image::progress::Progress;
use image::scripts::Reviewed;
use image::tree::Tree;
use image::unpack::{Package, Store};
use miette::Diagnostic;
use site::keys::{self, Authority, Certificate, JoinToken, ReleaseKey, RoomAuthority};
use site::profile::{Chain, Component, RawProfile};
use site::seed::Secrets;
use site::{Profile, Room, Site, SshKey, Timestamp};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// The private key that `duet site new` makes for logging in, from the site's folder.
pub(crate) const SSH_KEY: &str = "keys/ssh";

/// The list of maintainer scripts that a person has read, beside the profiles.
const REVIEWED: &str = "scripts.toml";
/// The folder of components, below that of the profiles.
const COMPONENTS: &str = "components";
/// What names the packages that the lab runs machines with.
const LAB_TOOLS: &str = "lab-tools";
/// How many packages are unpacked at a time when nobody said: one for each processor.
const UNPACKING: usize = 4;

/// What is wrong with a file's contents, with the file's name before it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot use {what} {}", path.display())]
pub(crate) struct InFile<E: Diagnostic + 'static> {
    what: &'static str,
    path: PathBuf,
    #[source]
    #[diagnostic_source]
    source: E,
}

/// No such profile.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("there is no profile `{name}` in {}", folder.display())]
#[diagnostic(code(usage::profile), help("the profiles there are: {}", known.join(", ")))]
struct NoProfile {
    name: String,
    folder: PathBuf,
    known: Vec<String>,
}

/// No such component.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("there is no component `{name}` in {}", folder.display())]
#[diagnostic(
    code(usage::component),
    help("write {name}.toml there, or correct the profile's [components]")
)]
struct NoComponent {
    name: String,
    folder: PathBuf,
}

/// A profile that was never locked.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the profile `{name}` has no lock")]
#[diagnostic(code(input::no_lock), help("make one: duet lock {name}"))]
struct NoLock {
    name: String,
}

/// The release key and the public key beside it are of different sites.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("release.key and release.pub in {} do not belong together", folder.display())]
#[diagnostic(code(input::key), help("put back the files that one `duet site new` wrote"))]
struct Mixed {
    folder: PathBuf,
}

/// The list of reviewed scripts has a slip.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read the list of reviewed scripts {}: {source}", path.display())]
#[diagnostic(code(input::scripts), help("each entry has package, name, sha256 and done_by"))]
struct BadReview {
    path: PathBuf,
    source: toml::de::Error,
}

/// The keys that a build needs.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Signs seeds.
    pub(crate) release: ReleaseKey,
    /// Part of every seed.
    pub(crate) certificate: Certificate,
    /// Lets a new machine in.
    join: JoinToken,
    /// The folder of the keys of the rooms.
    folder: PathBuf,
}

impl Keys {
    /// What goes with the seeds of a room's machines.
    ///
    /// # Errors
    /// When a key is missing or damaged.
    pub(crate) fn secrets(&self, room: Room) -> miette::Result<Secrets> {
        let index = usize::from(room == Room::B);
        let key = self.folder.join(keys::ROOM_KEYS[index]);
        let certificate = self.folder.join(keys::ROOM_CERTIFICATES[index]);
        let text = Zeroizing::new(files::read_text("the key", &key)?);
        let authority =
            RoomAuthority::parse(&files::read_text("the certificate", &certificate)?, &text)
                .map_err(|source| InFile { what: "the key", path: key, source })?;
        Ok(Secrets { room: authority, join: self.join.clone() })
    }
}

/// The site that the file at `path` describes.
///
/// # Errors
/// When it cannot be read or has a mistake.
pub(crate) fn site(path: &Path) -> miette::Result<Site> {
    let bytes = files::read("the site file", path)?;
    Ok(Site::parse(site::utf8(&bytes, path)?, path)?)
}

/// The keys beside a site file. The certificate's own key may be elsewhere; if it is there it must fit.
///
/// # Errors
/// When one is missing, damaged, or a secret that others can read.
pub(crate) fn keys(site_file: &Path) -> miette::Result<Keys> {
    let folder = beside(site_file).join(keys::FOLDER);
    let [room_a, room_b] = keys::ROOM_KEYS;
    for secret in
        [keys::RELEASE_KEY, keys::CA_KEY, keys::JOIN_TOKEN, keys::OPERATOR_KEY, room_a, room_b]
    {
        let path = folder.join(secret);
        match fs::metadata(&path) {
            Ok(meta) => keys::check_mode(&path, meta.permissions().mode())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(FileError::Read { what: "the key", path, source }.into()),
        }
    }
    let read = |name: &str| {
        let path = folder.join(name);
        Ok::<_, FileError>((files::read_text("the key", &path)?, path))
    };
    let bad = |path: PathBuf| move |source| InFile { what: "the key", path, source };
    let (text, path) = read(keys::RELEASE_KEY)?;
    let release = ReleaseKey::parse(&text).map_err(bad(path))?;
    let (text, path) = read(keys::RELEASE_PUBLIC)?;
    if text.parse::<keys::PublicKey>().map_err(bad(path))? != release.public() {
        return Err(Mixed { folder }.into());
    }
    let (text, path) = read(keys::CA_CERTIFICATE)?;
    let certificate: Certificate = text.parse().map_err(bad(path))?;
    let ca_key = folder.join(keys::CA_KEY);
    if ca_key.exists() {
        let (key, path) = read(keys::CA_KEY)?;
        Authority::parse(&text, &key).map_err(bad(path))?;
    }
    let (text, path) = read(keys::JOIN_TOKEN)?;
    let join = Zeroizing::new(text).parse().map_err(bad(path))?;
    Ok(Keys { release, certificate, join, folder })
}

/// The public key of a `.pub` file.
///
/// # Errors
/// When it cannot be read or is no public key.
pub(crate) fn ssh_key(path: &Path) -> miette::Result<SshKey> {
    let what = "the ssh key";
    let text = files::read_text(what, path)?;
    Ok(text.trim().parse().map_err(|source| InFile { what, path: path.into(), source })?)
}

/// A profile with everything that it inherits.
///
/// # Errors
/// When one of the files is missing or has a mistake.
pub(crate) fn profile(folder: &Path, name: &str) -> miette::Result<Profile> {
    let mut chain = Chain::default();
    let mut next = Some(name.to_owned());
    while let Some(name) = next {
        next = chain.push(raw_profile(folder, &name)?)?;
    }
    let mut profile = chain.merge()?;
    for component in components(folder, &profile)? {
        profile.ask_for(&component);
    }
    Ok(profile)
}

/// The components that a profile wants, in its order.
///
/// # Errors
/// When one's file is missing or has a mistake.
pub(crate) fn components(folder: &Path, profile: &Profile) -> miette::Result<Vec<Component>> {
    profile.components.iter().map(|wish| component(folder, &wish.name)).collect()
}

/// A component.
///
/// # Errors
/// When its file is missing or has a mistake.
pub(crate) fn component(folder: &Path, name: &str) -> miette::Result<Component> {
    if !is_component(folder, name) {
        let folder = folder.join(COMPONENTS);
        return Err(NoComponent { name: name.into(), folder }.into());
    }
    let path = component_path(folder, name, "toml");
    let bytes = files::read("the component", &path)?;
    Ok(Component::parse(site::utf8(&bytes, &path)?, &path)?)
}

/// Whether there is a component of that name.
pub(crate) fn is_component(folder: &Path, name: &str) -> bool {
    !name.contains('/') && component_path(folder, name, "toml").is_file()
}

/// Where a component's description (`toml`) or lock (`lock`) is.
pub(crate) fn component_path(folder: &Path, name: &str, ending: &str) -> PathBuf {
    folder.join(COMPONENTS).join(format!("{name}.{ending}"))
}

/// The lock of a component, if it has one.
///
/// # Errors
/// When it cannot be read or is damaged.
pub(crate) fn component_lock(folder: &Path, name: &str) -> miette::Result<Option<ComponentLock>> {
    let path = component_path(folder, name, "lock");
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text("the lock", &path)?;
    Ok(Some(ComponentLock::parse(&text, &path.display().to_string())?))
}

fn raw_profile(folder: &Path, name: &str) -> miette::Result<RawProfile> {
    let path = folder.join(format!("{name}.toml"));
    if !path.is_file() {
        let known = profile_names(folder)?;
        return Err(NoProfile { name: name.into(), folder: folder.into(), known }.into());
    }
    let bytes = files::read("the profile", &path)?;
    Ok(RawProfile::parse(site::utf8(&bytes, &path)?, &path)?)
}

/// The profiles that have a lock of their own: those that no other inherits from, but for such as use
/// another's lock.
///
/// # Errors
/// When a file has a mistake.
pub(crate) fn lockable(folder: &Path) -> miette::Result<Vec<String>> {
    let (mut own, mut inherited) = (Vec::new(), Vec::new());
    for name in profile_names(folder)? {
        let profile = raw_profile(folder, &name)?;
        if profile.lock.is_none() {
            inherited.extend(profile.inherit);
            own.push(name);
        }
    }
    Ok(own.into_iter().filter(|name| !inherited.contains(name)).collect())
}

/// The components that there are.
///
/// # Errors
/// When their folder is there and cannot be read.
pub(crate) fn component_names(folder: &Path) -> miette::Result<Vec<String>> {
    let folder = folder.join(COMPONENTS);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(profile_names(&folder)?)
}

fn profile_names(folder: &Path) -> Result<Vec<String>, FileError> {
    let failed =
        |source| FileError::Read { what: "the folder of profiles", path: folder.into(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let files = entries.flatten().map(|entry| entry.path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| path.file_name().is_some_and(|name| name != REVIEWED))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Where the lock of a profile is.
pub(crate) fn lock_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.lock"))
}

/// The lock of a profile, if it was ever locked.
///
/// # Errors
/// When it cannot be read or is damaged.
pub(crate) fn lock(folder: &Path, name: &str) -> miette::Result<Option<Lock>> {
    let path = lock_path(folder, name);
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text("the lock", &path)?;
    Ok(Some(Lock::parse(&text, &path.display().to_string())?))
}

/// The lock of a profile that must be locked.
///
/// # Errors
/// As [`lock`], and when there is none.
pub(crate) fn lock_of(folder: &Path, name: &str) -> miette::Result<Lock> {
    Ok(lock(folder, name)?.ok_or_else(|| NoLock { name: name.into() })?)
}

/// What an image is made of beside packages.
pub(crate) struct Materials {
    /// The maintainer scripts that a person has read.
    pub(crate) reviewed: Reviewed,
    /// The same as it is written.
    pub(crate) reviewed_text: String,
    /// The profile's overlays, in order.
    pub(crate) overlays: Vec<Tree>,
    /// systemd-boot's settings.
    pub(crate) loader_conf: String,
    /// The node's programs.
    pub(crate) programs: Programs,
}

/// What lies beside the profiles, and the programs of the folder `programs`.
///
/// # Errors
/// When something is missing or has a slip.
pub(crate) fn materials(
    folder: &Path,
    profile: &Profile,
    programs: &Path,
) -> miette::Result<Materials> {
    let path = folder.join(REVIEWED);
    let reviewed_text = files::read_text("the list of reviewed scripts", &path)?;
    let reviewed = toml::from_str(&reviewed_text).map_err(|source| BadReview { path, source })?;
    let checkout = folder.join("..");
    let names = profile.system.iter().flat_map(|system| &system.overlays);
    let overlays = names.map(|name| overlay::load(&overlay_path(folder, name)));
    let loader_conf = checkout.join("firmware/loader.conf");
    let program = |name| files::read("the node's program", &programs.join(name));
    Ok(Materials {
        reviewed,
        reviewed_text,
        overlays: overlays.collect::<Result<_, _>>()?,
        loader_conf: files::read_text("the boot loader's settings", &loader_conf)?,
        programs: Programs { init: program("initrd")?, duetd: program("duetd")? },
    })
}

/// Where an overlay is.
pub(crate) fn overlay_path(folder: &Path, name: &str) -> PathBuf {
    folder.join("../overlays").join(name)
}

/// QEMU and firmware, fetched and unpacked if they are not in the cache.
///
/// # Errors
/// When they are not locked, cannot be fetched, or the cache cannot be written.
pub(crate) fn lab_tools(
    folder: &Path,
    cache: &Cache,
    options: &FetchOptions,
    progress: &dyn Progress,
) -> miette::Result<lab::Tools> {
    let lock = lock_of(folder, LAB_TOOLS)?;
    Store::new(cache.folder()).fetch(cache, &lock.wanted(None), options, progress)?;
    let packages: Vec<_> = lock.set(Set::Tools).map(|one| Package::locked(one, cache)).collect();
    let tools = image::tools::Tools::prepare(cache.folder(), &packages, UNPACKING, progress)?;
    Ok(lab::Tools::open(tools.root())?)
}

/// The folder of a file; `.` for a bare name.
pub(crate) fn beside(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs()).expect("the clock shows a year below 10000")
}
