//! [`Authority`]: the site's own certificate authority, and [`RoomAuthority`]: what it lets each room sign.

use std::fmt;
use std::str::FromStr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, date_time_ymd,
};
use zeroize::Zeroizing;

use super::leaf::{Leaf, Says};
use super::{KeyError, one_pem_block, to_pem};
use crate::text::text_serde;
use crate::{Label, Room, Timestamp};

/// The certificate and the private key that make the certificates of a site's machines: ECDSA on
/// P-256, which every TLS program knows, also those that do not know Ed25519.
pub struct Authority {
    certificate: Certificate,
    key: Zeroizing<Vec<u8>>,
}

/// What signs the certificates of one room's machines, on these machines: its certificate is signed by the
/// site's [`Authority`], and good for names of its own room only (RFC 5280, section 4.2.1.10).
#[derive(Clone)]
pub struct RoomAuthority {
    certificate: Certificate,
    key: Zeroizing<Vec<u8>>,
}

/// A machine's own certificate and its key.
pub struct MachineCertificate {
    /// The machine's certificate, and that of its room, as PEM blocks.
    pub chain: String,
    /// The key, as a PEM block.
    pub key: Zeroizing<String>,
}

/// An X.509 certificate (RFC 5280), kept as one PEM block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate(Vec<u8>);

/// How long the site's certificate is valid: longer than the machines last, since every machine has
/// it in its seed.
const VALID_DAYS: u32 = 20 * 365;

/// The years from which on certificates are valid. A machine whose clock has stopped must be able to
/// join, and when a certificate began tells nothing that anybody relies on.
const VALID_FROM: i32 = 2020;

/// The machines' certificates are signed by a room's authority, and that one by the site's.
const PATH_LENGTH: u8 = 1;

const KEY: &str = "a certificate authority's private key";
const CERTIFICATE: &str = "a certificate";

impl Authority {
    /// Makes a new key and a certificate for it, which ends twenty years after `now`.
    pub fn generate(site: &Label, now: Timestamp) -> Result<Authority, KeyError> {
        Authority::titled(&format!("site {site}"), now)
    }

    pub(super) fn titled(title: &str, now: Timestamp) -> Result<Authority, KeyError> {
        let failed = |_| KeyError::Generate("a certificate authority");
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let params = authority_params(title, PATH_LENGTH, now);
        let certificate = params.self_signed(&pair).map_err(failed)?;
        Ok(Authority {
            certificate: Certificate(certificate.der().to_vec()),
            key: Zeroizing::new(pair.serialize_der()),
        })
    }

    /// Makes what signs the certificates of one room's machines; it ends twenty years after `now`.
    pub fn room(
        &self,
        site: &Label,
        room: Room,
        now: Timestamp,
    ) -> Result<RoomAuthority, KeyError> {
        let failed = |_| KeyError::Generate("a room's authority");
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = authority_params(&format!("room {room} of {site}"), 0, now);
        params.use_authority_key_identifier_extension = true;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(room_name(site, room))],
            excluded_subtrees: Vec::new(),
        });
        let certificate = params.signed_by(&pair, &self.issuer()?).map_err(failed)?;
        Ok(RoomAuthority {
            certificate: Certificate(certificate.der().to_vec()),
            key: Zeroizing::new(pair.serialize_der()),
        })
    }

    /// It, ready to sign.
    pub(super) fn issuer(&self) -> Result<Issuer<'static, KeyPair>, KeyError> {
        issuer(&self.certificate, &self.key)
    }

    /// Reads the contents of `ca.crt` and `ca.key`, which must belong together.
    pub fn parse(certificate: &str, key: &str) -> Result<Authority, KeyError> {
        let (certificate, key) = parse_both(certificate, key)?;
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

impl RoomAuthority {
    /// Makes a machine's key and its certificate, which is good for both ends of a connection and carries
    /// the name of the room, and that of the machine below it.
    pub fn machine(
        &self,
        site: &Label,
        room: Room,
        machine: &Label,
        now: Timestamp,
    ) -> Result<MachineCertificate, KeyError> {
        let room = room_name(site, room);
        let says = Says {
            what: "a machine's certificate",
            title: machine.as_str(),
            names: vec![room.clone(), format!("{machine}.{room}")],
            ends: &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let own = issuer(&self.certificate, &self.key)?;
        let Leaf { certificate, key } = Leaf::signed(&own, says, now)?;
        Ok(MachineCertificate { chain: format!("{certificate}{}", self.certificate), key })
    }

    /// Reads a certificate and its key, which must belong together.
    pub fn parse(certificate: &str, key: &str) -> Result<RoomAuthority, KeyError> {
        let (certificate, key) = parse_both(certificate, key)?;
        Ok(RoomAuthority { certificate, key })
    }

    /// The certificate, which everybody may have.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key as a PEM block.
    pub fn key_to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(to_pem("PRIVATE KEY", &self.key))
    }
}

/// The name that every machine of a room has in its certificate, beside its own.
pub fn room_name(site: &Label, room: Room) -> String {
    format!("room-{room}.{site}.duet.internal")
}

fn authority_params(title: &str, path_length: u8, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity(now);
    params.distinguished_name = name(title);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(super) fn validity(now: Timestamp) -> (time::OffsetDateTime, time::OffsetDateTime) {
    (date_time_ymd(VALID_FROM, 1, 1), now.plus_days(VALID_DAYS).date_time())
}

pub(super) fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Duet");
    name.push(DnType::CommonName, common);
    name
}

/// A certificate and its key, ready to sign.
fn issuer(certificate: &Certificate, key: &[u8]) -> Result<Issuer<'static, KeyPair>, KeyError> {
    let pair = KeyPair::try_from(key);
    let pair = pair.map_err(|_| KeyError::Form { what: KEY, reason: "it holds no key" })?;
    Issuer::from_ca_cert_der(&certificate.0.as_slice().into(), pair)
        .map_err(|_| KeyError::Form { what: CERTIFICATE, reason: "it is not an authority's" })
}

/// A certificate and a key that belong together.
fn parse_both(certificate: &str, key: &str) -> Result<(Certificate, Zeroizing<Vec<u8>>), KeyError> {
    let certificate: Certificate = certificate.parse()?;
    let key = one_pem_block(key, "PRIVATE KEY", KEY)?;
    let pair = KeyPair::try_from(key.as_slice());
    let pair = pair.map_err(|_| KeyError::Form { what: KEY, reason: "it holds no key" })?;
    // A certificate holds the public key as it is.
    let public = pair.der_bytes();
    if !certificate.0.windows(public.len()).any(|part| part == public) {
        return Err(KeyError::Pair);
    }
    Ok((certificate, key))
}

impl PartialEq for RoomAuthority {
    fn eq(&self, other: &RoomAuthority) -> bool {
        self.certificate == other.certificate
    }
}

impl Eq for RoomAuthority {}

impl fmt::Debug for RoomAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomAuthority(…)")
    }
}

impl fmt::Debug for MachineCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineCertificate(…)")
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(…)")
    }
}

impl Certificate {
    pub(super) fn from_der(der: &[u8]) -> Certificate {
        Certificate(der.to_vec())
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
