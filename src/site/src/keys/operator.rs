//! [`Operator`]: what a person who runs the site shows to its machines.

use std::fmt;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use time::Duration;
use zeroize::Zeroizing;

use super::authority::VALID_DAYS;
use super::{Authority, KeyError, to_pem};
use crate::{Label, Timestamp};

/// A certificate with the name `operator.SITE.duet.internal`, and its key. Machines show their logs to who has
/// it. It is valid as long as the authority that signs it.
pub struct Operator {
    certificate: String,
    key: Zeroizing<Vec<u8>>,
}

const WHAT: &str = "an operator's certificate";

impl Operator {
    /// Makes a new key, and has the site's authority sign it. `now` is the date of that authority's own
    /// certificate.
    pub fn generate(
        site: &Label,
        authority: &Authority,
        now: Timestamp,
    ) -> Result<Operator, KeyError> {
        let failed = |_| KeyError::Generate(WHAT);
        let signer = KeyPair::from_pem(&authority.key_to_pem()).map_err(failed)?;
        // The issuer's name in a certificate is the one in the authority's own.
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = name(format!("site {site}"));
        let issuer = Issuer::new(issuer, signer);

        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let names = [format!("operator.{site}.duet.internal")];
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.not_before = now.date_time() - Duration::days(1);
        params.not_after = now.plus_days(VALID_DAYS).date_time();
        params.distinguished_name = name(format!("operator of {site}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ClientAuth, ServerAuth];
        let certificate = params.signed_by(&pair, &issuer).map_err(failed)?;
        Ok(Operator {
            certificate: to_pem("CERTIFICATE", certificate.der()),
            key: Zeroizing::new(pair.serialize_der()),
        })
    }

    /// The contents of `operator.crt`, which everybody may have.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The contents of `operator.key`.
    pub fn key_to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(to_pem("PRIVATE KEY", &self.key))
    }
}

/// A name as the authority's own certificate has it.
fn name(common: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Duet");
    name.push(DnType::CommonName, common);
    name
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator(…)")
    }
}
