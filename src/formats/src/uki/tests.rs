//! Images built from small stand-ins for the stub and the kernel.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};

use super::*;

#[path = "../../tests/specimens/pe.rs"]
mod specimens;

fn parts(kernel: &[u8]) -> Parts<'_> {
    Parts {
        linux: kernel,
        os_release: "ID=duet\nVERSION_ID=\"1\"\n",
        cmdline: "duet.root=00 quiet",
        initrd: b"initrd",
        microcode: b"microcode",
        uname: "6.12.1-amd64",
        ..Parts::default()
    }
}

#[test]
fn what_was_built_is_read() {
    let kernel = specimens::kernel("6.12.1-amd64");
    let bytes = build(&specimens::stub(), &parts(&kernel)).unwrap();
    assert_eq!(bytes, build(&specimens::stub(), &parts(&kernel)).unwrap());
    let uki = Uki::parse(&bytes).unwrap();
    assert_eq!(uki.section(".linux"), Some(&kernel[..]));
    assert_eq!(uki.section(".initrd"), Some(&b"initrd"[..]));
    assert_eq!(uki.cmdline(), Some("duet.root=00 quiet"));
    assert_eq!(uki.section(".splash"), None);
    assert_eq!(kernel_release(uki.section(".linux").unwrap()), Some("6.12.1-amd64"));
    expect![[r#"
        PE32+ x86-64, EFI application, NX, 45056 bytes in memory, entry 0x1000
          .text             4 bytes at 0x00000600, in memory at 0x00001000
          .sbat           229 bytes at 0x00000800, in memory at 0x00002000
          .sdmagic         20 bytes at 0x00000a00, in memory at 0x00003000
          .linux         6144 bytes at 0x00000c00, in memory at 0x00004000
          .osrel           23 bytes at 0x00002400, in memory at 0x00006000
          .cmdline         18 bytes at 0x00002600, in memory at 0x00007000
          .initrd           6 bytes at 0x00002800, in memory at 0x00008000
          .ucode            9 bytes at 0x00002a00, in memory at 0x00009000
          .uname           12 bytes at 0x00002c00, in memory at 0x0000a000
    "#]]
    .assert_eq(&uki.image.dump());
    expect![[r#"
        unified kernel image
          .linux          6144 bytes  sha256 e2d3dcc893e659c8f3efe30a23cf743b4870ab777a9676c11488004c1b86cbdf
          .osrel            23 bytes  sha256 b7dcbff56a557898203e2b579d80da40e250791889a1d1b94bc303d6e483b88c
            ID=duet
            VERSION_ID="1"
          .cmdline          18 bytes  sha256 655e017076dac7a8e7c6b8c02618b06a3aa664f4a357016a59b06882a219db35
            duet.root=00 quiet
          .initrd            6 bytes  sha256 09e6c018d2c8c4903308613dd1b72484d57eadf12ec50ddc8f52e5accce470f2
          .ucode             9 bytes  sha256 98db9f69255a2a3f37029e60f31d2a6d71dd20635b0111a027db0a06f78f2614
          .uname            12 bytes  sha256 aebb2725abd0531662381b47561eb590b65aeec397e2e3a45ab3d369bd0c6237
            6.12.1-amd64
          .sbat            229 bytes  sha256 5a4b7e5d1dac7665490ed7619b1e14dd650f9f42394d7d36cc7b8c7f8051d67e
            sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md
            systemd-stub,1,The systemd Developers,systemd,257,https://systemd.io/
            uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/
    "#]].assert_eq(&uki.dump());
}

#[test]
fn the_measured_order_is_the_files_order() {
    let kernel = specimens::kernel("6");
    let mut parts = parts(&kernel);
    parts.splash = b"BM";
    let bytes = build(&specimens::stub(), &parts).unwrap();
    let image = Uki::parse(&bytes).unwrap().image;
    let place = |name: &str| SECTIONS.iter().position(|known| *known == name);
    // .sbat stays where the stub has it.
    let added = image.sections.iter().filter(|section| section.name != ".sbat");
    let places: Vec<_> = added.filter_map(|section| place(&section.name)).collect();
    assert_eq!(places.len(), 7);
    assert!(places.is_sorted(), "{places:?}");
    assert!(image.sections.is_sorted_by_key(|section| section.address));
}

#[test]
fn nx_is_given_up_when_the_kernel_does_not_know_it() {
    let mut kernel = specimens::kernel("6");
    let image = |kernel: &[u8]| build(&specimens::stub(), &parts(kernel)).unwrap();
    let bytes = image(&kernel);
    assert_ne!(Image::parse(&bytes).unwrap().characteristics & NX_COMPAT, 0);
    kernel[0x58 + 71] = 0;
    let bytes = image(&kernel);
    assert_eq!(Image::parse(&bytes).unwrap().characteristics & NX_COMPAT, 0);
}

#[test]
fn what_cannot_be_used_is_refused() {
    let (stub, kernel) = (specimens::stub(), specimens::kernel("6"));
    let refuse = |stub: &[u8], change: &dyn Fn(&mut Parts<'_>), expected: Expect| {
        let mut parts = parts(&kernel);
        change(&mut parts);
        let error = build(stub, &parts).unwrap_err();
        let source =
            std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        expected.assert_eq(&format!("{error}{source}"));
    };
    refuse(
        &stub,
        &|parts| parts.os_release = "",
        expect!["cannot build the unified kernel image: .osrel has neither ID nor IMAGE_ID"],
    );
    refuse(
        &stub,
        &|parts| parts.cmdline = "a\nb",
        expect!["cannot build the unified kernel image: .cmdline has a control character"],
    );
    refuse(
        &stub,
        &|parts| parts.initrd = b"",
        expect!["cannot build the unified kernel image: .initrd is empty"],
    );
    refuse(
        &stub,
        &|parts| parts.uname = "6 12",
        expect!["cannot build the unified kernel image: .uname is no kernel release"],
    );
    refuse(
        &stub,
        &|parts| parts.linux = b"\x7fELF",
        expect![
            "cannot use the kernel as an EFI program: cannot read the EFI program: it has no `MZ` at its start"
        ],
    );
    refuse(
        &stub[..0x200],
        &|_| (),
        expect![
            "cannot use the stub as an EFI program: cannot read the EFI program: a section is cut off"
        ],
    );

    let whole = build(&stub, &parts(&kernel)).unwrap();
    refuse(
        &whole,
        &|_| (),
        expect![
            "cannot build the unified kernel image: .linux is in the stub already: it is a whole image"
        ],
    );

    let long = format!("duet,1,{},duet,1,https://example.org\n", "x".repeat(500));
    let mut with_long = parts(&kernel);
    with_long.sbat = &long;
    let error = build(&stub, &with_long).unwrap_err();
    expect!["cannot add the section .sbat to the EFI program: it is there already, and has no room for the new content"].assert_eq(&error.to_string());

    let tight = specimens::program(0x200, &[(".text", b"code"), (".sbat", &[0; 512])]);
    refuse(
        &tight,
        &|_| (),
        expect![
            "cannot add the section .cmdline to the EFI program: there is no room in the section table"
        ],
    );

    let mut signed = stub.clone();
    signed[0x58 + 112 + 32] = 1;
    refuse(
        &signed,
        &|_| (),
        expect![
            "cannot add the section .linux to the EFI program: the program is signed, which the change would break"
        ],
    );
}

#[test]
fn headers_grow_into_the_space_behind_them() {
    let mut stub = specimens::stub();
    // The table of three sections ends at 0x1c0; the headers claim no more than 0x200.
    stub[0x58 + 60..0x58 + 64].copy_from_slice(&0x200u32.to_le_bytes());
    let kernel = specimens::kernel("6");
    let bytes = build(&stub, &parts(&kernel)).unwrap();
    let size = u32::from_le_bytes(bytes[0x58 + 60..0x58 + 64].try_into().unwrap());
    assert_eq!(size, 0x400);
}

#[test]
fn a_program_without_a_kernel_is_no_uki() {
    expect!["the EFI program is no unified kernel image: it has no section .linux"]
        .assert_eq(&Uki::parse(&specimens::stub()).map(drop).unwrap_err().to_string());
}

/// The number is what `generate_checksum` of Python's pefile says of the same bytes.
#[test]
fn the_checksum_is_that_of_other_programs() {
    let kernel = specimens::kernel("6");
    let mut stub = specimens::stub();
    stub.extend(b"odd"); // behind the last section
    let bytes = build(&stub, &parts(&kernel)).unwrap();
    expect!["0xe812"].assert_eq(&format!("{:#x}", Image::parse(&bytes).unwrap().checksum));
}
