//! Reading a small file that somebody else writes, without believing in its length. Start at [`text`].

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// More than any file of the kernel's or of another part of Duet has; what is longer is cut off.
const LONGEST: u64 = 1 << 20;

/// What a file holds.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    String::from_utf8(bytes(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A file's first line without the spaces around it; nothing if there is no such file or no line in it.
pub(crate) fn line(path: &Path) -> Option<String> {
    let text = text(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}
