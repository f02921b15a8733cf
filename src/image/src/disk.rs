//! The disk image: partition table, ESP, slot A, and room for slot B and the state.
//!
//! Start at [`Layout`] and [`write()`]. The image is sparse: it is as large as the disk it stands for
//! and takes only what is in it. Every identifier is derived from the build's inputs, so that the
//! same inputs give the same bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use formats::fat::{Entry, Volume};
use formats::gpt::{self, GptError, Guid, Table, Wanted};

use crate::digest::sha256;
use crate::progress::Task;

const MIB: u64 = 1 << 20;

/// Why a disk image cannot be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DiskError {
    /// A part is larger than its place.
    #[error("{what} needs {needs} MiB, and the profile gives it {has} MiB")]
    #[diagnostic(
        code(output::too_small),
        help("raise {key} in the profile's [image], or leave packages out")
    )]
    TooSmall {
        /// `the root file system`, …
        what: &'static str,
        /// The profile's key.
        key: &'static str,
        /// MiB, rounded up.
        needs: u64,
        /// MiB.
        has: u64,
    },
    /// The partition table.
    #[error("cannot lay out the disk")]
    #[diagnostic(code(input::sizes), help("correct the sizes in the profile's [image]"))]
    Table(#[source] GptError),
    /// The ESP's file system.
    #[error("cannot make the ESP")]
    #[diagnostic(code(output::esp), help("raise esp_mib in the profile's [image]"))]
    Esp(#[source] formats::fat::FatError),
    /// The file could not be written.
    #[error("cannot write {path}")]
    #[diagnostic(
        code(output::write),
        help("see that the disk has space and that the folder is writable")
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Sizes of the partitions, MiB.
pub type Sizes = site::Image;

/// Which identifier a derived GUID stands for.
#[derive(Clone, Copy, Debug)]
pub enum Id {
    /// The disk.
    Disk,
    /// The ESP's partition.
    Esp,
    /// The empty slot's root.
    EmptyRoot,
    /// The empty slot's hash tree.
    EmptyVerity,
    /// The state partition.
    State,
    /// The EROFS file system.
    RootFileSystem,
    /// The hash tree's superblock.
    Verity,
}

impl Id {
    /// A GUID from the build's name: the same name gives the same identifier.
    pub fn derive(self, name: &str) -> Guid {
        let hash = sha256(format!("duet {self:?} {name}").as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        Guid::derived(half)
    }
}

/// Where everything lies on the disk.
pub struct Layout {
    /// The partition table.
    pub table: Table,
}

/// The ESP, slot A, slot B, the state: the order of the partitions.
pub const ESP: usize = 0;
/// Slot A's root.
pub const ROOT_A: usize = 1;
/// Slot A's hash tree.
pub const VERITY_A: usize = 2;

impl Layout {
    /// Lays out a disk whose slot A holds the root with this hash.
    ///
    /// # Errors
    /// When the profile's sizes make no disk.
    pub fn new(sizes: &Sizes, name: &str, root_hash: &[u8; 32]) -> Result<Self, DiskError> {
        let (root, verity) = Guid::of_verity(root_hash);
        let empty = (Id::EmptyRoot.derive(name), Id::EmptyVerity.derive(name));
        let read_only = gpt::READ_ONLY;
        let parts = [
            ("duet-esp", Guid::ESP, Id::Esp.derive(name), sizes.esp_mib, 0),
            ("duet-root-a", Guid::ROOT_X86_64, root, sizes.root_mib, read_only),
            ("duet-verity-a", Guid::ROOT_X86_64_VERITY, verity, sizes.verity_mib, read_only),
            ("duet-root-b", Guid::ROOT_X86_64, empty.0, sizes.root_mib, read_only),
            ("duet-verity-b", Guid::ROOT_X86_64_VERITY, empty.1, sizes.verity_mib, read_only),
            ("duet-state", Guid::VAR, Id::State.derive(name), sizes.state_mib, 0),
        ];
        let wanted = parts.map(|(name, type_guid, guid, mib, attributes)| Wanted {
            type_guid,
            guid,
            bytes: u64::from(mib) * MIB,
            attributes,
            name: name.into(),
        });
        let table =
            Table::layout(Id::Disk.derive(name), wanted.into()).map_err(DiskError::Table)?;
        Ok(Layout { table })
    }

    /// Bytes of the whole disk.
    pub fn bytes(&self) -> u64 {
        self.table.sectors * gpt::SECTOR
    }

    fn offset(&self, partition: usize) -> u64 {
        self.table.partitions[partition].offset()
    }
}

/// A file that goes into the ESP: path and bytes.
pub type EspFile<'a> = (String, &'a [u8]);

/// Refuses, before anything is written, what would not fit. The ESP must hold two releases' UKIs,
/// since an upgrade lays the new one beside the old.
///
/// # Errors
/// [`DiskError::TooSmall`] naming the part.
pub fn check_sizes(
    sizes: &Sizes,
    root_bytes: u64,
    verity_bytes: u64,
    uki_bytes: u64,
) -> Result<(), DiskError> {
    let parts = [
        ("the root file system", "root_mib", root_bytes, sizes.root_mib),
        ("the hash tree", "verity_mib", verity_bytes, sizes.verity_mib),
        ("the ESP with two releases", "esp_mib", 2 * uki_bytes + 4 * MIB, sizes.esp_mib),
    ];
    for (what, key, bytes, has) in parts {
        let (needs, has) = (bytes.div_ceil(MIB), u64::from(has));
        if needs > has {
            return Err(DiskError::TooSmall { what, key, needs, has });
        }
    }
    Ok(())
}

/// Writes the disk image to `to`, a file that may exist empty.
///
/// # Errors
/// When the ESP is too small or the file cannot be written.
pub fn write(
    to: &Path,
    layout: &Layout,
    esp: &[EspFile<'_>],
    root: &Path,
    verity: &Path,
    time: u64,
    task: &dyn Task,
) -> Result<(), DiskError> {
    let failed = |source| DiskError::Write { path: to.to_owned(), source };
    let partition = &layout.table.partitions[ESP];
    let esp_bytes = partition.bytes();
    let mut volume_id = [0; 4];
    volume_id.copy_from_slice(&sha256(&partition.guid.to_bytes())[..4]);
    let id = u32::from_le_bytes(volume_id);
    let volume = Volume { bytes: esp_bytes, id, label: "DUET-ESP".into(), time };
    let entries: Vec<Entry<'_>> =
        esp.iter().map(|(path, bytes)| Entry::file(path.as_str(), *bytes)).collect();
    let extents = volume.write(&entries).map_err(DiskError::Esp)?;
    // The secrets of the seed are on the ESP.
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(to).map_err(failed)?;
    file.set_len(layout.bytes()).map_err(failed)?;
    let encoded = layout.table.encode().map_err(DiskError::Table)?;
    file.write_all_at(&encoded.head, 0).map_err(failed)?;
    let tail = layout.bytes() - encoded.tail.len() as u64;
    file.write_all_at(&encoded.tail, tail).map_err(failed)?;
    for extent in extents {
        file.write_all_at(&extent.bytes, layout.offset(ESP) + extent.offset).map_err(failed)?;
        task.advance(extent.bytes.len() as u64);
    }
    copy(root, &file, layout.offset(ROOT_A), task).map_err(failed)?;
    copy(verity, &file, layout.offset(VERITY_A), task).map_err(failed)
}

/// Copies a file into the image, leaving out blocks of zeros so that the image stays sparse.
fn copy(from: &Path, to: &File, mut offset: u64, task: &dyn Task) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if buffer[..count].iter().any(|byte| *byte != 0) {
            to.write_all_at(&buffer[..count], offset)?;
        }
        offset += count as u64;
        task.advance(count as u64);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sizes() -> Sizes {
        Sizes {
            esp_mib: 64,
            root_mib: 32,
            verity_mib: 4,
            state_mib: 8,
            compression: "zstd,3".into(),
            cluster: 65_536,
        }
    }

    #[test]
    fn the_root_hash_names_the_slot() {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
        hash[16] = 0xab;
        let layout = Layout::new(&sizes(), "x", &hash).unwrap();
        let guid = |at: usize| layout.table.partitions[at].guid.to_string();
        assert_eq!(guid(ROOT_A), "12345678-0000-0000-0000-000000000000");
        assert_eq!(guid(VERITY_A), "ab000000-0000-0000-0000-000000000000");
        assert_eq!(layout.table.partitions.len(), 6);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let error = check_sizes(&sizes(), 33 * MIB, MIB, MIB).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the root file system needs 33 MiB, and the profile gives it 32 MiB"
        );
        assert!(check_sizes(&sizes(), MIB, MIB, 31 * MIB).is_err());
        check_sizes(&sizes(), 32 * MIB, 4 * MIB, 30 * MIB).unwrap();
    }
}
