//! Unified kernel images: one EFI program with kernel, initrd and command line.
//!
//! Start at [`build`] and [`Uki::parse`]. Source: the UAPI group's "Unified Kernel Image (UKI)"
//! specification; systemd-stub(7), and its `src/fundamental/uki.h` for the order in which the stub
//! measures sections into PCR 11. They lie in the file in that order too.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use crate::field::{array, le16};
use crate::pe::{Addition, CODE, DATA, Image, NX_COMPAT, PeError, READ};
use crate::show;

/// Sections that the stub knows, in the order in which it measures them.
pub const SECTIONS: [&str; 14] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
    ".pcrsig", ".pcrpkey", ".profile", ".dtbauto", ".hwids",
];
/// Those of them that are text.
const TEXTS: [&str; 6] = [".osrel", ".cmdline", ".uname", ".sbat", ".pcrpkey", ".profile"];
/// The kernel's COMMAND_LINE_SIZE on x86, less the NUL at its end.
const MAX_CMDLINE: usize = 2047;
/// First line of every `.sbat`: shim's SBAT.md, "Version information".
const SBAT_HEAD: &str =
    "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";
/// Says that this is a UKI, so that a fault in the format can be revoked; as ukify writes it.
const SBAT_UKI: &str =
    "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/";

/// Why an image could not be built or read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum UkiError {
    /// The stub, or the image as a whole, is no EFI program that can be used.
    #[error("cannot use {what} as an EFI program")]
    #[diagnostic(
        code(integrity::uki_program),
        help("the stub is linuxx64.efi.stub of systemd-boot-efi, the kernel a bzImage with EFI")
    )]
    Program {
        /// `the stub`, `the kernel` or `the image`.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: PeError,
    },
    /// A section cannot be added to the stub.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Section(PeError),
    /// What goes into the image cannot be so.
    #[error("cannot build the unified kernel image: {part} {what}")]
    #[diagnostic(
        code(integrity::uki_part),
        help("see systemd-stub(7) for what each section of the image must hold")
    )]
    Part {
        /// The section, such as `.cmdline`.
        part: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The image lacks what makes it a unified kernel image.
    #[error("the EFI program is no unified kernel image: it has no section {section}")]
    #[diagnostic(code(integrity::uki), help("such an image has at least .linux and .osrel"))]
    Incomplete {
        /// The section that is missing.
        section: &'static str,
    },
}

/// What goes into an image beside the stub.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// The kernel: a bzImage that is an EFI program.
    pub linux: &'a [u8],
    /// os-release(5), of which the boot loader takes the title and the version.
    pub os_release: &'a str,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The initrd: cpio archives.
    pub initrd: &'a [u8],
    /// Microcode of the processors as a plain cpio archive; empty for none.
    pub microcode: &'a [u8],
    /// A bitmap to show at the start; empty for none.
    pub splash: &'a [u8],
    /// The kernel's release, as `uname -r` gives it; see [`kernel_release`].
    pub uname: &'a str,
    /// Lines of one's own for `.sbat`, besides the stub's; empty for none.
    pub sbat: &'a str,
}

impl Parts<'_> {
    fn check(&self) -> Result<(), UkiError> {
        let refuse = |part, what| Err(UkiError::Part { part, what });
        // systemd-boot leaves an image out of its menu that has no identity.
        let named = |key: &str| self.os_release.lines().any(|line| line.starts_with(key));
        if !(named("ID=") || named("IMAGE_ID=")) {
            return refuse(".osrel", "has neither ID nor IMAGE_ID");
        }
        if self.cmdline.len() > MAX_CMDLINE {
            return refuse(".cmdline", "is longer than the kernel's 2047 bytes");
        }
        if self.cmdline.chars().any(char::is_control) {
            return refuse(".cmdline", "has a control character");
        }
        if self.initrd.is_empty() {
            return refuse(".initrd", "is empty");
        }
        if self.uname.is_empty() || self.uname.contains(|c: char| !c.is_ascii_graphic()) {
            return refuse(".uname", "is no kernel release");
        }
        Ok(())
    }
}

