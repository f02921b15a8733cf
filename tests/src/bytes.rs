//! Files compared, cut and damaged by byte. Holes of sparse files stay holes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is held in memory at a time.
const CHUNK: usize = 1 << 20;

/// Where two files begin to differ; the shorter one's length if one begins with the other.
///
/// # Panics
/// If one cannot be read.
#[track_caller]
#[must_use]
pub fn first_difference(one: &Path, other: &Path) -> Option<u64> {
    let open = |path: &Path| {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let length = file.metadata().expect("an open file has a length").len();
        (file, length)
    };
    let ((mut one, left_length), (mut other, right_length)) = (open(one), open(other));
    let common = left_length.min(right_length);
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < common {
        let part = part(common - at);
        one.read_exact(&mut left[..part]).expect("the file does not shrink");
        other.read_exact(&mut right[..part]).expect("the file does not shrink");
        if left[..part] != right[..part] {
            let within = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
            return Some(at + within as u64);
        }
        at += part as u64;
    }
    (left_length != right_length).then_some(common)
}

/// Copies `length` bytes that begin at `start` into a new file.
///
/// # Panics
/// If they are not there, or the file cannot be written.
#[track_caller]
pub fn cut(from: &Path, start: u64, length: u64, to: &Path) {
    let mut from = File::open(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    from.seek(SeekFrom::Start(start)).expect("a file can be sought");
    let to = File::create(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    to.set_len(length).expect("a file can be extended");
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let part = part(length - at);
        from.read_exact(&mut buffer[..part]).expect("the file is long enough");
        if buffer[..part].iter().any(|byte| *byte != 0) {
            to.write_all_at(&buffer[..part], at).expect("the file can be written");
        }
        at += part as u64;
    }
}

/// Flips the lowest bit of one byte.
///
/// # Panics
/// If there is no such byte.
#[track_caller]
pub fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path);
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the file is long enough");
    file.write_all_at(&[byte[0] ^ 1], at).expect("the file can be written");
}

fn part(left: u64) -> usize {
    usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_first_difference_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let bytes: Vec<u8> = (0..3 * CHUNK + 5).map(|at| (at % 251) as u8).collect();
        fs::write(&one, &bytes).unwrap();
        fs::write(&other, &bytes).unwrap();
        assert_eq!(first_difference(&one, &other), None);
        flip(&other, CHUNK as u64 + 7);
        assert_eq!(first_difference(&one, &other), Some(CHUNK as u64 + 7));
        fs::write(&other, &bytes[..100]).unwrap();
        assert_eq!(first_difference(&one, &other), Some(100));
    }

    #[test]
    fn a_cut_is_exact_and_sparse() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, [&[1; 10], &[0; 4 * CHUNK][..], &[2; 10]].concat()).unwrap();
        cut(&from, 10, 4 * CHUNK as u64 + 3, &to);
        assert_eq!(fs::read(&to).unwrap(), [&[0; 4 * CHUNK], &[2; 3][..]].concat());
        assert!(fs::metadata(&to).unwrap().blocks() * 512 <= CHUNK as u64);
    }
}
