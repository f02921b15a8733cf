//! cpio archives in the `newc` form, as the kernel unpacks them from an initrd.
//!
//! Start at [`Writer`] and [`read`]. Source: the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst. The writer is deterministic: inode
//! numbers run from 1, and the caller gives the order and the one time. An initrd may be several
//! archives one after the other, the last of them compressed; the reader gives the plain ones and
//! what is left.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use crate::show;

/// `newc`, without checksums.
const MAGIC: &[u8; 6] = b"070701";
/// The same with checksums, which the kernel and this reader skip.
const MAGIC_CHECKED: &[u8; 6] = b"070702";
/// Six characters of magic and 13 numbers of eight digits.
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";
/// The kernel's PATH_MAX: it skips an entry with a longer name.
const MAX_NAME: usize = 4096;
/// Debian's largest initrd has some 3,000 entries.
const MAX_ENTRIES: usize = 200_000;
/// An archive ends at a multiple of this, as GNU cpio and the kernel's own writer do it.
const BLOCK: usize = 512;

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CpioError {
    /// The bytes are not what the format says.
    #[error("cannot read the cpio archive: {what} at byte {at}")]
    #[diagnostic(code(integrity::cpio), help("the initrd is damaged: build it again"))]
    Archive {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the start.
        at: usize,
    },
    /// An entry that the kernel would not unpack as meant.
    #[error("cannot add {path:?} to the cpio archive: {what}")]
    #[diagnostic(
        code(integrity::cpio_entry),
        help("each folder before what is in it, each path once, relative and without `.` or `..`")
    )]
    Entry {
        /// The entry's path.
        path: String,
        /// Why not.
        what: &'static str,
    },
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A folder.
    Directory,
    /// A file with its content.
    File(Cow<'a, [u8]>),
    /// A symbolic link with its target.
    Symlink(Cow<'a, str>),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// One path of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path without a leading `/`; `.` is the root itself.
    pub path: Cow<'a, str>,
    /// Permission bits, with set-uid, set-gid and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Time of change, in seconds of the epoch.
    pub mtime: u32,
    /// What it is.
    pub kind: Kind<'a>,
}

/// One of the archives of an initrd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive<'a> {
    /// Where it starts, in bytes.
    pub offset: usize,
    /// Its entries, in order, without the trailer.
    pub entries: Vec<Entry<'a>>,
}

/// What an initrd holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initrd<'a> {
    /// The plain archives, in order.
    pub archives: Vec<Archive<'a>>,
    /// What follows them: a compressed archive, or nothing.
    pub rest: &'a [u8],
}

/// Writes one archive.
#[derive(Clone, Debug)]
pub struct Writer {
    out: Vec<u8>,
    mtime: u32,
    inode: u32,
    folders: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Writer {
    /// An empty archive whose entries all bear the time `mtime`, in seconds of the epoch.
    pub fn new(mtime: u32) -> Self {
        Writer::after(Vec::new(), mtime)
    }

    /// The same behind other archives of an initrd, the last of which may be packed; zeros lead to where
    /// the kernel looks for the next.
    pub fn after(archives: Vec<u8>, mtime: u32) -> Self {
        let (folders, others) = (BTreeSet::new(), BTreeSet::new());
        let mut writer = Writer { out: archives, mtime, inode: 0, folders, others };
        writer.align();
        writer
    }

    /// Adds a folder of root.
    ///
    /// # Errors
    /// As [`Writer::entry`].
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<(), CpioError> {
        self.of_root(path, mode, Kind::Directory)
    }

    /// Adds a file of root.
    ///
    /// # Errors
    /// As [`Writer::entry`].
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), CpioError> {
        self.of_root(path, mode, Kind::File(content.into()))
    }

