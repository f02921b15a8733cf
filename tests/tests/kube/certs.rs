//! The cluster's certificates: one authority, and what it signs. Start at [`Certs::make`].
//!
//! Nothing here is kept from one run to the next, and no key leaves the folder of the run.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// Every certificate of a cluster on this computer's loopback.
#[derive(Debug)]
pub(crate) struct Certs {
    /// The authority that signed all others.
    pub(crate) authority: PathBuf,
    /// What the store shows to its clients.
    pub(crate) store: Pair,
    /// What an apiserver shows to the store.
    pub(crate) store_client: Pair,
    /// What an apiserver shows to its clients.
    pub(crate) apiserver: Pair,
    /// Who may do everything: kubectl, the controllers and the tests.
    pub(crate) admin: Pair,
    /// What signs the tokens of service accounts; its public half is no certificate.
    pub(crate) accounts: Pair,
}

impl Certs {
    /// Makes them in `folder`, which exists.
    pub(crate) fn make(folder: &Path) -> Certs {
        let key = KeyPair::generate().unwrap();
        let mut params = named("duet-test-authority", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        let authority = folder.join("authority.crt");
        fs::write(&authority, certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);

        let signed = |name: &str, group: Option<&str>, usages: &[ExtendedKeyUsagePurpose]| {
            let key = KeyPair::generate().unwrap();
            let mut params = named(name, group);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = usages.to_vec();
            let pair = Pair {
                cert: folder.join(format!("{name}.crt")),
                key: folder.join(format!("{name}.key")),
            };
            fs::write(&pair.cert, params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
            fs::write(&pair.key, key.serialize_pem()).unwrap();
            pair
        };
        let accounts = Pair { cert: folder.join("accounts.pub"), key: folder.join("accounts.key") };
        let key = KeyPair::generate().unwrap();
        fs::write(&accounts.cert, key.public_key_pem()).unwrap();
        fs::write(&accounts.key, key.serialize_pem()).unwrap();
        Certs {
            authority,
            // etcd is also a client of itself, with the same certificate.
            store: signed("store", None, &[ServerAuth, ClientAuth]),
            store_client: signed("store-client", None, &[ClientAuth]),
            apiserver: signed("apiserver", None, &[ServerAuth]),
            admin: signed("admin", Some("system:masters"), &[ClientAuth]),
            accounts,
        }
    }
}

/// A certificate for this computer's loopback. The group is what Kubernetes reads as one.
fn named(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params =
        CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    // Fixed, so that a computer with a wrong clock can run the tests too.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}
