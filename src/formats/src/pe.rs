//! PE/COFF images, as UEFI runs them: their sections read, and new ones added.
//!
//! Start at [`Image::parse`]. Source: Microsoft's "PE Format", sections "File Headers", "Section
//! Table" and "Optional Header"; UEFI specification 2.10, 2.1.1. Only PE32+ (64-bit) images.

use std::fmt::Write as _;
use std::ops::Range;

use crate::field::{array, le16, le32, le64, put};
use crate::show;

/// Windows loads no image with more sections; EDK2 takes what fits.
const MAX_SECTIONS: usize = 96;
/// Where the DOS header says where the PE header is.
const PE_POINTER: usize = 0x3c;
/// Bytes of the COFF header behind the signature.
const COFF: usize = 20;
/// Bytes of the optional header before its data directories.
const OPTIONAL: usize = 112;
/// Bytes of a line of the section table.
const SECTION: usize = 40;
const PE32_PLUS: u16 = 0x20b;
/// Data directory of the certificates: the image is signed.
const SECURITY_DIRECTORY: usize = 4;

/// The section holds code.
pub const CODE: u32 = 0x0000_0020;
/// The section holds data.
pub const DATA: u32 = 0x0000_0040;
/// The section may be read.
pub const READ: u32 = 0x4000_0000;
/// Bit of the image's characteristics: its data pages need not be executable.
pub const NX_COMPAT: u16 = 0x0100;

/// Why an image could not be read or extended.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PeError {
    /// The bytes are not what the format says.
    #[error("cannot read the EFI program: {what}")]
    #[diagnostic(
        code(integrity::pe),
        help("the file is damaged or no 64-bit EFI program: build or fetch it again")
    )]
    Image {
        /// What is wrong.
        what: &'static str,
    },
    /// The sections cannot be added.
    #[error("cannot add the section {section} to the EFI program: {what}")]
    #[diagnostic(
        code(integrity::pe_section),
        help("take the unsigned stub of another systemd version, or make the content smaller")
    )]
    Section {
        /// The section's name.
        section: String,
        /// Why not.
        what: &'static str,
    },
}

/// An image, read.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    /// Where the COFF header starts.
    coff: usize,
    /// Kind of processor: 0x8664 is x86-64.
    pub machine: u16,
    /// The sections in the order of the table.
    pub sections: Vec<Section>,
    /// Address of the first instruction, from the image's start in memory.
    pub entry: u32,
    /// Bytes of the image in memory.
    pub image_size: u32,
    /// Checksum that the image bears; zero means none.
    pub checksum: u32,
    /// 10 is an EFI application.
    pub subsystem: u16,
    /// DLL characteristics, such as [`NX_COMPAT`].
    pub characteristics: u16,
    headers_size: u32,
    section_alignment: u32,
    file_alignment: u32,
}

/// A line of the section table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// At most eight bytes, such as `.linux`.
    pub name: String,
    /// Where it lies in memory, from the image's start.
    pub address: u32,
    /// Bytes in memory: the true length of its content.
    pub size: u32,
    /// Where it lies in the file.
    pub offset: u32,
    /// Bytes in the file, a multiple of the file's alignment.
    pub raw_size: u32,
    /// Flags such as [`CODE`], [`DATA`] and [`READ`].
    pub flags: u32,
}

/// A section to be added.
#[derive(Clone, Copy, Debug)]
pub struct Addition<'a> {
    /// At most eight bytes.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
    /// Flags such as [`CODE`], [`DATA`] and [`READ`].
    pub flags: u32,
}

