//! The two disks keep the same promises; the real one also its own.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;

use super::sim::SimDisk;
use super::*;

fn promises(disk: &dyn Disk) {
    let mut file = disk.create("one").unwrap();
    assert_eq!(disk.create("one").err().unwrap().kind(), ErrorKind::AlreadyExists);
    file.write_at(5, b"hello").unwrap();
    file.write_at(7, b"LL").unwrap();
    file.sync().unwrap();
    assert_eq!(file.len().unwrap(), 10);
    let mut bytes = [9; 8];
    assert_eq!(file.read_at(4, &mut bytes).unwrap(), 6);
    assert_eq!(&bytes[..6], b"\0heLLo");
    assert_eq!(file.read_at(10, &mut bytes).unwrap(), 0);
    assert_eq!(file.read_at(1000, &mut bytes).unwrap(), 0);

    disk.create("two").unwrap().write_at(0, b"2").unwrap();
    disk.rename("one", "two").unwrap();
    disk.create("a").unwrap();
    disk.sync().unwrap();
    let entry = |name: &str, len| Entry { name: name.to_owned(), len };
    assert_eq!(disk.list().unwrap(), [entry("a", 0), entry("two", 10)]);
    let mut text = Vec::new();
    let file = disk.open("two").unwrap();
    Reader::new(&*file, |_| ()).read_to_end(&mut text).unwrap();
    assert_eq!(text, b"\0\0\0\0\0heLLo");
    disk.remove("a").unwrap();
    for error in [disk.remove("a").err(), disk.open("a").err(), disk.rename("a", "b").err()] {
        assert_eq!(error.unwrap().kind(), ErrorKind::NotFound);
    }
    assert!(disk.free().unwrap() > 0);
}

#[test]
fn both_disks_keep_the_promises() {
    let folder = tempfile::tempdir().unwrap();
    promises(&RealDisk::open(folder.path().join("deep/data")).unwrap());
    promises(&SimDisk::new(1));
}

#[test]
fn a_real_folder_is_private_and_has_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let disk = RealDisk::open(&path).unwrap();
    disk.create("file").unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("file"))), (0o700, 0o600));

    let second = RealDisk::open(&path).unwrap_err().to_string();
    assert_eq!(second, format!("the data folder {} is in use by another store", path.display()));
    assert!(matches!(RealDisk::read_only(&path), Err(FolderError::InUse { .. })));
    drop(disk);
    let looker = RealDisk::read_only(&path).unwrap();
    assert!(matches!(RealDisk::open(&path), Err(FolderError::InUse { .. })));
    assert!(RealDisk::read_only(&path).is_ok(), "two may look");
    let refusals = [
        looker.create("x").err(),
        looker.remove("file").err(),
        looker.rename("file", "x").err(),
        looker.open("file").unwrap().write_at(0, b"x").err(),
    ];
    assert!(refusals.iter().all(Option::is_some), "a looker changes nothing");
    drop(looker);
    RealDisk::open(&path).unwrap();
    assert!(matches!(RealDisk::read_only(folder.path().join("no")), Err(FolderError::Io { .. })));
}
