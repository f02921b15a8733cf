//! Opens the root through dm-verity. Start at [`open`].
//!
//! From here on every block that is read is checked against the root hash of the command line by
//! the kernel; one that does not match restarts the machine (`restart_on_corruption`), which costs
//! the boot loader's entry one of its tries.

use crate::cmdline::RootHash;
use crate::disks;
use crate::failure::{Failure, chain};
use crate::kernel::{Target, open_mapped};
use formats::verity::{BLOCK, Superblock};
use rustix::fs::{Mode, OFlags};

/// Name of the mapped device.
const NAME: &str = "root";
const OPTIONS: [&str; 1] = ["restart_on_corruption"];

const CURE: &str = "The slot is damaged. Start the other slot, or write the image again.";

/// Opens the data on `data` with the hash tree on `hash`; returns the node of the verified device.
pub fn open(data: &str, hash: &str, root: &RootHash) -> Result<String, Failure> {
    let wanted = format!("open the root file system {data} with its hash tree {hash}");
    let failed = |problem: String| Failure::new(&wanted, problem, CURE);
    let superblock = read(data, hash).map_err(failed)?;
    let parameters = superblock.table(data, hash, root.bytes(), &OPTIONS);
    let target = Target { kind: "verity", sectors: superblock.sectors(), parameters: &parameters };
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control = rustix::fs::open("/dev/mapper/control", flags, Mode::empty())
        .map_err(|error| failed(format!("no device-mapper at /dev/mapper/control: {error}")))?;
    let minor = open_mapped(control, NAME, &uuid(&superblock), &target)
        .map_err(|error| failed(format!("dm-verity: {error}")))?;
    Ok(format!("/dev/dm-{minor}"))
}

/// As cryptsetup names it, so that `veritysetup status root` knows it.
fn uuid(superblock: &Superblock) -> String {
    format!("CRYPT-VERITY-{}-{NAME}", superblock.uuid.to_string().replace('-', ""))
}

fn read(data: &str, hash: &str) -> Result<Superblock, String> {
    let open =
        |node: &str| disks::open(node).map_err(|error| format!("cannot open {node}: {error}"));
    let superblock = Superblock::parse(&open(hash)?).map_err(|error| chain(&error))?;
    check(&superblock, formats::ReadAt::len(&open(data)?), formats::ReadAt::len(&open(hash)?))?;
    Ok(superblock)
}

/// The kernel would refuse what does not fit as well, with `invalid argument`.
fn check(superblock: &Superblock, data_bytes: u64, hash_bytes: u64) -> Result<(), String> {
    let needed = superblock.data_blocks * BLOCK as u64;
    if needed > data_bytes {
        return Err(format!("the hash tree is for {needed} bytes, but there are {data_bytes}"));
    }
    if superblock.hash_bytes() > hash_bytes {
        let needed = superblock.hash_bytes();
        return Err(format!(
            "the hash tree has {needed} bytes, but there is room for {hash_bytes}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use formats::gpt::Guid;
    use formats::verity::Tree;

    #[test]
    fn a_tree_that_does_not_fit_is_named() {
        let tree = Tree::build(&[7u8; 3 * BLOCK][..], 3, b"salt", Guid::derived([1; 16])).unwrap();
        let superblock = Superblock::parse(&tree.hash).unwrap();
        let (data, hash) = (3 * BLOCK as u64, tree.hash.len() as u64);
        assert_eq!(check(&superblock, data, hash), Ok(()));
        assert!(check(&superblock, data - 1, hash).unwrap_err().contains("12288 bytes"));
        assert!(check(&superblock, data, hash - 1).unwrap_err().contains("has 8192 bytes"));
        assert_eq!(uuid(&superblock).len(), "CRYPT-VERITY-".len() + 32 + "-root".len());
    }
}