    /// Adds a symbolic link of root.
    ///
    /// # Errors
    /// As [`Writer::entry`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), CpioError> {
        self.of_root(path, 0o777, Kind::Symlink(target.into()))
    }

    /// Adds a character device of root.
    ///
    /// # Errors
    /// As [`Writer::entry`].
    pub fn char_device(
        &mut self,
        path: &str,
        mode: u32,
        major: u32,
        minor: u32,
    ) -> Result<(), CpioError> {
        self.of_root(path, mode, Kind::CharDevice(major, minor))
    }

    fn of_root(&mut self, path: &str, mode: u32, kind: Kind<'_>) -> Result<(), CpioError> {
        let mtime = self.mtime;
        self.entry(&Entry { path: path.into(), mode, uid: 0, gid: 0, mtime, kind })
    }

    /// Adds an entry as it is, with its own time.
    ///
    /// # Errors
    /// If the kernel would skip it or put it elsewhere: a path that is absolute, climbs, comes
    /// twice or lies in a folder that is not there yet; a file of 4 GiB or more.
    pub fn entry(&mut self, entry: &Entry<'_>) -> Result<(), CpioError> {
        self.admit(entry)
            .map_err(|what| CpioError::Entry { path: entry.path.to_string(), what })?;
        let path = entry.path.to_string();
        let (bits, data, (major, minor)): (u32, &[u8], _) = match &entry.kind {
            Kind::Directory => (0o040_000, &[], (0, 0)),
            Kind::File(content) => (0o100_000, content, (0, 0)),
            Kind::Symlink(target) => (0o120_000, target.as_bytes(), (0, 0)),
            Kind::CharDevice(major, minor) => (0o020_000, &[], (*major, *minor)),
            Kind::BlockDevice(major, minor) => (0o060_000, &[], (*major, *minor)),
            Kind::Fifo => (0o010_000, &[], (0, 0)),
            Kind::Socket => (0o140_000, &[], (0, 0)),
        };
        self.inode += 1;
        let links = if entry.kind == Kind::Directory { 2 } else { 1 };
        let head = [self.inode, bits | entry.mode, entry.uid, entry.gid, links, entry.mtime];
        self.record(head, data, [major, minor], &path);
        let known = match entry.kind {
            Kind::Directory => &mut self.folders,
            _ => &mut self.others,
        };
        known.insert(path);
        Ok(())
    }

    /// Ends the archive and gives its bytes and those of what it is behind, a multiple of 512.
    pub fn finish(mut self) -> Vec<u8> {
        self.record([0, 0, 0, 0, 1, 0], &[], [0, 0], TRAILER);
        self.out.resize(self.out.len().next_multiple_of(BLOCK), 0);
        self.out
    }

    fn admit(&self, entry: &Entry<'_>) -> Result<(), &'static str> {
        let path = entry.path.as_ref();
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        let odd = |part| matches!(part, "" | "." | "..");
        let size = match &entry.kind {
            Kind::File(content) => content.len(),
            Kind::Symlink(target) => target.len(),
            _ => 0,
        };
        if path == TRAILER {
            Err("this name ends the archive")
        } else if path != "." && path.split('/').any(odd) || path.contains('\0') {
            Err("the path is not a plain relative one")
        } else if path.len() >= MAX_NAME {
            Err("the path is longer than the kernel reads")
        } else if self.folders.contains(path) || self.others.contains(path) {
            Err("the path is there already")
        } else if parent.is_some_and(|parent| !self.folders.contains(parent)) {
            Err("its folder is not there yet")
        } else if u32::try_from(size).is_err() {
            Err("it is 4 GiB or larger")
        } else if matches!(&entry.kind, Kind::Symlink(to) if to.is_empty() || to.len() >= MAX_NAME)
        {
            Err("the link's target is empty or too long")
        } else if entry.mode > 0o7777 {
            Err("the mode has more than permission bits")
        } else {
            Ok(())
        }
    }

    /// One header with its name and data; `head` is inode, mode, owner, group, links, time.
    fn record(&mut self, head: [u32; 6], data: &[u8], device: [u32; 2], name: &str) {
        let lengths = [data.len() as u32, 0, 0, device[0], device[1], name.len() as u32 + 1, 0];
        self.out.extend_from_slice(MAGIC);
        for number in head.into_iter().chain(lengths) {
            self.out.extend_from_slice(format!("{number:08X}").as_bytes());
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(0);
        self.align();
        self.out.extend_from_slice(data);
        self.align();
    }

    fn align(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }
}

/// Reads the archives of an initrd.
///
/// # Errors
/// If a header, a name or a content is damaged or cut off, or a name is not UTF-8.
pub fn read(bytes: &[u8]) -> Result<Initrd<'_>, CpioError> {
    let mut archives = Vec::new();
    let mut at = 0;
    let mut entries = 0;
    loop {
        // Between archives the kernel skips zeros, however many.
        at += bytes[at..].iter().take_while(|byte| **byte == 0).count();
        let rest = &bytes[at..];
        if !rest.starts_with(MAGIC) && !rest.starts_with(MAGIC_CHECKED) {
            return Ok(Initrd { archives, rest });
        }
        let archive = read_archive(bytes, &mut at, &mut entries)?;
        archives.push(archive);
    }
}

