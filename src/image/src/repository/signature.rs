//! Believes a clear-signed text only if a key of a keyring signed it.
//!
//! Start at [`Keyring::verify`]. A signature counts if the text and it belong together, its hash is
//! not obsolete, and the key (primary or signing subkey) was bound to its certificate, not expired
//! when it signed, and never revoked. One good signature is enough: during a change of keys Debian
//! signs with the old and the new ones.
//!
//! Source: RFC 9580, 5.2 (signatures), 7 (cleartext framework), 10.1 (certificates).

use std::fmt;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, PublicKeyTrait, Tag};
use site::Timestamp;

/// The certificates that may sign a repository.
#[derive(Clone, Debug)]
pub struct Keyring {
    certificates: Vec<SignedPublicKey>,
}

/// A text whose signature is good.
#[derive(Debug)]
pub(super) struct Verified {
    /// What was signed, with the dash escapes undone.
    pub(super) text: String,
    /// The fingerprint of the key that signed it, in upper-case hexadecimal.
    pub(super) signer: String,
}

/// Why one signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No key of the keyring made it.
    UnknownKey,
    /// The text is not what was signed, or the signature itself is damaged.
    Mismatch,
    /// The certificate does not bind the key, or not for signing.
    Unbound,
    /// The certificate says the key must no longer be believed.
    Revoked,
    /// The key had expired when it signed, or was not made yet.
    Expired,
    /// The signature itself has expired, or is dated in the future.
    OutOfTime,
    /// It uses MD5, SHA-1 or another hash that is no longer safe.
    WeakHash,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::UnknownKey => "a key that the keyring does not have",
            Doubt::Mismatch => "the text is not what this key signed",
            Doubt::Unbound => "a key that may not sign",
            Doubt::Revoked => "a revoked key",
            Doubt::Expired => "a key that was not valid at that time",
            Doubt::OutOfTime => "the signature has expired or lies in the future",
            Doubt::WeakHash => "an obsolete hash algorithm",
        })
    }
}

/// Clocks that differ by this many seconds still agree.
pub(super) const CLOCK_SLACK: u64 = 600;

