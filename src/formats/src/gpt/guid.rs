//! GUIDs, with the byte order that GPT gives them, and the types of the partitions that Duet uses.

use std::fmt;
use std::str::FromStr;

/// A GUID, kept in the order of its text: the first byte is the first two digits.
///
/// On a disk the first three groups are little-endian (UEFI 2.10, appendix A). In its text they
/// are not, and the Discoverable Partitions Specification means the text when it derives a GUID
/// from a root hash: systemd copies the hash's bytes into an `sd_id128_t` and compares that with
/// the GUID's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid([u8; 16]);

/// The text is not a GUID.
#[derive(Clone, Debug, thiserror::Error, miette::Diagnostic)]
#[error("{0:?} is not a GUID")]
#[diagnostic(
    code(integrity::guid),
    help("a GUID is written as 4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
)]
pub struct GuidError(String);

impl Guid {
    /// No GUID at all: marks a partition entry that is not used.
    pub const NIL: Guid = Guid([0; 16]);
    /// EFI system partition.
    pub const ESP: Guid = Guid::of(0xc12a_7328_f81f_11d2_ba4b_00a0_c93e_c93b);
    /// Root of an x86-64 system (Discoverable Partitions Specification).
    pub const ROOT_X86_64: Guid = Guid::of(0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709);
    /// dm-verity hash tree of an x86-64 root.
    pub const ROOT_X86_64_VERITY: Guid = Guid::of(0x2c73_57ed_ebd2_46d9_aec1_23d4_37ec_2bf5);
    /// Signature of the root hash of an x86-64 root.
    pub const ROOT_X86_64_VERITY_SIG: Guid = Guid::of(0x4109_2b05_9fc8_4523_994f_2def_0408_b176);
    /// State: what is mounted on `/var`.
    pub const VAR: Guid = Guid::of(0x4d21_b016_b534_45c2_a9fb_5c16_e091_fd2d);

    /// Linux LVM: what Duet gives a disk's partition for volumes (`sfdisk --list-types --label gpt`).
    pub const LINUX_LVM: Guid = Guid::of(0xe6d6_d379_f507_44c2_a23c_238f_2a3d_f928);

    const fn of(text: u128) -> Self {
        Guid(text.to_be_bytes())
    }

    /// From 16 bytes in the order of the text.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Guid(bytes)
    }

    /// The 16 bytes in the order of the text.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From 16 bytes in the order of the disk, or the other way round: both are the same swap.
    const fn swap([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> [u8; 16] {
        let [i, j, k, l, m, n, o, p] = rest;
        [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
    }

    /// From 16 bytes as they lie on a disk.
    pub const fn from_disk(bytes: [u8; 16]) -> Self {
        Guid(Self::swap(bytes))
    }

    /// The 16 bytes as they lie on a disk.
    pub const fn to_disk(self) -> [u8; 16] {
        Self::swap(self.0)
    }

    /// A GUID of the vendor's own making from 16 bytes of a hash: version 8 of RFC 9562, section
    /// 5.8. Six of the 128 bits are given up for version and variant.
    pub const fn derived(mut hash: [u8; 16]) -> Self {
        hash[6] = hash[6] & 0x0f | 0x80;
        hash[8] = hash[8] & 0x3f | 0x80;
        Guid(hash)
    }

    /// The GUIDs of a root partition and of its hash tree: the first and the last 128 bits of the
    /// root hash (Discoverable Partitions Specification, "Verity"; systemd-veritysetup-generator).
    pub const fn of_verity(root_hash: &[u8; 32]) -> (Guid, Guid) {
        let (mut root, mut tree) = ([0; 16], [0; 16]);
        let mut at = 0;
        while at < 16 {
            root[at] = root_hash[at];
            tree[at] = root_hash[at + 16];
            at += 1;
        }
        (Guid(root), Guid(tree))
    }

    /// What a partition of this type is for, if Duet knows.
    pub fn type_name(self) -> Option<&'static str> {
        match self {
            Guid::ESP => Some("EFI system"),
            Guid::ROOT_X86_64 => Some("root (x86-64)"),
            Guid::ROOT_X86_64_VERITY => Some("root verity (x86-64)"),
            Guid::ROOT_X86_64_VERITY_SIG => Some("root verity signature (x86-64)"),
            Guid::VAR => Some("var"),
            Guid::LINUX_LVM => Some("Linux LVM"),
            _ => None,
        }
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                to.write_str("-")?;
            }
            write!(to, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        let error = || GuidError(text.chars().take(64).collect());
        let lengths = text.split('-').map(str::len);
        if !lengths.eq([8, 4, 4, 4, 12]) || text.contains('+') {
            return Err(error());
        }
        let digits: String = text.split('-').collect();
        u128::from_str_radix(&digits, 16).map(Guid::of).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_three_groups_are_swapped_on_disk() {
        let guid: Guid = "00112233-4455-6677-8899-AABBCCDDEEFF".parse().unwrap();
        assert_eq!(guid.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(
            guid.to_disk(),
            [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 170, 187, 204, 221, 238, 255]
        );
        assert_eq!(Guid::from_disk(guid.to_disk()), guid);
    }

    #[test]
    fn a_root_hash_gives_its_text_to_the_guids() {
        let mut hash = [0; 32];
        (0..32).for_each(|at| hash[usize::from(at)] = at);
        let (root, tree) = Guid::of_verity(&hash);
        assert_eq!(root.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(tree.to_string(), "10111213-1415-1617-1819-1a1b1c1d1e1f");
    }

    #[test]
    fn a_derived_guid_says_that_it_is_one() {
        assert_eq!(Guid::derived([0xff; 16]).to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }

    #[test]
    fn what_is_no_guid_is_refused() {
        for text in [
            "",
            "4f68bce3e8cd4db196e7fbcaf984b709",
            "4f68bce3-e8cd-4db1-96e7-fbcaf984b70",
            "4f68bce3-e8cd-4db1-96e7-fbcaf984b70g",
            "+f68bce3-e8cd-4db1-96e7-fbcaf984b709",
            "äöüß-e8cd-4db1-96e7-fbcaf984b709",
        ] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }
}
