//! A demo site and both rooms' images, made once for all tests and kept until the programs change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::judge::ask_tool;
use crate::programs::{Hold, duet, hold, kept, target};
use crate::run::{Said, run};

/// A build that downloads every package over a slow line and unpacks on a busy computer.
const BUILDING: Duration = Duration::from_secs(30 * 60);

/// Both rooms, in the order of [`Demo::rooms`].
pub const ROOMS: [&str; 2] = ["a", "b"];

/// A site and what was built for it.
#[derive(Debug)]
pub struct Demo {
    /// The site file.
    pub site: PathBuf,
    /// Room a's and room b's control node.
    pub rooms: [Built; 2],
}

impl Demo {
    /// The folder of what the site's witness needs.
    ///
    /// # Panics
    /// Never: a site file lies in a folder.
    #[must_use]
    pub fn witness(&self) -> PathBuf {
        self.site.parent().expect("a site file lies in a folder").join("witness")
    }
}

/// The artefacts of one node.
#[derive(Debug)]
pub struct Built {
    /// The folder of the artefacts.
    pub out: PathBuf,
    /// The manifest, as read back.
    pub manifest: Value,
}

impl Built {
    /// Reads back what a build left in `out`.
    ///
    /// # Panics
    /// If there is no manifest, or it is no JSON.
    #[must_use]
    pub fn read(out: &Path) -> Built {
        let path = sole(out, ".manifest.json");
        let text = fs::read_to_string(&path).expect("the manifest is text");
        let manifest = serde_json::from_str(&text).expect("the manifest is JSON");
        Built { out: out.to_owned(), manifest }
    }

    /// The one artefact whose name has this ending, such as `.root.erofs`.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    pub fn artefact(&self, ending: &str) -> PathBuf {
        sole(&self.out, ending)
    }

    /// The disk image.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.artefact(".raw")
    }

    /// A text of the manifest.
    ///
    /// # Panics
    /// If the manifest has no such text.
    #[must_use]
    pub fn says(&self, key: &str) -> &str {
        self.manifest[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.manifest))
    }

    /// Names of everything in the folder, sorted.
    ///
    /// # Panics
    /// If the folder cannot be read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.out).expect("the folder of a build can be read");
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// The file in `folder` whose name ends so and does not begin with a dot. `.efi` is not
/// `.netboot.efi`: the ending is all that follows the version.
fn sole(folder: &Path, ending: &str) -> PathBuf {
    let files =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
    let fits = |name: &String| {
        let start = name.strip_suffix(ending);
        start.is_some_and(|start| !start.starts_with('.') && !start.ends_with(".netboot"))
    };
    let found: Vec<String> = names.filter(fits).collect();
    assert!(found.len() == 1, "expected one …{ending} in {}, found {found:?}", folder.display());
    folder.join(&found[0])
}

/// The cache that the tests share with the person who runs them: what it holds is named by its hash,
/// and a download is not repeated.
///
/// # Panics
/// If there is no home for it.
#[must_use]
pub fn cache() -> PathBuf {
    let variable =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_user = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("DUET_CACHE")
        .or_else(|| Some(of_user()?.join("duet")))
        .expect("HOME, XDG_CACHE_HOME or DUET_CACHE is set")
}

/// Lays out a root file system in the folder `to`, which is emptied first, and returns what fsck.erofs
/// said of it.
#[track_caller]
pub fn extract(built: &Built, to: &Path) -> Said {
    let _ = fs::remove_dir_all(to);
    let extract = format!("--extract={}", to.display());
    let erofs = built.artefact(".root.erofs");
    ask_tool(&cache(), "usr/bin/fsck.erofs", &[&extract, &"--no-preserve", &erofs])
}

/// The private key that logs in to the site's machines.
///
/// # Panics
/// Never: a site file lies in a folder.
#[must_use]
pub fn login_key(demo: &Demo) -> PathBuf {
    demo.site.parent().expect("a site file lies in a folder").join("keys/ssh")
}

/// What the tests build: a control node without what may be out of reach.
pub const PROFILE: &str = "lab";

/// `duet build` of a room into `out`; for changes before it is [`finish`]ed.
#[must_use]
pub fn build(site: &Path, room: &str, out: &Path) -> Command {
    build_profile(PROFILE, site, room, out)
}

/// The same of another profile.
#[must_use]
pub fn build_profile(profile: &str, site: &Path, room: &str, out: &Path) -> Command {
    let mut command = duet();
    command.args(["build", profile, "--room", room]).arg("--site").arg(site);
    command.arg("--out").arg(out).env("DUET_CACHE", cache());
    command
}

/// Runs a build to its end.
#[track_caller]
pub fn finish(command: &mut Command) -> Said {
    run(command, BUILDING)
}

/// Where machines of the lab reach its witness.
const WITNESS: &str = "10.0.3.100:7411";

/// Makes a site with the lab's witness in `folder`, which must not exist.
///
/// # Panics
/// If it cannot be made.
#[track_caller]
pub fn new_site(folder: &Path) -> PathBuf {
    let mut command = duet();
    command.args(["site", "new", "--witness", WITNESS]).arg(folder);
    let _ = run(&mut command, Duration::from_secs(60)).well();
    folder.join("site.toml")
}

/// The demo site with both rooms built. The first caller builds; a later one finds it done, also in
/// another test program.
///
/// # Panics
/// If a build fails.
pub fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let _one_builder: Hold = hold("demo");
        let program = fs::metadata(duet().get_program()).and_then(|file| file.modified());
        let program = program.expect("the program was just built");
        let folder = kept("demo").join("site");
        // What an older program wrote may not be what this one writes.
        let fresh = |site: &Path| {
            fs::metadata(site).and_then(|file| file.modified()).is_ok_and(|at| at >= program)
        };
        if !fresh(&folder.join("site.toml")) {
            let _ = fs::remove_dir_all(&folder);
            new_site(&folder);
        }
        let site = folder.join("site.toml");
        let rooms = ROOMS.map(|room| {
            let out = target().join("tests/demo").join(PROFILE).join(room);
            let _ = finish(&mut build(&site, room, &out)).well();
            Built::read(&out)
        });
        Demo { site, rooms }
    })
}
