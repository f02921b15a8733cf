//! Mounts, and the change from the initramfs to the real root. Start at [`enter`].

use crate::console::Log;
use crate::failure::Failure;
use rustix::fs::{StatFs, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_move, mount_remount};
use rustix::process::{chdir, chroot};
use std::ffi::CStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where the root is mounted while the initramfs is still `/`.
pub const SYSROOT: &str = "/sysroot";

const NOTHING_ALLOWED: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The kernel's own file systems and memory: source, place, type, flags, options. The limits are
/// those that systemd sets (src/shared/mount-setup.c), which leaves what is mounted as it is.
const KERNEL_MOUNTS: [(&str, &str, MountFlags, &CStr); 3] = [
    ("proc", "/proc", NOTHING_ALLOWED, c""),
    ("sysfs", "/sys", NOTHING_ALLOWED, c""),
    ("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755,size=4m,nr_inodes=64k"),
];

/// Mounts /proc, /sys and /dev in the initramfs.
pub fn mount_kernel() -> Result<(), Failure> {
    for (kind, place, flags, options) in KERNEL_MOUNTS {
        let made = std::fs::create_dir_all(place).map_err(|error| error.to_string());
        made.and_then(|()| {
            mount(kind, place, kind, flags, options).map_err(|error| error.to_string())
        })
        .map_err(|error| Failure::new(&format!("mount {place}"), error, BUILD_AGAIN))?;
    }
    Ok(())
}

/// For what only a wrong image can cause.
pub const BUILD_AGAIN: &str = "The image is not put together as it should be. Build it again and \
     write it again; if that does not help, please report this screen.";

/// Mounts the file system on `device` as the root, read-only.
pub fn mount_root(device: &str) -> Result<(), Failure> {
    // A folder that cannot be made shows as ENOENT from the mount.
    let _ = std::fs::create_dir_all(SYSROOT);
    mount(device, SYSROOT, "erofs", MountFlags::RDONLY, None).map_err(|error| {
        Failure::new(
            &format!("mount the root file system, EROFS on {device}"),
            error,
            "The slot is damaged or not the one that the boot loader's entry belongs to. Start \
             the other slot, or write the image again.",
        )
    })
}

/// Makes the mounted root `/`, takes /dev, /proc and /sys along, and frees the initramfs.
pub fn enter(log: &Log) -> Result<(), Failure> {
    let failed = |what: &str, error: Errno| Failure::new(what, error, BUILD_AGAIN);
    for (_, place, _, _) in KERNEL_MOUNTS {
        mount_move(place, format!("{SYSROOT}{place}"))
            .map_err(|error| failed(&format!("take {place} along into the root"), error))?;
    }
    if is_initramfs() {
        empty_initramfs(Path::new("/"));
    } else {
        log.note("the first root is not an initramfs; nothing of it was deleted");
    }
    let change = || -> Result<(), Errno> {
        chdir(SYSROOT)?;
        mount_move(".", "/")?;
        chroot(".")?;
        chdir("/")
    };
    change().map_err(|error| failed("make the root file system the root", error))
}

/// Only memory may be emptied.
fn is_initramfs() -> bool {
    const RAMFS: i64 = 0x8584_58f6;
    const TMPFS: i64 = 0x0102_1994;
    statfs("/").is_ok_and(|StatFs { f_type, .. }| [RAMFS, TMPFS].contains(&f_type))
}

/// Deletes what lies on the same file system as `folder`, below it. What cannot be deleted stays:
/// it costs memory and nothing else.
fn empty_initramfs(folder: &Path) {
    let Ok(device) = folder.symlink_metadata().map(|found| found.dev()) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = path.symlink_metadata() else { continue };
        if found.dev() != device {
            continue;
        }
        if found.is_dir() {
            empty_initramfs(&path);
            let _ = std::fs::remove_dir(&path);
        } else {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Mounts memory on /run, with systemd's own limits.
pub fn mount_run() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::STRICTATIME;
    mount("tmpfs", "/run", "tmpfs", flags, c"mode=0755,size=20%,nr_inodes=800k")
        .map_err(|error| Failure::new("mount memory on /run", error, BUILD_AGAIN))
}

/// Mounts memory on /var: it forgets everything at the next start.
pub fn mount_memory_var() -> Result<(), Failure> {
    let flags = MountFlags::NODEV | MountFlags::NOATIME;
    mount("tmpfs", "/var", "tmpfs", flags, c"mode=0755,size=50%")
        .map_err(|error| Failure::new("mount memory on /var", error, BUILD_AGAIN))
}

/// Mounts the ESP on /efi, read-only and for root alone. Its seed may hold a join token.
pub fn mount_esp(device: &str) -> Result<(), Errno> {
    mount(device, "/efi", "vfat", NOTHING_ALLOWED | MountFlags::RDONLY, c"umask=0077")
}

/// Shows the file `source` at `target`, read-only.
pub fn bind_file(source: &str, target: &str) -> Result<(), Errno> {
    mount_bind(source, target)?;
    mount_remount(target, NOTHING_ALLOWED | MountFlags::BIND | MountFlags::RDONLY, "")
}
