//! The initial RAM file system: our /init and the declared drivers, nothing else.
//!
//! Start at [`build`]. The kernel's own tables (`modules.dep`, `modules.alias`, as depmod wrote
//! them) say which modules the declared ones need and which hardware they answer for. The archive
//! holds `/init`, `/modules/NAME.ko` (uncompressed: the whole archive is compressed once) and three
//! small tables that /init reads: `load`, `alias`, `dep`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use crate::tree::{Kind, Tree};

/// The largest module allowed, uncompressed: far above any driver of the declared set.
const MAX_MODULE: u64 = 64 << 20;
/// zstd's level: the kernel inflates any level equally fast, and 15 takes six times as long for 1 % less.
const LEVEL: i32 = 9;

/// Why the archive could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum InitramfsError {
    /// No kernel, or more than one.
    #[error("the root holds {found} kernels under /usr/lib/modules; it must hold one")]
    #[diagnostic(
        code(resolve::kernel),
        help("name one kernel package in the profile's [kernel] package")
    )]
    Kernels {
        /// How many.
        found: usize,
    },
    /// A declared module does not exist in this kernel.
    #[error("the kernel {release} has no module {module}, which the profile's [initrd] declares")]
    #[diagnostic(code(input::module), help("{}", nearest.as_ref().map_or_else(
        || "remove it from the profile".to_owned(), |name| format!("did you mean `{name}`?"))))]
    Missing {
        /// The kernel's release.
        release: String,
        /// The module.
        module: String,
        /// A name like it.
        nearest: Option<String>,
    },
    /// The archive could not be written.
    #[error("cannot make the initrd: {what}")]
    #[diagnostic(
        code(input::initrd),
        help("declare fewer or other modules in the profile's [initrd]")
    )]
    Archive {
        /// What is wrong.
        what: String,
    },
    /// A file could not be read or inflated.
    #[error("cannot read {path}")]
    #[diagnostic(
        code(integrity::module),
        help("clean the cache with `duet cache clean` and build again")
    )]
    Read {
        /// Path in the tree.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// What goes into the archive.
pub struct Request<'a> {
    /// The static program that becomes /init.
    pub init: &'a [u8],
    /// Modules loaded always, in this order.
    pub load: &'a [String],
    /// Modules loaded when hardware asks for them.
    pub drivers: &'a [String],
    /// The one time of all entries.
    pub time: u64,
}

/// The modules chosen, and the tables that /init reads.
#[derive(Debug, PartialEq, Eq)]
pub struct Selection {
    /// Name to path in the tree, dependencies included.
    pub modules: BTreeMap<String, String>,
    /// `load`: one name a line.
    pub load: String,
    /// `alias`: `PATTERN NAME`.
    pub alias: String,
    /// `dep`: `NAME: DEP DEP…`, in load order.
    pub dep: String,
}

/// The one kernel of the tree: its release.
///
/// # Errors
/// When there is none, or more than one.
pub fn release(tree: &Tree) -> Result<String, InitramfsError> {
    let releases: BTreeSet<&str> = tree
        .below("usr/lib/modules")
        .filter_map(|(path, _)| path.strip_prefix("usr/lib/modules/")?.strip_suffix("/kernel"))
        .filter(|release| !release.contains('/'))
        .collect();
    match releases.iter().next() {
        Some(release) if releases.len() == 1 => Ok((*release).to_owned()),
        _ => Err(InitramfsError::Kernels { found: releases.len() }),
    }
}

/// Chooses the declared modules and all that they need.
///
/// # Errors
/// When a declared module does not exist; one that is built into the kernel is fine.
pub fn select(
    tree: &Tree,
    release: &str,
    load: &[String],
    drivers: &[String],
) -> Result<Selection, InitramfsError> {
    let folder = format!("usr/lib/modules/{release}");
    let table = |name: &str| text(tree, &format!("{folder}/{name}"));
    let dependencies = parse_dep(&table("modules.dep")?);
    let builtin_text = table("modules.builtin")?;
    let builtin: BTreeSet<String> = builtin_text.lines().map(module_name).collect();
    let mut modules = BTreeMap::new();
    let mut dep = String::new();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut order = Vec::new();
    for declared in load.iter().chain(drivers) {
        let name = declared.replace('-', "_");
        if builtin.contains(&name) {
            continue;
        }
        let Some((_, needs)) = dependencies.get(&name) else {
            return Err(InitramfsError::Missing {
                release: release.into(),
                module: declared.clone(),
                nearest: nearest(&name, dependencies.keys()),
            });
        };
        for need in needs.iter().rev().chain([&name]) {
            if wanted.insert(need.clone()) {
                order.push(need.clone());
            }
        }
    }
    for name in order {
        let Some((path, needs)) = dependencies.get(&name) else { continue };
        modules.insert(name.clone(), format!("{folder}/{path}"));
        let needs: Vec<&str> = needs.iter().rev().map(String::as_str).collect();
        dep.push_str(&format!("{name}: {}\n", needs.join(" ")).replace(" \n", "\n"));
    }
    let chosen: BTreeSet<String> = drivers.iter().map(|name| name.replace('-', "_")).collect();
    let alias: String = table("modules.alias")?
        .lines()
        .filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '))
        .filter(|(_, name)| chosen.contains(&name.replace('-', "_")))
        .map(|(pattern, name)| format!("{pattern} {}\n", name.replace('-', "_")))
        .collect();
    let load = load.iter().map(|name| name.replace('-', "_"));
    let load = load.filter(|name| modules.contains_key(name)).map(|name| name + "\n").collect();
    Ok(Selection { modules, load, alias, dep })
}

