//! A QEMU machine that boots /init by itself: no firmware, no systemd, one disk.
//!
//! Kernel, modules and most tools are those of the demo's image; see [`Rig::new`].
#![allow(clippy::unwrap_used)]

use formats::cpio::Writer;
use formats::gpt::{Guid, SECTOR, Table, Wanted};
use formats::uki::Uki;
use formats::verity::{BLOCK, Tree};
use lab::Tools;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tests::demo::{cache, demo, extract};
use tests::judge::ask_tool;
use tests::programs::{kept, node_program, probe};
use tests::rooms::lab_tools;

/// A boot takes 10 s on a quiet computer without KVM; this is for a busy one.
const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// Loaded on every machine, in this order. crc32c comes first: libcrc32c and ext4 look for it when
/// they start and do not say so in their dependencies.
const ALWAYS: [&str; 8] =
    ["crc32c_generic", "libcrc32c", "erofs", "dm_verity", "ext4", "vfat", "nls_cp437", "nls_ascii"];
/// Loaded when a device asks for them.
const DRIVERS: [&str; 10] = [
    "virtio_blk",
    "virtio_scsi",
    "nvme",
    "ahci",
    "sd_mod",
    "xhci_pci",
    "ehci_pci",
    "usb_storage",
    "uas",
    "loop",
];

/// What the machines are made of.
pub(crate) struct Rig {
    tools: Tools,
    kernel: PathBuf,
    /// The root of the demo's image as a folder.
    tree: PathBuf,
    /// Where everything is written; removed at the end.
    pub(crate) folder: PathBuf,
    modules: BTreeMap<String, Vec<u8>>,
    /// The root file system, and its hash tree.
    pub(crate) root: Vec<u8>,
    pub(crate) verity: Tree,
}

/// Where the disk hangs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Controller {
    Virtio,
    Nvme,
    Ahci,
    Usb,
}

