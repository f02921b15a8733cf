//! The disks that a machine has beside the one that it starts from. Start at [`DataDisk`].

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{LabError, disk};

/// A disk for data: blank, or the copy of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDisk {
    /// Its size in GiB. The file is sparse.
    pub gib: u32,
    /// Its serial number, by which the guest knows it.
    pub serial: String,
    /// What is on it at first; it is never written to. Without one the disk is blank.
    pub content: Option<PathBuf>,
}

/// As many as there are free slots for before those of the wires.
pub(crate) const MOST: usize = 8;

/// What virtio and NVMe have room for (virtio 1.2, 5.2.6.1; NVMe 2.0, Identify Controller).
const LONGEST_SERIAL: usize = 20;

impl DataDisk {
    /// What is impossible about it, if anything, and the cure.
    pub(crate) fn fault(&self) -> Option<(String, String)> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let DataDisk { gib, serial, .. } = self;
        if serial.is_empty() || serial.len() > LONGEST_SERIAL || !serial.chars().all(good) {
            let cure = format!("use 1 to {LONGEST_SERIAL} letters, digits, `-`, `_` and `.`");
            return Some((format!("a data disk's serial number is {serial:?}"), cure));
        }
        let sizes = 1..=1 << 14;
        if sizes.contains(gib) {
            return None;
        }
        let cure = format!("plan {} to {}", sizes.start(), sizes.end());
        Some((format!("the data disk {serial} has {gib} GiB"), cure))
    }

    /// Makes the disk anew.
    pub(crate) fn prepare(&self, path: &Path) -> Result<(), LabError> {
        let bytes = u64::from(self.gib) << 30;
        if let Some(content) = &self.content {
            return disk::copy(content, path, bytes, &mut |_, _| {});
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        file.and_then(|file| file.set_len(bytes)).map_err(LabError::system("make the disk", path))
    }
}
