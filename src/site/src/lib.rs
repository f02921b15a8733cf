//! What a person writes, validated once, at the edge: `site.toml`, the profiles, the site's keys,
//! and the seed that tells one room from the other.
//!
//! Start at [`Site::parse`], [`profile::Chain`] and [`seed::verify`]. Later code takes these types
//! and never checks again. Opens no file, starts no process, reads no clock: text and times come in,
//! values and text go out. The one thing taken from outside is randomness, in
//! [`SiteKeys::generate`](keys::SiteKeys::generate).

mod disks;
mod document;
mod host;
pub mod keys;
pub mod kubernetes;
mod label;
pub mod network;
pub mod pair;
mod problem;
pub mod profile;
pub mod seed;
mod site;
mod ssh;
mod text;
mod timestamp;
mod words;

pub use disks::{Disks, Serial, SerialError};
pub use host::{Host, HostError};
pub use kubernetes::Kubernetes;
pub use label::{Label, LabelError};
pub use network::{Addressing, BondMode, Cidr, Interface, Link, Mac, Network, Subnet};
pub use pair::Pair;
pub use problem::{InputErrors, Problem, utf8};
pub use profile::{
    Files, Image, Initrd, Kernel, PackageRequest, Packages, Profile, Repository, System,
};
pub use seed::Seed;
pub use site::{NoWorker, Node, RoomPlan, Site};
pub use ssh::{SshKey, SshKeyError, authorized_keys};
pub use timestamp::{Timestamp, TimestampError};
pub use words::{Naming, Role, Room, Slot, WordError};