impl<'a> Image<'a> {
    /// Reads the headers of an image.
    ///
    /// # Errors
    /// If they are damaged, cut off or those of another kind of image.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PeError> {
        Self::decode(bytes).map_err(|what| PeError::Image { what })
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "its headers are cut off";
        if !bytes.starts_with(b"MZ") {
            return Err("it has no `MZ` at its start");
        }
        let pe = le32(bytes, PE_POINTER).ok_or(SHORT)? as usize;
        if array(bytes, pe) != Some(*b"PE\0\0") {
            return Err("it has no PE header");
        }
        let coff = pe + 4;
        let head = bytes.get(coff..coff + COFF + OPTIONAL).ok_or(SHORT)?;
        let (count, optional_size) = (le16(head, 2).ok_or(SHORT)?, le16(head, 16).ok_or(SHORT)?);
        let optional = &head[COFF..];
        if le16(optional, 0) != Some(PE32_PLUS) {
            return Err("it is no 64-bit image (PE32+)");
        }
        let number = |at| le32(optional, at).ok_or(SHORT);
        let (section_alignment, file_alignment) = (number(32)?, number(36)?);
        let aligned = section_alignment.is_power_of_two() && file_alignment.is_power_of_two();
        if !aligned || file_alignment > 0x1_0000 || section_alignment < file_alignment {
            return Err("its alignments are odd");
        }
        let directories = number(108)? as usize;
        let fits = directories.checked_mul(8).is_some_and(|size| {
            OPTIONAL.checked_add(size).is_some_and(|size| size <= usize::from(optional_size))
        });
        if !fits {
            return Err("its data directories do not fit into its header");
        }
        let table = coff + COFF + usize::from(optional_size);
        Ok(Image {
            bytes,
            coff,
            machine: le16(head, 0).ok_or(SHORT)?,
            sections: sections(bytes, table, usize::from(count))?,
            entry: number(16)?,
            image_size: number(56)?,
            headers_size: number(60)?,
            checksum: number(64)?,
            subsystem: le16(optional, 68).ok_or(SHORT)?,
            characteristics: le16(optional, 70).ok_or(SHORT)?,
            section_alignment,
            file_alignment,
        })
    }

    /// Where the section table lies in the file.
    fn table(&self) -> Range<usize> {
        let optional = usize::from(le16(self.bytes, self.coff + 16).unwrap_or(0));
        let start = self.coff + COFF + optional;
        start..start + self.sections.len() * SECTION
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The content of the first section of this name, without its padding.
    pub fn content(&self, name: &str) -> Option<&'a [u8]> {
        self.section(name).map(|section| self.content_of(section))
    }

    /// A section's content without its padding. What memory has beyond the file is zeros, and not
    /// in here.
    pub fn content_of(&self, section: &Section) -> &'a [u8] {
        let raw = section.raw();
        self.bytes.get(raw.start..raw.end.min(raw.start + section.size as usize)).unwrap_or(&[])
    }

    /// Whether the image bears a signature.
    pub fn is_signed(&self) -> bool {
        let optional = self.coff + COFF;
        let count = le32(self.bytes, optional + 108).unwrap_or(0) as usize;
        let at = optional + OPTIONAL + SECURITY_DIRECTORY * 8;
        count > SECURITY_DIRECTORY && le64(self.bytes, at).is_some_and(|place| place != 0)
    }

    /// The image with these sections behind its own, in the order given. One that is there
    /// already is filled anew instead, where it is. `clear` takes bits from the characteristics.
    ///
    /// # Errors
    /// If the image is signed, or a section finds no room in the headers, in its old place or in
    /// 4 GiB.
    pub fn with_sections(
        &self,
        additions: &[Addition<'_>],
        clear: u16,
    ) -> Result<Vec<u8>, PeError> {
        let file_alignment = self.file_alignment as usize;
        let room = additions.iter().map(|addition| addition.content.len() + file_alignment);
        let mut out = Vec::with_capacity(self.bytes.len() + room.sum::<usize>());
        out.extend_from_slice(self.bytes);
        let mut sections = self.sections.clone();
        let mut data_size = 0u32;
        for addition in additions {
            let section = self
                .place(addition, &sections, out.len())
                .map_err(|what| PeError::Section { section: addition.name.to_owned(), what })?;
            out.resize(out.len().max(section.raw().end), 0);
            let place = &mut out[section.raw()];
            place[..addition.content.len()].copy_from_slice(addition.content);
            place[addition.content.len()..].fill(0);
            match sections.iter_mut().find(|old| old.name == addition.name) {
                Some(old) => *old = section,
                None => {
                    data_size = data_size.saturating_add(section.size);
                    sections.push(section);
                }
            }
        }
        self.write_headers(&mut out, &sections, data_size, clear);
        let place = self.coff + COFF + 64;
        put(&mut out, place, &[0; 4]);
        let sum = checksum(&out);
        put(&mut out, place, &sum.to_le_bytes());
        Ok(out)
    }

    /// The line of the table for a section to be added.
    fn place(
        &self,
        addition: &Addition<'_>,
        sections: &[Section],
        file_size: usize,
    ) -> Result<Section, &'static str> {
        const LARGE: &str = "the program would be larger than 4 GiB";
        if self.is_signed() {
            return Err("the program is signed, which the change would break");
        }
        let name = addition.name;
        if name.is_empty() || name.len() > 8 || name.contains('\0') {
            return Err("a section's name has one to eight bytes");
        }
        let size = u32::try_from(addition.content.len()).map_err(|_| LARGE)?;
        if let Some(old) = sections.iter().find(|old| old.name == name) {
            if size > old.raw_size {
                return Err("it is there already, and has no room for the new content");
            }
            if old.raw().start < self.table().end {
                return Err("it is there already, in the place of the headers");
            }
            return Ok(Section { size, ..old.clone() });
        }
        if sections.len() == MAX_SECTIONS || self.headers_end(sections.len() + 1).is_none() {
            return Err("there is no room in the section table");
        }
        let end = sections.iter().map(|section| section.end().ok_or(LARGE));
        let end = end.reduce(|one, other| Ok(one?.max(other?))).unwrap_or(Ok(self.headers_size))?;
        let address = end.checked_next_multiple_of(self.section_alignment).ok_or(LARGE)?;
        let offset = u32::try_from(file_size).map_err(|_| LARGE)?;
        let offset = offset.checked_next_multiple_of(self.file_alignment).ok_or(LARGE)?;
        let raw_size = size.checked_next_multiple_of(self.file_alignment).ok_or(LARGE)?;
        let flags = addition.flags;
        let section = Section { name: name.to_owned(), address, size, offset, raw_size, flags };
        let fits = offset.checked_add(raw_size).is_some()
            && section
                .end()
                .and_then(|end| end.checked_next_multiple_of(self.section_alignment))
                .is_some();
        if fits { Ok(section) } else { Err(LARGE) }
    }

    /// How large the headers must be for `count` sections, if the file and the memory before the
    /// first section have room for that. No section is moved: others may point at its place.
    fn headers_end(&self, count: usize) -> Option<u32> {
        let wanted = u32::try_from(self.table().start + count * SECTION).ok()?;
        let filled = self.sections.iter().filter(|section| section.raw_size > 0);
        let first_raw = filled.map(|section| section.offset).min().unwrap_or(u32::MAX);
        let first_address = self.sections.iter().map(|section| section.address).min();
        let end = wanted.max(self.headers_size).checked_next_multiple_of(self.file_alignment)?;
        // An image without sections has nothing behind its headers but what was appended.
        let room = first_raw.min(first_address.unwrap_or(u32::MAX)).min(self.bytes.len() as u32);
        (end <= room).then_some(end)
    }

    fn write_headers(&self, out: &mut [u8], sections: &[Section], data_size: u32, clear: u16) {
        let optional = self.coff + COFF;
        put(out, self.coff + 2, &(sections.len() as u16).to_le_bytes());
        let initialised = le32(out, optional + 8).unwrap_or(0).saturating_add(data_size);
        put(out, optional + 8, &initialised.to_le_bytes());
        let end = sections.iter().filter_map(Section::end).max().unwrap_or(self.headers_size);
        let image_size = end.checked_next_multiple_of(self.section_alignment).unwrap_or(u32::MAX);
        put(out, optional + 56, &image_size.to_le_bytes());
        let headers_size = self.headers_end(sections.len()).unwrap_or(self.headers_size);
        put(out, optional + 60, &headers_size.to_le_bytes());
        put(out, optional + 70, &(self.characteristics & !clear).to_le_bytes());
        let table = self.table().start;
        for (index, section) in sections.iter().enumerate() {
            let at = table + index * SECTION;
            if index >= self.sections.len() {
                out[at..at + SECTION].fill(0);
                put(out, at, section.name.as_bytes());
            }
            put(out, at + 8, &section.size.to_le_bytes());
            put(out, at + 12, &section.address.to_le_bytes());
            put(out, at + 16, &section.raw_size.to_le_bytes());
            put(out, at + 20, &section.offset.to_le_bytes());
            put(out, at + 36, &section.flags.to_le_bytes());
        }
    }

    /// The headers, for a person.
    pub fn dump(&self) -> String {
        let machine = match self.machine {
            0x8664 => "x86-64".to_owned(),
            0xaa64 => "AArch64".to_owned(),
            other => format!("machine {other:#x}"),
        };
        let kind = match self.subsystem {
            10 => "EFI application".to_owned(),
            11 => "EFI boot driver".to_owned(),
            12 => "EFI runtime driver".to_owned(),
            other => format!("subsystem {other}"),
        };
        let signed = if self.is_signed() { ", signed" } else { "" };
        let nx = if self.characteristics & NX_COMPAT != 0 { ", NX" } else { "" };
        let mut text = format!(
            "PE32+ {machine}, {kind}{signed}{nx}, {} bytes in memory, entry {:#x}\n",
            self.image_size, self.entry
        );
        for section in &self.sections {
            let _ = writeln!(
                text,
                "  {:<8} {:>10} bytes at {:#010x}, in memory at {:#010x}",
                show::line(&section.name),
                section.size,
                section.offset,
                section.address,
            );
        }
        text
    }
}