fn read_archive<'a>(
    bytes: &'a [u8],
    at: &mut usize,
    count: &mut usize,
) -> Result<Archive<'a>, CpioError> {
    let mut archive = Archive { offset: *at, entries: Vec::new() };
    let mut linked = Linked::default();
    loop {
        let (record, end) = Record::read(bytes, *at)?;
        let here = std::mem::replace(at, end);
        if record.name == TRAILER {
            linked.resolve(&mut archive.entries);
            return Ok(archive);
        }
        *count += 1;
        if *count > MAX_ENTRIES {
            return Err(CpioError::Archive { what: "too many entries", at: here });
        }
        let entry = record.entry().map_err(|what| CpioError::Archive { what, at: here })?;
        linked.note(archive.entries.len(), &record);
        archive.entries.push(entry);
    }
}

/// A header's numbers with its name and data.
struct Record<'a> {
    numbers: [u32; 13],
    name: &'a str,
    data: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at a place, and where the next one is.
    fn read(bytes: &'a [u8], at: usize) -> Result<(Self, usize), CpioError> {
        let error = |what| CpioError::Archive { what, at };
        let cut = || error("half an entry");
        let header = bytes.get(at..at + HEADER).ok_or_else(cut)?;
        if !header.starts_with(MAGIC) && !header.starts_with(MAGIC_CHECKED) {
            return Err(error("no header"));
        }
        let mut numbers = [0; 13];
        for (number, digits) in numbers.iter_mut().zip(header[6..].chunks_exact(8)) {
            *number = digits
                .iter()
                .try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
                .ok_or_else(|| error("a number that is not hexadecimal"))?;
        }
        let (size, name_size) = (numbers[6] as usize, numbers[11] as usize);
        if name_size == 0 || name_size > MAX_NAME {
            return Err(error("a name that is empty or too long"));
        }
        let name_at = at + HEADER;
        let name = bytes.get(name_at..name_at + name_size).ok_or_else(cut)?;
        let name = name.strip_suffix(&[0]).filter(|name| !name.contains(&0));
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| error("a name that is not text"))?;
        let data_at = (name_at + name_size).next_multiple_of(4);
        let data_end = data_at.checked_add(size).ok_or_else(cut)?;
        let data = bytes.get(data_at..data_end).ok_or_else(cut)?;
        // The padding of the last entry may be missing.
        let next = data_end.checked_next_multiple_of(4).ok_or_else(cut)?.min(bytes.len());
        Ok((Record { numbers, name, data }, next))
    }

    fn entry(&self) -> Result<Entry<'a>, &'static str> {
        let [_, mode, uid, gid, _, mtime, _, _, _, major, minor, _, _] = self.numbers;
        let kind = match mode & !0o7777 {
            0o040_000 => Kind::Directory,
            0o100_000 => Kind::File(self.data.into()),
            0o120_000 => {
                let target = std::str::from_utf8(self.data);
                Kind::Symlink(target.map_err(|_| "a link's target that is not text")?.into())
            }
            0o020_000 => Kind::CharDevice(major, minor),
            0o060_000 => Kind::BlockDevice(major, minor),
            0o010_000 => Kind::Fifo,
            0o140_000 => Kind::Socket,
            _ => return Err("an entry of unknown kind"),
        };
        Ok(Entry { path: self.name.into(), mode: mode & 0o7777, uid, gid, mtime, kind })
    }
}

