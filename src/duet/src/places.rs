//! Where things are that a person did not name: profiles, the cache, the node's programs.
//!
//! Start at [`Places`]. Looks around the current folder, the environment and the running program,
//! in the order that each function says; the first that is there is taken.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where `.ci/programs` leaves what runs on nodes, below a checkout's target folder.
const NODE_TARGET: &str = "node/x86_64-unknown-linux-gnu/release";
/// The node's programs: every one is needed.
const NODE_PROGRAMS: [&str; 2] = ["duetd", "initrd"];

/// Why something is not found.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot find {what}; looked in {}", looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
#[diagnostic(code(usage::place), help("{cure}"))]
pub(crate) struct PlaceError {
    what: &'static str,
    looked: Vec<PathBuf>,
    cure: &'static str,
}

/// What the surroundings say: taken once, so that what follows from it can be tested.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The current folder.
    here: PathBuf,
    /// The folder of the running program.
    program: PathBuf,
    /// `XDG_CACHE_HOME`, if it is an absolute path, as the XDG Base Directory Specification demands.
    cache_home: Option<PathBuf>,
    /// `HOME`.
    home: Option<PathBuf>,
}

impl Places {
    /// The surroundings of this process.
    pub(crate) fn now() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let absolute =
            |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
        let program = env::current_exe().ok().and_then(|exe| exe.canonicalize().ok());
        Places {
            here: PathBuf::from("."),
            program: program.and_then(|exe| Some(exe.parent()?.to_owned())).unwrap_or_default(),
            cache_home: absolute(path("XDG_CACHE_HOME")),
            home: absolute(path("HOME")),
        }
    }

    /// The folder of the profiles: `profiles` here, in the checkout that the running program was
    /// built in, or in `../share/duet` beside it.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn profiles(&self) -> Result<PathBuf, PlaceError> {
        let mut looked = vec![self.here.join("profiles")];
        looked.extend(self.checkout().map(|checkout| checkout.join("profiles")));
        looked.push(beside(&self.program, "share/duet/profiles"));
        first(
            "the profiles",
            looked,
            "run duet in its checkout, or give the folder with --profiles or DUET_PROFILES",
            |path| path.is_dir(),
        )
    }

    /// The folder of the node's programs: `../lib/duet` beside the running program, or where the
    /// checkout's own build leaves them.
    ///
    /// # Errors
    /// When no folder has all of them.
    pub(crate) fn node_programs(&self) -> Result<PathBuf, PlaceError> {
        let mut looked = vec![beside(&self.program, "lib/duet")];
        // TARGET/release/duet lies beside TARGET/node, wherever TARGET is.
        looked.extend(self.program.parent().map(|target| target.join(NODE_TARGET)));
        looked.push(self.here.join("target").join(NODE_TARGET));
        looked.dedup();
        first(
            "the node's programs (duetd and initrd)",
            looked,
            "build them with .ci/programs, or give their folder with --node-programs",
            |path| NODE_PROGRAMS.iter().all(|program| path.join(program).is_file()),
        )
    }

    /// The cache: `$XDG_CACHE_HOME/duet`, or `~/.cache/duet`. It need not exist.
    ///
    /// # Errors
    /// When neither variable is set.
    pub(crate) fn cache(&self) -> Result<PathBuf, PlaceError> {
        let home = || self.home.as_ref().map(|home| home.join(".cache"));
        let base = self.cache_home.clone().or_else(home);
        base.map(|base| base.join("duet")).ok_or_else(|| PlaceError {
            what: "a place for the cache",
            looked: vec!["$XDG_CACHE_HOME".into(), "$HOME".into()],
            cure: "give a folder with --cache or DUET_CACHE",
        })
    }

    /// The site file: the given one, `site.toml` here, or the only `*/site.toml`.
    ///
    /// # Errors
    /// When none is given and there is none, or more than one.
    pub(crate) fn site(&self, given: Option<&Path>) -> Result<PathBuf, PlaceError> {
        if let Some(site) = given {
            return Ok(site.to_owned());
        }
        let here = self.here.join("site.toml");
        if here.is_file() {
            return Ok(here);
        }
        let folders = self.here.read_dir().into_iter().flatten().flatten();
        let sites = folders.map(|folder| folder.path().join("site.toml"));
        let mut sites: Vec<PathBuf> = sites.filter(|site| site.is_file()).collect();
        sites.sort();
        match <[PathBuf; 1]>::try_from(sites) {
            Ok([site]) => Ok(site),
            Err(mut looked) => {
                looked.insert(0, here);
                let cure = "name the site file with --site; `duet site new` makes one";
                Err(PlaceError { what: "the site", looked, cure })
            }
        }
    }

    /// The checkout that the running program was built in, if it was built in one.
    fn checkout(&self) -> Option<PathBuf> {
        let is_checkout = |folder: &&Path| {
            folder.join("Cargo.toml").is_file() && folder.join("profiles").is_dir()
        };
        self.program.ancestors().find(is_checkout).map(Path::to_owned)
    }
}