/// Builds an image from systemd's stub. The same input gives the same bytes.
///
/// # Errors
/// If the stub or the kernel is no EFI program, a part cannot be used, or the sections do not fit.
pub fn build(stub: &[u8], parts: &Parts<'_>) -> Result<Vec<u8>, UkiError> {
    parts.check()?;
    let program = |what| move |source| UkiError::Program { what, source };
    let stub = Image::parse(stub).map_err(program("the stub"))?;
    let taken = |name: &&&str| **name != ".sbat" && stub.section(name).is_some();
    if let Some(part) = SECTIONS.iter().find(taken) {
        return Err(UkiError::Part { part, what: "is in the stub already: it is a whole image" });
    }
    let kernel = Image::parse(parts.linux).map_err(program("the kernel"))?;
    let sbat = merge_sbat(&[&stub, &kernel], parts.sbat);
    let contents: [(&str, &[u8]); 8] = [
        (".linux", parts.linux),
        (".osrel", parts.os_release.as_bytes()),
        (".cmdline", parts.cmdline.as_bytes()),
        (".initrd", parts.initrd),
        (".ucode", parts.microcode),
        (".splash", parts.splash),
        (".uname", parts.uname.as_bytes()),
        (".sbat", sbat.as_bytes()),
    ];
    let additions: Vec<Addition<'_>> = contents
        .into_iter()
        .filter(|(_, content)| !content.is_empty())
        .map(|(name, content)| {
            let kind = if name == ".linux" { CODE } else { DATA };
            Addition { name, content, flags: kind | READ }
        })
        .collect();
    // Firmware that enforces NX must not do so for the stub alone: both run under one setting.
    let clear = if kernel.characteristics & NX_COMPAT == 0 { NX_COMPAT } else { 0 };
    stub.with_sections(&additions, clear).map_err(UkiError::Section)
}

/// The `.sbat` lines of all programs in one: shim may revoke the image by any of them.
fn merge_sbat(programs: &[&Image<'_>], own: &str) -> String {
    let mut lines = vec![SBAT_HEAD];
    let sections = programs.iter().filter_map(|program| program.content(".sbat"));
    let texts = sections.filter_map(|section| std::str::from_utf8(section).ok());
    for text in texts.chain([SBAT_UKI, own]) {
        for line in text.trim_end_matches('\0').lines() {
            if !line.is_empty() && !line.starts_with("sbat,") && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    format!("{}\n\0", lines.join("\n"))
}

/// The release of an x86 kernel, such as `6.12.73+deb13-amd64`, from its header
/// (Documentation/arch/x86/boot.rst, `kernel_version`).
pub fn kernel_release(kernel: &[u8]) -> Option<&str> {
    if array(kernel, 0x202)? != *b"HdrS" {
        return None;
    }
    let text = kernel.get(0x200 + usize::from(le16(kernel, 0x20e)?)..)?;
    let text = &text[..text.len().min(128)];
    let end = text.iter().position(|byte| matches!(byte, b' ' | 0))?;
    std::str::from_utf8(&text[..end]).ok().filter(|release| !release.is_empty())
}

/// An image, read.
#[derive(Clone, Debug)]
pub struct Uki<'a> {
    /// The program that it is.
    pub image: Image<'a>,
}

impl<'a> Uki<'a> {
    /// Reads an image.
    ///
    /// # Errors
    /// If it is no EFI program, or lacks the kernel or os-release.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UkiError> {
        let image = Image::parse(bytes)
            .map_err(|source| UkiError::Program { what: "the image", source })?;
        for section in [".linux", ".osrel"] {
            if image.section(section).is_none() {
                return Err(UkiError::Incomplete { section });
            }
        }
        Ok(Uki { image })
    }

    /// The content of a section, such as `.initrd`.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        self.image.content(name)
    }

    /// A section that is text, without the zeros and the line's end that may follow it.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let text = std::str::from_utf8(self.section(name)?).ok()?;
        Some(text.trim_end_matches(['\0', '\n']))
    }

    /// The kernel's command line.
    pub fn cmdline(&self) -> Option<&'a str> {
        self.text(".cmdline")
    }

    /// The image's sections with their hashes, texts in full, for a person.
    pub fn dump(&self) -> String {
        let mut text = String::from("unified kernel image\n");
        for name in SECTIONS {
            let Some(content) = self.section(name) else { continue };
            let hash = show::hex(digest(&SHA256, content).as_ref());
            let _ = writeln!(text, "  {name:<9} {:>10} bytes  sha256 {hash}", content.len());
            if TEXTS.contains(&name) {
                for line in self.text(name).unwrap_or("(not text)").lines() {
                    let _ = writeln!(text, "    {}", show::line(line));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