/// The archive, compressed with zstd.
///
/// # Errors
/// When a module is missing or cannot be read.
pub fn build(tree: &Tree, release: &str, request: &Request<'_>) -> Result<Vec<u8>, InitramfsError> {
    let selection = select(tree, release, request.load, request.drivers)?;
    let mut files: BTreeMap<String, (u32, Vec<u8>)> = BTreeMap::new();
    files.insert("init".into(), (0o755, request.init.to_vec()));
    for (name, text) in
        [("load", &selection.load), ("alias", &selection.alias), ("dep", &selection.dep)]
    {
        files.insert(format!("modules/{name}"), (0o644, text.clone().into_bytes()));
    }
    for (name, path) in &selection.modules {
        files.insert(format!("modules/{name}.ko"), (0o644, module(tree, path)?));
    }
    let archive = archive(&files, request.time)
        .map_err(|error| InitramfsError::Archive { what: error.to_string() })?;
    zstd::bulk::compress(&archive, LEVEL)
        .map_err(|source| InitramfsError::Archive { what: source.to_string() })
}

fn archive(
    files: &BTreeMap<String, (u32, Vec<u8>)>,
    time: u64,
) -> Result<Vec<u8>, formats::cpio::CpioError> {
    let mut writer = formats::cpio::Writer::new(u32::try_from(time).unwrap_or(u32::MAX));
    for folder in ["dev", "modules", "proc", "run", "sys", "sysroot"] {
        writer.directory(folder, 0o755)?;
    }
    writer.char_device("dev/console", 0o600, 5, 1)?;
    for (path, (mode, bytes)) in files {
        writer.file(path, *mode, bytes)?;
    }
    Ok(writer.finish())
}

fn module(tree: &Tree, path: &str) -> Result<Vec<u8>, InitramfsError> {
    let failed = |source| InitramfsError::Read { path: path.into(), source };
    let bytes = bytes(tree, path)?;
    let mut module = Vec::new();
    let reader: Box<dyn Read + '_> = match path.rsplit('.').next() {
        Some("xz") => Box::new(liblzma::read::XzDecoder::new(&*bytes)),
        Some("zst") => Box::new(zstd::Decoder::new(&*bytes).map_err(failed)?),
        _ => Box::new(&*bytes),
    };
    reader.take(MAX_MODULE).read_to_end(&mut module).map_err(failed)?;
    Ok(module)
}

fn bytes(tree: &Tree, path: &str) -> Result<Arc<[u8]>, InitramfsError> {
    let read = |source| InitramfsError::Read { path: path.into(), source };
    match tree.lookup(path).map(|(_, node)| &node.kind) {
        Some(Kind::File(content)) => content.read().map_err(read),
        _ => Err(read(std::io::ErrorKind::NotFound.into())),
    }
}

fn text(tree: &Tree, path: &str) -> Result<String, InitramfsError> {
    Ok(String::from_utf8_lossy(&bytes(tree, path)?).into_owned())
}

/// `modules.dep`: name to path and to all that it needs, the nearest first (depmod's order).
fn parse_dep(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let row = |line: &str| {
        let (path, needs) = line.split_once(':')?;
        let needs = needs.split_whitespace().map(module_name).collect();
        Some((module_name(path), (path.to_owned(), needs)))
    };
    text.lines().filter_map(row).collect()
}

/// `kernel/fs/erofs/erofs.ko.xz` → `erofs`; dashes become underscores, as the kernel says them.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn nearest<'a>(name: &str, all: impl Iterator<Item = &'a String>) -> Option<String> {
    all.map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, other)| other.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tree::Node;

    fn kernel() -> Tree {
        let mut tree = Tree::default();
        let files = [
            (
                "modules.dep",
                "kernel/a/nvme.ko: kernel/a/nvme-core.ko kernel/b/auth.ko\nkernel/a/nvme-core.ko: kernel/b/auth.ko\nkernel/b/auth.ko:\n",
            ),
            ("modules.alias", "alias pci:v*d*sv*sd*bc01sc08i02* nvme\nalias pci:v1 other\n"),
            ("modules.builtin", "kernel/fs/ext4.ko\n"),
            ("kernel/a/nvme.ko", "nvme"),
            ("kernel/a/nvme-core.ko", "core"),
            ("kernel/b/auth.ko", "auth"),
        ];
        for (path, text) in files {
            let path = format!("usr/lib/modules/6.12/{path}");
            tree.put(&path, Node::file(text.as_bytes(), 0o644)).unwrap();
        }
        tree
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_driver_brings_what_it_needs_in_load_order() {
        let tree = kernel();
        let release = release(&tree).unwrap();
        let selection = select(&tree, &release, &names(&["ext4"]), &names(&["nvme"])).unwrap();
        assert_eq!(selection.dep, "auth:\nnvme_core: auth\nnvme: auth nvme_core\n");
        assert_eq!(selection.alias, "pci:v*d*sv*sd*bc01sc08i02* nvme\n");
        assert_eq!(selection.load, "", "what is built in is not loaded");
        assert_eq!(selection.modules.len(), 3);
    }

    #[test]
    fn a_misspelt_module_names_its_neighbour() {
        let error = select(&kernel(), "6.12", &[], &names(&["nvmee"])).unwrap_err();
        let InitramfsError::Missing { nearest, .. } = error else { panic!() };
        assert_eq!(nearest.as_deref(), Some("nvme"));
    }

    #[test]
    fn a_tree_without_a_kernel_is_refused() {
        assert!(matches!(release(&Tree::default()), Err(InitramfsError::Kernels { found: 0 })));
    }
}
