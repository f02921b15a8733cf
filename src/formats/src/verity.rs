//! dm-verity: a superblock and a hash tree that together prove every block of a partition.
//!
//! Start at [`Tree::build`] and [`verify`]. Source: the kernel's
//! Documentation/admin-guide/device-mapper/verity.rst, "Hash Tree", and cryptsetup's
//! docs/on-disk-format-verity. Version 1, SHA-256, blocks of 4096 bytes for data and hashes: what
//! `veritysetup format` writes, byte for byte, given the same salt and UUID.
//!
//! A hash partition is the superblock (padded to a block), then the levels of the tree from the top
//! down; the root hash is the hash of the topmost block. No level is larger than 1/128 of the one
//! below, so all of it is held in memory.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::ops::Range;

use ring::digest::{Context, SHA256};

use crate::ReadAt;
use crate::field::{array, le16, le32, le64, put};
use crate::gpt::Guid;
use crate::show;

/// Bytes of a block, of data and of hashes alike.
pub const BLOCK: usize = 4096;
/// Bytes of a hash.
const DIGEST: usize = 32;
/// Hashes in a block.
const FAN: u64 = (BLOCK / DIGEST) as u64;
/// Bytes of a superblock, of which the salt is the last part but padding.
const SUPERBLOCK: usize = 512;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const MAX_SALT: usize = 256;
/// 1 TiB of data: a root has some hundred MiB, and the tree must fit into memory.
const MAX_BLOCKS: u64 = 1 << 28;
/// Blocks that are read and hashed at once: 8 MiB, shared out to the processors.
const BATCH: usize = 2048;
/// More threads than this would wait for the reader.
const MAX_THREADS: usize = 8;

/// Why a tree could not be made, read or verified.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum VerityError {
    /// The data or the tree could not be read.
    #[error("cannot read {what} at block {block}")]
    #[diagnostic(code(integrity::verity_read), help("see that the disk or image is whole"))]
    Read {
        /// `data` or `hash tree`.
        what: &'static str,
        /// Block of 4096 bytes, from its partition's start.
        block: u64,
        /// What the device says.
        #[source]
        source: io::Error,
    },
    /// The superblock is not one that is known here.
    #[error("cannot use the verity superblock: {what}")]
    #[diagnostic(
        code(integrity::verity_superblock),
        help("the hash partition is damaged or empty: write the image or the slot again")
    )]
    Superblock {
        /// What is wrong.
        what: &'static str,
    },
    /// A block does not have the hash that the level above holds.
    #[error("block {block} of the {what} does not match its hash")]
    #[diagnostic(
        code(integrity::verity_mismatch),
        help("the partition was changed or is damaged: write the image or the slot again")
    )]
    Mismatch {
        /// `data` or `hash tree`.
        what: &'static str,
        /// Block of 4096 bytes, from its partition's start.
        block: u64,
    },
    /// The tree cannot be made for this.
    #[error("cannot make a verity tree: {what}")]
    #[diagnostic(
        code(integrity::verity_size),
        help(
            "a tree is for 1 to 2^28 whole blocks of 4096 bytes, with a salt of at most 256 bytes"
        )
    )]
    Size {
        /// What is wrong.
        what: &'static str,
    },
}

/// What a hash partition says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Names the tree; nothing depends on it.
    pub uuid: Guid,
    /// Blocks of 4096 bytes that are proved.
    pub data_blocks: u64,
    /// Hashed before every block: at most 256 bytes.
    pub salt: Vec<u8>,
}

/// A tree that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The hash that proves all of it.
    pub root: [u8; DIGEST],
    /// The bytes of the hash partition, superblock and all.
    pub hash: Vec<u8>,
}

impl Superblock {
    /// Checks that the tree can be made.
    fn check(&self) -> Result<(), VerityError> {
        match self {
            _ if self.salt.len() > MAX_SALT => Err("its salt is longer than 256 bytes"),
            _ if self.data_blocks == 0 => Err("there is no data"),
            _ if self.data_blocks > MAX_BLOCKS => Err("there is more than 1 TiB of data"),
            _ => Ok(()),
        }
        .map_err(|what| VerityError::Size { what })
    }

    /// Reads the superblock of a hash partition.
    ///
    /// # Errors
    /// If it is none, or one for other hashes or block sizes than those of Duet.
    pub fn parse(hash: &dyn ReadAt) -> Result<Self, VerityError> {
        let mut record = [0; SUPERBLOCK];
        hash.read_at(0, &mut record).map_err(|source| VerityError::Read {
            what: "hash tree",
            block: 0,
            source,
        })?;
        Self::decode(&record).map_err(|what| VerityError::Superblock { what })
    }

