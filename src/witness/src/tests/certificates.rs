//! Authorities and certificates of tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use crate::client::Config;

/// Who signs.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// How a certificate differs from a good one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum But {
    Nothing,
    /// It expired long ago.
    Expired,
    /// It is for servers.
    ForServers,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key for these names, as files in `folder`.
    pub(crate) fn sign(&self, folder: &Path, names: &[&str], but: But) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        match but {
            But::Nothing => {}
            But::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            But::ForServers => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let stem = names.first().map_or("nobody", String::as_str);
        let paths = (folder.join(format!("{stem}.crt")), folder.join(format!("{stem}.key")));
        fs::write(&paths.0, certificate.pem()).unwrap();
        fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }
}

/// The settings of a room that has this certificate.
pub(crate) fn config(folder: &Path, address: &str, files: (PathBuf, PathBuf)) -> Config {
    Config {
        addresses: vec![address.to_owned()],
        server_name: crate::DEFAULT_SERVER_NAME.to_owned(),
        ca_file: folder.join("witness-ca.crt"),
        cert_file: files.0,
        key_file: files.1,
        timeout: Duration::from_secs(20),
    }
}
