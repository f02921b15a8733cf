//! What comes out of a build: UKI, netboot image, disk image, manifest, SBOM.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::root::Root;
use super::{BuildError, Clock, Outcome, Plan, Request, SeedFiles, stamp};
use crate::digest::{Hasher, hex};
use crate::disk::{self, EspFile, Layout};
use crate::manifest::{Artefact, Manifest, spdx};
use crate::progress::{Progress, Task, Unit};

/// Firmware often refuses a UKI above 300 MB; the shared one must stay far below.
const MAX_UKI: usize = 200 << 20;

/// Why a UKI was not made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum UkiError {
    /// The stub or a section.
    #[error("cannot make the UKI")]
    #[diagnostic(code(tool::uki), help("lock another version of systemd-boot-efi"))]
    Format(#[source] formats::uki::UkiError),
    /// The netboot image's root.
    #[error("cannot put the root into the netboot image")]
    #[diagnostic(code(output::too_small), help("leave packages out of the profile"))]
    Archive(#[source] formats::cpio::CpioError),
    /// Larger than firmware takes.
    #[error("the UKI would be {mib} MiB, and firmware refuses such large programs")]
    #[diagnostic(code(output::too_small), help("declare fewer drivers in the profile's [initrd]"))]
    TooLarge {
        /// MiB.
        mib: usize,
    },
}

/// The artefacts' file names.
pub(super) fn names(name: &str, seed: Option<&SeedFiles>) -> Vec<String> {
    let endings = [
        "efi",
        "netboot.efi",
        "root.erofs",
        "root.verity",
        "files.txt",
        "spdx.json",
        "manifest.json",
    ];
    let mut names: Vec<String> = endings.iter().map(|end| format!("{name}.{end}")).collect();
    names.push(disk_name(name, seed));
    names
}

fn disk_name(name: &str, seed: Option<&SeedFiles>) -> String {
    seed.map_or_else(|| format!("{name}.raw"), |seed| format!("{name}-{}.raw", seed.name))
}

pub(super) fn disk_path(plan: &Plan, request: &Request<'_>) -> PathBuf {
    plan.out.join(disk_name(&plan.name, request.seed.as_ref()))
}

/// Writes every artefact under a temporary name, then gives all of them their names.
pub(super) fn write(
    plan: &Plan,
    request: &Request<'_>,
    root: &Root,
    progress: &dyn Progress,
    clock: &mut Clock,
) -> Result<Outcome, BuildError> {
    let out = &plan.out;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Write { path, source }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let size = |path: &Path| fs::metadata(path).map(|meta| meta.len()).map_err(failed(path));
    let (root_bytes, verity_bytes) = (size(&root.erofs)?, size(&root.verity)?);
    let cmdline = format!("{} duet.root={}", plan.cmdline, hex(&root.hash));
    let uki = uki(root, &cmdline, &root.initrd)?;
    let image = &request.profile.system.as_ref().expect("the plan has a role").image;
    disk::check_sizes(image, root_bytes, verity_bytes, uki.len() as u64)?;
    if uki.len() > MAX_UKI {
        return Err(UkiError::TooLarge { mib: uki.len() >> 20 }.into());
    }
    let parts = root_bytes + verity_bytes;
    check_space(out, 3 * parts + 3 * uki.len() as u64)?;
    let work =
        tempfile::Builder::new().prefix(".building-").tempdir_in(out).map_err(failed(out))?;
    let task = progress.begin("artefacts", 3 * parts + 2 * uki.len() as u64, Unit::Bytes);
    let raw_name = disk_name(&plan.name, request.seed.as_ref());
    let layout = Layout::new(image, &disk_identity(plan, request), &root.hash)?;
    let esp = esp_files(plan, request, root, &uki);
    let raw = work.path().join(&raw_name);
    let manifest = std::thread::scope(|scope| {
        let disk = scope.spawn(|| {
            disk::write(&raw, &layout, &esp, &root.erofs, &root.verity, plan.source_date, &*task)
        });
        let manifest = match stamp::shared(plan) {
            Some(manifest) => manifest,
            None => {
                let manifest = manifest(plan, request, root, cmdline, root_bytes);
                write_shared(plan, root, &uki, manifest, work.path(), &*task)?
            }
        };
        disk.join().expect("the disk's thread does not panic")?;
        Ok::<_, BuildError>(manifest)
    })?;
    drop(task);
    for name in &plan.artefacts {
        let (from, to) = (work.path().join(name), out.join(name));
        if from.exists() {
            fs::rename(&from, &to).map_err(failed(&to))?;
        }
    }
    clock.lap("artefacts");
    Ok(Outcome { manifest, disk: out.join(raw_name), unchanged: false, seconds: Vec::new() })
}

/// Writes what all rooms share, the netboot image beside the others, and the manifest last, with the
/// hash of each.
fn write_shared(
    plan: &Plan,
    root: &Root,
    uki: &[u8],
    mut manifest: Manifest,
    work: &Path,
    task: &dyn Task,
) -> Result<Manifest, BuildError> {
    let name = &plan.name;
    let writer = Writer { work, task };
    manifest.artefacts = std::thread::scope(|scope| {
        let netboot = scope.spawn(|| {
            let netboot = uki_with_root(root, &plan.cmdline, plan.source_date)?;
            writer.bytes(&format!("{name}.netboot.efi"), &netboot)
        });
        let mut artefacts = vec![
            writer.copy(&format!("{name}.root.erofs"), &root.erofs)?,
            writer.copy(&format!("{name}.root.verity"), &root.verity)?,
            writer.bytes(&format!("{name}.files.txt"), root.files.as_bytes())?,
            writer.bytes(&format!("{name}.efi"), uki)?,
            writer.bytes(&format!("{name}.spdx.json"), spdx(&manifest).as_bytes())?,
        ];
        artefacts.push(netboot.join().expect("the netboot image's thread does not panic")?);
        Ok::<_, BuildError>(artefacts)
    })?;
    manifest.artefacts.sort_by(|a, b| a.name.cmp(&b.name));
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data") + "\n";
    writer.bytes(&format!("{name}.manifest.json"), text.as_bytes())?;
    Ok(manifest)
}

/// What the disk's identifiers are derived from: two nodes' disks must differ.
fn disk_identity(plan: &Plan, request: &Request<'_>) -> String {
    let seed = request.seed.as_ref().map_or("", |seed| seed.name.as_str());
    format!("{} {seed}", plan.name)
}

fn manifest(
    plan: &Plan,
    request: &Request<'_>,
    root: &Root,
    cmdline: String,
    root_bytes: u64,
) -> Manifest {
    Manifest {
        format: 1,
        profile: request.profile.name.clone(),
        role: plan.role.clone(),
        version: plan.version.clone(),
        source_date: plan.source_date,
        inputs: plan.shared_inputs.clone(),
        lock_sha256: hex(&crate::digest::sha256(request.lock.encode().as_bytes())),
        kernel: root.kernel.release.clone(),
        root_hash: hex(&root.hash),
        cmdline,
        root_bytes,
        artefacts: Vec::new(),
        packages: root.packages.clone(),
        components: plan.components.clone(),
        unreviewed: root.unreviewed.clone(),
    }
}

/// The ESP's files. The UKI's name counts its boots from three down (Boot Loader Specification,
/// "Boot counting"), and there is no second name without a count beside it.
fn esp_files<'a>(
    plan: &Plan,
    request: &'a Request<'_>,
    root: &'a Root,
    uki: &'a [u8],
) -> Vec<EspFile<'a>> {
    let mut files = vec![
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), root.loader.as_slice()),
        (format!("EFI/Linux/{}+3-0.efi", plan.name), uki),
        ("loader/loader.conf".to_owned(), request.loader_conf.as_bytes()),
    ];
    if let Some(seed) = &request.seed {
        files.push(("duet/seed.toml".into(), seed.seed.as_bytes()));
        files.push(("duet/seed.sig".into(), seed.signature.as_bytes()));
        files.push(("duet/seed.secrets".into(), seed.secrets.as_bytes()));
    }
    files
}

