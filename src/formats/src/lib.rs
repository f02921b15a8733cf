//! The binary formats that Duet reads and writes: bytes in, bytes out.
//!
//! One module per format, each with a reader, a writer and a `dump` for people. Start at the module
//! that bears your format's name; what reads something larger than memory does so through
//! [`ReadAt`].
//!
//! Nothing here opens a file, starts a process or reads a clock, and no input makes it panic: what
//! comes from outside is checked against a bound before it is believed.

pub mod cpio;
pub mod deb;
pub mod fat;
pub mod gpt;
pub mod pe;
pub mod uki;
pub mod verity;

mod field;
mod show;

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

/// Something that is read at any place: a disk, a partition, an image in memory.
///
/// Implemented here for bytes, for references and for files that somebody opened ([`Opened`]).
pub trait ReadAt {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if fewer bytes are there than `buf` holds; else whatever
    /// the device says.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(buf.len()));
        match start.zip(end).and_then(|(start, end)| self.get(start..end)) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buf)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn len(&self) -> u64 {
        T::len(self)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        T::read_at(self, offset, buf)
    }
}

/// A file or a block device that somebody opened, with the length that it had then.
#[derive(Debug)]
pub struct Opened {
    file: File,
    len: u64,
}

impl Opened {
    /// Measures what was opened.
    ///
    /// # Errors
    /// If it has no end, as a pipe.
    pub fn new(mut file: File) -> io::Result<Self> {
        // A block device has no length but this.
        let len = file.seek(SeekFrom::End(0))?;
        Ok(Opened { file, len })
    }

    /// What was opened.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl ReadAt for Opened {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

/// A stretch of something larger: one partition of a disk, say.
#[derive(Clone, Copy, Debug)]
pub struct Window<T> {
    inner: T,
    start: u64,
    len: u64,
}

impl<T: ReadAt> Window<T> {
    /// The `len` bytes of `inner` from `start` on, or nothing if `inner` is shorter than that.
    pub fn new(inner: T, start: u64, len: u64) -> Option<Self> {
        let end = start.checked_add(len)?;
        (end <= inner.len()).then_some(Window { inner, start, len })
    }
}

impl<T: ReadAt> ReadAt for Window<T> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.inner.read_at(self.start + offset, buf)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_window_ends_where_it_should() {
        let disk: Vec<u8> = (0..100).collect();
        let window = Window::new(&disk, 10, 20).unwrap();
        let mut buf = [0; 4];
        window.read_at(16, &mut buf).unwrap();
        assert_eq!(buf, [26, 27, 28, 29]);
        assert!(window.read_at(17, &mut buf).is_err(), "a window does not read past its end");
        assert!(window.read_at(u64::MAX, &mut buf).is_err());
        assert!(Window::new(&disk, 90, 11).is_none());
        assert!(Window::new(&disk, u64::MAX, 2).is_none());
    }
}