/// Hard links: `newc` stores the content with only one of them.
#[derive(Default)]
struct Linked<'a> {
    /// By device and inode number.
    content: BTreeMap<[u32; 3], &'a [u8]>,
    empty: Vec<(usize, [u32; 3])>,
}

impl<'a> Linked<'a> {
    fn note(&mut self, index: usize, record: &Record<'a>) {
        let [inode, mode, _, _, links, _, _, major, minor, ..] = record.numbers;
        if mode & !0o7777 != 0o100_000 || links < 2 {
            return;
        }
        let file = [major, minor, inode];
        if record.data.is_empty() {
            self.empty.push((index, file));
        } else {
            self.content.insert(file, record.data);
        }
    }

    fn resolve(self, entries: &mut [Entry<'a>]) {
        for (index, file) in self.empty {
            if let Some(content) = self.content.get(&file) {
                entries[index].kind = Kind::File((*content).into());
            }
        }
    }
}

impl Initrd<'_> {
    /// What the initrd holds, for a person: as `ls -l` would show it.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for archive in &self.archives {
            let (offset, count) = (archive.offset, archive.entries.len());
            let _ = writeln!(text, "cpio archive at byte {offset}, {count} entries");
            for entry in &archive.entries {
                let _ = writeln!(text, "  {entry}");
            }
        }
        if !self.rest.is_empty() {
            let (length, kind) = (self.rest.len(), compression(self.rest));
            let _ = writeln!(text, "{length} bytes more, {kind}");
        }
        text
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, what) = match &self.kind {
            Kind::Directory => ('d', String::new()),
            Kind::File(content) => ('-', content.len().to_string()),
            Kind::Symlink(_) => ('l', String::new()),
            Kind::CharDevice(major, minor) => ('c', format!("{major}, {minor}")),
            Kind::BlockDevice(major, minor) => ('b', format!("{major}, {minor}")),
            Kind::Fifo => ('p', String::new()),
            Kind::Socket => ('s', String::new()),
        };
        let (mode, uid, gid, path) = (self.mode, self.uid, self.gid, &self.path);
        write!(to, "{letter} {mode:04o} {uid:>5} {gid:>5} {what:>10} {}", show::line(path))?;
        match &self.kind {
            Kind::Symlink(target) => write!(to, " -> {}", show::line(target)),
            _ => Ok(()),
        }
    }
}

