//! Which kernel modules to load, and in which order. Start at [`Catalogue::parse`]. Loads nothing.
//!
//! The image builder lays three files beside the modules of the initramfs:
//!
//! - `/modules/load`: names that are always loaded, one a line, in this order;
//! - `/modules/alias`: lines `PATTERN NAME`, the patterns of modules.alias for the declared drivers;
//! - `/modules/dep`: lines `NAME: DEPENDENCY…`, each list complete and in the order of loading.
//!
//! `loop` is loaded by name, for netboot.
//! The module itself is `/modules/NAME.ko`, not compressed. In names `-` and `_` are the same.

use crate::glob;
use std::collections::{BTreeMap, BTreeSet};

/// The three files, read.
#[derive(Debug, Default)]
pub struct Catalogue {
    always: Vec<String>,
    aliases: Vec<(String, String)>,
    dependencies: BTreeMap<String, Vec<String>>,
}

/// The kernel writes `-` in a module's name as `_`.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Lines with content; `#` begins a comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

impl Catalogue {
    /// Reads the contents of `load`, `alias` and `dep`. A line of another shape is passed over: the
    /// builder wrote them, and a machine that starts without one driver is better than none.
    pub fn parse(load: &str, alias: &str, dep: &str) -> Self {
        let alias_of = |line: &str| {
            let (pattern, name) = line.rsplit_once(char::is_whitespace)?;
            Some((pattern.trim().to_owned(), normal(name)))
        };
        let dependencies_of = |line: &str| {
            let (name, needed) = line.split_once(':')?;
            Some((normal(name), needed.split_whitespace().map(normal).collect()))
        };
        Self {
            always: lines(load).map(normal).collect(),
            aliases: lines(alias).filter_map(alias_of).collect(),
            dependencies: lines(dep).filter_map(dependencies_of).collect(),
        }
    }

    /// What is loaded on every machine, each after what it needs.
    pub fn always(&self) -> Vec<String> {
        self.in_order(self.always.iter())
    }

    /// What drives the device that says `modalias`, each after what it needs.
    pub fn for_device(&self, modalias: &str) -> Vec<String> {
        let modalias = modalias.trim();
        let drives = |(pattern, _): &&(String, String)| glob::matches(pattern, modalias);
        self.in_order(self.aliases.iter().filter(drives).map(|(_, name)| name))
    }

    /// The module `name`, after what it needs.
    pub fn named(&self, name: &str) -> Vec<String> {
        self.in_order([&normal(name)].into_iter())
    }

    fn in_order<'a>(&'a self, names: impl Iterator<Item = &'a String>) -> Vec<String> {
        let mut seen = BTreeSet::new();
        names
            .flat_map(|name| self.dependencies.get(name).into_iter().flatten().chain([name]))
            .filter(|name| seen.insert(name.as_str()))
            .cloned()
            .collect()
    }
}

/// How soon a device's driver is to be loaded, 0 first: by how likely the root hangs on the device,
/// and how quick its driver is. `None`: not by /init at all.
///
/// A driver holds /init until it has looked at all its ports: an AHCI controller takes seconds for
/// empty ones, and a machine that starts from NVMe need not wait for that. What comes after the
/// root's own device is left to the real system, and so are network cards always: their drivers
/// look for firmware, which is in the root.
pub fn rank(modalias: &str) -> Option<u8> {
    const RANKS: [(&str, Option<u8>); 10] = [
        ("pci:*bc01sc08*", Some(0)),     // NVMe
        ("virtio:d00000002v*", Some(0)), // a virtual disk
        ("scsi:t-0x00*", Some(0)),       // a disk behind any controller
        ("virtio:d00000008v*", Some(1)), // a virtual SCSI controller
        ("pci:*bc01sc04*", Some(2)),     // RAID
        ("pci:*bc01sc07*", Some(2)),     // SAS
        ("pci:*bc01*", Some(3)),         // AHCI, and any other storage
        ("pci:*bc0Csc03*", Some(5)),     // USB
        ("pci:*bc02*", None),            // network
        ("virtio:d00000001v*", None),    // virtual network
    ];
    let rank = RANKS.iter().find(|(pattern, _)| glob::matches(pattern, modalias));
    rank.map_or(Some(4), |&(_, rank)| rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        Catalogue::parse(
            "# always\ncrc32c_generic\nerofs\ndm-verity\n",
            "pci:v*d*sv*sd*bc01sc08i02* nvme\nvirtio:d00000002v* virtio-blk\n\
             pci:v00008086d*sv*sd*bc01sc06i01* ahci\npci:v*d*sv*sd*bc01sc06i01* ahci\n",
            "erofs: libcrc32c netfs\ndm_verity: dm-mod dm_bufio reed_solomon\n\
             nvme: nvme_core\nahci: scsi_common scsi_mod libata libahci\nnetfs:\n",
        )
    }

    #[test]
    fn what_is_always_loaded_comes_after_what_it_needs() {
        let expected =
            "crc32c_generic libcrc32c netfs erofs dm_mod dm_bufio reed_solomon dm_verity";
        assert_eq!(catalogue().always().join(" "), expected);
    }

    #[test]
    fn a_device_finds_its_driver_once() {
        let ahci = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01\n";
        let expected = "scsi_common scsi_mod libata libahci ahci";
        assert_eq!(catalogue().for_device(ahci).join(" "), expected);
        assert_eq!(catalogue().for_device("virtio:d00000002v00001AF4"), ["virtio_blk"]);
        assert_eq!(catalogue().named("virtio-blk"), ["virtio_blk"]);
        assert!(catalogue().for_device("virtio:d00000001v00001AF4").is_empty());
    }

    #[test]
    fn the_likeliest_disk_comes_first() {
        let mut devices = [
            "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00",
            "pci:v00001033d00000194sv00001AF4sd00001100bc0Csc03i30",
            "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
            "pci:v00001000d0000005Dsv00001028sd00001F42bc01sc04i00",
            "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02",
        ];
        devices.sort_by_key(|modalias| rank(modalias));
        let classes = devices.map(|modalias| &modalias[modalias.len() - 11..modalias.len() - 3]);
        assert_eq!(classes[..3], ["bc01sc08", "bc01sc04", "bc01sc06"]);
        assert_eq!(classes[4], "bc0Csc03", "what USB brings is driven before more USB is sought");
    }

    #[test]
    fn network_cards_are_left_to_the_real_system() {
        assert_eq!(rank("pci:v000015B3d00001017sv000015B3sd00000007bc02sc00i00"), None);
        assert_eq!(rank("virtio:d00000001v00001AF4"), None);
        assert_eq!(rank("vmbus:d96361baa104294db60572e2ffb1dc7f"), Some(4));
    }

    #[test]
    fn malformed_lines_are_passed_over() {
        let catalogue = Catalogue::parse("", "lonely\n a* b \n", "nocolon\n");
        assert_eq!(catalogue.for_device("abc"), ["b"]);
        assert!(catalogue.always().is_empty());
    }
}
