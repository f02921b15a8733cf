//! The Debian package: deb-control(5), deb-conffiles(5). It has no maintainer script, since there is nothing
//! that one would do: systemd makes the user and the folder when the service starts.

use super::{PackageError, Request, files};
use crate::erofs::write_tar;
use crate::tree::{Kind, Node, Tree};

/// What a person may change, and dpkg then keeps.
const SETTINGS: &str = "etc/duet-witness/witness.toml";

/// What a package must say of itself (Debian Policy, section 12.5). The licence is on every Debian system.
const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Duet
Source: https://github.com/duet-ha/duet

Files: *
Copyright: The authors of Duet
License: Apache-2.0
 The text of the licence is in /usr/share/common-licenses/Apache-2.0.
";

/// The file's bytes.
pub(super) fn build(request: &Request<'_>) -> Result<Vec<u8>, PackageError> {
    let mut data = files(request)?;
    if data.get(SETTINGS).is_none() {
        return Err(PackageError::Missing(SETTINGS));
    }
    data.put("usr/share/doc/duet-witness/copyright", Node::file(COPYRIGHT.as_bytes(), 0o644))?;
    let mut about = Tree::default();
    let text = control(request.version, &data);
    about.put("control", Node::file(text.into_bytes(), 0o644))?;
    about.put("conffiles", Node::file(format!("/{SETTINGS}\n").into_bytes(), 0o644))?;
    let tar = |tree: &Tree| -> Result<Vec<u8>, PackageError> {
        let mut bytes = Vec::new();
        write_tar(tree, request.date, &mut bytes, &mut |_| {})?;
        Ok(bytes)
    };
    Ok(formats::deb::write(&tar(&about)?, &tar(&data)?)?)
}

fn control(version: &str, data: &Tree) -> String {
    // As dpkg-gencontrol counts: KiB of each file, rounded up, and one for everything else.
    let kib: u64 = data
        .iter()
        .map(|(_, node)| match &node.kind {
            Kind::File(content) => content.size().div_ceil(1024),
            _ => 1,
        })
        .sum();
    format!(
        "Package: duet-witness\n\
         Version: {version}\n\
         Architecture: amd64\n\
         Maintainer: The authors of Duet <duet@duet-ha.example>\n\
         Installed-Size: {kib}\n\
         Section: admin\n\
         Priority: optional\n\
         Homepage: https://github.com/duet-ha/duet\n\
         Description: witness of sites with two server rooms\n \
         Holds one register for each of many Duet sites, and lets at most one room of each\n \
         go on alone when the two cannot hear each other. It belongs on a machine that is\n \
         in neither room.\n \
         .\n \
         After the installation it needs a certificate, and sites: see\n \
         `duetd witness --help`.\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::process::Command;

    use super::super::tests::{elf, overlay};
    use super::*;
    use crate::witness_package::{self, Format};

    #[test]
    fn dpkg_judges_it() {
        let (duetd, overlay) = (elf(1), overlay());
        let request =
            Request { duetd: &duetd, overlay: &overlay, version: "0.1.0", date: 1_700_000_000 };
        let package = witness_package::build(Format::Deb, &request).unwrap();
        assert_eq!(package.name, "duet-witness_0.1.0_amd64.deb");
        assert_eq!(witness_package::build(Format::Deb, &request).unwrap(), package);
        let later = Request { date: 1_700_000_001, ..request };
        assert_ne!(witness_package::build(Format::Deb, &later).unwrap().sha256, package.sha256);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(&package.name);
        std::fs::write(&path, &package.bytes).unwrap();
        if !Path::new("/usr/bin/dpkg-deb").exists() {
            assert!(std::env::var_os("CI").is_none(), "the judge dpkg-deb is not installed");
            return;
        }
        let dpkg = |option: &str| {
            let mut command = Command::new("/usr/bin/dpkg-deb");
            command.arg(option).arg(&path).env("TZ", "UTC").env("LC_ALL", "C");
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let about = dpkg("--info");
        assert!(about.contains("Package: duet-witness") && about.contains("conffiles"), "{about}");
        assert!(!about.contains("postinst"), "{about}");
        let contents = dpkg("--contents");
        let lines: Vec<Vec<&str>> =
            contents.lines().map(|line| line.split_whitespace().collect()).collect();
        let names: Vec<_> = lines.iter().map(|line| *line.last().unwrap()).collect();
        assert!(names.windows(2).skip(1).all(|pair| pair[0] < pair[1]), "{names:?}");
        assert!(lines.iter().all(|line| line[1] == "root/root" || line[1] == "0/0"), "{contents}");
        assert!(lines.iter().all(|line| line[3] == "2023-11-14"), "{contents}");
        let of = |name: &str| lines.iter().find(|line| line.last() == Some(&name)).unwrap();
        assert_eq!(of("usr/bin/duetd")[0], "-rwxr-xr-x");
        assert_eq!(of("usr/lib/systemd/system/duet-witness.service")[0], "-rw-r--r--");
        assert_eq!(of("etc/duet-witness/witness.toml")[0], "-rw-r--r--");
        assert!(dpkg("--field").contains("Section: admin"));
    }
}
