//! A machine's own disk: a copy of the image that takes no space for its holes. Start at [`copy`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::LabError;

/// How much is copied between two words about it.
const STEP: u64 = 32 << 20;

/// Copies the image and extends the copy to `bytes`, if that is more. `progress` is told how many
/// bytes of the image are done, holes included.
///
/// Where the file system can share blocks (btrfs, XFS) nothing is copied at all.
pub(crate) fn copy(
    image: &Path,
    disk: &Path,
    bytes: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), LabError> {
    let from = File::open(image).map_err(LabError::system("open the disk image", image))?;
    let length = from.metadata().map_err(LabError::system("look at the disk image", image))?.len();
    // A disk of 0 bytes, or one that is no block's multiple, is refused by QEMU much later.
    if length == 0 || length % 512 != 0 {
        return Err(LabError::Plan {
            why: format!("{} is no disk image: it has {length} bytes", image.display()),
            cure: "give the raw image that `duet build` wrote".into(),
        });
    }
    let to = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        // What is on it is the site's own affair.
        .mode(0o600)
        .open(disk)
        .map_err(LabError::system("make the disk", disk))?;
    let copied = match ioctl_ficlone(&to, &from) {
        Ok(()) => Ok(()),
        Err(_) => copy_data(&from, &to, length, progress),
    };
    copied
        .and_then(|()| to.set_len(length.max(bytes)))
        .map_err(LabError::system("copy the image to the disk", disk))?;
    progress(length, length);
    Ok(())
}

/// Copies what is not a hole (lseek(2), SEEK_DATA).
fn copy_data(
    from: &File,
    to: &File,
    length: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<()> {
    let mut at = 0;
    loop {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // There are holes only up to the end.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start))?;
        at = start;
        while at < end {
            let step = (end - at).min(STEP);
            copy_range(from, to, at, step)?;
            at += step;
            progress(at, length);
        }
    }
}

fn copy_range(from: &File, to: &File, at: u64, length: u64) -> io::Result<()> {
    let (mut source, mut target) = (at, at);
    let end = at + length;
    while source < end {
        let step = usize::try_from(end - source).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut source), to, Some(&mut target), step) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            // Between some pairs of file systems the kernel cannot do it.
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return copy_by_hand(from, to, source, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File, mut at: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 1 << 20];
    while at < end {
        let step = usize::try_from(end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        from.read_exact_at(&mut buffer[..step], at)?;
        to.write_all_at(&buffer[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_is_sparse_and_longer() {
        let dir = tempfile::tempdir().unwrap();
        let (image, disk) = (dir.path().join("image"), dir.path().join("disk"));
        let file = File::create(&image).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"first", 0).unwrap();
        file.write_all_at(b"middle", 40 << 20).unwrap();
        let mut said = Vec::new();
        copy(&image, &disk, 128 << 20, &mut |done, all| said.push((done, all))).unwrap();
        let copied = fs::metadata(&disk).unwrap();
        assert_eq!(copied.len(), 128 << 20);
        assert!(copied.blocks() * 512 < 8 << 20, "{} blocks", copied.blocks());
        assert_eq!(said.last(), Some(&(64 << 20, 64 << 20)));
        assert!(said.is_sorted());
        let mut read = fs::read(&disk).unwrap();
        read.truncate(64 << 20);
        assert!(read == fs::read(&image).unwrap());
    }

    #[test]
    fn copying_by_hand_gives_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (image, disk) = (dir.path().join("image"), dir.path().join("disk"));
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        fs::write(&image, &bytes).unwrap();
        let (from, to) = (File::open(&image).unwrap(), File::create(&disk).unwrap());
        copy_by_hand(&from, &to, 0, 3_000_000).unwrap();
        assert!(fs::read(&disk).unwrap() == bytes);
        assert!(copy_by_hand(&from, &to, 0, 3_000_001).is_err(), "the image ended too early");
    }

    #[test]
    fn an_image_larger_than_the_disk_keeps_its_size_and_an_empty_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (image, disk) = (dir.path().join("image"), dir.path().join("disk"));
        fs::write(&image, vec![1; 4096]).unwrap();
        copy(&image, &disk, 512, &mut |_, _| {}).unwrap();
        assert_eq!(fs::metadata(&disk).unwrap().len(), 4096);
        fs::write(&image, "").unwrap();
        let error = copy(&image, &disk, 512, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("has 0 bytes"), "{error}");
    }
}
