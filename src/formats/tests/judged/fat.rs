//! fsck.fat and mkfs.fat of dosfstools, and mtools.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use expect_test::expect;
use formats::fat::{self, Entry, Reader, Volume};

use crate::judge;

fn write(path: &Path, bytes: u64, entries: &[Entry<'_>]) {
    let volume =
        Volume { bytes, id: 0xABCD_1234, label: "DUET-ESP".to_owned(), time: 1_700_000_000 };
    let file = fs::File::create(path).unwrap();
    file.set_len(bytes).unwrap();
    for extent in volume.write(entries).unwrap() {
        file.write_all_at(&extent.bytes, extent.offset).unwrap();
    }
}

#[test]
fn fsck_finds_no_fault_and_mtools_reads_what_was_written() {
    let Some(fsck) = judge::find("fsck.fat") else { return };
    let Some(mdir) = judge::find("mdir") else { return };
    let Some(mtype) = judge::find("mtype") else { return };
    let folder = judge::folder();
    let kernel = judge::noise(3_000_001);
    let many: Vec<String> = (0..300).map(|number| format!("many/größe {number}.txt")).collect();
    let mut entries = vec![
        Entry::file("EFI/Linux/duet-control-0.1.0+3-0.efi", &kernel[..]),
        Entry::file("EFI/Linux/duet-control-0.2.0+3-0.efi", &b"b"[..]),
        Entry::file("EFI/BOOT/BOOTX64.EFI", &b"boot"[..]),
        Entry::file("duet/seed.toml", &b""[..]),
        Entry::folder("empty"),
    ];
    entries.extend(many.iter().map(|name| Entry::file(name.as_str(), name.as_bytes())));

    // With clusters of one sector, and with those of eight.
    for mib in [40, 512] {
        write(&folder.path().join("esp"), mib << 20, &entries);
        let said = judge::approve(&fsck, &["-n", "-v", "esp"], folder.path());
        let last = said.lines().last().unwrap_or_default();
        // 304 files and 6 folders; the label counts as one too.
        assert!(last.starts_with("esp: 311 files, "), "{said}");
        assert!(!said.contains("Perform") && !said.contains("differ"), "{said}");

        let args = ["-i", "esp", "::EFI/Linux/duet-control-0.1.0+3-0.efi"].map(AsRef::as_ref);
        let verdict = judge::hear(&mtype, &args, folder.path(), b"");
        assert!(verdict.stdout == kernel, "mtype gives other bytes: {verdict:?}");
        let args = ["-i", "esp", "::many/größe 299.txt"].map(AsRef::as_ref);
        let verdict = judge::hear(&mtype, &args, folder.path(), b"");
        assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stderr));
    }
    let said = judge::approve(&mdir, &["-i", "esp", "::EFI/Linux"], folder.path());
    let files: Vec<_> = said.lines().filter(|line| line.ends_with(".efi")).collect();
    expect![[r#"
        DUET-C~1 EFI   3000001 2023-11-14  22:13  duet-control-0.1.0+3-0.efi
        DUET-C~2 EFI         1 2023-11-14  22:13  duet-control-0.2.0+3-0.efi"#]]
    .assert_eq(&files.join("\n"));
}

#[test]
fn fsck_finds_no_fault_in_a_full_volume() {
    let Some(fsck) = judge::find("fsck.fat") else { return };
    let folder = judge::folder();
    let content = judge::noise(50 << 20);
    let entries = [Entry::file("kernel.efi", &content[..]), Entry::file("A/B", &b"b"[..])];
    let bytes = fat::needed(&entries).unwrap();
    assert!(bytes < 52 << 20, "{bytes} bytes for 50 MiB");
    write(&folder.path().join("esp"), bytes, &entries);
    judge::approve(&fsck, &["-n", "esp"], folder.path());
}

#[test]
fn what_mtools_writes_is_read() {
    let Some(mkfs) = judge::find("mkfs.fat") else { return };
    let Some(mmd) = judge::find("mmd") else { return };
    let Some(mcopy) = judge::find("mcopy") else { return };
    let folder = judge::folder();
    let content = judge::noise(1_234_567);
    fs::write(folder.path().join("Kernel +3-0.efi"), &content).unwrap();
    fs::write(folder.path().join("UPPER.TXT"), b"text").unwrap();
    let args = ["-C", "-F", "32", "-n", "THEIRS", "-i", "12345678", "esp", "65536"];
    judge::approve(&mkfs, &args, folder.path());
    judge::approve(&mmd, &["-i", "esp", "::EFI", "::EFI/small"], folder.path());
    judge::approve(&mcopy, &["-i", "esp", "Kernel +3-0.efi", "::EFI/small"], folder.path());
    judge::approve(&mcopy, &["-i", "esp", "UPPER.TXT", "::"], folder.path());
    let image = fs::read(folder.path().join("esp")).unwrap();
    let reader = Reader::open(&image).unwrap();
    assert_eq!((reader.id, reader.label.as_str()), (0x1234_5678, "THEIRS"));
    let paths: Vec<_> = reader.list().unwrap().into_iter().map(|item| item.path).collect();
    assert_eq!(paths, ["EFI", "EFI/small", "EFI/small/Kernel +3-0.efi", "UPPER.TXT"]);
    assert!(reader.read("EFI/small/Kernel +3-0.efi").unwrap() == content);
    assert_eq!(reader.read("UPPER.TXT").unwrap(), b"text");
}
