//! veritysetup of cryptsetup: the same bytes from the same input.

use std::fs;

use formats::gpt::Guid;
use formats::verity::{self, BLOCK, Tree};

use crate::judge;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn veritysetup_makes_the_same_tree() {
    let Some(veritysetup) = judge::find("veritysetup") else { return };
    let uuid: Guid = "12345678-9abc-4def-8123-456789abcdef".parse().unwrap();
    let salts: [&[u8]; 3] = [&[], &[0x5a; 32], &[7; 256]];
    // Around the edges where a level gets another block, and one with three levels.
    for (blocks, salt) in [2, 127, 128, 129, 2049, 16385].into_iter().zip(salts.iter().cycle()) {
        let folder = judge::folder();
        let data = judge::noise(blocks * BLOCK);
        fs::write(folder.path().join("data"), &data).unwrap();
        let salt_text = if salt.is_empty() { "-".to_owned() } else { hex(salt) };
        let said = judge::approve(
            &veritysetup,
            &[
                "format",
                "data",
                "theirs",
                &format!("--salt={salt_text}"),
                &format!("--uuid={uuid}"),
            ],
            folder.path(),
        );
        let tree = Tree::build(&data[..], blocks as u64, salt, uuid).unwrap();
        let root = hex(&tree.root);
        assert!(said.contains(&root), "{blocks} blocks: {root} is not in\n{said}");
        let theirs = fs::read(folder.path().join("theirs")).unwrap();
        assert!(theirs == tree.hash, "{blocks} blocks: the trees differ");

        fs::write(folder.path().join("ours"), &tree.hash).unwrap();
        judge::approve(&veritysetup, &["verify", "data", "ours", &root], folder.path());
        assert!(verity::verify(&data, &theirs, &tree.root).is_ok());
    }
}

#[test]
fn veritysetup_sees_the_same_damage() {
    let Some(veritysetup) = judge::find("veritysetup") else { return };
    let folder = judge::folder();
    let mut data = judge::noise(200 * BLOCK);
    let tree = Tree::build(&data[..], 200, b"salt", Guid::VAR).unwrap();
    data[77 * BLOCK + 5] ^= 0x10;
    fs::write(folder.path().join("data"), &data).unwrap();
    fs::write(folder.path().join("hash"), &tree.hash).unwrap();
    let root = hex(&tree.root);
    let args = ["verify", "data", "hash", &root].map(AsRef::as_ref);
    let verdict = judge::hear(&veritysetup, &args, folder.path(), b"");
    assert!(!verdict.status.success(), "veritysetup must refuse changed data");
    let position = format!("position {}", 77 * BLOCK);
    let said = String::from_utf8_lossy(&verdict.stderr).into_owned();
    assert!(said.contains(&position), "{position} is not in {said}");
    let error = verity::verify(&data, &tree.hash, &tree.root).unwrap_err();
    assert_eq!(error.to_string(), "block 77 of the data does not match its hash");
}

/// One block needs no tree; veritysetup then writes no padding behind its superblock.
#[test]
fn veritysetup_agrees_about_a_single_block() {
    let Some(veritysetup) = judge::find("veritysetup") else { return };
    let folder = judge::folder();
    let data = judge::noise(BLOCK);
    let tree = Tree::build(&data[..], 1, b"salt", Guid::VAR).unwrap();
    fs::write(folder.path().join("data"), &data).unwrap();
    fs::write(folder.path().join("hash"), &tree.hash).unwrap();
    judge::approve(&veritysetup, &["verify", "data", "hash", &hex(&tree.root)], folder.path());
}
