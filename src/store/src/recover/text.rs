//! The small files of a data folder: text for people, whose last line is a checksum of the lines before.
//! Replaced as a whole. Start at [`read`] and [`write`]; what the lines say is their owner's matter.

use std::fmt::Write;
use std::io::Read;

use super::OpenError;
use crate::disk::{Disk, Reader};

/// More than any of them ever has.
const MOST: u64 = 4096;

/// The text of a file; none if it is not there.
pub(super) fn read(disk: &dyn Disk, name: &str) -> Result<Option<String>, OpenError> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(OpenError::io("open", name))?,
    };
    let mut bytes = Vec::new();
    let read = Reader::new(&*file, |_| ()).take(MOST).read_to_end(&mut bytes);
    read.map_err(OpenError::io("read", name))?;
    String::from_utf8(bytes).map(Some).map_err(|_| damaged(name))
}

/// The lines behind the first one, which is `KIND, format 1`, and before the checksum.
pub(super) fn lines<'a>(name: &str, text: &'a str, kind: &str) -> Result<Vec<&'a str>, OpenError> {
    let first = text.lines().next().and_then(|line| line.strip_prefix(kind));
    let format =
        first.and_then(|rest| rest.strip_prefix(", format ")).ok_or_else(|| damaged(name))?;
    let found = format.parse().map_err(|_| damaged(name))?;
    if found != 1 {
        return Err(OpenError::Format { file: name.to_owned(), found, known: 1 });
    }
    let end = text.rfind("checksum ").ok_or_else(|| damaged(name))?;
    let body = &text[..end];
    if sealed(body.to_owned()) != text {
        return Err(damaged(name));
    }
    Ok(body.lines().skip(1).collect())
}

/// Adds the last line.
pub(super) fn sealed(mut text: String) -> String {
    let checksum = crc32c::crc32c(text.as_bytes());
    writeln!(text, "checksum {checksum:08x}").expect("a String takes all");
    text
}

/// Puts the text in the place of the file, durably.
pub(super) fn write(disk: &dyn Disk, name: &'static str, text: &str) -> Result<(), OpenError> {
    let failed = || OpenError::io("write", name);
    let next = unfinished(name);
    // What an interrupted write left.
    remove(disk, &next)?;
    let mut file = disk.create(&next).map_err(failed())?;
    file.write_at(0, text.as_bytes()).map_err(failed())?;
    file.sync().map_err(failed())?;
    disk.rename(&next, name).map_err(failed())?;
    disk.sync().map_err(failed())
}

/// The name of such a file while it is written.
pub(super) fn unfinished(name: &str) -> String {
    format!("{name}-next")
}

/// Removes a file that may not be there.
pub(super) fn remove(disk: &dyn Disk, name: &str) -> Result<(), OpenError> {
    match disk.remove(name) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::io("remove", name)(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn damaged(name: &str) -> OpenError {
    OpenError::damaged(name, 0, "it is not as a store writes it")
}