/// How the kernel would unpack these bytes: lib/decompress.c, by their first bytes.
fn compression(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x1f, 0x8b | 0x9e, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x02, 0x21, ..] => "lz4",
        [0x42, 0x5a, b'h', ..] => "bzip2",
        [0x5d, 0, ..] => "lzma",
        [0x89, 0x4c, 0x5a, ..] => "lzo",
        _ => "of a form that the kernel does not know",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use expect_test::expect;

    use super::*;

    fn sample() -> Writer {
        let mut writer = Writer::new(1_700_000_000);
        writer.directory("dev", 0o755).unwrap();
        writer.char_device("dev/console", 0o600, 5, 1).unwrap();
        writer.file("init", 0o755, b"#!").unwrap();
        writer.symlink("sbin", "usr/sbin").unwrap();
        writer
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = sample().finish();
        assert_eq!(bytes.len() % BLOCK, 0);
        let initrd = read(&bytes).unwrap();
        assert!(initrd.rest.is_empty());
        let [archive] = &initrd.archives[..] else { panic!("{} archives", initrd.archives.len()) };
        let mut again = Writer::new(0);
        archive.entries.iter().for_each(|entry| again.entry(entry).unwrap());
        assert_eq!(again.finish(), bytes);
    }

    #[test]
    fn archives_follow_one_another_and_a_packed_one_ends_them() {
        let mut bytes = sample().finish();
        bytes.extend(sample().finish());
        bytes.extend([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]);
        expect![[r#"
            cpio archive at byte 0, 4 entries
              d 0755     0     0            dev
              c 0600     0     0       5, 1 dev/console
              - 0755     0     0          2 init
              l 0777     0     0            sbin -> usr/sbin
            cpio archive at byte 1024, 4 entries
              d 0755     0     0            dev
              c 0600     0     0       5, 1 dev/console
              - 0755     0     0          2 init
              l 0777     0     0            sbin -> usr/sbin
            7 bytes more, zstd
        "#]]
        .assert_eq(&read(&bytes).unwrap().dump());
    }

    #[test]
    fn an_archive_behind_others_starts_where_the_kernel_looks() {
        let mut writer = Writer::after(b"packed".to_vec(), 0);
        writer.file("root", 0o644, b"r").unwrap();
        let bytes = writer.finish();
        assert_eq!((&bytes[..8], bytes.len() % BLOCK), (&b"packed\0\0"[..], 0));
        assert_eq!(read(&bytes[8..]).unwrap().archives[0].entries[0].path, "root");
    }

    #[test]
    fn what_the_kernel_would_misplace_is_refused() {
        let mut writer = sample();
        let mut refuse = |path: &str, expected: expect_test::Expect| {
            expected.assert_eq(&writer.file(path, 0o644, b"").unwrap_err().to_string());
        };
        refuse(
            "etc/passwd",
            expect![[
                r#"cannot add "etc/passwd" to the cpio archive: its folder is not there yet"#
            ]],
        );
        refuse(
            "/init",
            expect![[
                r#"cannot add "/init" to the cpio archive: the path is not a plain relative one"#
            ]],
        );
        refuse(
            "dev/../init",
            expect![[
                r#"cannot add "dev/../init" to the cpio archive: the path is not a plain relative one"#
            ]],
        );
        refuse(
            "init",
            expect![[r#"cannot add "init" to the cpio archive: the path is there already"#]],
        );
        refuse(
            "TRAILER!!!",
            expect![[r#"cannot add "TRAILER!!!" to the cpio archive: this name ends the archive"#]],
        );
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = sample().finish();
        for (cut, expected) in [
            (300, expect!["cannot read the cpio archive: half an entry at byte 240"]),
            (510, expect!["cannot read the cpio archive: half an entry at byte 484"]),
        ] {
            expected.assert_eq(&read(&whole[..cut]).unwrap_err().to_string());
        }
        let mut odd = whole.clone();
        odd[20] = b'g';
        expect!["cannot read the cpio archive: a number that is not hexadecimal at byte 0"]
            .assert_eq(&read(&odd).unwrap_err().to_string());
    }

    #[test]
    fn hard_links_share_their_content() {
        let mut writer = Writer::new(0);
        writer.record([7, 0o100_644, 0, 0, 2, 0], b"", [0, 0], "one");
        writer.record([7, 0o100_644, 0, 0, 2, 0], b"text", [0, 0], "two");
        let bytes = writer.finish();
        let initrd = read(&bytes).unwrap();
        let kinds: Vec<_> = initrd.archives[0].entries.iter().map(|entry| &entry.kind).collect();
        let text = Kind::File(b"text"[..].into());
        assert_eq!(kinds, [&text, &text]);
    }
}
