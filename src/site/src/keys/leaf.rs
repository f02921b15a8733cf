//! [`Leaf`]: a certificate that signs nothing, and its key: a machine's, an operator's, a witness'.

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use zeroize::Zeroizing;

use super::authority::{name, validity};
use super::{Certificate, KeyError, to_pem};
use crate::Timestamp;

/// A certificate, and its key as a PEM block.
pub(super) struct Leaf {
    pub(super) certificate: Certificate,
    pub(super) key: Zeroizing<String>,
}

/// What a certificate is to say.
pub(super) struct Says<'a> {
    /// What it is, for the error if none can be made.
    pub(super) what: &'static str,
    /// Its title, for people.
    pub(super) title: &'a str,
    /// The DNS names that it is good for.
    pub(super) names: Vec<String>,
    /// Which ends of a connection it is good for.
    pub(super) ends: &'a [ExtendedKeyUsagePurpose],
}

impl Leaf {
    /// Makes a new key and has it signed; good for twenty years from `now` on.
    pub(super) fn signed(
        issuer: &Issuer<'_, KeyPair>,
        says: Says<'_>,
        now: Timestamp,
    ) -> Result<Leaf, KeyError> {
        let failed = |_| KeyError::Generate(says.what);
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::new(says.names).map_err(failed)?;
        (params.not_before, params.not_after) = validity(now);
        params.distinguished_name = name(says.title);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = says.ends.to_vec();
        let certificate = params.signed_by(&pair, issuer).map_err(failed)?;
        Ok(Leaf {
            certificate: Certificate::from_der(certificate.der()),
            key: Zeroizing::new(to_pem("PRIVATE KEY", &Zeroizing::new(pair.serialize_der()))),
        })
    }
}
