//! Authorities, and what they sign, as files.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority with the files of all that it signs.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate.
    pub(super) file: PathBuf,
}

impl Authority {
    /// One that writes into `folder`, its own certificate to `NAME-ca.pem`.
    pub(super) fn new(folder: &Path, name: &str) -> Authority {
        fs::create_dir_all(folder)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
        let mut params = params(Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("it signs itself");
        let file = folder.join(format!("{name}-ca.pem"));
        write(&file, &issuer.pem());
        Authority { folder: folder.to_owned(), issuer, file }
    }

    /// Its certificate's text.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The files of a certificate for `dns`, and of its key.
    pub(super) fn sign(&self, name: &str, dns: &str) -> (PathBuf, PathBuf) {
        let key = key();
        let signed = params(vec![dns.to_owned()]).signed_by(&key, &self.issuer);
        let (cert_file, key_file) =
            (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        write(&cert_file, &signed.expect("the authority signs").pem());
        write(&key_file, &key.serialize_pem());
        (cert_file, key_file)
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("keys can be made")
}

fn params(names: Vec<String>) -> CertificateParams {
    CertificateParams::new(names).expect("the names are fine")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
