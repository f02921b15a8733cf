//! The disks that the kernel shows, and who uses them. Start at [`look`]. Reads /sys and /proc below a
//! [`Root`]; opens no disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::content::Content;
use super::plan::Disk;
use crate::bounded::{self, line};
use crate::root::Root;

/// Names of block devices that are no disks: made of other devices, of memory, or with a medium that
/// spins up when it is looked at.
const NO_DISKS: [&str; 12] =
    ["bcache", "dm-", "drbd", "fd", "loop", "md", "nbd", "ram", "rbd", "sr", "zd", "zram"];

/// More disks than this are not looked at; a server has a few dozen bays.
const MOST_DISKS: usize = 256;

/// Where a running system has what it runs from.
const SYSTEM: [&str; 3] = ["/", "/efi", "/var"];

/// All disks but what is on them, sorted by name.
pub(crate) fn look(root: &Root) -> Vec<Disk> {
    let block = root.path("/sys/block");
    let mut names = names_in(&block);
    names.retain(|name| !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.sort();
    names.truncate(MOST_DISKS);
    let used = Used::now(root);
    names.iter().filter_map(|name| disk(&block, name, &used)).collect()
}

/// Whether the kernel shows the disk's first partition.
pub(crate) fn shows_partition(root: &Root, disk: &str) -> bool {
    let folder = root.path("/sys/block").join(disk);
    names_in(&folder).iter().any(|name| line(&folder.join(name).join("partition")).is_some())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// One disk; nothing if it is none, or has no medium.
fn disk(block: &Path, name: &str, used: &Used) -> Option<Disk> {
    let sys = block.join(name);
    let number = |file: &str| line(&sys.join(file))?.parse::<u64>().ok();
    // The kernel counts in these whatever the disk does (Documentation/ABI/stable/sysfs-block, `size`).
    let bytes = number("size")?.checked_mul(512).filter(|bytes| *bytes > 0)?;
    // What the kernel makes up itself is no device; a path of a multipath NVMe disk is hidden.
    if !sys.join("device").exists() || number("hidden") == Some(1) {
        return None;
    }
    let place = sys.canonicalize().unwrap_or_default();
    let place = place.to_string_lossy();
    let (uses, system) = used.by(block, name);
    Some(Disk {
        name: name.to_owned(),
        serial: serial(&sys).and_then(|text| text.parse().ok()),
        wwid: first(&sys, &["wwid", "device/wwid"]),
        model: first(&sys, &["device/model"]),
        bytes,
        sector_bytes: number("queue/logical_block_size").unwrap_or(0),
        removable: number("removable") != Some(0) || place.contains("/usb"),
        remote: is_remote(&sys, &place),
        read_only: number("ro") != Some(0),
        system,
        uses,
        content: Content::NotRead,
    })
}

/// The serial number, as NVMe, virtio and memory cards give it; or as SCSI does, SATA disks included: the
/// text behind four bytes (SPC-4, 7.8.13, "Unit Serial Number VPD page").
fn serial(sys: &Path) -> Option<String> {
    first(sys, &["serial", "device/serial"]).or_else(|| {
        let page = bounded::bytes(&sys.join("device/vpd_pg80")).ok()?;
        clean(page.get(4..)?)
    })
}

/// The first of these files that says something.
fn first(sys: &Path, files: &[&str]) -> Option<String> {
    files.iter().find_map(|file| clean(&bounded::bytes(&sys.join(file)).ok()?))
}

/// What a device says of itself, if it is one line of ASCII.
fn clean(bytes: &[u8]) -> Option<String> {
    /// Longer than any; a WWID made of the maker's name, the model and the serial number has some 70.
    const LONGEST: usize = 256;
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let good = |c: char| c.is_ascii_graphic() || c == ' ';
    let fits = !text.is_empty() && text.len() <= LONGEST && text.chars().all(good);
    fits.then(|| text.to_owned())
}

/// Whether the way to the disk leads over iSCSI, Fibre Channel or NVMe over Fabrics.
fn is_remote(sys: &Path, place: &str) -> bool {
    let fabric = |folder: &Path| line(&folder.join("transport")).is_some_and(|by| by != "pcie");
    let device = sys.join("device");
    // With native multipath the disk belongs to a subsystem, in which are the controllers.
    let mut controllers = names_in(&device).into_iter().filter(|name| name.starts_with("nvme"));
    place.contains("/session")
        || place.contains("/rport-")
        || fabric(&device)
        || controllers.any(|name| fabric(&device.join(name)))
}

/// What is mounted, and what is swap space.
struct Used {
    /// Device number, such as `8:1`, and where it is mounted.
    mounts: Vec<(String, String)>,
    /// Names of devices.
    swaps: Vec<String>,
}

impl Used {
    fn now(root: &Root) -> Used {
        let text = |path: &str| {
            let bytes = bounded::bytes(&root.path(path)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        // proc_pid_mountinfo(5): the device is the third field, the mount point the fifth; some file
        // systems have a device number of their own and name the device behind ` - `.
        let mounts = text("/proc/self/mountinfo");
        let mounts = mounts.lines().flat_map(|line| {
            let (own, rest) = line.split_once(" - ").unwrap_or((line, ""));
            let fields: Vec<&str> = own.split(' ').collect();
            let point = fields.get(4).copied().unwrap_or_default().to_owned();
            let source = rest.split(' ').nth(1).and_then(|source| source.strip_prefix("/dev/"));
            let devices = [fields.get(2).copied(), source].into_iter().flatten();
            devices.map(|device| (device.to_owned(), point.clone())).collect::<Vec<_>>()
        });
        let swaps = text("/proc/swaps");
        let swaps = swaps.lines().filter_map(|line| {
            Some(line.split_whitespace().next()?.strip_prefix("/dev/")?.to_owned())
        });
        Used { mounts: mounts.collect(), swaps: swaps.collect() }
    }

    /// Who uses a disk, and whether the system runs from it.
    fn by(&self, block: &Path, disk: &str) -> (Vec<String>, bool) {
        let mut uses = Vec::new();
        let mut system = false;
        let sys = block.join(disk);
        let partitions = names_in(&sys);
        let partitions = partitions.iter().filter(|name| sys.join(name).join("partition").exists());
        let mut next: Vec<(String, std::path::PathBuf)> =
            std::iter::once((disk.to_owned(), sys.clone()))
                .chain(partitions.map(|name| (name.clone(), sys.join(name))))
                .collect();
        let mut seen = BTreeSet::new();
        while let Some((name, folder)) = next.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let number = line(&folder.join("dev")).unwrap_or_default();
            for (device, point) in &self.mounts {
                if *device == number || *device == name {
                    uses.push(format!("{name} is mounted on {point}"));
                    system |= SYSTEM.contains(&point.as_str());
                }
            }
            if self.swaps.contains(&name) {
                uses.push(format!("{name} is swap space"));
            }
            for holder in names_in(&folder.join("holders")) {
                uses.push(format!("{holder} lies on {name}"));
                next.push((holder.clone(), block.join(&holder)));
            }
        }
        uses.sort();
        uses.dedup();
        (uses, system)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::root::tests::machine;

    /// The usual files of a disk of 1 GiB.
    fn usual(name: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let usual = [
            ("size", "2097152\n"),
            ("removable", "0\n"),
            ("ro", "0\n"),
            ("queue/logical_block_size", "512\n"),
            ("device/model", "DISK 9000   \n"),
        ];
        let all = usual.iter().filter(|(file, _)| more.iter().all(|(other, _)| other != file));
        all.chain(more)
            .map(|(f, text)| (format!("/sys/block/{name}/{f}"), (*text).to_owned()))
            .collect()
    }

    fn looked(disks: &[Vec<(String, String)>], others: &[(&str, &str)]) -> Vec<Disk> {
        let files: Vec<(&str, &str)> = disks
            .iter()
            .flatten()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .chain(others.iter().copied())
            .collect();
        let (_dir, root) = machine(&files);
        look(&root)
    }

    #[test]
    fn each_kind_of_disk_says_its_serial_number() {
        let disks = looked(
            &[
                usual(
                    "nvme0n1",
                    &[("device/serial", "S6Z1NX0T500123      \n"), ("wwid", "eui.1\n")],
                ),
                usual(
                    "sda",
                    &[("device/vpd_pg80", "\0\u{1}\0\u{8}  WD-X 1 "), ("device/wwid", "naa.5\n")],
                ),
                usual("vda", &[("serial", "duet-a1\n")]),
                usual("vdb", &[("serial", "")]),
                usual("vdc", &[("serial", "a\u{1b}[2J")]),
            ],
            &[],
        );
        let said: Vec<_> = disks
            .iter()
            .map(|one| (one.name.as_str(), one.identity().map(|identity| identity.text())))
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            said,
            [
                ("nvme0n1", text("serial S6Z1NX0T500123")),
                ("sda", text("serial WD-X 1")),
                ("vda", text("serial duet-a1")),
                ("vdb", None),
                ("vdc", None),
            ]
        );
        assert_eq!(disks[1].wwid.as_deref(), Some("naa.5"));
        assert_eq!(disks[0].model.as_deref(), Some("DISK 9000"));
        assert_eq!((disks[0].bytes, disks[0].sector_bytes), (1 << 30, 512));
        assert!(disks.iter().all(|one| !one.removable && !one.read_only && !one.remote));
    }

    #[test]
    fn what_is_no_disk_is_not_shown() {
        let disks = looked(
            &[
                usual("loop0", &[]),
                usual("dm-0", &[]),
                usual("sr0", &[]),
                usual("drbd1000", &[]),
                usual("sdb", &[("size", "0\n")]),
                usual("nvme0c0n1", &[("hidden", "1\n")]),
            ],
            &[("/sys/block/made-up/size", "8\n")],
        );
        assert_eq!(disks, []);
    }

    #[test]
    fn what_is_not_said_counts_as_the_worse() {
        let disks = looked(
            &[
                usual("sda", &[("removable", ""), ("ro", "?"), ("queue/logical_block_size", "")]),
                usual("nvme1n1", &[("device/transport", "tcp\n")]),
                usual("nvme2n1", &[("device/nvme2/transport", "rdma\n")]),
                usual("nvme3n1", &[("device/transport", "pcie\n")]),
            ],
            &[],
        );
        let remote: Vec<_> = disks.iter().map(|one| one.remote).collect();
        assert_eq!(remote, [true, true, false, false]);
        let sda = &disks[3];
        assert!(sda.removable && sda.read_only && sda.sector_bytes == 0);
    }

    #[test]
    fn a_disk_is_used_by_what_lies_on_it_however_far_above() {
        let partition = |name: &str, number: &str| -> Vec<(String, String)> {
            let (disk, _) = name.split_at(3);
            let file = |file: &str| format!("/sys/block/{disk}/{name}/{file}");
            vec![(file("partition"), "1\n".into()), (file("dev"), format!("{number}\n"))]
        };
        let disks = looked(
            &[
                usual("vda", &[("dev", "254:0\n")]),
                partition("vda2", "254:2"),
                partition("vda6", "254:6"),
                usual("vdb", &[("dev", "254:16\n")]),
                partition("vdb1", "254:17"),
                usual("vdc", &[("dev", "254:32\n")]),
                partition("vdc1", "254:33"),
                usual("vdd", &[("dev", "254:48\n")]),
                usual("vde", &[("dev", "254:64\n")]),
            ],
            &[
                ("/sys/block/vda/vda2/holders/dm-0/x", ""),
                ("/sys/block/dm-0/dev", "253:0\n"),
                ("/sys/block/vdb/vdb1/holders/md0/x", ""),
                ("/sys/block/md0/dev", "9:0\n"),
                ("/sys/block/md0/holders/dm-1/x", ""),
                ("/sys/block/dm-1/dev", "253:1\n"),
                (
                    "/proc/self/mountinfo",
                    "21 1 253:0 / / ro,relatime shared:1 - erofs /dev/dm-0 ro\n\
                     27 21 254:6 / /var rw,nodev,noatime shared:14 - ext4 /dev/vda6 rw\n\
                     30 21 253:1 / /mnt rw - xfs /dev/mapper/x rw\n\
                     31 21 0:50 / /mnt/b rw - btrfs /dev/vdd rw\n",
                ),
                ("/proc/swaps", "Filename\tType\tSize\n/dev/vdc1 partition 1024 0 -2\n"),
            ],
        );
        let used: Vec<_> = disks.iter().map(|one| (one.system, one.uses.join("; "))).collect();
        let expected = [
            (true, "dm-0 is mounted on /; dm-0 lies on vda2; vda6 is mounted on /var"),
            (false, "dm-1 is mounted on /mnt; dm-1 lies on md0; md0 lies on vdb1"),
            (false, "vdc1 is swap space"),
            (false, "vdd is mounted on /mnt/b"),
            (false, ""),
        ];
        assert_eq!(used, expected.map(|(system, text)| (system, text.to_owned())));
    }
}
