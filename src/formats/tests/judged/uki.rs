//! objdump and objcopy of binutils.

use std::fs;

use expect_test::expect;
use formats::uki::{self, Parts};

use crate::judge;

#[path = "../specimens/pe.rs"]
mod specimens;

#[test]
fn binutils_finds_every_section() {
    let Some(objdump) = judge::find("objdump") else { return };
    let Some(objcopy) = judge::find("objcopy") else { return };
    let folder = judge::folder();
    let kernel = specimens::kernel("6.12.1");
    let initrd = judge::noise(10_000);
    let parts = Parts {
        linux: &kernel,
        os_release: "ID=duet\n",
        cmdline: "quiet",
        initrd: &initrd,
        microcode: b"microcode",
        uname: "6.12.1",
        ..Parts::default()
    };
    let bytes = uki::build(&specimens::stub(), &parts).unwrap();
    fs::write(folder.path().join("uki.efi"), bytes).unwrap();

    let said = judge::approve(&objdump, &["-h", "-w", "uki.efi"], folder.path());
    let lines = said.lines().skip_while(|line| !line.starts_with("Idx"));
    let columns = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let table: Vec<_> = columns.map(|words| [1, 2, 3, 5].map(|at| words[at]).join(" ")).collect();
    expect![[r#"
        Name Size VMA File
        .text 00000004 0000000000001000 00000600
        .sbat 000000e5 0000000000002000 00000800
        .sdmagic 00000014 0000000000003000 00000a00
        .linux 00001800 0000000000004000 00000c00
        .osrel 00000008 0000000000006000 00002400
        .cmdline 00000005 0000000000007000 00002600
        .initrd 00002710 0000000000008000 00002800
        .ucode 00000009 000000000000b000 00005000
        .uname 00000006 000000000000c000 00005200"#]]
    .assert_eq(&table.join("\n"));

    let contents = [(".linux", &kernel[..]), (".initrd", &initrd), (".cmdline", b"quiet")];
    for (name, content) in contents {
        let dump = format!("--dump-section={name}=section");
        judge::approve(&objcopy, &[&dump, "uki.efi", "copy.efi"], folder.path());
        let section = fs::read(folder.path().join("section")).unwrap();
        assert!(section.starts_with(content), "{name} is not what was put in");
        let padding = &section[content.len()..];
        assert!(padding.len() < 512 && padding.iter().all(|byte| *byte == 0), "{name}'s padding");
    }
}