/// `what` in the folder above the program's, as it is when installed (`bin` beside `lib`, `share`).
fn beside(program: &Path, what: &str) -> PathBuf {
    program.parent().unwrap_or(program).join(what)
}

fn first(
    what: &'static str,
    looked: Vec<PathBuf>,
    cure: &'static str,
    fits: impl Fn(&Path) -> bool,
) -> Result<PathBuf, PlaceError> {
    match looked.iter().find(|path| fits(path)) {
        Some(found) => Ok(found.clone()),
        None => Err(PlaceError { what, looked, cure }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    /// Surroundings below `root`: a person in `here`, a program in `prefix/bin`.
    fn places(root: &Path) -> Places {
        let make = |path: &str| {
            fs::create_dir_all(root.join(path)).unwrap();
            root.join(path)
        };
        Places { here: make("here"), program: make("prefix/bin"), cache_home: None, home: None }
    }

    fn put(root: &Path, path: &str) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), "").unwrap();
    }

    #[test]
    fn profiles_here_come_first() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        assert!(places.profiles().unwrap_err().to_string().contains("prefix/share/duet/profiles"));
        fs::create_dir_all(root.path().join("prefix/share/duet/profiles")).unwrap();
        assert!(places.profiles().unwrap().ends_with("prefix/share/duet/profiles"));
        put(root.path(), "Cargo.toml");
        fs::create_dir_all(root.path().join("profiles")).unwrap();
        assert_eq!(places.profiles().unwrap(), root.path().join("profiles"));
        fs::create_dir_all(root.path().join("here/profiles")).unwrap();
        assert_eq!(places.profiles().unwrap(), root.path().join("here/profiles"));
    }

    #[test]
    fn node_programs_are_found_together_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        put(root.path(), "prefix/lib/duet/duetd");
        assert!(places.node_programs().is_err());
        put(root.path(), &format!("prefix/{NODE_TARGET}/duetd"));
        put(root.path(), &format!("prefix/{NODE_TARGET}/initrd"));
        assert_eq!(places.node_programs().unwrap(), root.path().join("prefix").join(NODE_TARGET));
        put(root.path(), "prefix/lib/duet/initrd");
        assert_eq!(places.node_programs().unwrap(), root.path().join("prefix/lib/duet"));
    }

    #[test]
    fn the_cache_follows_xdg() {
        let root = tempfile::tempdir().unwrap();
        let none = places(root.path());
        assert!(none.cache().is_err());
        let home = Places { home: Some("/home/x".into()), ..none };
        assert_eq!(home.cache().unwrap(), Path::new("/home/x/.cache/duet"));
        let xdg = Places { cache_home: Some("/c".into()), ..home };
        assert_eq!(xdg.cache().unwrap(), Path::new("/c/duet"));
    }
}
