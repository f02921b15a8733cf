//! [`Secrets`]: what goes with a seed and must stay the machine's own: with it, the machine makes its
//! certificate and lets workers join. The signed seed names its SHA-256, so it needs no signature.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::digest::SHA256;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::keys::{Certificate, JoinToken, KeyError, RoomAuthority};

/// The version of the text that this release writes and reads.
const FORMAT: u32 = 1;

/// The most bytes of the text: two PEM blocks and a token are a tenth of it.
const LARGEST: usize = 64 << 10;

/// The secrets of one room.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Makes the certificates of the room's machines.
    pub room: RoomAuthority,
    /// Lets a new machine in.
    pub join: JoinToken,
}

/// Why a text holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum SecretsError {
    /// The text is not the one that the seed names.
    #[error("the secrets are not those that the seed names")]
    #[diagnostic(code(integrity::secrets_other), help("{CURE}"))]
    Other,
    /// The text is not what it should be.
    #[error("the secrets are malformed: {0}")]
    #[diagnostic(code(integrity::secrets_form), help("{CURE}"))]
    Malformed(String),
}

const CURE: &str = "the three files of a seed belong together: on the workstation build the image \
     again from site.toml and copy seed.toml, seed.sig and seed.secrets to the ESP";

/// As it is written. What is read is wiped with the text that it came from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    room_certificate: Certificate,
    room_key: Zeroizing<String>,
    join_token: Zeroizing<String>,
}

impl Secrets {
    /// The contents of `seed.secrets`: the same text for the same secrets.
    pub fn encode(&self) -> Zeroizing<String> {
        let (certificate, key) = (self.room.certificate(), self.room.key_to_pem());
        let (join, key) = (self.join.reveal(), key.as_str());
        Zeroizing::new(format!(
            "format = {FORMAT}\nroom_certificate = \"\"\"\n{certificate}\"\"\"\n\
             room_key = \"\"\"\n{key}\"\"\"\njoin_token = \"{}\"\n",
            join.as_str()
        ))
    }

    /// Reads the contents of `seed.secrets`, whose SHA-256 the seed says is `sha256`.
    pub fn parse(text: &[u8], sha256: &str) -> Result<Secrets, SecretsError> {
        let malformed = |reason: &str| SecretsError::Malformed(reason.to_owned());
        if text.len() > LARGEST {
            return Err(malformed("there are too many of them"));
        }
        let text = std::str::from_utf8(text).map_err(|_| malformed("they are not UTF-8 text"))?;
        if digest(text) != sha256 {
            return Err(SecretsError::Other);
        }
        // The message of TOML's parser could quote a secret.
        let written: Written = toml::from_str(text).map_err(|_| malformed("they are not TOML"))?;
        if written.format != FORMAT {
            return Err(malformed("they are of another release"));
        }
        let bad = |error: KeyError| SecretsError::Malformed(error.to_string());
        let room = RoomAuthority::parse(&written.room_certificate.to_string(), &written.room_key);
        Ok(Secrets { room: room.map_err(bad)?, join: written.join_token.parse().map_err(bad)? })
    }
}

/// The SHA-256 of a text, in hexadecimal digits.
pub fn digest(text: &str) -> String {
    HEXLOWER.encode(ring::digest::digest(&SHA256, text.as_bytes()).as_ref())
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys::SiteKeys;

    fn secrets() -> Secrets {
        let now = "2026-11-23T08:00:00Z".parse().unwrap();
        let SiteKeys { rooms: [room, _], join, .. } =
            SiteKeys::generate(&"my-campus".parse().unwrap(), now).unwrap();
        Secrets { room, join }
    }

    #[test]
    fn secrets_are_read_back_and_belong_to_one_seed() {
        let secrets = secrets();
        let text = secrets.encode();
        assert_eq!(Secrets::parse(text.as_bytes(), &digest(&text)).as_ref(), Ok(&secrets));
        assert_eq!(Secrets::parse(text.as_bytes(), &digest("another")), Err(SecretsError::Other));
        let cut = &text[..text.len() / 2];
        let error = Secrets::parse(cut.as_bytes(), &digest(cut)).unwrap_err();
        assert!(matches!(error, SecretsError::Malformed(_)), "{error}");
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let text = secrets().encode().replace("duetjoin1_", "duetjoin2_");
        let error = Secrets::parse(text.as_bytes(), &digest(&text)).unwrap_err().to_string();
        let secret = text.lines().last().unwrap().split('"').nth(1).unwrap();
        assert!(
            error.starts_with("the secrets are malformed: ") && !error.contains(secret),
            "{error}"
        );
    }
}
