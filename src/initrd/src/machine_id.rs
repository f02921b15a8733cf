//! The machine's identity: 32 lower-case hexadecimal digits and a newline (machine-id(5)).
//!
//! Start at [`read_or_make`]. It lives on the state partition and is bound over /etc/machine-id,
//! which the read-only root ships empty.

use rustix::fs::{Mode, OFlags, fsync, open, rename};
use rustix::rand::{GetRandomFlags, getrandom};
use std::io::Write;
use std::path::Path;

/// The identity in the text of a machine-id file, if it is a valid one.
pub fn parse(text: &str) -> Option<&str> {
    let id = text.trim_end();
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (id.len() == 32 && id.bytes().all(is_hex) && id.bytes().any(|byte| byte != b'0')).then_some(id)
}

/// Writes 16 random bytes as an identity; they become a version 4 UUID as machine-id(5) asks.
pub fn render(mut random: [u8; 16]) -> String {
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    let mut id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    id.push('\n');
    id
}

/// Makes sure that `file` holds an identity; true if it is a new one. The file is complete and
/// synced under its name, or not there at all.
pub fn read_or_make(file: &Path) -> std::io::Result<bool> {
    if std::fs::read_to_string(file).is_ok_and(|text| parse(&text).is_some()) {
        return Ok(false);
    }
    let mut random = [0u8; 16];
    // Blocks until the kernel has gathered enough; x86 seeds it from RDRAND at once.
    getrandom(&mut random, GetRandomFlags::empty())?;
    let parent = file.parent().unwrap_or(Path::new("/"));
    let fresh = file.with_extension("new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mut out = std::fs::File::from(open(&fresh, flags, Mode::from_raw_mode(0o444))?);
    out.write_all(render(random).as_bytes())?;
    fsync(&out)?;
    rename(&fresh, file)?;
    fsync(open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_whole_identity_is_one() {
        let id = render([0xff; 16]);
        assert_eq!(id, "ffffffffffff4fffbfffffffffffffff\n");
        assert_eq!(parse(&id), Some(id.trim_end()));
        let zeros = "0".repeat(32);
        for wrong in ["", "uninitialized\n", &id[..31], &id.to_uppercase(), zeros.as_str()] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn it_is_made_once_and_made_anew_if_damaged() {
        let folder = std::env::temp_dir().join(format!("duet-machine-id-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("machine-id");
        assert!(read_or_make(&file).unwrap());
        let first = std::fs::read_to_string(&file).unwrap();
        assert!(!read_or_make(&file).unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, &first[..20]).unwrap();
        assert!(read_or_make(&file).unwrap());
        assert!(parse(&std::fs::read_to_string(&file).unwrap()).is_some());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
