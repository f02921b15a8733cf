//! Certificates of a site or a witness. Start at [`Authority::new`].

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Who signs.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// Its own certificate.
    pub pem: String,
    /// The file of that.
    pub file: PathBuf,
}

impl Authority {
    /// A new one, whose files go to `folder`.
    ///
    /// # Panics
    /// If they cannot be written.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Authority {
        fs::create_dir_all(folder).expect("the folder can be made");
        let key = KeyPair::generate().expect("ring makes keys");
        let mut params = CertificateParams::new([]).expect("no name is wrong");
        params.distinguished_name.push(DnType::CommonName, format!("authority {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        let file = folder.join(format!("{name}.ca.pem"));
        fs::write(&file, &pem).expect("the folder can be written");
        let issuer = Issuer::new(params, key);
        Authority { issuer, folder: folder.to_owned(), pem, file }
    }

    /// A certificate for these names, and its key.
    ///
    /// # Panics
    /// If the files cannot be written.
    #[must_use]
    pub fn sign(&self, file: &str, name: &str) -> (PathBuf, PathBuf) {
        self.sign_until(file, name, None)
    }

    /// The same with years between which it is valid.
    ///
    /// # Panics
    /// If the files cannot be written.
    #[must_use]
    pub fn sign_until(
        &self,
        file: &str,
        name: &str,
        years: Option<(i32, i32)>,
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("ring makes keys");
        let mut params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        params.extended_key_usages = vec![ServerAuth, ClientAuth];
        if let Some((from, to)) = years {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        }
        let pem = params.signed_by(&key, &self.issuer).expect("the authority signs").pem();
        let path = |ending: &str| self.folder.join(format!("{file}.{ending}"));
        let (cert, secret) = (path("pem"), path("key"));
        fs::write(&cert, pem).expect("the folder can be written");
        fs::write(&secret, key.serialize_pem()).expect("the folder can be written");
        (cert, secret)
    }
}
