//! The corpus on the stable compiler: every file of a target, and mutations of them by a fixed seed. How
//! many is bounded by number, never by the clock. Start at [`replay`].
//!
//! A failure prints the input as a file that a test or a fuzzer takes.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Feeds all files of a target and so many mutations of them to it (`DUET_CASES` asks for another number),
/// and returns how many mutations were sound all the way.
///
/// # Panics
/// If the target does, or if the corpus is worth nothing.
pub(crate) fn replay(name: &str, mutations: usize, target: fn(&[u8]) -> bool) -> usize {
    let corpus = load(name);
    // What a fuzzer finds is seldom sound; what it starts from must be, or it finds nothing.
    let sound = corpus
        .iter()
        .filter(|(path, bytes)| feed(target, bytes, &path.display().to_string()))
        .count();
    assert!(sound >= 2, "only {sound} files of the corpus of {name} are sound");
    let cases = std::env::var("DUET_CASES").ok().and_then(|text| text.parse().ok());
    let mut dice = Dice(0x5eed_0000 + name.len() as u64);
    let mut sound = 0;
    for number in 0..cases.unwrap_or(mutations) {
        let (_, bytes) = &corpus[number % corpus.len()];
        let (_, other) = &corpus[dice.below(corpus.len())];
        let mut bytes = bytes.clone();
        for _ in 0..1 + dice.below(4) {
            mutate(&mut bytes, other, &mut dice);
        }
        sound += usize::from(feed(target, &bytes, &format!("{name}, mutation {number}")));
    }
    for bytes in [&b""[..], b"\0", &[0xff; 600]] {
        feed(target, bytes, "next to nothing");
    }
    sound
}

/// Writes a crate's own contribution to the corpus if `UPDATE_CORPUS` is set.
///
/// # Panics
/// If it is not set, and a file is not as it would be written.
pub(crate) fn keep_current(files: Vec<(&'static str, &'static str, Vec<u8>)>) {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    for (target, name, bytes) in files {
        let file = folder(target).join(name);
        if update {
            fs::write(&file, bytes).unwrap();
        } else {
            let kept = fs::read(&file).unwrap_or_default();
            assert!(kept == bytes, "{target}/{name} is old: run with UPDATE_CORPUS=1");
        }
    }
}

fn feed(target: fn(&[u8]) -> bool, bytes: &[u8], what: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).unwrap_or_else(|_| {
        let file = std::env::temp_dir().join(format!("duet-corpus-{}", std::process::id()));
        fs::write(&file, bytes).unwrap();
        panic!("{what}: the input is kept in {}", file.display());
    })
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name)
}

/// The files of a target, by name, so that the same seed gives the same mutations.
fn load(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Changes that formats are weak against: lengths, ends, and parts in two places. Places are chosen among
/// the bytes that say something, where much is zeros.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    const ODD: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff];
    if bytes.is_empty() {
        bytes.push(dice.next() as u8);
    }
    let mut at = dice.below(bytes.len());
    while bytes[at] == 0 && dice.below(64) != 0 {
        at = dice.below(bytes.len());
    }
    let length = 1 + dice.below(64.min(bytes.len() - at));
    match dice.below(8) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.next() as u8,
        3 => {
            let number = ODD[dice.below(ODD.len())].to_le_bytes();
            let width = [1, 2, 4][dice.below(3)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..at + length)),
        6 => {
            let part = bytes[at..at + length].to_vec();
            let to = dice.below(bytes.len());
            bytes.splice(to..to, part);
        }
        _ => {
            let from = dice.below(other.len().max(1)).min(other.len());
            let part = &other[from..other.len().min(from + length)];
            let to = at..bytes.len().min(at + part.len());
            bytes.splice(to, part.iter().copied());
        }
    }
}

/// xorshift64: the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
