//! [`Authority`]: the site's own certificate authority.

use std::fmt;
use std::str::FromStr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use time::Duration;
use zeroize::Zeroizing;

use super::{KeyError, one_pem_block, to_pem};
use crate::text::text_serde;
use crate::{Label, Timestamp};

/// The certificate and the private key that make the certificates of a site's machines: ECDSA on
/// P-256, which every TLS program knows, also those that do not know Ed25519.
pub struct Authority {
    certificate: Certificate,
    key: Zeroizing<Vec<u8>>,
}

/// An X.509 certificate (RFC 5280), kept as one PEM block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate(Vec<u8>);

/// How long the site's certificate is valid: longer than the machines last, since every machine has
/// it in its seed.
const VALID_DAYS: u32 = 20 * 365;

/// The machines' own certificates are signed by it directly.
const PATH_LENGTH: u8 = 0;

const KEY: &str = "a certificate authority's private key";
const CERTIFICATE: &str = "a certificate";

impl Authority {
    /// Makes a new key and a certificate for it. It is valid from the day before `now`, since a
    /// machine's clock may be behind until chrony has set it.
    pub fn generate(site: &Label, now: Timestamp) -> Result<Authority, KeyError> {
        let failed = |_| KeyError::Generate("a certificate authority");
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.not_before = now.date_time() - Duration::days(1);
        params.not_after = now.plus_days(VALID_DAYS).date_time();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Duet");
        params.distinguished_name.push(DnType::CommonName, format!("site {site}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(PATH_LENGTH));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&pair).map_err(failed)?;
        Ok(Authority {
            certificate: Certificate(certificate.der().to_vec()),
            key: Zeroizing::new(pair.serialize_der()),
        })
    }

    /// Reads the contents of `ca.crt` and `ca.key`, which must belong together.
    pub fn parse(certificate: &str, key: &str) -> Result<Authority, KeyError> {
        let certificate: Certificate = certificate.parse()?;
        let key = one_pem_block(key, "PRIVATE KEY", KEY)?;
        let pair = KeyPair::try_from(key.as_slice());
        let pair = pair.map_err(|_| KeyError::Form { what: KEY, reason: "it holds no key" })?;
        // A certificate holds the public key as it is.
        let public = pair.der_bytes();
        if !certificate.0.windows(public.len()).any(|part| part == public) {
            return Err(KeyError::Pair);
        }
        Ok(Authority { certificate, key })
    }

    /// The certificate, which everybody may have.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The contents of `ca.key`.
    pub fn key_to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(to_pem("PRIVATE KEY", &self.key))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(…)")
    }
}

impl FromStr for Certificate {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let der = one_pem_block(text, "CERTIFICATE", CERTIFICATE)?;
        // A certificate is one DER SEQUENCE (tag 0x30) with its length in two bytes (0x82).
        let length = match der.as_slice() {
            [0x30, 0x82, high, low, rest @ ..] => {
                (usize::from(u16::from_be_bytes([*high, *low])) == rest.len()).then_some(())
            }
            _ => None,
        };
        length.ok_or(KeyError::Form { what: CERTIFICATE, reason: "what it holds is damaged" })?;
        Ok(Certificate(der.to_vec()))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_pem("CERTIFICATE", &self.0))
    }
}

text_serde!(Certificate);
