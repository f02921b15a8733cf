//! dpkg-deb.

use std::fs;
use std::io::Read;

use formats::deb::{self, Deb, Member};

use crate::judge;

const CONTROL: &str = "Package: duet-test\nVersion: 1\nArchitecture: all\n\
    Maintainer: Nobody <nobody@example.org>\nDescription: a test\n";

#[test]
fn what_dpkg_deb_writes_is_read() {
    let Some(dpkg_deb) = judge::find("dpkg-deb") else { return };
    let folder = judge::folder();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::write(tree.join("DEBIAN/control"), CONTROL).unwrap();
    let content = judge::noise(200_000);
    fs::write(tree.join("file"), &content).unwrap();
    for packing in ["none", "gzip", "xz", "zstd"] {
        let option = format!("-Z{packing}");
        let args = ["--root-owner-group", &option, "--build", "tree", "it.deb"];
        judge::approve(&dpkg_deb, &args, folder.path());
        let bytes = fs::read(folder.path().join("it.deb")).unwrap();
        let package = Deb::parse(&bytes).unwrap();
        for (member, wanted) in [(package.control, CONTROL.as_bytes()), (package.data, &content)] {
            let mut tar = Vec::new();
            member.reader().unwrap().read_to_end(&mut tar).unwrap();
            let found = tar.windows(wanted.len()).any(|window| window == wanted);
            assert!(found, "{packing}: {} does not hold its file", member.name);
        }

        // And the other way round: the same members in an archive of ours.
        let version = Member { name: "debian-binary", bytes: b"2.0\n" };
        let ours = deb::archive(&[version, package.control, package.data]).unwrap();
        fs::write(folder.path().join("ours.deb"), ours).unwrap();
        let said = judge::approve(&dpkg_deb, &["--field", "ours.deb", "Package"], folder.path());
        assert_eq!(said.trim(), "duet-test");
        let said = judge::approve(&dpkg_deb, &["--contents", "ours.deb"], folder.path());
        assert!(said.contains("./file"), "{said}");
    }
}

#[test]
fn dpkg_deb_reads_what_is_written() {
    let Some(dpkg_deb) = judge::find("dpkg-deb") else { return };
    let folder = judge::folder();
    fs::create_dir(folder.path().join("tree")).unwrap();
    fs::create_dir(folder.path().join("tree/DEBIAN")).unwrap();
    fs::write(folder.path().join("tree/DEBIAN/control"), CONTROL).unwrap();
    fs::write(folder.path().join("tree/file"), judge::noise(200_000)).unwrap();
    // dpkg's own archives, not packed.
    judge::approve(&dpkg_deb, &["-Znone", "--build", "tree", "it.deb"], folder.path());
    let bytes = fs::read(folder.path().join("it.deb")).unwrap();
    let package = Deb::parse(&bytes).unwrap();
    let ours = deb::write(package.control.bytes, package.data.bytes).unwrap();
    assert_eq!(ours, deb::write(package.control.bytes, package.data.bytes).unwrap());
    fs::write(folder.path().join("ours.deb"), &ours).unwrap();
    let said = judge::approve(&dpkg_deb, &["--info", "ours.deb"], folder.path());
    assert!(said.contains("Package: duet-test"), "{said}");
    for (which, member) in [("--ctrl-tarfile", package.control), ("--fsys-tarfile", package.data)] {
        let ours = Deb::parse(&ours).unwrap();
        let ours = if which == "--ctrl-tarfile" { ours.control } else { ours.data };
        let mut tar = Vec::new();
        ours.reader().unwrap().read_to_end(&mut tar).unwrap();
        assert!(tar == member.bytes, "{which} is not what was packed");
        judge::approve(&dpkg_deb, &[which, "ours.deb"], folder.path());
    }
}