    fn decode(record: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "it is too short";
        if !record.starts_with(SIGNATURE) {
            return Err("there is none");
        }
        if le32(record, 8) != Some(1) || le32(record, 12) != Some(1) {
            return Err("it is not of version 1 and hash type 1");
        }
        let algorithm: [u8; 32] = array(record, 32).ok_or(SHORT)?;
        if algorithm.strip_prefix(b"sha256").is_none_or(|rest| rest.iter().any(|byte| *byte != 0)) {
            return Err("its algorithm is not sha256");
        }
        let sizes = (le32(record, 64), le32(record, 68));
        if sizes != (Some(BLOCK as u32), Some(BLOCK as u32)) {
            return Err("its blocks do not have 4096 bytes");
        }
        let salt = usize::from(le16(record, 80).ok_or(SHORT)?);
        if salt > MAX_SALT {
            return Err("its salt is longer than 256 bytes");
        }
        let superblock = Superblock {
            uuid: Guid::from_bytes(array(record, 16).ok_or(SHORT)?),
            data_blocks: le64(record, 72).ok_or(SHORT)?,
            salt: record.get(88..88 + salt).ok_or(SHORT)?.to_vec(),
        };
        if !(1..=MAX_BLOCKS).contains(&superblock.data_blocks) {
            return Err("it is for no data or for more than 1 TiB");
        }
        Ok(superblock)
    }

    fn encode(&self) -> Vec<u8> {
        let mut record = vec![0; BLOCK];
        put(&mut record, 0, SIGNATURE);
        put(&mut record, 8, &1u32.to_le_bytes());
        put(&mut record, 12, &1u32.to_le_bytes());
        put(&mut record, 16, &self.uuid.to_bytes());
        put(&mut record, 32, b"sha256");
        put(&mut record, 64, &(BLOCK as u32).to_le_bytes());
        put(&mut record, 68, &(BLOCK as u32).to_le_bytes());
        put(&mut record, 72, &self.data_blocks.to_le_bytes());
        put(&mut record, 80, &(self.salt.len() as u16).to_le_bytes());
        put(&mut record, 88, &self.salt);
        record
    }

    /// Bytes of the hash partition, superblock and all.
    pub fn hash_bytes(&self) -> u64 {
        // The leaves lie last.
        levels(self.data_blocks).first().map_or(1, |leaves| 1 + leaves.end) * BLOCK as u64
    }

    /// Sectors of 512 bytes of the mapped device: the length of its dm target.
    pub fn sectors(&self) -> u64 {
        self.data_blocks * (BLOCK as u64 / 512)
    }

    /// The dm target's parameters (verity.rst, "Construction Parameters"): devices by their path
    /// or `major:minor`, and options such as `restart_on_corruption`.
    pub fn table(&self, data: &str, hash: &str, root: &[u8; DIGEST], options: &[&str]) -> String {
        let salt = match &self.salt[..] {
            [] => "-".to_owned(),
            salt => show::hex(salt),
        };
        let (blocks, root) = (self.data_blocks, show::hex(root));
        let mut text = format!("1 {data} {hash} {BLOCK} {BLOCK} {blocks} 1 sha256 {root} {salt}");
        if !options.is_empty() {
            let _ = write!(text, " {} {}", options.len(), options.join(" "));
        }
        text
    }

    /// The superblock, for a person.
    pub fn dump(&self) -> String {
        let bytes = self.data_blocks * BLOCK as u64;
        format!(
            "dm-verity 1, sha256\n  uuid  {}\n  salt  {}\n  data  {} blocks, {bytes} bytes\n  \
             tree  {} levels, {} bytes\n",
            self.uuid,
            if self.salt.is_empty() { "-".to_owned() } else { show::hex(&self.salt) },
            self.data_blocks,
            levels(self.data_blocks).len(),
            self.hash_bytes(),
        )
    }
}

/// The levels of a tree from the leaves up, as ranges of blocks counted from the end of the
/// superblock. The topmost lies first on disk and has one block. One block of data needs no tree:
/// its hash is the root.
fn levels(data_blocks: u64) -> Vec<Range<u64>> {
    let mut sizes = Vec::new();
    let mut below = data_blocks;
    while below > 1 {
        below = below.div_ceil(FAN);
        sizes.push(below);
    }
    let mut levels = Vec::with_capacity(sizes.len());
    let mut start = 0;
    for size in sizes.iter().rev() {
        levels.push(start..start + size);
        start += size;
    }
    levels.reverse();
    levels
}

