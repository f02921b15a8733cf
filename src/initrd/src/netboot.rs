//! A root that came with the initramfs over the network. Start at [`attach`].
//!
//! The initramfs lies in memory, which EROFS cannot read files of (ENOTBLK): a loop device makes a
//! disk of the file, and from there on everything is as with a disk, dm-verity included.

use crate::failure::Failure;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// The root file system in the initramfs.
pub const ROOT: &str = "/root.erofs";
/// Its hash tree.
pub const VERITY: &str = "/root.verity";

const CURE: &str = "The initramfs is not the one of a netbooted image, or was cut short on its way. \
     Build the netboot files again; a machine needs 512 MiB of memory for them.";

/// Makes a read-only loop device of `file`; returns its node.
pub fn attach(file: &str) -> Result<String, Failure> {
    try_attach(file).map_err(|error| {
        Failure::new(&format!("use {file} of the initramfs as a disk"), error, CURE)
    })
}

fn try_attach(file: &str) -> Result<String, Errno> {
    let read_only = OFlags::RDONLY | OFlags::CLOEXEC;
    let backing = open(file, read_only, Mode::empty())?;
    let control = open("/dev/loop-control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let node = format!("/dev/loop{}", crate::kernel::free_loop(&control)?);
    let device = open(&node, read_only, Mode::empty())?;
    crate::kernel::attach_loop(&device, backing.as_fd())?;
    // The open root keeps the device in use; the file stays in memory though its name is deleted.
    Ok(node)
}
