//! What an image is made of. Start at [`Chain`]: a profile and the ones it inherits from become one
//! [`Profile`]. Each file is read by [`RawProfile::parse`].

mod component;
mod merge;
mod raw;
mod request;
#[cfg(test)]
mod tests;
mod words;

pub use component::{Component, ComponentFile};
pub use merge::{Chain, ProfileError};
pub use raw::RawProfile;
pub use request::{PackageRequest, RequestError};

use serde::Serialize;

use crate::Role;

/// A profile with everything that it inherits, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The file's name without `.toml`.
    pub name: String,
    /// What it is for, in one sentence.
    pub summary: String,
    /// Where packages come from; at least one, in the order in which they were written down.
    pub repositories: Vec<Repository>,
    /// Which packages are asked for.
    pub packages: Packages,
    /// What only an image needs; `None` for a profile that only names tools.
    pub system: Option<System>,
    /// The profile whose lock is this one's too, if it has none of its own: both ask for the same
    /// packages.
    pub lock: Option<String>,
    /// Components that are wanted, beside packages.
    pub components: Vec<Wish>,
}

/// A component that a profile wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// How much it is wanted.
    pub need: Need,
}

/// How much a component is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// No image is built without it.
    Required,
    /// An image is built without it where it cannot be had, and says so.
    Optional,
}

impl Profile {
    /// The profile under whose name the lock is kept.
    pub fn lock_name(&self) -> &str {
        self.lock.as_deref().unwrap_or(&self.name)
    }

    /// Adds the packages that a component does not work without; those that are asked for already
    /// stay as they are.
    pub fn ask_for(&mut self, component: &Component) {
        for request in &component.packages {
            if !self.packages.root.iter().any(|known| known.name == request.name) {
                self.packages.root.push(request.clone());
            }
        }
    }
}

/// One suite of a Debian repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// What the profile calls it, such as `security`.
    pub name: String,
    /// Mirrors, tried in order; each without a `/` at its end.
    pub uris: Vec<String>,
    /// The base URL of a service that keeps old states, such as
    /// `https://snapshot.debian.org/archive/debian`, without a `/` at its end.
    pub snapshot: Option<String>,
    /// Such as `trixie-security`.
    pub suite: String,
    /// Such as `main` and `non-free-firmware`; at least one.
    pub components: Vec<String>,
    /// The keys that sign it: a path below the folder of the profiles.
    pub keyring: String,
    /// Such as `amd64`; at least one.
    pub architectures: Vec<String>,
}

/// The packages that a profile asks for; what they depend on comes by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// For the root file system.
    pub root: Vec<PackageRequest>,
    /// Never to be installed, whatever depends on them.
    pub exclude: Vec<String>,
    /// For the tools tree, with which images are built and checked.
    pub tools: Vec<PackageRequest>,
}

/// What makes an image of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct System {
    /// What the machine is for.
    pub role: Role,
    /// The kernel and what it is told.
    pub kernel: Kernel,
    /// The drivers that find the root.
    pub initrd: Initrd,
    /// Sizes and compression.
    pub image: Image,
    /// Folders below `overlays/` that are laid over the root, in order.
    pub overlays: Vec<String>,
    /// Units that are started at boot; every other one is not.
    pub enable: Vec<String>,
    /// Which files of packages stay out of the root.
    pub files: Files,
}

/// The kernel and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// The package that holds it or depends on it.
    pub package: String,
    /// Words of its command line, beside those that the build adds.
    pub cmdline: Vec<String>,
    /// Packages with processor microcode.
    pub microcode: Vec<String>,
}

/// Kernel modules of the initrd, by name without `.ko`; what they depend on comes by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Initrd {
    /// Always loaded, in this order.
    pub load: Vec<String>,
    /// Loaded if the machine has such a device.
    pub drivers: Vec<String>,
}

/// Sizes of the partitions in MiB, and how the root is compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The EFI system partition.
    pub esp_mib: u32,
    /// Each of the two roots.
    pub root_mib: u32,
    /// Each of the two hash trees; large enough for a full root.
    pub verity_mib: u32,
    /// The state partition in the image; it grows to the end of the disk on first boot.
    pub state_mib: u32,
    /// As `mkfs.erofs -z` takes it, such as `zstd,3`.
    pub compression: String,
    /// Bytes of a file that are compressed as one, at most; a power of two.
    pub cluster: u32,
}

/// Which files of packages stay out of the root: patterns of absolute paths, in which `*` also
/// stands for `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    /// What is left out.
    pub remove: Vec<String>,
    /// What stays although [`remove`](Files::remove) names it.
    pub keep: Vec<String>,
}
