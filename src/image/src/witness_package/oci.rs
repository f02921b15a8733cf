//! The container image: OCI Image Format Specification 1.1, "Image Layout", in a tar archive, which podman and
//! skopeo call `oci-archive`. One layer, which holds the program and nothing else.

use std::io::Write;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use site::Timestamp;

use super::{PROGRAM, PackageError, Request, program};
use crate::digest::{hex, sha256};
use crate::erofs::write_tar;
use crate::tree::{Node, Tree};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Whom the program runs as: a number without a name, as images without a distribution have it.
const USER: u32 = 65532;

/// The data folder, and where the certificate and its key are looked for.
const DATA: &str = "var/lib/duet-witness";
const SETTINGS: &str = "etc/duet-witness";

/// Where rooms connect.
const PORT: &str = "7411/tcp";

/// A piece of the image, named by its hash.
struct Blob {
    kind: &'static str,
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(kind: &'static str, bytes: Vec<u8>) -> Blob {
        let digest = hex(&sha256(&bytes));
        Blob { kind, bytes, digest }
    }

    fn json(kind: &'static str, value: &Value) -> Blob {
        Blob::new(kind, value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    /// OCI Image Format Specification, "Content Descriptors".
    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.kind,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }
}

/// The archive's bytes, and the SHA-256 of the manifest.
pub(super) fn build(request: &Request<'_>) -> Result<(Vec<u8>, String), PackageError> {
    let tar = layer(request)?;
    // No name and no time in its head: the same bytes each time.
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(&tar)?;
    let layer = Blob::new(LAYER, gzip.finish()?);
    let config = Blob::json(CONFIG, &config(request, &hex(&sha256(&tar))));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    });
    let manifest = Blob::json(MANIFEST, &manifest);
    // A tag cannot hold Debian's `~`.
    let tag = request.version.replace('~', "-");
    let mut named = manifest.descriptor();
    named["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [named],
    });
    // What `docker load` read before it knew the layout above; it passes over what it does not know, and so
    // do the others.
    let docker = json!([{
        "Config": config.path(),
        "RepoTags": [format!("duet-witness:{tag}")],
        "Layers": [layer.path()],
    }]);
    let mut archive = Tree::default();
    let mut put = |path: &str, bytes: Vec<u8>| archive.put(path, Node::file(bytes, 0o644));
    put("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes())?;
    put("index.json", index.to_string().into_bytes())?;
    put("manifest.json", docker.to_string().into_bytes())?;
    let digest = manifest.digest.clone();
    for blob in [layer, config, manifest] {
        put(&blob.path(), blob.bytes)?;
    }
    let mut bytes = Vec::new();
    write_tar(&archive, request.date, &mut bytes, &mut |_| {})?;
    Ok((bytes, digest))
}

/// The layer, not packed.
fn layer(request: &Request<'_>) -> Result<Vec<u8>, PackageError> {
    let mut tree = program(request)?;
    tree.directory(SETTINGS, Node::directory())?;
    // A volume that is made for it gets the owner of this folder.
    tree.directory(DATA, Node { mode: 0o700, uid: USER, gid: USER, ..Node::directory() })?;
    let mut bytes = Vec::new();
    write_tar(&tree, request.date, &mut bytes, &mut |_| {})?;
    Ok(bytes)
}

/// OCI Image Format Specification, "Image Configuration".
fn config(request: &Request<'_>, layer: &str) -> Value {
    let created = Timestamp::from_unix(request.date).map(|time| time.to_string());
    json!({
        "created": created,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": { (PORT): {} },
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": [format!("/{PROGRAM}"), "witness"],
            "Volumes": { (format!("/{DATA}")): {} },
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": "Duet witness",
                "org.opencontainers.image.version": request.version,
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.source": "https://github.com/duet-ha/duet",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": created, "created_by": "duet witness-package" }],
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::super::tests::{elf, overlay};
    use super::*;
    use crate::witness_package::{self, Format};

    fn unpack(tar: &[u8]) -> BTreeMap<String, (Vec<u8>, u32, u64)> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let (mode, uid) = (entry.header().mode().unwrap(), entry.header().uid().unwrap());
            assert_eq!(entry.header().mtime().unwrap(), 7, "{path}");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(path, (bytes, mode, uid));
        }
        files
    }

    #[test]
    fn every_hash_leads_to_its_bytes() {
        let (duetd, overlay) = (elf(1), overlay());
        let request = Request { duetd: &duetd, overlay: &overlay, version: "0.1.0", date: 7 };
        let package = witness_package::build(Format::Oci, &request).unwrap();
        assert_eq!(package.name, "duet-witness_0.1.0_amd64.oci.tar");
        assert_eq!(witness_package::build(Format::Oci, &request).unwrap(), package);

        let files = unpack(&package.bytes);
        for (path, (bytes, ..)) in &files {
            if let Some(digest) = path.strip_prefix("blobs/sha256/").filter(|rest| !rest.is_empty())
            {
                assert_eq!(hex(&sha256(bytes)), digest);
            }
        }
        let parse = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
        let follow = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &files[&format!("blobs/sha256/{digest}")].0;
            assert_eq!(descriptor["size"], bytes.len());
            bytes.clone()
        };
        assert_eq!(parse(&files["oci-layout"].0)["imageLayoutVersion"], "1.0.0");
        let named = parse(&files["index.json"].0)["manifests"][0].clone();
        assert_eq!(named["digest"], format!("sha256:{}", package.sha256));
        let manifest = parse(&follow(&named));
        let config = parse(&follow(&manifest["config"]));
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&follow(&manifest["layers"][0])[..])
            .read_to_end(&mut tar)
            .unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&sha256(&tar))));
        let layer = unpack(&tar);
        assert_eq!(layer["usr/bin/duetd"], (duetd, 0o755, 0));
        let (_, mode, uid) = &layer[DATA];
        assert_eq!((*mode, *uid), (0o700, u64::from(USER)));
        assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/duetd", "witness"]));
        assert_eq!(config["created"], "1970-01-01T00:00:07Z");

        let docker = parse(&files["manifest.json"].0)[0].clone();
        for path in [&docker["Config"], &docker["Layers"][0]] {
            assert!(files.contains_key(path.as_str().unwrap()));
        }
    }
}
