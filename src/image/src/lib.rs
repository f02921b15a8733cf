//! Builds the images of a profile: plan, lock, fetch, tree, filesystem, disk.
//!
//! Start at [`build::plan`] and [`build::execute`]. Data flows one way: a profile and a lock become
//! a plan (pure), the plan's packages are fetched into a content-addressed cache, composed into a
//! tree in memory, and written as artefacts. Nothing here runs as root, mounts anything, prints, or
//! asks the network twice for one hash.

pub mod build;
pub mod component;
pub mod compose;
mod control;
mod derive;
pub mod diff;
pub mod digest;
pub mod disk;
pub mod erofs;
pub mod fetch;
pub mod initramfs;
pub mod inspect;
pub mod lock;
pub mod manifest;
pub mod merge;
mod microcode;
pub mod progress;
pub mod relation;
pub mod repository;
pub mod resolve;
mod scratch;
pub mod scripts;
pub mod tools;
pub mod tree;
pub mod unpack;
pub mod witness_package;
