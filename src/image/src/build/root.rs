//! The shared half of a build: the root file system and what boots it. The same for both rooms.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use formats::gpt::Guid;

use super::{BuildError, COMPOSER, Clock, Plan, Request};
use crate::component;
use crate::compose::{self, Composed, ImageName, Kernel, Recipe};
use crate::derive::hash_tree;
use crate::digest::{Hasher, hex, sha256};
use crate::disk::Id;
use crate::erofs::{self, Settings};
use crate::fetch::Cache;
use crate::initramfs;
use crate::lock::Set;
use crate::manifest::{Component, file_list, unreviewed};
use crate::progress::{Progress, Unit};
use crate::tools::Tools;
use crate::tree::{Kind, Node, Tree};
use crate::unpack::{Package, Store};

/// The salt of the hash tree: one for all, so that the same root gives the same tree.
fn salt() -> [u8; 32] {
    sha256(b"duet root verity")
}

/// A finished root and its boot parts.
pub(super) struct Root {
    /// The EROFS image, in the cache.
    pub(super) erofs: PathBuf,
    /// Its hash tree, in the cache.
    pub(super) verity: PathBuf,
    /// dm-verity's root hash.
    pub(super) hash: [u8; 32],
    /// Kernel, its release, microcode.
    pub(super) kernel: Kernel,
    /// The compressed initrd.
    pub(super) initrd: Vec<u8>,
    /// os-release of the root.
    pub(super) os_release: String,
    /// systemd-boot and the UKI stub.
    pub(super) loader: Vec<u8>,
    pub(super) stub: Vec<u8>,
    /// One line for each entry of the root.
    pub(super) files: String,
    pub(super) packages: Vec<Component>,
    pub(super) unreviewed: Vec<String>,
}

pub(super) fn make(
    plan: &Plan,
    request: &Request<'_>,
    cache: &Cache,
    jobs: usize,
    progress: &dyn Progress,
    clock: &mut Clock,
) -> Result<Root, BuildError> {
    let system = request.profile.system.as_ref().expect("the plan has a role");
    let locked = &request.lock.packages;
    let packages: Vec<Package> = locked.iter().map(|one| Package::locked(one, cache)).collect();
    // All sets at once: the kernel takes one core as long as all the others together take the second.
    let all = Store::new(cache.folder()).unpack(&packages, jobs, progress)?;
    clock.lap("unpack");
    let in_set = |set: Set| {
        let both = locked.iter().zip(&all);
        both.filter(move |(one, _)| one.sets.contains(&set)).map(|(_, unpacked)| unpacked.clone())
    };
    let (unpacked, boot): (Vec<_>, Vec<_>) =
        (in_set(Set::Root).collect(), in_set(Set::Initrd).collect());
    let tools: Vec<Package> =
        request.lock.set(Set::Tools).map(|one| Package::locked(one, cache)).collect();
    let tools = Tools::prepare(cache.folder(), &tools, jobs, progress)?;
    clock.lap("tools");
    let task = progress.begin("compose", 0, Unit::Items);
    let mut overlays = request.overlays.clone();
    for part in &request.components {
        overlays.push(part.tree(cache)?);
    }
    overlays.push(own(request));
    let with_components = request.components.iter().flat_map(|part| part.enable());
    let enable: Vec<String> = system.enable.iter().chain(with_components).cloned().collect();
    let recipe = Recipe {
        packages: &unpacked,
        boot: &boot,
        reviewed: request.reviewed,
        overlays: &overlays,
        enable: &enable,
        files: &system.files,
        name: ImageName { role: &plan.role, version: &plan.version },
        source_date: plan.source_date,
    };
    let Composed { tree, kernel, findings } = compose::compose(&recipe, &tools, cache.folder())?;
    for part in &request.components {
        part.check_modules(&tree)?;
    }
    drop(task);
    clock.lap("compose");
    let (initrd, (erofs, verity, hash)) = std::thread::scope(|scope| {
        let initrd = scope.spawn(|| initrd(request, &tree, &kernel, cache.folder(), plan));
        let root = file_system(plan, request, &tools, &tree, cache.folder(), progress)?;
        let initrd = initrd.join().expect("the initrd's thread does not panic")?;
        Ok::<_, BuildError>((initrd, root))
    })?;
    clock.lap("root and initrd");
    let efi = |name: &str| {
        let path = tools.root().join("usr/lib/systemd/boot/efi").join(name);
        fs::read(&path).map_err(|source| BuildError::Write { path, source })
    };
    let root_set = request.lock.set(Set::Root).zip(&unpacked);
    Ok(Root {
        erofs,
        verity,
        hash,
        initrd,
        os_release: read(&tree, "usr/lib/os-release"),
        loader: efi("systemd-bootx64.efi")?,
        stub: efi("linuxx64.efi.stub")?,
        files: file_list(&tree),
        packages: root_set.map(|(one, package)| Component::new(package, one.sha256)).collect(),
        unreviewed: unreviewed(&findings),
        kernel,
    })
}

