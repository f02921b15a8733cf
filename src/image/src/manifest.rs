//! What a build came to: the manifest, the list of files, and the SBOM.
//!
//! Start at [`Manifest`], [`file_list`] and [`spdx`]. All three say nothing that differs between
//! two builds of one lock: no clock, no host name, no path of this computer.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::component::{self, RecordFile};
use crate::control::field;
use crate::digest::{hex, sha256};
use crate::fetch::Digest;
use crate::scripts::Finding;
use crate::tree::{Kind, Tree};
use crate::unpack::Unpacked;

/// Everything that is in an image, and the hash of everything that came out.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Manifest {
    /// The manifest's own format.
    pub format: u32,
    /// The profile's name.
    pub profile: String,
    /// `control` or `worker`.
    pub role: String,
    /// The release's version.
    pub version: String,
    /// The time of all files, seconds since 1970: the lock's.
    pub source_date: u64,
    /// SHA-256 of the lock's text.
    pub lock_sha256: String,
    /// The hash of everything that the build was made of, but for the seed.
    pub inputs: String,
    /// The kernel's release.
    pub kernel: String,
    /// dm-verity's root hash of the root file system.
    pub root_hash: String,
    /// The command line in the UKI.
    pub cmdline: String,
    /// Bytes of the root file system.
    pub root_bytes: u64,
    /// Every file that came out, but for the disk images, which differ from room to room.
    pub artefacts: Vec<Artefact>,
    /// Every package in the root.
    pub packages: Vec<Component>,
    /// Every component that the profile wants, present or left out.
    #[serde(default)]
    pub components: Vec<component::Record>,
    /// Maintainer scripts that nobody has reviewed.
    pub unreviewed: Vec<String>,
}

/// A file that came out of a build.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Artefact {
    /// File name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// A package in the root.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Component {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// The source package it was built from.
    pub source: String,
    /// SHA-256 of the archive.
    pub sha256: Digest,
}

impl Component {
    /// From an unpacked package and the hash of its archive.
    pub fn new(package: &Unpacked, sha256: Digest) -> Self {
        let control = package.control.get("control").map_or("", String::as_str);
        let get = |name: &str| field(control, name).unwrap_or_default();
        let source = get("Source");
        let source = source.split(" (").next().unwrap_or_default().to_owned();
        Component {
            name: package.name.clone(),
            version: get("Version"),
            architecture: get("Architecture"),
            source: if source.is_empty() { package.name.clone() } else { source },
            sha256,
        }
    }

    /// The package URL (purl-spec, type `deb`).
    pub fn purl(&self) -> String {
        let version = self.version.replace('+', "%2B").replace(':', "%3A");
        let name = self.name.replace('+', "%2B");
        let Component { architecture, source, .. } = self;
        let upstream = source.replace('+', "%2B");
        format!(
            "pkg:deb/debian/{name}@{version}?arch={architecture}&distro=debian-13&upstream={upstream}"
        )
    }
}

