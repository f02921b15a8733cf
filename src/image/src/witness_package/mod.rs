//! The witness as a package for other people's machines: a Debian package, or a container image. Start at
//! [`build`].
//!
//! Both hold the same static program. The same program, overlay, version and date give the same bytes,
//! whoever builds them and wherever.

mod deb;
mod oci;

use std::fmt;
use std::io;

use serde::Serialize;

use crate::compose::overlay;
use crate::digest;
use crate::tree::{Node, PathError, Tree};

/// Where the program is, in both.
const PROGRAM: &str = "usr/bin/duetd";

/// What is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A Debian package (deb(5)).
    Deb,
    /// A container image: an OCI image layout in a tar archive.
    Oci,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Deb => "Debian package",
            Format::Oci => "container image",
        })
    }
}

/// What goes into it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The static `duetd`, for x86-64.
    pub duetd: &'a [u8],
    /// The unit and the settings: `overlays/witness`.
    pub overlay: &'a Tree,
    /// The release's version, as Debian has it: a digit, then letters, digits, `.`, `-` and `~`.
    pub version: &'a str,
    /// The date of every file, in seconds since 1970.
    pub date: u64,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The file's name, such as `duet-witness_0.1.0_amd64.deb`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The SHA-256 by which a registry or a person names it: of the manifest for a container image, of the
    /// file for a Debian package. Lower-case hexadecimal.
    pub sha256: String,
}

/// Why there is no package.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PackageError {
    /// The program is for another machine, or needs libraries of the machine it runs on.
    #[error("the program duetd cannot be packaged: {0}")]
    #[diagnostic(
        code(input::program),
        help("build it with .ci/programs, and give it with --node-programs")
    )]
    Program(&'static str),
    /// The overlay lacks a file.
    #[error("the overlay of the witness has no {0}")]
    #[diagnostic(code(input::overlay), help("it is overlays/witness of the checkout"))]
    Missing(&'static str),
    /// A path has no place.
    #[error("the files of the package do not fit together")]
    #[diagnostic(code(input::overlay), help("it is overlays/witness of the checkout"))]
    Path(#[from] PathError),
    /// Archives are written in memory, so this does not happen.
    #[error("cannot write the package")]
    #[diagnostic(code(output::package), help("is there enough memory?"))]
    Write(#[from] io::Error),
    /// The program is larger than an archive can say.
    #[error("cannot write the package")]
    #[diagnostic(code(output::package), help("is the program what it should be?"))]
    Deb(#[from] formats::deb::DebError),
}

/// Builds a package in memory.
///
/// # Errors
/// [`PackageError`].
pub fn build(format: Format, request: &Request<'_>) -> Result<Package, PackageError> {
    check_program(request.duetd)?;
    let (bytes, sha256) = match format {
        Format::Deb => {
            let bytes = deb::build(request)?;
            let sha256 = digest::hex(&digest::sha256(&bytes));
            (bytes, sha256)
        }
        Format::Oci => oci::build(request)?,
    };
    let end = match format {
        Format::Deb => "deb",
        Format::Oci => "oci.tar",
    };
    let name = format!("duet-witness_{}_amd64.{end}", request.version);
    Ok(Package { name, bytes, sha256 })
}

/// The program alone.
fn program(request: &Request<'_>) -> Result<Tree, PackageError> {
    let mut tree = Tree::default();
    tree.put(PROGRAM, Node::file(request.duetd, 0o755))?;
    Ok(tree)
}

/// The program, and the files around it.
fn files(request: &Request<'_>) -> Result<Tree, PackageError> {
    let mut tree = program(request)?;
    overlay::lay(&mut tree, request.overlay)?;
    Ok(tree)
}

/// Whether the program runs on any x86-64 Linux: an ELF file without an interpreter (System V ABI, chapters
/// 4 and 5).
fn check_program(bytes: &[u8]) -> Result<(), PackageError> {
    const MACHINE: usize = 18;
    const X86_64: u16 = 62;
    const PT_INTERP: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    // 64 bits, little-endian.
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return Err(PackageError::Program("it is no program for 64-bit Linux"));
    }
    if half(MACHINE) != Some(X86_64) {
        return Err(PackageError::Program("it is not for x86-64"));
    }
    let headers = || {
        let (start, size, count) = (long(32)?, half(54)?, half(56)?);
        (0..u64::from(count))
            .map(|number| {
                let at = start.checked_add(number * u64::from(size))?;
                word(usize::try_from(at).ok()?)
            })
            .collect::<Option<Vec<u32>>>()
    };
    match headers() {
        None => Err(PackageError::Program("its program headers are cut off")),
        Some(kinds) if kinds.contains(&PT_INTERP) => Err(PackageError::Program(
            "it is not static: it needs libraries of the machine it runs on",
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A program of one header, which is of this kind.
    pub(crate) fn elf(kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes.extend(b"the rest of the program".repeat(100));
        bytes
    }

    /// The overlay of this checkout.
    pub(crate) fn overlay() -> Tree {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../overlays/witness");
        overlay::load(folder.as_ref()).unwrap()
    }

    #[test]
    fn only_a_static_program_is_packaged() {
        let overlay = overlay();
        let check = |duetd: &[u8], expected: &str| {
            let request = Request { duetd, overlay: &overlay, version: "1", date: 0 };
            let error = build(Format::Oci, &request).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"#!/bin/sh", "it is no program for 64-bit Linux");
        check(&elf(3), "it is not static");
        check(&elf(1)[..66], "its program headers are cut off");
        let mut other = elf(1);
        other[18] = 183;
        check(&other, "it is not for x86-64");
    }
}