impl Section {
    fn raw(&self) -> Range<usize> {
        self.offset as usize..self.offset as usize + self.raw_size as usize
    }

    /// Where it ends in memory.
    fn end(&self) -> Option<u32> {
        self.address.checked_add(self.size)
    }
}

fn sections(bytes: &[u8], table: usize, count: usize) -> Result<Vec<Section>, &'static str> {
    if count > MAX_SECTIONS {
        return Err("it has more than 96 sections");
    }
    let table = bytes.get(table..table + count * SECTION).ok_or("its section table is cut off")?;
    let mut sections = Vec::with_capacity(count);
    for line in table.chunks_exact(SECTION) {
        const SHORT: &str = "its section table is cut off";
        let name: [u8; 8] = array(line, 0).ok_or(SHORT)?;
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = std::str::from_utf8(&name[..length]);
        let number = |at| le32(line, at).ok_or(SHORT);
        let section = Section {
            name: name.map_err(|_| "a section's name is not text")?.to_owned(),
            size: number(8)?,
            address: number(12)?,
            raw_size: number(16)?,
            // A section without bytes in the file has no place there, whatever it says.
            offset: if number(16)? == 0 { 0 } else { number(20)? },
            flags: number(36)?,
        };
        if section.raw_size > 0 && bytes.get(section.raw()).is_none() {
            return Err("a section is cut off");
        }
        if section.end().is_none() {
            return Err("a section ends beyond 4 GiB");
        }
        sections.push(section);
    }
    Ok(sections)
}

/// The checksum of the optional header, which must be zero meanwhile: the one's complement sum of
/// all 16-bit words, plus the length.
fn checksum(bytes: &[u8]) -> u32 {
    // A sum of larger words folds to the same sum of 16-bit words.
    let mut words = bytes.chunks_exact(8);
    let mut sum = 0u64;
    for word in words.by_ref() {
        let word = le64(word, 0).unwrap_or(0);
        sum += (word >> 32) + (word & 0xffff_ffff);
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    let rest = u64::from_le_bytes(rest);
    sum += (rest >> 32) + (rest & 0xffff_ffff);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (sum as u32).wrapping_add(bytes.len() as u32)
}