/// Findings as the manifest says them.
pub fn unreviewed(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// The tree as text: one line an entry, sorted; what `duet diff` compares.
pub fn file_list(tree: &Tree) -> String {
    let mut list = String::new();
    for (path, node) in tree.iter() {
        let (mode, uid, gid) = (node.mode, node.uid, node.gid);
        let _ = match &node.kind {
            Kind::Directory => writeln!(list, "d {mode:04o} {uid} {gid} - - /{path}"),
            Kind::Symlink(target) => {
                writeln!(list, "l {mode:04o} {uid} {gid} - - /{path} -> {target}")
            }
            Kind::File(content) => {
                let (size, sha256) = (content.size(), hex(&content.sha256()));
                writeln!(list, "f {mode:04o} {uid} {gid} {size} {sha256} /{path}")
            }
        };
    }
    list
}

/// The software bill of materials: SPDX 2.3, JSON.
pub fn spdx(manifest: &Manifest) -> String {
    let name = format!("duet-{}-{}", manifest.role, manifest.version);
    let created = site::Timestamp::from_unix(manifest.source_date)
        .map_or_else(String::new, |time| time.to_string());
    let image = json!({
        "SPDXID": "SPDXRef-image",
        "name": name,
        "versionInfo": manifest.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "supplier": "Organization: Duet",
    });
    let id = |package: &Component| {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let name: String = package.name.chars().map(safe).collect();
        format!("SPDXRef-deb-{name}-{}", hex(&package.sha256.0[..4]))
    };
    let packages = manifest.packages.iter().map(|package| {
        json!({
            "SPDXID": id(package),
            "name": package.name,
            "versionInfo": package.version,
            "supplier": "Organization: Debian",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "sourceInfo": format!("built from: {}", package.source),
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256}],
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl(),
            }],
        })
    });
    let others: Vec<Value> = manifest.components.iter().filter_map(spdx_component).collect();
    let packages: Vec<Value> =
        std::iter::once(image).chain(packages).chain(others.iter().cloned()).collect();
    let relation = |from: &str, kind: &str, to: String| json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to});
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image".to_owned())];
    relations.extend(
        manifest.packages.iter().map(|package| relation("SPDXRef-image", "CONTAINS", id(package))),
    );
    relations.extend(others.iter().map(|other| {
        let id = other["SPDXID"].as_str().unwrap_or_default().to_owned();
        relation("SPDXRef-image", "CONTAINS", id)
    }));
    let content = hex(&sha256(format!("{name} {}", manifest.root_hash).as_bytes())[..16]);
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("https://duet-ha.org/spdx/{name}-{content}"),
        "creationInfo": {"created": created, "creators": ["Tool: duet"]},
        "packages": packages,
        "relationships": relations,
    });
    serde_json::to_string_pretty(&document).expect("JSON values can be written") + "\n"
}

/// A present component as SPDX 2.3 says it; a local file has no place to be downloaded from, and a
/// comment that says so.
fn spdx_component(one: &component::Record) -> Option<Value> {
    let RecordFile { sha256, .. } = one.files.first()?;
    let place = one.source.as_deref().filter(|_| !one.is_local());
    let note = if one.is_local() {
        "local: the bytes came from a file of whoever built the image, and their version is not known"
    } else {
        "the bytes are those that the component's lock names"
    };
    let version = one.version.replace('+', "%2B");
    let purl = match one.homepage.strip_prefix("https://github.com/") {
        Some(project) => format!("pkg:github/{project}@{version}"),
        None => format!("pkg:generic/{}@{version}", one.name),
    };
    Some(json!({
        "SPDXID": format!("SPDXRef-component-{}-{}", one.name, hex(&sha256.0[..4])),
        "name": one.name,
        "versionInfo": one.version,
        "supplier": "NOASSERTION",
        "downloadLocation": place.unwrap_or("NOASSERTION"),
        "homepage": one.homepage,
        "filesAnalyzed": false,
        "comment": note,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": one.licence,
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }],
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tree::Node;

    #[test]
    fn a_package_url_escapes_what_the_specification_says() {
        let control = "Package: libstdc++6\nVersion: 1:14.2.0-19+b1\nArchitecture: amd64\nSource: gcc-14 (14.2.0-19)\n";
        let package = Unpacked {
            name: "libstdc++6".into(),
            entries: Vec::new(),
            control: [("control".to_owned(), control.to_owned())].into(),
        };
        expect_test::expect![
            "pkg:deb/debian/libstdc%2B%2B6@1%3A14.2.0-19%2Bb1?arch=amd64&distro=debian-13&upstream=gcc-14"
        ]
        .assert_eq(&Component::new(&package, Digest([0; 32])).purl());
    }

    #[test]
    fn the_file_list_is_one_line_an_entry() {
        let mut tree = Tree::default();
        tree.put("etc/x", Node::file(*b"x", 0o600)).unwrap();
        tree.put("etc/y", Node::symlink("x")).unwrap();
        expect_test::expect![[r#"
            d 0755 0 0 - - /etc
            f 0600 0 0 1 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 /etc/x
            l 0777 0 0 - - /etc/y -> x
        "#]]
        .assert_eq(&file_list(&tree));
    }
}