/// Duet's own programs, and what they are told of the image's components, as a last overlay.
fn own(request: &Request<'_>) -> Tree {
    let mut tree = Tree::default();
    let mut put = |path: &str, node| {
        tree.put(path, node).expect("an empty tree has a place for it");
    };
    put("usr/bin/duetd", Node::file(request.programs.duetd.clone(), 0o755));
    if !request.components.is_empty() {
        let list = component::list(&request.components);
        put(component::FILE, Node::file(list.into_bytes(), 0o644));
    }
    tree
}

fn read(tree: &Tree, path: &str) -> String {
    match tree.lookup(path).map(|(_, node)| &node.kind) {
        Some(Kind::File(content)) => {
            content.read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Ok(String::new()),
    }
    .unwrap_or_default()
}

/// The initrd, made once for each set of modules and /init.
fn initrd(
    request: &Request<'_>,
    tree: &Tree,
    kernel: &Kernel,
    cache: &Path,
    plan: &Plan,
) -> Result<Vec<u8>, BuildError> {
    let system = request.profile.system.as_ref().expect("the plan has a role");
    let modules = crate::derive::subtree(tree, &["usr/lib/modules"]);
    let mut hasher = Hasher::default();
    hasher.update(COMPOSER.as_bytes());
    hasher.update(&sha256(&request.programs.init));
    hasher.update(format!("{:?} {}", system.initrd, plan.source_date).as_bytes());
    hash_tree(&mut hasher, &modules);
    let path = cache.join("initrds").join(hex(&hasher.finish()[..16]));
    if let Ok(bytes) = fs::read(&path) {
        return Ok(bytes);
    }
    let request = initramfs::Request {
        init: &request.programs.init,
        load: &system.initrd.load,
        drivers: &system.initrd.drivers,
        time: plan.source_date,
    };
    let bytes = initramfs::build(&modules, &kernel.release, &request)?;
    keep(&path, &bytes)?;
    Ok(bytes)
}

/// Puts a file into the cache, whole or not at all.
fn keep(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let failed = |source| BuildError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    io::Write::write_all(&mut file, bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The EROFS image and its hash tree, made once for each tree.
fn file_system(
    plan: &Plan,
    request: &Request<'_>,
    tools: &Tools,
    tree: &Tree,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<(PathBuf, PathBuf, [u8; 32]), BuildError> {
    let image = &request.profile.system.as_ref().expect("the plan has a role").image;
    let settings = Settings {
        compression: image.compression.clone(),
        cluster: image.cluster,
        time: plan.source_date,
        uuid: Id::RootFileSystem.derive(&plan.name).to_string(),
    };
    let mut hasher = Hasher::default();
    hasher.update(format!("{COMPOSER} {} {settings:?}", tools.name()).as_bytes());
    hash_tree(&mut hasher, tree);
    let folder = cache.join("roots").join(hex(&hasher.finish()[..16]));
    let paths = |folder: &Path| (folder.join("root.erofs"), folder.join("root.verity"));
    let (erofs, verity) = paths(&folder);
    if let Ok(hash) = fs::read(folder.join("hash")) {
        if let Ok(hash) = hash.try_into() {
            return Ok((erofs, verity, hash));
        }
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Write { path, source }
    };
    let roots = cache.join("roots");
    fs::create_dir_all(&roots).map_err(failed(&roots))?;
    let work = tempfile::Builder::new().prefix(".making-").tempdir_in(&roots);
    let work = work.map_err(failed(&roots))?;
    let (new_erofs, new_verity) = paths(work.path());
    let total = tree.iter().map(|(_, node)| match &node.kind {
        Kind::File(content) => content.size(),
        _ => 0,
    });
    let task = progress.begin("root file system", total.sum(), Unit::Bytes);
    erofs::make(tools, tree, &settings, &new_erofs, &mut |bytes| task.advance(bytes))?;
    drop(task);
    let hash = hash_tree_file(&new_erofs, &new_verity, Id::Verity.derive(&plan.name))
        .map_err(failed(&new_verity))?;
    fs::write(work.path().join("hash"), hash).map_err(failed(work.path()))?;
    let _ = fs::remove_dir_all(&folder); // what an interrupted disk left
    match fs::rename(work.keep(), &folder) {
        Err(source) if !erofs.exists() => Err(failed(&folder)(source)),
        _ => Ok((erofs, verity, hash)),
    }
}

fn hash_tree_file(erofs: &Path, verity: &Path, uuid: Guid) -> io::Result<[u8; 32]> {
    let file = fs::File::open(erofs)?;
    let blocks = file.metadata()?.len().div_ceil(4096);
    let tree =
        formats::verity::Tree::build(file, blocks, &salt(), uuid).map_err(io::Error::other)?;
    fs::write(verity, &tree.hash)?;
    Ok(tree.root)
}
