//! [`JoinToken`]: what a new machine shows to be let in.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::KeyError;

/// A secret of 32 random bytes, written `duetjoin1_` and 72 hexadecimal digits: the bytes, then four
/// bytes of checksum, so that a slip in typing or pasting is not mistaken for a wrong token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(Zeroizing<[u8; SECRET]>);

const SECRET: usize = 32;
const CHECKSUM: usize = 4;

/// What a token begins with, so that people and scanners for leaked secrets know it.
const PREFIX: &str = "duetjoin1_";

const WHAT: &str = "a join token";

impl JoinToken {
    /// Makes a new token of the system's randomness.
    pub fn generate(random: &SystemRandom) -> Result<JoinToken, KeyError> {
        let mut secret = Zeroizing::new([0; SECRET]);
        random.fill(secret.as_mut_slice()).map_err(|_| KeyError::Generate(WHAT))?;
        Ok(JoinToken(secret))
    }

    /// The token as it is written. Only for the file that keeps it.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.0.to_vec());
        bytes.extend(checksum(&self.0));
        Zeroizing::new(format!("{PREFIX}{}", HEXLOWER_PERMISSIVE.encode(&bytes)))
    }
}

/// The start of the SHA-256 of what the token is and its bytes.
fn checksum(secret: &[u8; SECRET]) -> [u8; CHECKSUM] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(b"duet join token v1\n");
    context.update(secret);
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&context.finish().as_ref()[..CHECKSUM]);
    checksum
}

impl FromStr for JoinToken {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = |reason| KeyError::Form { what: WHAT, reason };
        let digits = text.trim().strip_prefix(PREFIX);
        let digits = digits.ok_or(wrong("it does not begin with `duetjoin1_`"))?;
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
        let bytes =
            Zeroizing::new(bytes.map_err(|_| wrong("it has other signs than 0-9 and a-f"))?);
        let (secret, check) = match (bytes.first_chunk::<SECRET>(), bytes.get(SECRET..)) {
            (Some(secret), Some(check)) if check.len() == CHECKSUM => (secret, check),
            _ => return Err(wrong("a part of it is missing")),
        };
        if checksum(secret) != check {
            return Err(wrong("there is a slip in it: its checksum does not fit"));
        }
        Ok(JoinToken(Zeroizing::new(*secret)))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(…)")
    }
}
