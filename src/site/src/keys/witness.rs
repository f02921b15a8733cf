//! [`WitnessKeys`]: a new witness' own authority, and its certificate. A witness that serves other sites
//! already has them; see docs/witness.md.

use std::fmt;

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use zeroize::Zeroizing;

use super::authority::{self, Authority};
use super::{Certificate, KeyError, KeyFile, PUBLIC, SECRET, to_pem};
use crate::Timestamp;

/// The name in a witness' certificate, if the site file says no other.
const NAME: &str = "witness.duet.internal";

/// What a new witness needs. The key of its authority is not kept: with the certificate goes the
/// authority, as one.
pub struct WitnessKeys {
    authority: Certificate,
    certificate: Certificate,
    key: Zeroizing<String>,
}

impl WitnessKeys {
    /// Makes new keys, good for twenty years from `now` on.
    pub fn generate(now: Timestamp) -> Result<WitnessKeys, KeyError> {
        let failed = |_| KeyError::Generate("a witness' certificate");
        let signer = Authority::titled("witness authority", now)?;
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).map_err(failed)?;
        (params.not_before, params.not_after) = authority::validity(now);
        params.distinguished_name = authority::name("witness");
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&pair, &signer.issuer()?).map_err(failed)?;
        Ok(WitnessKeys {
            authority: signer.certificate().clone(),
            certificate: Certificate::from_der(certificate.der()),
            key: Zeroizing::new(to_pem("PRIVATE KEY", &Zeroizing::new(pair.serialize_der()))),
        })
    }

    /// The certificate of its authority, which goes into the site file.
    pub fn authority(&self) -> &Certificate {
        &self.authority
    }

    /// The files that go to the witness' machine.
    pub fn files(&self) -> Vec<KeyFile> {
        vec![
            KeyFile {
                name: "witness.key",
                contents: self.key.clone(),
                mode: SECRET,
                advice: "belongs on the witness' machine, as /etc/duet-witness/witness.key, and nowhere else.",
            },
            KeyFile {
                name: "witness.crt",
                contents: Zeroizing::new(self.certificate.to_string()),
                mode: PUBLIC,
                advice: "goes beside it. The rooms know its authority from the site file.",
            },
        ]
    }
}

impl fmt::Debug for WitnessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WitnessKeys(…)")
    }
}
