//! GNU cpio.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use formats::cpio::{self, Kind, Writer};

use crate::judge;

#[test]
fn cpio_lists_and_unpacks_what_was_written() {
    let Some(program) = judge::find("cpio") else { return };
    let folder = judge::folder();
    let mut writer = Writer::new(1_700_000_000);
    writer.directory("dev", 0o755).unwrap();
    writer.char_device("dev/console", 0o600, 5, 1).unwrap();
    writer.directory("etc", 0o1777).unwrap();
    writer.file("etc/größe", 0o640, b"odd").unwrap();
    writer.symlink("sbin", "usr/sbin").unwrap();
    let bytes = writer.finish();

    let args = ["-itvn", "--quiet"].map(AsRef::as_ref);
    let verdict = judge::hear(&program, &args, folder.path(), &bytes);
    assert!(verdict.status.success() && verdict.stderr.is_empty(), "{verdict:?}");
    expect![[r#"
        drwxr-xr-x   2 0        0               0 Nov 14  2023 dev
        crw-------   1 0        0          5,   1 Nov 14  2023 dev/console
        drwxrwxrwt   2 0        0               0 Nov 14  2023 etc
        -rw-r-----   1 0        0               3 Nov 14  2023 etc/größe
        lrwxrwxrwx   1 0        0               8 Nov 14  2023 sbin -> usr/sbin
    "#]]
    .assert_eq(&String::from_utf8_lossy(&verdict.stdout));

    // Devices need root; the rest does not.
    let args = ["-im", "--quiet", "etc", "etc/*", "sbin"].map(AsRef::as_ref);
    let verdict = judge::hear(&program, &args, folder.path(), &bytes);
    assert!(verdict.status.success(), "{verdict:?}");
    let file = folder.path().join("etc/größe");
    assert_eq!(fs::read(&file).unwrap(), b"odd");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode(), 0o100_640);
    assert_eq!(fs::read_link(folder.path().join("sbin")).unwrap().to_str(), Some("usr/sbin"));
}

#[test]
fn what_cpio_writes_is_read() {
    let Some(program) = judge::find("cpio") else { return };
    let folder = judge::folder();
    fs::create_dir(folder.path().join("lib")).unwrap();
    fs::write(folder.path().join("lib/one"), b"content").unwrap();
    fs::hard_link(folder.path().join("lib/one"), folder.path().join("lib/two")).unwrap();
    std::os::unix::fs::symlink("lib", folder.path().join("link")).unwrap();
    let args = ["-o", "-H", "newc", "--quiet"].map(AsRef::as_ref);
    let names = b"lib\nlib/one\nlib/two\nlink\n";
    let verdict = judge::hear(&program, &args, folder.path(), names);
    assert!(verdict.status.success(), "{verdict:?}");

    let initrd = cpio::read(&verdict.stdout).unwrap();
    assert!(initrd.rest.is_empty());
    let found: Vec<_> =
        initrd.archives[0].entries.iter().map(|entry| (&*entry.path, &entry.kind)).collect();
    let content = Kind::File(b"content"[..].into());
    let link = Kind::Symlink("lib".into());
    let expected =
        [("lib", &Kind::Directory), ("lib/one", &content), ("lib/two", &content), ("link", &link)];
    assert_eq!(found, expected);
}
