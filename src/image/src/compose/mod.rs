//! Composes the root file system of packages, overlays and programs, without a maintainer script.
//!
//! Start at [`compose`]. Each step is one of the things that scripts, triggers and a first boot
//! would have done, in the order in which they build on one another. What a tool of Debian's makes
//! from files (module tables, library cache, hardware database) is derived once for each input.

pub mod accounts;
pub mod alternatives;
pub mod overlay;
pub mod status;
pub mod var;

use std::path::Path;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::derive::{Derived, Step, subtree};
use crate::initramfs::{self, InitramfsError};
use crate::merge::{MergeError, merge};
use crate::scratch::{self, ScratchError};
use crate::scripts::{self, Finding, Reviewed};
use crate::tools::{ToolError, Tools};
use crate::tree::{Kind, Node, PathError, Tree};
use crate::unpack::Unpacked;

/// Why a root could not be composed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ComposeError {
    /// Two packages do not lie in one tree.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Merge(#[from] MergeError),
    /// A tool failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tool(#[from] ToolError),
    /// The working tree could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scratch(#[from] ScratchError),
    /// The kernel or one of its modules.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Initramfs(#[from] InitramfsError),
    /// A path of the composer's or an overlay's.
    #[error("cannot lay a file into the root")]
    #[diagnostic(code(input::overlay), help("move the file in its overlay to a path of its own"))]
    Path(#[from] PathError),
    /// A file in the cache.
    #[error("cannot read a file of the root")]
    #[diagnostic(code(integrity::cache), help("clean the cache with `duet cache clean`"))]
    Read(#[from] std::io::Error),
    /// A pattern of the profile.
    #[error("the pattern of [files] cannot be read")]
    #[diagnostic(
        code(input::pattern),
        help("`*` stands for any characters, `[…]` for one of a set")
    )]
    Pattern(#[from] globset::Error),
    /// A stat override names a user, group, mode or path that is not there.
    #[error("the reviewed stat override of {path} cannot be applied: {why}")]
    #[diagnostic(code(input::statoverride), help("correct or remove it in profiles/scripts.toml"))]
    StatOverride {
        /// The path.
        path: String,
        /// What is missing.
        why: String,
    },
}

/// What a root is composed of.
pub struct Recipe<'a> {
    /// The unpacked packages of the root set.
    pub packages: &'a [Unpacked],
    /// Those whose files boot the root: the kernel's and the microcode's.
    pub boot: &'a [Unpacked],
    /// The scripts that a person has read.
    pub reviewed: &'a Reviewed,
    /// Overlays and programs, laid in order.
    pub overlays: &'a [Tree],
    /// Units that are enabled.
    pub enable: &'a [String],
    /// Patterns of paths to leave out, and of those to keep all the same.
    pub files: &'a site::Files,
    /// Role and version, for os-release.
    pub name: ImageName<'a>,
    /// The lock's time, seconds since 1970.
    pub source_date: u64,
}

/// What the image is called.
#[derive(Clone, Copy, Debug)]
pub struct ImageName<'a> {
    /// `control`, `worker`.
    pub role: &'a str,
    /// The release's version.
    pub version: &'a str,
}

/// A composed root.
pub struct Composed {
    /// The tree.
    pub tree: Tree,
    /// What the UKI takes.
    pub kernel: Kernel,
    /// Scripts that nobody has read.
    pub findings: Vec<Finding>,
}

/// The kernel's parts that go into the UKI.
pub struct Kernel {
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// The bzImage.
    pub image: std::sync::Arc<[u8]>,
    /// Early microcode: an archive, empty when the packages hold none.
    pub microcode: Vec<u8>,
}

/// Composes the root.
///
/// # Errors
/// When packages or overlays do not fit together, or a tool fails.
pub fn compose(recipe: &Recipe<'_>, tools: &Tools, cache: &Path) -> Result<Composed, ComposeError> {
    let findings = scripts::review(recipe.packages, recipe.reviewed);
    let mut tree = merge(recipe.packages)?.tree;
    make_links(&mut tree, recipe.packages)?;
    accounts::masters(&mut tree, recipe.source_date)?;
    defaults(&mut tree)?;
    let kernel = take_kernel(recipe)?;
    prune(&mut tree, recipe.files)?;
    derive_all(&mut tree, tools, cache, &kernel.release)?;
    ca_bundle(&mut tree)?;
    for overlay in recipe.overlays {
        overlay::lay(&mut tree, overlay)?;
    }
    identify(&mut tree, recipe.name)?;
    settle(&mut tree, recipe, tools, cache)?;
    stat_overrides(&mut tree, recipe.reviewed)?;
    status::write(&mut tree, recipe.packages)?;
    var::to_tmpfiles(&mut tree)?;
    Ok(Composed { tree, kernel, findings })
}

