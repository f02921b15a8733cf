//! A Debian repository made for a test: packages, indexes, and an `InRelease` signed by a test key.

use std::io::Write;

use image::fetch::Digest;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::ser::Serialize;
use pgp::types::Password;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::server::Server;

/// A key of one's own; the same seed gives the same key material.
pub struct Signer(SignedSecretKey);

impl Signer {
    pub fn new(seed: u64) -> Signer {
        let mut rng = StdRng::seed_from_u64(seed);
        let params = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_sign(true)
            .can_certify(true)
            .primary_user_id("Test <test@example.org>".to_owned())
            .build()
            .unwrap();
        let key = params.generate(&mut rng).unwrap();
        Signer(key.sign(&mut rng, &Password::empty()).unwrap())
    }

    /// The public half, as a keyring file.
    pub fn keyring(&self) -> Vec<u8> {
        self.0.signed_public_key().to_bytes().unwrap()
    }

    pub fn sign(&self, text: &str) -> String {
        let rng = StdRng::seed_from_u64(1);
        let message =
            CleartextSignedMessage::sign(rng, text, &*self.0, &Password::empty()).unwrap();
        message.to_armored_string(ArmorOptions::default()).unwrap()
    }
}

/// A repository of one suite, one component and one architecture.
pub struct Debian {
    pub suite: &'static str,
    pub date: &'static str,
    pub valid_until: Option<&'static str>,
    pub by_hash: bool,
    /// The compression of `Packages`: `xz` or `gz`.
    pub form: &'static str,
    /// Lines of extra fields for each package: `name version`, then `Field: value` lines.
    pub packages: Vec<(&'static str, &'static str, &'static str)>,
}

impl Default for Debian {
    fn default() -> Self {
        Debian {
            suite: "trixie",
            date: "Sat, 21 Nov 2026 09:15:44 UTC",
            valid_until: None,
            by_hash: true,
            form: "xz",
            packages: vec![
                ("base", "1", "Essential: yes"),
                ("systemd", "257.13-1", "Depends: libc6 (>= 2)"),
                ("libc6", "2.41-12", ""),
                ("linux-image-amd64", "6.12.1", "Depends: linux-image-6.12-amd64, initramfs-tools"),
                ("linux-image-6.12-amd64", "6.12.1", ""),
                ("initramfs-tools", "0.1", ""),
                ("intel-microcode", "3", "Depends: iucode-tool"),
                ("iucode-tool", "1", ""),
                ("erofs-utils", "1.8.6", "Depends: libc6"),
            ],
        }
    }
}

impl Debian {
    /// The archive of a package: any bytes, as long as they are always the same.
    fn archive(name: &str, version: &str) -> Vec<u8> {
        format!("{name} {version} ").repeat(100).into_bytes()
    }

    pub fn packages_text(&self) -> String {
        let mut text = String::new();
        for (name, version, fields) in &self.packages {
            let archive = Debian::archive(name, version);
            text += &format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}_{version}.deb\n\
                 Size: {}\nSHA256: {}\n",
                archive.len(),
                Digest::of(&archive)
            );
            text += &if fields.is_empty() { "\n".to_owned() } else { format!("{fields}\n\n") };
        }
        text
    }

    pub fn packed(&self) -> Vec<u8> {
        let text = self.packages_text().into_bytes();
        if self.form == "xz" {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        } else {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        }
    }

    pub fn release(&self) -> String {
        let (text, packed) = (self.packages_text().into_bytes(), self.packed());
        let folder = "main/binary-amd64";
        let valid = self.valid_until.map_or(String::new(), |time| format!("Valid-Until: {time}\n"));
        let by_hash = if self.by_hash { "yes" } else { "no" };
        format!(
            "Origin: Test\nSuite: stable\nCodename: {}\nDate: {}\n{valid}Acquire-By-Hash: {by_hash}\n\
             Architectures: amd64\nComponents: main\nMD5Sum:\n 0123 1 {folder}/Packages\nSHA256:\n \
             {} {} {folder}/Packages\n {} {} {folder}/Packages.{}\n",
            self.suite,
            self.date,
            Digest::of(&text),
            text.len(),
            Digest::of(&packed),
            packed.len(),
            self.form
        )
    }

    /// Puts everything on the server below `/debian`.
    pub fn publish(&self, server: &Server, signer: &Signer) {
        let below = format!("/debian/dists/{}", self.suite);
        server.put(&format!("{below}/InRelease"), signer.sign(&self.release()));
        server.put(&self.index_path(), self.packed());
        for (name, version, _) in &self.packages {
            server
                .put(&format!("/debian/pool/{name}_{version}.deb"), Debian::archive(name, version));
        }
    }

    /// Where the index is on the server.
    pub fn index_path(&self) -> String {
        let folder = format!("/debian/dists/{}/main/binary-amd64", self.suite);
        match self.by_hash {
            true => format!("{folder}/by-hash/SHA256/{}", Digest::of(&self.packed())),
            false => format!("{folder}/Packages.{}", self.form),
        }
    }
}
