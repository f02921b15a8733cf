//! What the kernel command line asks of /init. Start at [`Request::parse`]. Reads no file.
//!
//! The command line is part of the signed UKI, so what it says is trusted; what it says wrongly is
//! still told to a person rather than guessed at.

use std::fmt;

/// Seconds that the error screen stays before the machine restarts.
const PANIC_SECONDS: u64 = 30;
/// Seconds to wait for the disk. A server's RAID controller needs up to 40 s to show its first one.
const WAIT_SECONDS: u64 = 60;
/// More than any count of seconds here can sensibly be.
const LONGEST_SECONDS: u64 = 3600;

/// The root hash of a dm-verity tree: SHA-256 of the topmost block and the salt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RootHash([u8; 32]);

impl RootHash {
    /// Reads 64 hexadecimal digits, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }

    /// The hash itself.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

/// What is to be on /var.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateWish {
    /// The partition `duet-state`.
    Disk,
    /// Memory, even if there is such a partition (`duet.state=tmpfs`).
    Memory,
}

/// Where the root is to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A partition on a disk, named by the root hash.
    Disk(RootHash),
    /// `/root.erofs` in the initramfs, checked against the hash if one is given.
    Netboot(Option<RootHash>),
}

/// The command line, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Where the root is, or one sentence on why that cannot be told.
    pub source: Result<Source, String>,
    /// What is to be on /var.
    pub state: StateWish,
    /// How long the error screen stays, in seconds.
    pub panic_seconds: u64,
    /// How long to wait for the disk, in seconds.
    pub wait_seconds: u64,
    /// Sentences on what was not understood and is passed over.
    pub complaints: Vec<String>,
}

impl Request {
    /// Reads the text of /proc/cmdline. Of a key given twice the last one counts, as in the kernel.
    pub fn parse(line: &str) -> Self {
        let mut root: Option<Result<RootHash, String>> = None;
        let mut netboot = false;
        let mut request = Self {
            source: Err(String::new()),
            state: StateWish::Disk,
            panic_seconds: PANIC_SECONDS,
            wait_seconds: WAIT_SECONDS,
            complaints: Vec::new(),
        };
        for word in words(line) {
            let Some(ours) = word.strip_prefix("duet.") else { continue };
            let (key, value) = ours.split_once('=').unwrap_or((ours, ""));
            match key {
                "root" => {
                    root = Some(RootHash::parse(value).ok_or_else(|| {
                        format!("duet.root={value} is not a root hash of 64 hexadecimal digits")
                    }));
                }
                "netboot" => netboot = true,
                "state" if value == "tmpfs" => request.state = StateWish::Memory,
                "panic" if seconds(value).is_some() => {
                    request.panic_seconds = seconds(value).unwrap_or(PANIC_SECONDS);
                }
                "wait" if seconds(value).is_some() => {
                    request.wait_seconds = seconds(value).unwrap_or(WAIT_SECONDS);
                }
                "state" | "panic" | "wait" => request
                    .complaints
                    .push(format!("duet.{key} does not know the value '{value}'; it is ignored")),
                _ => request.complaints.push(format!("duet.{key} is not known; it is ignored")),
            }
        }
        request.source = match (root.transpose(), netboot) {
            (Err(malformed), _) => Err(malformed),
            (Ok(hash), true) => Ok(Source::Netboot(hash)),
            (Ok(Some(hash)), false) => Ok(Source::Disk(hash)),
            (Ok(None), false) => Err("the command line has no duet.root=ROOTHASH".to_owned()),
        };
        request
    }
}

fn seconds(value: &str) -> Option<u64> {
    value.parse().ok().filter(|&seconds| seconds <= LONGEST_SECONDS)
}

/// Splits at spaces outside double quotes, and drops the quotes (kernel: lib/cmdline.c, next_arg).
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match (letter, words.last_mut()) {
            ('"', _) => quoted = !quoted,
            (' ' | '\t' | '\n', _) if !quoted => words.push(String::new()),
            (_, Some(word)) => word.push(letter),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff0123456789abcdefFEDCBA9876543210";

    #[test]
    fn a_root_hash_is_64_digits() {
        let hash = RootHash::parse(HASH).unwrap();
        assert_eq!((hash.bytes()[2], hash.bytes()[31]), (0x22, 0x10));
        assert_eq!(hash.to_string(), HASH.to_lowercase());
        for wrong in ["", &HASH[1..], &HASH.replace('f', "g"), &format!("{HASH}0")] {
            assert_eq!(RootHash::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_usual_line_is_read() {
        let line = format!("quiet console=ttyS0 duet.root={HASH} panic=10\n");
        let request = Request::parse(&line);
        assert_eq!(request.source, Ok(Source::Disk(RootHash::parse(HASH).unwrap())));
        assert_eq!((request.panic_seconds, request.wait_seconds), (30, 60));
        assert_eq!((request.state, request.complaints.len()), (StateWish::Disk, 0));
    }

    #[test]
    fn netboot_may_leave_the_hash_out() {
        assert_eq!(Request::parse("duet.netboot").source, Ok(Source::Netboot(None)));
        let with = Request::parse(&format!("duet.root=\"{HASH}\" duet.netboot=1"));
        assert_eq!(with.source, Ok(Source::Netboot(RootHash::parse(HASH))));
    }

    #[test]
    fn a_missing_or_malformed_hash_is_named() {
        let missing = Request::parse("roothash=12 ro").source.unwrap_err();
        assert!(missing.contains("no duet.root="), "{missing}");
        let short = Request::parse("duet.root=12ab duet.netboot").source.unwrap_err();
        assert!(short.contains("duet.root=12ab"), "{short}");
    }

    #[test]
    fn what_is_not_understood_is_said_and_passed_over() {
        let request = Request::parse(
            "duet.netboot duet.rot=1 duet.panic=soon duet.state=nfs duet.wait=9999999 duet.state=tmpfs duet.panic=5",
        );
        assert_eq!(request.complaints.len(), 4, "{:?}", request.complaints);
        assert!(request.complaints[0].contains("duet.rot "));
        assert!(request.complaints[1].contains("'soon'"));
        assert_eq!((request.state, request.panic_seconds), (StateWish::Memory, 5));
        assert_eq!(request.wait_seconds, 60);
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words("a \"b c\"  d=\"e f\"g\n"), ["a", "b c", "d=e fg"]);
    }
}
