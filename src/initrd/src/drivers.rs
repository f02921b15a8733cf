//! Which kernel modules to load, and in which order. Start at [`Catalogue::parse`]. Loads nothing.
//!
//! The image builder lays three files beside the modules of the initramfs:
//!
//! - `/modules/load`: names that are always loaded, one a line, in this order;
//! - `/modules/alias`: lines `PATTERN NAME`, the patterns of modules.alias for the declared drivers;
//! - `/modules/dep`: lines `NAME: DEPENDENCY…`, each list complete and in the order of loading.
//!
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

    fn in_order<'a>(&'a self, names: impl Iterator<Item = &'a String>) -> Vec<String> {
        let mut seen = BTreeSet::new();
        names
            .flat_map(|name| self.dependencies.get(name).into_iter().flatten().chain([name]))
            .filter(|name| seen.insert(name.as_str()))
            .cloned()
            .collect()
    }
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
        assert!(catalogue().for_device("virtio:d00000001v00001AF4").is_empty());
    }

    #[test]
    fn malformed_lines_are_passed_over() {
        let catalogue = Catalogue::parse("", "lonely\n a* b \n", "nocolon\n");
        assert_eq!(catalogue.for_device("abc"), ["b"]);
        assert!(catalogue.always().is_empty());
    }
}