fn make_links(tree: &mut Tree, packages: &[Unpacked]) -> Result<(), ComposeError> {
    let scripts = scripts::installation_scripts(packages);
    let all: Vec<_> = scripts.values().flat_map(|text| alternatives::installs(text)).collect();
    Ok(alternatives::apply(tree, &all)?)
}

/// The mount points that /init needs, and what the scripts of base-files, readline-common and libpam-modules
/// put in place. Settings are an overlay's.
fn defaults(tree: &mut Tree) -> Result<(), PathError> {
    for folder in ["efi", "media", "mnt", "opt", "srv", "tmp", "usr/local/bin", "usr/local/sbin"] {
        tree.directory(folder, Node::directory())?;
    }
    for (from, to) in [
        ("usr/share/base-files/dot.profile", "root/.profile"),
        ("usr/share/base-files/dot.bashrc", "root/.bashrc"),
        ("usr/share/readline/inputrc", "etc/inputrc"),
    ] {
        if let Some((_, node)) = tree.lookup(from) {
            let node = node.clone();
            tree.put(to, node)?;
        }
    }
    tree.put("etc/dpkg/origins/default", Node::symlink("debian"))?;
    tree.put("etc/security/opasswd", Node::file(*b"", 0o600))?;
    Ok(())
}

fn take_kernel(recipe: &Recipe<'_>) -> Result<Kernel, ComposeError> {
    let tree = &merge(recipe.boot)?.tree;
    let release = initramfs::release(tree)?;
    let path = format!("boot/vmlinuz-{release}");
    let image = match tree.lookup(&path).map(|(_, node)| &node.kind) {
        Some(Kind::File(content)) => content.read()?,
        _ => return Err(InitramfsError::Kernels { found: 0 }.into()),
    };
    let microcode = crate::microcode::archive(tree, recipe.source_date)?;
    Ok(Kernel { release, image, microcode })
}

/// Leaves out what the profile does not want in a root.
fn prune(tree: &mut Tree, files: &site::Files) -> Result<(), ComposeError> {
    let set = |patterns: &[String]| -> Result<GlobSet, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(Glob::new(pattern)?);
        }
        set.build()
    };
    let (remove, keep) = (set(&files.remove)?, set(&files.keep)?);
    tree.retain(|path, _| {
        let path = format!("/{path}");
        !remove.is_match(&path) || keep.is_match(&path)
    });
    Ok(())
}

/// Runs what the tools make from the packages' files: side by side, since they share nothing.
fn derive_all(
    tree: &mut Tree,
    tools: &Tools,
    cache: &Path,
    release: &str,
) -> Result<(), ToolError> {
    let derived = Derived { cache, tools: tools.name() };
    let modules_folder = format!("usr/lib/modules/{release}");
    let modules = Step {
        name: "depmod",
        inputs: &["lib", "usr/lib/modules", "usr/lib/depmod.d"],
        outputs: &[&modules_folder],
    };
    let libraries = Step {
        name: "ldconfig",
        inputs: &[
            "lib",
            "lib64",
            "usr/lib64",
            "usr/lib/x86_64-linux-gnu",
            "etc/ld.so.conf",
            "etc/ld.so.conf.d",
        ],
        outputs: &["etc/ld.so.cache"],
    };
    let hardware = Step {
        name: "udevadm hwdb",
        inputs: &["usr/lib/udev/hwdb.d"],
        outputs: &["usr/lib/udev/hwdb.bin"],
    };
    let source: &Tree = tree;
    let made = std::thread::scope(|scope| {
        let modules = scope.spawn(|| {
            derived.files(source, &modules, |root| {
                let args = |command: &mut std::process::Command| {
                    command.arg("-b").arg(root).arg(release);
                };
                tools.run("usr/sbin/depmod", args).map(drop)
            })
        });
        let libraries = derived.files(source, &libraries, |root| {
            let _ = std::fs::create_dir_all(root.join("var/cache/ldconfig"));
            let args = |command: &mut std::process::Command| {
                command.arg("-r").arg(root);
            };
            tools.run("usr/sbin/ldconfig", args).map(drop)
        })?;
        let hardware = derived.files(source, &hardware, |root| {
            // `systemd-hwdb update` would write the names of its sources into the file, and with them
            // the folder that this runs in; udevadm writes the older format, which has no names.
            let args = |command: &mut std::process::Command| {
                command.args(["hwdb", "--update", "--usr"]).arg("--root").arg(root);
            };
            tools.run("usr/bin/udevadm", args).map(drop)
        })?;
        let modules = modules.join().expect("the thread of depmod does not panic")?;
        Ok::<_, ToolError>([modules, libraries, hardware].concat())
    })?;
    tree.remove("usr/lib/udev/hwdb.d"); // hwdb.bin is what is read
    for (path, node) in made {
        tree.put(&path, node).expect("a tool writes below the paths that it was given");
    }
    Ok(())
}