fn uki(root: &Root, cmdline: &str, initrd: &[u8]) -> Result<Vec<u8>, UkiError> {
    let parts = formats::uki::Parts {
        linux: &root.kernel.image,
        os_release: &root.os_release,
        cmdline,
        initrd,
        microcode: &root.kernel.microcode,
        uname: &root.kernel.release,
        ..Default::default()
    };
    formats::uki::build(&root.stub, &parts).map_err(UkiError::Format)
}

/// The same UKI with the root itself beside the initrd: what a machine without a disk boots over
/// the network. The kernel unpacks archives one after another; the second is not compressed, since
/// the root is.
fn uki_with_root(root: &Root, cmdline: &str, time: u64) -> Result<Vec<u8>, BuildError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| BuildError::Write { path: path.to_owned(), source })
    };
    let time = u32::try_from(time).unwrap_or(u32::MAX);
    let mut writer = formats::cpio::Writer::after(root.initrd.clone(), time);
    for (name, path) in [("root.erofs", &root.erofs), ("root.verity", &root.verity)] {
        writer.file(name, 0o644, &read(path)?).map_err(UkiError::Archive)?;
    }
    let cmdline = format!("{cmdline} rootfstype=ramfs duet.netboot duet.root={}", hex(&root.hash));
    Ok(uki(root, &cmdline, &writer.finish())?)
}

/// Refuses before writing when the folder's disk is too full.
fn check_space(out: &Path, needs: u64) -> Result<(), BuildError> {
    let stat = rustix::fs::statvfs(out)
        .map_err(|error| BuildError::Write { path: out.into(), source: error.into() })?;
    let has = stat.f_bavail * stat.f_frsize;
    if has < needs {
        let (has, needs) = (has >> 20, needs.div_ceil(1 << 20));
        return Err(BuildError::Full { path: out.into(), has, needs });
    }
    Ok(())
}

struct Writer<'a> {
    work: &'a Path,
    task: &'a dyn Task,
}

impl Writer<'_> {
    fn bytes(&self, name: &str, bytes: &[u8]) -> Result<Artefact, BuildError> {
        let path = self.work.join(name);
        fs::write(&path, bytes).map_err(|source| BuildError::Write { path, source })?;
        self.task.advance(bytes.len() as u64);
        let sha256 = hex(&crate::digest::sha256(bytes));
        Ok(Artefact { name: name.into(), size: bytes.len() as u64, sha256 })
    }

    fn copy(&self, name: &str, from: &Path) -> Result<Artefact, BuildError> {
        let path = self.work.join(name);
        let failed = |source| BuildError::Write { path: path.clone(), source };
        let (size, sha256) = copy_hashed(from, &path).map_err(failed)?;
        self.task.advance(size);
        Ok(Artefact { name: name.into(), size, sha256: hex(&sha256) })
    }
}

fn copy_hashed(from: &Path, to: &Path) -> io::Result<(u64, [u8; 32])> {
    let (mut from, mut to) = (fs::File::open(from)?, fs::File::create(to)?);
    let (mut hasher, mut size) = (Hasher::default(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = io::Read::read(&mut from, &mut buffer)?;
        if count == 0 {
            return Ok((size, hasher.finish()));
        }
        hasher.update(&buffer[..count]);
        io::Write::write_all(&mut to, &buffer[..count])?;
        size += count as u64;
    }
}