impl Tree {
    /// Builds the tree of `blocks` blocks, read from `data` in one pass.
    ///
    /// # Errors
    /// If the data ends early, or the sizes are beyond the bounds.
    pub fn build(
        mut data: impl Read,
        blocks: u64,
        salt: &[u8],
        uuid: Guid,
    ) -> Result<Self, VerityError> {
        let superblock = Superblock { uuid, data_blocks: blocks, salt: salt.to_vec() };
        superblock.check()?;
        let hasher = Hasher::new(salt);
        let levels = levels(blocks);
        let mut hash = superblock.encode();
        hash.resize(superblock.hash_bytes() as usize, 0);

        let mut leaves = Vec::with_capacity(blocks as usize * DIGEST);
        let mut batch = vec![0; BATCH.min(blocks as usize) * BLOCK];
        let mut done = 0;
        while done < blocks {
            let count = (blocks - done).min(BATCH as u64) as usize;
            let batch = &mut batch[..count * BLOCK];
            data.read_exact(batch).map_err(|source| VerityError::Read {
                what: "data",
                block: done,
                source,
            })?;
            hasher.extend(&mut leaves, batch);
            done += count as u64;
        }
        let mut digests = leaves;
        for level in &levels {
            let place = &mut hash[place(level)];
            place[..digests.len()].copy_from_slice(&digests);
            let mut above = Vec::with_capacity(place.len() / BLOCK * DIGEST);
            hasher.extend(&mut above, place);
            digests = above;
        }
        let mut root = [0; DIGEST];
        root.copy_from_slice(&digests);
        Ok(Tree { root, hash })
    }
}

/// Where a level lies in the hash partition, in bytes.
fn place(level: &Range<u64>) -> Range<usize> {
    (1 + level.start) as usize * BLOCK..(1 + level.end) as usize * BLOCK
}

/// Verifies the tree against the root hash, from the top down, and then every block of the data.
///
/// # Errors
/// The first block that does not match; the superblock or a block that cannot be read.
pub fn verify(
    data: &dyn ReadAt,
    hash: &dyn ReadAt,
    root: &[u8; DIGEST],
) -> Result<Superblock, VerityError> {
    let superblock = Superblock::parse(hash)?;
    // Before memory is set aside for what a superblock claims.
    if data.len() / (BLOCK as u64) < superblock.data_blocks {
        return Err(VerityError::Superblock { what: "it is for more data than there is" });
    }
    if hash.len() < superblock.hash_bytes() {
        return Err(VerityError::Superblock { what: "its tree is cut off" });
    }
    let hasher = Hasher::new(&superblock.salt);
    let mut expected = root.to_vec();
    for level in levels(superblock.data_blocks).iter().rev() {
        let blocks = level.start + 1..level.end + 1;
        let bytes = check(hash, "hash tree", blocks, &expected, &hasher, true)?;
        expected = bytes;
    }
    check(data, "data", 0..superblock.data_blocks, &expected, &hasher, false)?;
    Ok(superblock)
}

/// Compares blocks with their expected digests; gives the bytes back if they are to be kept.
fn check(
    from: &dyn ReadAt,
    what: &'static str,
    blocks: Range<u64>,
    expected: &[u8],
    hasher: &Hasher,
    keep: bool,
) -> Result<Vec<u8>, VerityError> {
    let mut kept = Vec::new();
    let mut batch = vec![0; BATCH.min((blocks.end - blocks.start) as usize) * BLOCK];
    let mut digests = Vec::new();
    let mut expected = expected.chunks_exact(DIGEST);
    let mut next = blocks.start;
    while next < blocks.end {
        let count = (blocks.end - next).min(BATCH as u64) as usize;
        let batch = &mut batch[..count * BLOCK];
        from.read_at(next * BLOCK as u64, batch).map_err(|source| VerityError::Read {
            what,
            block: next,
            source,
        })?;
        digests.clear();
        hasher.extend(&mut digests, batch);
        for (digest, block) in digests.chunks_exact(DIGEST).zip(next..) {
            if expected.next() != Some(digest) {
                return Err(VerityError::Mismatch { what, block });
            }
        }
        if keep {
            kept.extend_from_slice(batch);
        }
        next += count as u64;
    }
    Ok(kept)
}

/// Hashes blocks, on several processors if there are many.
struct Hasher {
    salted: Context,
    threads: usize,
}

impl Hasher {
    fn new(salt: &[u8]) -> Self {
        let mut salted = Context::new(&SHA256);
        salted.update(salt);
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Hasher { salted, threads: threads.min(MAX_THREADS) }
    }