/// All of Mozilla's certificates in one file, as update-ca-certificates(8) concatenates them.
fn ca_bundle(tree: &mut Tree) -> Result<(), ComposeError> {
    let mut bundle = Vec::new();
    for (path, node) in tree.below("usr/share/ca-certificates") {
        if let (Kind::File(content), true) = (&node.kind, path.ends_with(".crt")) {
            bundle.extend_from_slice(&content.read()?);
            if bundle.last() != Some(&b'\n') {
                bundle.push(b'\n');
            }
        }
    }
    tree.put("etc/ssl/certs/ca-certificates.crt", Node::file(bundle, 0o644))?;
    Ok(())
}

/// os-release(5): Debian's, with the image's own name and version.
fn identify(tree: &mut Tree, name: ImageName<'_>) -> Result<(), ComposeError> {
    let debian = match tree.lookup("usr/lib/os-release").map(|(_, node)| &node.kind) {
        Some(Kind::File(content)) => String::from_utf8_lossy(&content.read()?).into_owned(),
        _ => String::new(),
    };
    let ImageName { role, version } = name;
    let own = format!(
        "PRETTY_NAME=\"Duet {version} ({role})\"\nVARIANT=\"Duet {role}\"\nVARIANT_ID=duet-{role}\n\
         IMAGE_ID=duet-{role}\nIMAGE_VERSION={version}\n"
    );
    let kept = debian.lines().filter(|line| !line.starts_with("PRETTY_NAME="));
    let text: String = kept.map(|line| format!("{line}\n")).collect::<String>() + &own;
    tree.put("usr/lib/os-release", Node::file(text.into_bytes(), 0o644))?;
    Ok(())
}

/// Users and enabled units: systemd's own programs on a scratch tree of the settings.
fn settle(
    tree: &mut Tree,
    recipe: &Recipe<'_>,
    tools: &Tools,
    cache: &Path,
) -> Result<(), ComposeError> {
    let preset: String = recipe.enable.iter().map(|unit| format!("enable {unit}\n")).collect();
    let preset_file = "usr/lib/systemd/system-preset/10-duet-profile.preset";
    tree.put(preset_file, Node::file(preset.into_bytes(), 0o644))?;
    let settings = ["etc", "lib", "usr/lib/systemd", "usr/lib/sysusers.d"];
    let part = subtree(tree, &settings);
    let failed = |source| ScratchError { path: cache.to_owned(), source };
    let work = tempfile::Builder::new().prefix(".settling-").tempdir_in(cache).map_err(failed)?;
    scratch::lay_into(&part, work.path())?;
    let root = format!("--root={}", work.path().display());
    tools.run("usr/bin/systemd-sysusers", |command| {
        command.env("SOURCE_DATE_EPOCH", recipe.source_date.to_string()).arg(&root);
    })?;
    tools.run("usr/bin/systemctl", |command| {
        command.arg(&root).arg("preset-all");
    })?;
    let mut settled = part;
    scratch::read_back(&mut settled, work.path(), "etc")?;
    for leftover in ["etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-"] {
        settled.remove(leftover);
    }
    tree.remove("etc");
    tree.put("etc", Node::directory())?;
    let etc: Vec<_> =
        settled.below("etc").map(|(path, node)| (path.to_owned(), node.clone())).collect();
    for (path, node) in etc {
        tree.put(&path, node)?;
    }
    for path in ["etc/shadow", "etc/gshadow"] {
        if let Some(node) = tree.get_mut(path) {
            (node.mode, node.gid) = (0o640, accounts::SHADOW);
        }
    }
    Ok(())
}

fn stat_overrides(tree: &mut Tree, reviewed: &Reviewed) -> Result<(), ComposeError> {
    let text = |path: &str| match tree.get(path).map(|node| &node.kind) {
        Some(Kind::File(content)) => {
            content.read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Ok(String::new()),
    };
    let ids = accounts::Ids::parse(&text("etc/passwd")?, &text("etc/group")?);
    for one in &reviewed.statoverride {
        let failed =
            |why: &str| ComposeError::StatOverride { path: one.path.clone(), why: why.into() };
        let place = tree.lookup(one.path.trim_start_matches('/')).map(|(place, _)| place);
        // A package that is not in this profile needs no override.
        let Some(node) = place.and_then(|place| tree.get_mut(&place)) else { continue };
        node.uid = ids.user(&one.user).ok_or_else(|| failed("there is no such user"))?;
        node.gid = ids.group(&one.group).ok_or_else(|| failed("there is no such group"))?;
        node.mode =
            u32::from_str_radix(&one.mode, 8).map_err(|_| failed("the mode is not octal"))?;
    }
    Ok(())
}
