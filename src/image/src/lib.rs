//! Builds the images of a profile: plan, lock, fetch, tree, filesystem, disk.
//!
//! Start at [`build`]. Data flows one way: a profile and a lock become a plan (pure), the plan's
//! packages are fetched into a content-addressed cache, composed into a tree in memory, and written
//! as artefacts. Nothing here runs as root, mounts anything, prints, or asks the network twice for
//! one hash.

pub mod fetch;
pub mod lock;
pub mod progress;
pub mod relation;
pub mod repository;
pub mod resolve;