    /// Appends the digest of each block.
    fn extend(&self, digests: &mut Vec<u8>, blocks: &[u8]) {
        let start = digests.len();
        let count = blocks.len() / BLOCK;
        digests.resize(start + count * DIGEST, 0);
        let digests = &mut digests[start..];
        // A thread costs as much as hashing some ten blocks.
        let share = count.div_ceil(self.threads).max(64);
        let shares = digests.chunks_mut(share * DIGEST).zip(blocks.chunks(share * BLOCK));
        if count <= share {
            shares.for_each(|(digests, blocks)| self.fill(digests, blocks));
        } else {
            std::thread::scope(|scope| {
                for (digests, blocks) in shares {
                    scope.spawn(|| self.fill(digests, blocks));
                }
            });
        }
    }

    fn fill(&self, digests: &mut [u8], blocks: &[u8]) {
        for (digest, block) in digests.chunks_exact_mut(DIGEST).zip(blocks.chunks_exact(BLOCK)) {
            let mut context = self.salted.clone();
            context.update(block);
            digest.copy_from_slice(context.finish().as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use expect_test::{Expect, expect};

    use super::*;

    const UUID: Guid = Guid::from_bytes(*b"0123456789abcdef");

    fn data(blocks: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..blocks * BLOCK / 8).flat_map(|_| next().to_le_bytes()).collect()
    }

    fn build(data: &[u8], salt: &[u8]) -> Tree {
        Tree::build(data, (data.len() / BLOCK) as u64, salt, UUID).unwrap()
    }

    #[test]
    fn levels_lie_from_the_top_down() {
        let check = |blocks, expected: Expect| {
            expected.assert_eq(&format!("{:?}", levels(blocks)));
        };
        check(1, expect!["[]"]);
        check(2, expect!["[0..1]"]);
        check(128, expect!["[0..1]"]);
        check(129, expect!["[1..3, 0..1]"]);
        check(128 * 128 + 1, expect!["[3..132, 1..3, 0..1]"]);
    }

    #[test]
    fn what_was_built_is_verified() {
        for blocks in [1, 2, 128, 129, 2048 + 130] {
            let data = data(blocks);
            let tree = build(&data, b"salt");
            let superblock = verify(&data, &tree.hash, &tree.root).unwrap();
            assert_eq!(superblock.data_blocks, blocks as u64);
            assert_eq!(superblock.hash_bytes(), tree.hash.len() as u64);
        }
    }

    #[test]
    fn the_first_bad_block_is_named() {
        let mut data = data(300);
        let mut tree = build(&data, &[]);
        let refuse = |data: &Vec<u8>, tree: &Tree, expected: Expect| {
            expected.assert_eq(&verify(data, &tree.hash, &tree.root).unwrap_err().to_string());
        };
        data[299 * BLOCK] ^= 1;
        data[150 * BLOCK + 4095] ^= 1;
        refuse(&data, &tree, expect!["block 150 of the data does not match its hash"]);
        tree.hash[3 * BLOCK + 17] ^= 1;
        refuse(&data, &tree, expect!["block 3 of the hash tree does not match its hash"]);
        tree.root[0] ^= 1;
        refuse(&data, &tree, expect!["block 1 of the hash tree does not match its hash"]);
        tree.hash.truncate(4 * BLOCK - 1);
        refuse(&data, &tree, expect!["cannot use the verity superblock: its tree is cut off"]);
        tree.hash[64] = 1;
        refuse(
            &data,
            &tree,
            expect!["cannot use the verity superblock: its blocks do not have 4096 bytes"],
        );
    }

    #[test]
    fn data_that_ends_early_is_an_error() {
        let error = Tree::build(&[0; 5000][..], 2, &[], UUID).unwrap_err();
        expect!["cannot read data at block 0"].assert_eq(&error.to_string());
        assert!(Tree::build(io::empty(), 0, &[], UUID).is_err());
        assert!(Tree::build(io::empty(), MAX_BLOCKS + 1, &[], UUID).is_err());
        assert!(Tree::build(io::empty(), 1, &[0; 257], UUID).is_err());
    }

    #[test]
    fn the_dump_and_the_table_show_what_is_there() {
        let tree = build(&data(129), &[0xab, 0xcd]);
        let superblock = Superblock::parse(&tree.hash).unwrap();
        expect![[r#"
            dm-verity 1, sha256
              uuid  30313233-3435-3637-3839-616263646566
              salt  abcd
              data  129 blocks, 528384 bytes
              tree  2 levels, 16384 bytes
        "#]]
        .assert_eq(&superblock.dump());
        expect!["1 8:2 8:3 4096 4096 129 1 sha256 0000000000000000000000000000000000000000000000000000000000000000 abcd 1 restart_on_corruption"]
            .assert_eq(&superblock.table("8:2", "8:3", &[0; 32], &["restart_on_corruption"]));
        assert_eq!(superblock.sectors(), 129 * 8);
    }
}