/// One boot.
pub(crate) struct Boot<'a> {
    pub(crate) append: String,
    pub(crate) disk: Option<(&'a Path, Controller)>,
    /// Files added to the initramfs.
    pub(crate) extra: &'a [(&'a str, &'a [u8])],
    /// Pull the plug so long after this appeared on the console.
    pub(crate) cut: Option<(&'a str, Duration)>,
}

impl Rig {
    /// What a machine takes: QEMU of the lab, the kernel out of the demo's UKI, modules and tools out
    /// of its root, mkfs.erofs of the build's tools, and `probe` in the place of systemd.
    pub(crate) fn new(test: &str) -> Self {
        let folder = kept("init").join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let uki = fs::read(demo().rooms[0].artefact(".efi")).unwrap();
        let kernel = folder.join("linux");
        fs::write(&kernel, Uki::parse(&uki).unwrap().section(".linux").unwrap()).unwrap();
        let mut rig = Self {
            tools: lab_tools(),
            kernel,
            tree: tree(),
            folder,
            modules: BTreeMap::new(),
            root: Vec::new(),
            verity: Tree { root: [0; 32], hash: Vec::new() },
        };
        let modules = rig.tree.join("usr/lib/modules");
        let all = find_modules(&modules);
        for name in ALWAYS.iter().chain(&DRIVERS) {
            rig.add_module(name, &all);
        }
        rig.root = rig.make_root();
        let blocks = (rig.root.len() / BLOCK) as u64;
        rig.verity = Tree::build(&rig.root[..], blocks, &[7; 32], Guid::derived([8; 16])).unwrap();
        rig
    }

    /// The root hash in hexadecimal digits.
    pub(crate) fn hash(&self) -> String {
        self.verity.root.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn add_module(&mut self, name: &str, all: &BTreeMap<String, PathBuf>) {
        if self.modules.contains_key(name) {
            return;
        }
        let path = all.get(name).unwrap_or_else(|| panic!("the kernel has no module {name}"));
        let out = Command::new("xz").arg("-dc").arg(path).output().unwrap();
        assert!(out.status.success(), "xz {path:?}: {out:?}");
        let depends = info(&out.stdout, "depends=");
        self.modules.insert(name.to_owned(), out.stdout);
        for needed in
            depends.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty())
        {
            self.add_module(&needed.replace('-', "_"), all);
        }
    }

    /// What `name` needs, first things first, without itself.
    fn needs(&self, name: &str, found: &mut Vec<String>) {
        for needed in info(&self.modules[name], "depends=").iter().flat_map(|list| list.split(','))
        {
            let needed = needed.replace('-', "_");
            if !needed.is_empty() && !found.contains(&needed) {
                self.needs(&needed, found);
                found.push(needed);
            }
        }
    }

    /// Runs a program of the tree with the tree's own loader.
    fn tool(&self, program: &str, arguments: &[&str]) {
        let library = self.tree.join("usr/lib/x86_64-linux-gnu");
        let out = Command::new(self.tree.join("usr/lib64/ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(library)
            .arg(self.tree.join(program))
            .args(arguments)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert!(out.status.success(), "{program} {arguments:?}: {out:?}");
    }

    fn make_root(&self) -> Vec<u8> {
        let root = self.folder.join("root");
        for place in
            ["dev", "proc", "sys", "run", "var", "efi", "etc", "usr/sbin", "usr/lib/systemd"]
        {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        for link in ["lib", "lib64", "sbin"] {
            symlink(format!("usr/{link}"), root.join(link)).unwrap();
        }
        File::create(root.join("etc/machine-id")).unwrap();
        let library = "usr/lib/x86_64-linux-gnu";
        fs::create_dir_all(root.join(library)).unwrap();
        fs::create_dir_all(root.join("usr/lib64")).unwrap();
        let mut files: Vec<String> =
            ["etc/mke2fs.conf", "usr/lib64/ld-linux-x86-64.so.2"].map(str::to_owned).into();
        files.extend(
            ["mke2fs", "mkfs.ext4", "e2fsck", "resize2fs"].map(|name| format!("usr/sbin/{name}")),
        );
        let wanted =
            ["libext2fs.so", "libcom_err.so", "libe2p.so", "libblkid.so", "libuuid.so", "libc.so."];
        for entry in fs::read_dir(self.tree.join(library)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if wanted.iter().any(|prefix| name.starts_with(prefix)) {
                files.push(format!("{library}/{name}"));
            }
        }
        for file in files {
            fs::copy(self.tree.join(&file), root.join(&file)).unwrap();
        }
        let place = root.join("usr/lib/systemd/systemd");
        fs::copy(probe(), &place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        let image = self.folder.join("root.erofs");
        let words = ["--all-root", "-zzstd,3", "-C65536"];
        let words = [&words[0], &words[1], &words[2], &image, &root] as [&dyn AsRef<OsStr>; 5];
        let _ = ask_tool(&cache(), "usr/bin/mkfs.erofs", &words).well();
        fs::read(image).unwrap()
    }

    /// A disk of `mib` MiB with both slots, the filled one being `slot`, and a state of 16 MiB.
    pub(crate) fn disk(&self, name: &str, slot: &str, mib: u64) -> PathBuf {
        let (data, tree) = Guid::of_verity(&self.verity.root);
        let filled = |wanted: &str, guid, number| {
            if slot == wanted { guid } else { Guid::derived([number; 16]) }
        };
        let size = |bytes: &[u8]| bytes.len() as u64;
        let wanted = [
            ("duet-esp", Guid::ESP, Guid::derived([1; 16]), 36 << 20),
            ("duet-root-a", Guid::ROOT_X86_64, filled("a", data, 2), size(&self.root)),
            (
                "duet-verity-a",
                Guid::ROOT_X86_64_VERITY,
                filled("a", tree, 3),
                size(&self.verity.hash),
            ),
            ("duet-root-b", Guid::ROOT_X86_64, filled("b", data, 4), size(&self.root)),
            (
                "duet-verity-b",
                Guid::ROOT_X86_64_VERITY,
                filled("b", tree, 5),
                size(&self.verity.hash),
            ),
            ("duet-state", Guid::VAR, Guid::derived([6; 16]), 16 << 20),
        ];
        let wanted = wanted.map(|(name, type_guid, guid, bytes)| Wanted {
            type_guid,
            guid,
            bytes,
            attributes: 0,
            name: name.to_owned(),
        });
        let table = Table::layout(Guid::derived([9; 16]), wanted.into()).unwrap();
        let path = self.folder.join(name);
        let disk = File::create(&path).unwrap();
        disk.set_len((mib << 20).max(table.sectors * SECTOR)).unwrap();
        let encoded = table.encode().unwrap();
        disk.write_all_at(&encoded.head, 0).unwrap();
        disk.write_all_at(&encoded.tail, table.sectors * SECTOR - size(&encoded.tail)).unwrap();
        let at = |number: usize| table.partitions[number - 1].offset();
        let first = if slot == "a" { 2 } else { 4 };
        disk.write_all_at(&self.root, at(first)).unwrap();
        disk.write_all_at(&self.verity.hash, at(first + 1)).unwrap();
        disk.write_all_at(&self.esp(), at(1)).unwrap();
        path
    }

    fn esp(&self) -> Vec<u8> {
        let path = self.folder.join("esp");
        File::create(&path).unwrap().set_len(36 << 20).unwrap();
        self.tool("usr/sbin/mkfs.vfat", &["-F", "32", path.to_str().unwrap()]);
        fs::read(path).unwrap()
    }

    /// The initramfs, in the shape that /init is promised (see its `drivers` module).
    pub(crate) fn initramfs(&self, extra: &[(&str, &[u8])]) -> Vec<u8> {
        let mut cpio = Writer::new(0);
        cpio.file("init", 0o755, &fs::read(node_program("initrd")).unwrap()).unwrap();
        cpio.directory("modules", 0o755).unwrap();
        let (mut alias, mut dep) = (String::new(), String::new());
        for (name, module) in &self.modules {
            cpio.file(&format!("modules/{name}.ko"), 0o644, module).unwrap();
            let mut needs = Vec::new();
            self.needs(name, &mut needs);
            dep += &format!("{name}: {}\n", needs.join(" "));
            if DRIVERS.contains(&name.as_str()) {
                info(module, "alias=")
                    .iter()
                    .for_each(|pattern| alias += &format!("{pattern} {name}\n"));
            }
        }
        cpio.file("modules/load", 0o644, ALWAYS.join("\n").as_bytes()).unwrap();
        cpio.file("modules/alias", 0o644, alias.as_bytes()).unwrap();
        cpio.file("modules/dep", 0o644, dep.as_bytes()).unwrap();
        for (path, content) in extra {
            cpio.file(path, 0o644, content).unwrap();
        }
        cpio.finish()
    }

    /// Boots until the machine switches itself off or restarts, and returns what its console said.
    pub(crate) fn boot(&self, boot: &Boot<'_>) -> String {
        let initramfs = self.folder.join("initramfs");
        fs::write(&initramfs, self.initramfs(boot.extra)).unwrap();
        let console = self.folder.join("console");
        let _ = fs::remove_file(&console);
        let mut qemu = self.tools.qemu();
        qemu.args(["-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "1", "-m", "512"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&initramfs)
            .arg("-append")
            .arg(format!("console=ttyS0 loglevel=7 panic=-1 duet.panic=1 {}", boot.append));
        if let Some((disk, controller)) = boot.disk {
            let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
            qemu.args(["-drive", &drive]).args(match controller {
                Controller::Virtio => &["-device", "virtio-blk-pci,drive=disk"][..],
                Controller::Nvme => &["-device", "nvme,drive=disk,serial=1"],
                Controller::Ahci => {
                    &["-device", "ich9-ahci,id=a", "-device", "ide-hd,drive=disk,bus=a.0"]
                }
                Controller::Usb => &["-device", "qemu-xhci", "-device", "usb-storage,drive=disk"],
            });
        }
        let mut child = Guard(qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let started = Instant::now();
        let said = || String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
        loop {
            if child.0.try_wait().unwrap().is_some() {
                return said();
            }
            assert!(started.elapsed() < BOOT_LIMIT, "the boot does not end:\n{}", said());
            if let Some((_, delay)) = boot.cut.filter(|(mark, _)| said().contains(mark)) {
                std::thread::sleep(delay);
                drop(child);
                return said();
            }
            std::thread::sleep(Duration::from_millis(if boot.cut.is_some() { 5 } else { 50 }));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Ends its QEMU, also when a test fails.
struct Guard(std::process::Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The root of the demo's image as a folder, laid out once for all tests.
fn tree() -> PathBuf {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    let lay_out = || {
        let tree = kept("init").join("tree");
        let _ = extract(&demo().rooms[0], &tree).well();
        tree
    };
    TREE.get_or_init(lay_out).clone()
}

/// All modules of a kernel by their normal names.
fn find_modules(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.append(&mut find_modules(&entry.path()));
        } else if let Some(name) = name.strip_suffix(".ko.xz") {
            found.insert(name.replace('-', "_"), entry.path());
        }
    }
    found
}

/// The strings `key…` of a module's .modinfo section, each between two NULs.
fn info(module: &[u8], key: &str) -> Vec<String> {
    let strings = module.split(|&byte| byte == 0);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    strings.filter_map(|bytes| text(bytes.strip_prefix(key.as_bytes())?)).collect()
}
