//! CPU microcode as the kernel's early loader wants it.
//!
//! Start at [`archive`]. The kernel reads, before anything else, an uncompressed cpio with
//! `kernel/x86/microcode/{AuthenticAMD,GenuineIntel}.bin` (Linux, Documentation/arch/x86/
//! microcode.rst); each is the plain concatenation of the vendor's files.

use std::io;

use crate::tree::{Kind, Tree};

/// The archive for the vendors whose files the tree holds; empty when it holds none.
///
/// # Errors
/// When a file of the tree cannot be read.
pub(crate) fn archive(tree: &Tree, time: u64) -> io::Result<Vec<u8>> {
    let mut writer = formats::cpio::Writer::new(u32::try_from(time).unwrap_or(u32::MAX));
    let mut any = false;
    for folder in ["kernel", "kernel/x86", "kernel/x86/microcode"] {
        writer.directory(folder, 0o755).map_err(io::Error::other)?;
    }
    for (vendor, folder) in [
        ("AuthenticAMD", "usr/lib/firmware/amd-ucode"),
        ("GenuineIntel", "usr/lib/firmware/intel-ucode"),
    ] {
        let mut all = Vec::new();
        for (path, node) in tree.below(folder) {
            let plain = vendor == "GenuineIntel" || path.ends_with(".bin");
            if let (Kind::File(content), true) = (&node.kind, plain) {
                all.extend_from_slice(&content.read()?);
            }
        }
        if !all.is_empty() {
            any = true;
            let path = format!("kernel/x86/microcode/{vendor}.bin");
            writer.file(&path, 0o644, &all).map_err(io::Error::other)?;
        }
    }
    Ok(if any { writer.finish() } else { Vec::new() })
}
