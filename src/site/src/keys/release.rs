//! [`ReleaseKey`] and [`PublicKey`]: who signs what machines take.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{KeyError, one_pem_block, to_pem};
use crate::text::text_serde;

/// The private key that signs what the site's machines take: Ed25519 (RFC 8032), kept as PKCS#8 in
/// PEM (RFC 8410).
pub struct ReleaseKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Ed25519KeyPair,
}

/// The public half of a [`ReleaseKey`], written `duet-ed25519 BASE64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; LENGTH]);

/// A short name for a [`PublicKey`], for people to compare: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

/// The length of a public key in bytes (RFC 8032, section 5.1.5).
const LENGTH: usize = 32;

/// What stands before the 32 bytes of the private key in PKCS#8 (RFC 8410, section 7): a SEQUENCE of
/// version 0, the algorithm's name 1.3.101.112 and an OCTET STRING in an OCTET STRING. Without the
/// public half, since OpenSSL reads no key that carries it.
const PKCS8_HEADER: &[u8] =
    &[0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, LENGTH as u8];

/// What a written public key begins with.
const PREFIX: &str = "duet-ed25519 ";

const WHAT: &str = "a release key";

impl ReleaseKey {
    /// Makes a new key of the system's randomness.
    pub fn generate(random: &SystemRandom) -> Result<ReleaseKey, KeyError> {
        let mut pkcs8 = Zeroizing::new([PKCS8_HEADER, &[0; LENGTH]].concat());
        random.fill(&mut pkcs8[PKCS8_HEADER.len()..]).map_err(|_| KeyError::Generate(WHAT))?;
        ReleaseKey::from_pkcs8(pkcs8)
    }

    /// Reads the contents of `release.key`.
    pub fn parse(text: &str) -> Result<ReleaseKey, KeyError> {
        ReleaseKey::from_pkcs8(one_pem_block(text, "PRIVATE KEY", WHAT)?)
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<ReleaseKey, KeyError> {
        // Without the public half beside it there is nothing to check the private one against.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8);
        let pair =
            pair.map_err(|_| KeyError::Form { what: WHAT, reason: "it holds no Ed25519 key" })?;
        Ok(ReleaseKey { pkcs8, pair })
    }

    /// The contents of `release.key`.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(to_pem("PRIVATE KEY", &self.pkcs8))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; LENGTH];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a message, which must begin with what it is for, so that no signature can serve as
    /// one for something else.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey({})", self.public().id())
    }
}

impl PublicKey {
    /// A short name for it: the start of its SHA-256.
    pub fn id(&self) -> KeyId {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&digest.as_ref()[..8]);
        KeyId(id)
    }

    /// Whether the private half signed this message.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = |reason| KeyError::Form { what: "a site's public key", reason };
        let base64 = text.trim().strip_prefix(PREFIX);
        let base64 = base64.ok_or(wrong("it does not begin with `duet-ed25519`"))?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| wrong("its end is not base64"))?;
        bytes.try_into().map(PublicKey).map_err(|_| wrong("it is not 32 bytes long"))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64.encode(&self.0))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

text_serde!(PublicKey);