impl Keyring {
    /// Reads certificates, binary or armoured, one after the other.
    ///
    /// # Errors
    /// A short reason if this is no keyring, or an empty one.
    pub fn parse(bytes: &[u8]) -> Result<Keyring, String> {
        let armoured = bytes.starts_with(b"-----BEGIN");
        let certificates = if armoured {
            SignedPublicKey::from_armor_many(bytes).and_then(|(keys, _)| keys.collect())
        } else {
            SignedPublicKey::from_bytes_many(bytes).and_then(|keys| keys.collect())
        };
        match certificates {
            Ok::<Vec<_>, _>(certificates) if certificates.is_empty() => {
                Err("it has no key".to_owned())
            }
            Ok(certificates) => Ok(Keyring { certificates }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes the signed text out of `message` if one of its signatures is good.
    ///
    /// # Errors
    /// No good signature: each one's key and what is wrong with it; none if it has no signature.
    pub(super) fn verify(
        &self,
        message: &str,
        now: Timestamp,
    ) -> Result<Verified, Vec<(String, Doubt)>> {
        let Ok((message, _)) = CleartextSignedMessage::from_string(message) else {
            return Err(Vec::new());
        };
        let text = message.signed_text();
        let mut doubts = Vec::new();
        for signature in message.signatures() {
            match self.judge(&signature.signature, &text, now) {
                Ok(signer) => return Ok(Verified { text, signer }),
                Err(doubt) => doubts.push((issuer(&signature.signature), doubt)),
            }
        }
        Err(doubts)
    }

    /// The fingerprint of the key that made `signature` over `text`, if all is well.
    fn judge(&self, signature: &Signature, text: &str, now: Timestamp) -> Result<String, Doubt> {
        if !signature.hash_alg().is_some_and(is_strong) {
            return Err(Doubt::WeakHash);
        }
        let made = signature.created().map(|time| time.timestamp()).ok_or(Doubt::OutOfTime)?;
        let made = u64::try_from(made).map_err(|_| Doubt::OutOfTime)?;
        let life = signature.signature_expiration_time().map(|life| life.num_seconds());
        if made > now.unix() + CLOCK_SLACK || is_over(made, life, now.unix()) {
            return Err(Doubt::OutOfTime);
        }
        let mut doubt = Doubt::UnknownKey;
        for certificate in &self.certificates {
            let primary = &certificate.primary_key;
            if names(signature, primary) {
                let judged =
                    signature.verify(primary, text.as_bytes()).map_err(|_| Doubt::Mismatch);
                match judged.and_then(|()| primary_may_sign(certificate, made)) {
                    Ok(()) => return Ok(fingerprint(primary)),
                    Err(reason) => doubt = reason,
                }
            }
            for subkey in
                certificate.public_subkeys.iter().filter(|subkey| names(signature, &subkey.key))
            {
                let judged =
                    signature.verify(&subkey.key, text.as_bytes()).map_err(|_| Doubt::Mismatch);
                match judged.and_then(|()| subkey_may_sign(certificate, subkey, made)) {
                    Ok(()) => return Ok(fingerprint(&subkey.key)),
                    Err(reason) => doubt = reason,
                }
            }
        }
        Err(doubt)
    }
}

/// Whether the signature says that it is by `key`; one that says nothing is by nobody.
fn names(signature: &Signature, key: &impl PublicKeyTrait) -> bool {
    signature.issuer().contains(&&key.key_id())
        || signature.issuer_fingerprint().contains(&&key.fingerprint())
}

/// The key that a signature names, for messages.
fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|id| id.to_string());
    let name = fingerprint.or_else(|| signature.issuer().first().map(|id| id.to_string()));
    name.map_or("an unnamed key".to_owned(), |name| name.to_uppercase())
}

fn fingerprint(key: &impl KeyDetails) -> String {
    key.fingerprint().to_string().to_uppercase()
}

fn is_strong(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(hash, Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

/// Whether something that began at `start` and lives `life` seconds (none or 0: for ever) is over.
fn is_over(start: u64, life: Option<i64>, moment: u64) -> bool {
    match life.map(u64::try_from) {
        None | Some(Ok(0)) => false,
        Some(Ok(life)) => moment >= start.saturating_add(life),
        Some(Err(_)) => true,
    }
}

/// The certificate's newest own statement on its primary key, of those that are really its own.
fn newest_binding(certificate: &SignedPublicKey) -> Option<&Signature> {
    let primary = &certificate.primary_key;
    let of_users = certificate.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|signature| {
            names(signature, primary)
                && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let direct = certificate.details.direct_signatures.iter().filter(|signature| {
        names(signature, primary)
            && signature.typ() == Some(SignatureType::Key)
            && signature.verify_key(primary).is_ok()
    });
    of_users.chain(direct).max_by_key(|signature| signature.created().map(|time| time.timestamp()))
}

/// Whether the whole certificate stood at that time; returns its newest statement on itself.
fn certificate_stands(certificate: &SignedPublicKey, at: u64) -> Result<&Signature, Doubt> {
    let primary = &certificate.primary_key;
    let revoked = certificate.details.revocation_signatures.iter();
    if revoked.clone().any(|signature| signature.verify_key(primary).is_ok()) {
        return Err(Doubt::Revoked);
    }
    let binding = newest_binding(certificate).ok_or(Doubt::Unbound)?;
    key_lives(primary, binding, at)?;
    Ok(binding)
}

/// Whether `key` existed and had not expired, by what `binding` says of it.
fn key_lives(key: &impl PublicKeyTrait, binding: &Signature, at: u64) -> Result<(), Doubt> {
    let born = u64::try_from(key.created_at().timestamp()).map_err(|_| Doubt::Expired)?;
    let life = binding.key_expiration_time().map(|life| life.num_seconds());
    if at < born || is_over(born, life, at) { Err(Doubt::Expired) } else { Ok(()) }
}

fn primary_may_sign(certificate: &SignedPublicKey, at: u64) -> Result<(), Doubt> {
    let binding = certificate_stands(certificate, at)?;
    if binding.key_flags().sign() { Ok(()) } else { Err(Doubt::Unbound) }
}

fn subkey_may_sign(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    at: u64,
) -> Result<(), Doubt> {
    certificate_stands(certificate, at)?;
    let primary = &certificate.primary_key;
    let own = || {
        subkey.signatures.iter().filter(|signature| {
            names(signature, primary)
                && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        })
    };
    if own().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(Doubt::Revoked);
    }
    let binding = own()
        .filter(|signature| signature.typ() == Some(SignatureType::SubkeyBinding))
        .max_by_key(|signature| signature.created().map(|time| time.timestamp()))
        .ok_or(Doubt::Unbound)?;
    key_lives(&subkey.key, binding, at)?;
    // RFC 9580, 5.2.1.8: a subkey that signs must itself have signed that it belongs here.
    let consents = binding
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if binding.key_flags().sign() && consents { Ok(()) } else { Err(Doubt::Unbound) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/packages/signatures/", $name))
        };
    }

    /// What the keyring of the fixtures makes of a text, two days after most were signed.
    fn judge(text: &[u8]) -> Result<Verified, Vec<Doubt>> {
        let keyring = Keyring::parse(fixture!("keyring.gpg")).unwrap();
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let judged = keyring.verify(std::str::from_utf8(text).unwrap(), now);
        judged.map_err(|doubts| doubts.into_iter().map(|(_, doubt)| doubt).collect())
    }

    #[test]
    fn good_signatures_are_believed() {
        for (text, signer) in [
            (&fixture!("good.asc")[..], "79BB9A69AF1C1B197E1C59822C1662ED859EB83B"),
            (fixture!("subkey.asc"), "CFDDBE"),
            (fixture!("inside-life.asc"), "2FC8181382367C2654D2848E7E1F9365864AE674"),
            (fixture!("two.asc"), "79BB9A69AF1C1B197E1C59822C1662ED859EB83B"),
        ] {
            let verified = judge(text).unwrap();
            assert!(verified.signer.starts_with(signer), "{}", verified.signer);
            assert!(
                verified.text.lines().any(|line| line == "- a line with a dash"),
                "{}",
                verified.text
            );
        }
    }

    #[test]
    fn every_other_signature_is_refused_for_its_own_reason() {
        for (text, doubt) in [
            (&fixture!("stranger.asc")[..], Doubt::UnknownKey),
            (fixture!("sha1.asc"), Doubt::WeakHash),
            (fixture!("future.asc"), Doubt::OutOfTime),
            (fixture!("short-lived.asc"), Doubt::OutOfTime),
            (fixture!("before-birth.asc"), Doubt::Expired),
            (fixture!("after-life.asc"), Doubt::Expired),
            (fixture!("revoked.asc"), Doubt::Revoked),
            (fixture!("certonly.asc"), Doubt::Unbound),
        ] {
            assert_eq!(judge(text).unwrap_err(), [doubt]);
        }
    }

    #[test]
    fn a_changed_text_is_refused() {
        let good = String::from_utf8(fixture!("good.asc").to_vec()).unwrap();
        let tampered = good.replace("Suite: test", "Suite: best");
        assert_eq!(judge(tampered.as_bytes()).unwrap_err(), [Doubt::Mismatch]);
        let framed = format!("Suite: evil\n\n{good}");
        assert!(judge(framed.as_bytes()).is_err(), "text before the signed part");
        let framed = format!("{good}Suite: evil\n");
        assert!(judge(framed.as_bytes()).is_err(), "text after the signed part");
        assert_eq!(judge(b"<html>please log in</html>").unwrap_err(), []);
        assert_eq!(judge(b"").unwrap_err(), []);
    }

    #[test]
    fn keyrings_are_read_binary_and_armoured() {
        let binary = Keyring::parse(fixture!("keyring.gpg")).unwrap();
        let armoured = Keyring::parse(fixture!("keyring.asc")).unwrap();
        assert_eq!(binary.certificates, armoured.certificates);
        assert_eq!(binary.certificates.len(), 5);
        assert!(Keyring::parse(b"").is_err());
        assert!(Keyring::parse(b"no keyring").is_err());
        let debian = include_bytes!("../../../../profiles/keyrings/debian-archive-trixie.gpg");
        assert_eq!(Keyring::parse(debian).unwrap().certificates.len(), 3);
    }
}
